"""The error messages of the program, read from its source: what `docs/troubleshooting.md` must explain.

A message is the first argument of a call that makes an error: of a class of `NbvaultError`'s family, of click's for
wrong usage, or anything that is given a ``hint``. As a *heading* it has a hole, ``{name}``, wherever a value goes in;
its *skeleton* forgets what the holes are called.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

FAMILY = "NbvaultError"
USAGE = frozenset({"UsageError", "BadParameter"})
HOLE = "{…}"


class Message(NamedTuple):
    """One message, as a heading would say it, and the module and line that make it."""

    heading: str
    file: str
    line: int


def skeleton(heading: str) -> str:
    """The text with all holes written alike, and without Markdown's backslashes."""
    return re.sub(r"\{[^{}]*\}", HOLE, heading.replace("\\", "")).strip()


def has_words(text: str) -> bool:
    """Whether a message says anything by itself, rather than passing on what was said elsewhere."""
    return re.search(r"[^\s.,:;()]", skeleton(text).replace(HOLE, "")) is not None


def messages(source: Path, sentences: Mapping[str, Iterable[str]]) -> list[Message]:
    """Every message that the modules below a folder can make, by module and line.

    Args:
        sentences: For each module, the tables and functions of it whose texts become messages elsewhere.
    """
    trees = {path.relative_to(source).as_posix(): ast.parse(path.read_text("utf-8")) for path in source.rglob("*.py")}
    kinds = _family([node for tree in trees.values() for node in ast.walk(tree)]) | USAGE
    return [
        Message(text, file, node.lineno)
        for file, tree in sorted(trees.items())
        for node in _sayings(tree, kinds, set(sentences.get(file, ())))
        for spelled in _spelled(node, tree)
        for text in _texts(spelled)
    ]


def _family(nodes: Iterable[ast.AST]) -> set[str]:
    bases = {node.name: {_name(base) for base in node.bases} for node in nodes if isinstance(node, ast.ClassDef)}
    family = {FAMILY}
    while new := {name for name, above in bases.items() if above & family} - family:
        family |= new
    return family


def _sayings(tree: ast.AST, kinds: set[str], names: set[str]) -> list[ast.expr]:
    """Every expression that words an error, once, from the top of the module to its end."""
    found = {(node.lineno, node.col_offset): node for node in (*_first_arguments(tree, kinds), *_told_by(tree, names))}
    return [found[place] for place in sorted(found)]


def _first_arguments(tree: ast.AST, kinds: set[str]) -> Iterator[ast.expr]:
    """What is said where an error is made, also by a class of the family to its own base."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in kinds and node.name != FAMILY:
            calls = (part for part in ast.walk(node) if isinstance(part, ast.Call))
            yield from (call.args[0] for call in calls if ast.unparse(call.func) == "super().__init__" and call.args)
        elif isinstance(node, ast.Call) and node.args and (_name(node.func) in kinds or _has_hint(node)):
            yield node.args[0]


def _told_by(tree: ast.AST, names: set[str]) -> Iterator[ast.expr]:
    """What a table's values (or the first of each) say, and what a function returns or yields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            said = (part.value for part in ast.walk(node) if isinstance(part, (ast.Return, ast.Yield)))
            yield from (value for value in said if value is not None)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if names & {_name(target) for target in targets}:
                yield from (value.elts[0] if isinstance(value, ast.Tuple) else value for value in node.value.values)


def _spelled(node: ast.expr, tree: ast.AST) -> list[ast.expr]:
    """The expression itself; of a mere name, the f-strings that the module gives to it, if it does."""
    if not isinstance(node, ast.Name):
        return [node]
    given = [part for part in ast.walk(tree) if isinstance(part, ast.Assign) and _name(part.targets[0]) == node.id]
    return [part.value for part in given if isinstance(part.value, ast.JoinedStr)] or [node]


def _texts(node: ast.expr) -> list[str]:
    """Each text that an expression can give, with a hole for whatever is not written there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(parts) for parts in product(*map(_texts, node.values))]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return ["".join(parts) for parts in product(_texts(node.left), _texts(node.right))]
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    if isinstance(node, ast.FormattedValue):
        return _texts(node.value)
    return ["{" + (_name(node).strip("_") or "…") + "}"]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _has_hint(call: ast.Call) -> bool:
    return any(keyword.arg == "hint" for keyword in call.keywords)

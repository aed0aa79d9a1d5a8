"""Which part of the workspace a person means: a notebook, a folder, or a glob; and the files of the vault below it."""

from __future__ import annotations

import re
from collections.abc import Callable

from nbvault.gitstore.unread import UnreadRows
from nbvault.inventory import Rows
from nbvault.recovery.names import spellings
from nbvault.recovery.notebooks import Notebooks

_WILD = re.compile(r"[*?]")


def within(root: str, place: str) -> Callable[[str], bool]:
    """Whether a workspace path is meant by ``place``: it is it, lies below it, or matches it; empty means all."""
    if not place:
        return lambda _path: True
    if place.rstrip("/") in ("", root.rstrip("/")):
        return lambda _path: True
    wanted = spellings(root, place)
    patterns = [glob(each) for each in wanted if _WILD.search(each)]

    def is_meant(path: str) -> bool:
        named = any(path == each or path.startswith(each + "/") for each in wanted)
        return named or any(pattern.fullmatch(path) for pattern in patterns)

    return is_meant


def files_of(notebooks: Notebooks) -> set[str]:
    """Every repository path at which a notebook is or was."""
    moves = (rename for moves in notebooks.renames.values() for rename in moves)
    rows = notebooks.rows
    ours = set(rows.repo_paths() if isinstance(rows, Rows) else (row.repo_path for row in rows.values()))
    ours.update(stone.repo_path for stone in notebooks.stones.values())
    ours.update(rename.old_repo_path for rename in moves)
    return ours


def ours(notebooks: Notebooks, *, many: bool = True) -> Callable[[str], bool]:
    """Whether a notebook is or was at a repository path; an inventory that is not read yet is left so.

    Args:
        many: It will be asked often; otherwise the first answers come at once.
    """
    if not isinstance(notebooks.rows, UnreadRows):
        return files_of(notebooks).__contains__
    if many:
        notebooks.rows.expect_many()
    moved = {rename.old_repo_path for moves in notebooks.renames.values() for rename in moves}
    return lambda file: file in moved or notebooks.knows(file)


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern on workspace paths: ``*`` and ``?`` stay in a folder, ``**`` crosses folders."""
    wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return re.compile("".join(wildcards.get(part) or re.escape(part) for part in parts), re.DOTALL)

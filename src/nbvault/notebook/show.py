"""The changes for a person at a terminal, and for a program."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from nbvault.notebook.cells import Cell, CellKind
from nbvault.notebook.diff import Aspect, CellChange, ChangeKind, Line, told_lines

_RESET = "\x1b[0m"
_COLOURS = {"heading": "\x1b[1m", "dim": "\x1b[2m", "+": "\x1b[32m", "-": "\x1b[31m", "~": "\x1b[33m"}

# Control, format (bidi and invisible) and surrogate characters, line and paragraph separators.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT = {"\r": "\\r", "\t": "\t"}


def to_text(changes: Sequence[CellChange], *, colour: bool, context: int = 3) -> str:
    """The changes as lines for a terminal; empty if there are none.

    Each cell that differs has a heading and its lines behind `-`, `+` or a space; runs of equal cells are folded to
    one line, and so are equal lines further than ``context`` from a change. Whatever the notebooks hold, the only
    escape sequences in the result are the colours, and no character in it moves the cursor or turns the text around.
    """
    told = to_lines(changes, context=context)
    return "".join(f"{_painted(style, text) if colour else text}\n" for style, text in told)


def to_lines(changes: Sequence[CellChange], *, context: int = 3) -> Iterator[tuple[str, str]]:
    """The lines of `to_text`, each with what it is: ``heading``, ``dim``, ``~`` (property), ``-``, ``+``, a space."""
    for same, run in groupby(changes, key=lambda change: change.kind is ChangeKind.SAME):
        if same:
            yield "dim", _folded(list(run))
        else:
            yield from (line for change in run for line in _told(change, context))


def to_json(changes: Iterable[CellChange]) -> list[dict[str, Any]]:
    """The changes as ``nbvault diff --json`` prints them.

    `lines` are those of the text rendering without folding. A field is null where the cell is not in that notebook.
    Text is as it stands in the notebook: who prints it to a terminal makes it harmless.
    """
    return [_as_json(change) for change in changes]


def harmless(text: str) -> str:
    r"""The text with characters that steer a terminal, or that nobody sees, spelled out: ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(_spelled(character) for character in text)


def _spelled(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if unicodedata.category(character) not in _HARMFUL:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _painted(style: str, text: str) -> str:
    return f"{_COLOURS[style]}{text}{_RESET}" if style in _COLOURS else text


def _folded(run: list[CellChange]) -> str:
    cells = [change.new_index for change in run if change.new_index]
    if not cells:
        return "settings  same"
    if len(cells) == 1:
        return f"cell {cells[0]}  same"
    return f"cells {cells[0]}-{cells[-1]}  same"


def _told(change: CellChange, context: int) -> Iterator[tuple[str, str]]:
    yield "heading", _heading(change)
    yield from _properties(change)
    lines = told_lines(change)
    keep = _near_changes(lines, context)
    for shown, run in groupby(enumerate(lines), key=lambda numbered: keep[numbered[0]]):
        if shown:
            yield from ((line.mark, f"    {line.mark}{harmless(line.text)}") for _, line in run)
        else:
            yield "dim", f"     ... {_counted(len(list(run)), 'line')}"


def _heading(change: CellChange) -> str:
    parts = [_place(change), f"[{harmless(change.cell.language)}]" if change.cell.language else ""]
    parts += [f'"{harmless(change.cell.title)}"' if change.cell.title else "", _fate(change)]
    return "  ".join(part for part in parts if part)


def _place(change: CellChange) -> str:
    if change.cell.kind is CellKind.SETTINGS:
        return "settings"
    return f"old cell {change.old_index}" if change.new_index is None else f"cell {change.new_index}"


def _fate(change: CellChange) -> str:
    """The kind, and in brackets what differs where that is not the text alone."""
    place = f" from {change.old_index}" if change.kind is ChangeKind.MOVED else ""
    what = ", ".join(aspect.value for aspect in change.aspects)
    only = " only" if len(change.aspects) == 1 and change.kind is ChangeKind.CHANGED else ""
    if change.aspects == (Aspect.TEXT,):
        return f"{change.kind.value}{place}" + (" and changed" if place else "")
    return f"{change.kind.value}{place}" + (f" ({what}{only})" if what else "")


def _properties(change: CellChange) -> Iterator[tuple[str, str]]:
    """A line for each property of which both values can be told."""
    if change.old is None or change.new is None:
        return
    if Aspect.TITLE in change.aspects:
        yield "~", f"    ~title {_title(change.old)} -> {_title(change.new)}"
    if Aspect.LANGUAGE in change.aspects:
        yield "~", f"    ~language {_language(change.old)} -> {_language(change.new)}"
    if Aspect.LAYOUT in change.aspects:
        yield "~", "    ~the cells are the same; only how they are written differs, such as line ends or blank lines"


def _title(cell: Cell) -> str:
    if not cell.title:
        return "none"
    return f'"{harmless(cell.title)}"' + ("" if cell.title_shown else " (hidden)")


def _language(cell: Cell) -> str:
    magic = f" ({cell.magic})" if cell.magic else ""
    return f"{harmless(cell.language) or cell.kind.value}{magic}"


def _near_changes(lines: Sequence[Line], context: int) -> list[bool]:
    """For each line whether it is shown; a single hidden line is shown too, as folding it would save nothing."""
    reach = [False] * len(lines)
    for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
        ahead = -1
        for at in order:
            ahead = context if lines[at].mark != " " else ahead - 1
            reach[at] = reach[at] or ahead >= 0
    return [
        shown or ((at == 0 or reach[at - 1]) and (at == len(reach) - 1 or reach[at + 1]))
        for at, shown in enumerate(reach)
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _as_json(change: CellChange) -> dict[str, Any]:
    old, new = change.old, change.new
    return {
        "kind": change.kind.value,
        "what": [aspect.value for aspect in change.aspects],
        "old_index": change.old_index,
        "new_index": change.new_index,
        "cell": change.cell.kind.value,
        "old_language": old.language if old else None,
        "new_language": new.language if new else None,
        "old_title": old.title if old else None,
        "new_title": new.title if new else None,
        "lines": [line.mark + line.text for line in told_lines(change)],
    }

"""What became of each cell from one notebook to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from nbvault.notebook.align import align
from nbvault.notebook.cells import Cell, CellKind, Notebook, render
from nbvault.notebook.match import match


class ChangeKind(str, Enum):
    """What became of a cell. A cell that moved may have been changed too: see its aspects."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    SAME = "same"


class Aspect(str, Enum):
    """What differs in a cell that is in both notebooks.

    `OUTPUTS` is all that running it leaves behind: results, counts, times. `LAYOUT` is how the same cells are written:
    line ends, blank lines round separators, JSON spacing.
    """

    TEXT = "text"
    TITLE = "title"
    LANGUAGE = "language"
    OUTPUTS = "outputs"
    METADATA = "metadata"
    LAYOUT = "layout"


class Line(NamedTuple):
    """A line of a cell: `-` only in the old one, `+` only in the new one, a space in both."""

    mark: Literal["-", "+", " "]
    text: str


@dataclass(frozen=True, slots=True)
class CellChange:
    """What became of one cell.

    Indexes count from 1, and 0 is the notebook's settings; None where the cell is not in that notebook. `lines` are
    all lines of both texts where they differ, else empty; `aspects` is empty for what was added or removed.
    """

    kind: ChangeKind
    old_index: int | None = None
    new_index: int | None = None
    old: Cell | None = None
    new: Cell | None = None
    aspects: tuple[Aspect, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def cell(self) -> Cell:
        """The cell as it is now, or as it was when it was removed."""
        found = self.new or self.old
        if found is None:
            raise ValueError("a change without a cell")
        return found


@dataclass(frozen=True, slots=True)
class CellSummary:
    """Counts of cells by what became of them, and of the lines that came and went in all of them."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    moved: int = 0
    same: int = 0
    lines_added: int = 0
    lines_removed: int = 0


def diff(old: Notebook, new: Notebook) -> tuple[CellChange, ...]:
    """What became of each cell, in the order of the new notebook, removed ones where they stood.

    Every cell of either notebook is in exactly one change. Where either has settings, or only the layout differs, one
    more change with index 0 comes first. All changes are `same` if and only if the bytes are the same. Deterministic,
    and ``diff(new, old)`` is the same seen from the other side.
    """
    changes = [*_settings(old.settings, new.settings), *_cells(old.cells, new.cells)]
    if all(change.kind is ChangeKind.SAME for change in changes) and render(old) != render(new):
        return _layout(old, new, changes)
    return tuple(changes)


def summary(changes: Iterable[CellChange]) -> CellSummary:
    """The changes in numbers. The lines of a cell that was added or removed all count."""
    counts = dict.fromkeys(ChangeKind, 0)
    plus = minus = 0
    for change in changes:
        counts[change.kind] += 1
        marks = [line.mark for line in told_lines(change)]
        plus += marks.count("+")
        minus += marks.count("-")
    return CellSummary(**{kind.value: count for kind, count in counts.items()}, lines_added=plus, lines_removed=minus)


def told_lines(change: CellChange) -> Sequence[Line]:
    """The lines that a reader sees of a change: its own, or the whole cell where it was added or removed."""
    if change.kind is ChangeKind.ADDED:
        return [Line("+", line) for line in change.cell.lines]
    if change.kind is ChangeKind.REMOVED:
        return [Line("-", line) for line in change.cell.lines]
    return change.lines


def _settings(old: Cell | None, new: Cell | None) -> list[CellChange]:
    if old is not None and new is not None:
        return [_pair((old, 0), (new, 0), moved=False)]
    if new is not None:
        return [CellChange(ChangeKind.ADDED, new_index=0, new=new)]
    if old is not None:
        return [CellChange(ChangeKind.REMOVED, old_index=0, old=old)]
    return []


def _layout(old: Notebook, new: Notebook, changes: list[CellChange]) -> tuple[CellChange, ...]:
    """The same changes behind one that says that the notebooks are written differently."""
    nothing = Cell(CellKind.SETTINGS, "", "", b"")
    cells = changes[1:] if changes and changes[0].new_index == 0 else changes
    first = CellChange(
        ChangeKind.CHANGED, 0, 0, old.settings or nothing, new.settings or nothing, aspects=(Aspect.LAYOUT,)
    )
    return (first, *cells)


def _cells(old: Sequence[Cell], new: Sequence[Cell]) -> Iterator[CellChange]:
    stayed, moved = match(old, new)
    origin = {second: first for first, second in moved}
    gone = set(origin.values())
    first = second = 0
    for end, other_end in [*stayed, (len(old), len(new))]:
        for at in range(first, end):
            if at not in gone:
                yield CellChange(ChangeKind.REMOVED, old_index=at + 1, old=old[at])
        for at in range(second, other_end):
            if at in origin:
                yield _pair((old[origin[at]], origin[at] + 1), (new[at], at + 1), moved=True)
            else:
                yield CellChange(ChangeKind.ADDED, new_index=at + 1, new=new[at])
        if end < len(old):
            yield _pair((old[end], end + 1), (new[other_end], other_end + 1), moved=False)
        first, second = end + 1, other_end + 1


def _pair(old: tuple[Cell, int], new: tuple[Cell, int], *, moved: bool) -> CellChange:
    aspects = tuple(_differences(old[0], new[0]))
    lines = _lines(old[0], new[0]) if Aspect.TEXT in aspects else ()
    kind = ChangeKind.MOVED if moved else ChangeKind.CHANGED if aspects else ChangeKind.SAME
    return CellChange(kind, old[1], new[1], old[0], new[0], aspects, lines)


def _differences(old: Cell, new: Cell) -> Iterator[Aspect]:
    """What differs; outputs and metadata only where both formats have them."""
    if old.text != new.text:
        yield Aspect.TEXT
    if (old.title, old.title_shown) != (new.title, new.title_shown):
        yield Aspect.TITLE
    if (old.kind, old.language, old.magic) != (new.kind, new.language, new.magic):
        yield Aspect.LANGUAGE
    if old.outputs is not None and new.outputs is not None and old.outputs != new.outputs:
        yield Aspect.OUTPUTS
    if old.metadata is not None and new.metadata is not None and old.metadata != new.metadata:
        yield Aspect.METADATA


def _lines(old: Cell, new: Cell) -> tuple[Line, ...]:
    before, after = old.lines, new.lines
    found: list[Line] = []
    first = second = 0
    for end, other_end in [*align(before, after), (len(before), len(after))]:
        found += (Line("-", line) for line in before[first:end])
        found += (Line("+", line) for line in after[second:other_end])
        found += (Line(" ", line) for line in before[end : end + 1])
        first, second = end + 1, other_end + 1
    return tuple(found)

"""Notebooks and their differences as rows of safe HTML: highlighted, and nothing in it hides or turns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import groupby, zip_longest
from typing import NamedTuple

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, _TokenType

from nbvault.model import NotebookFormat
from nbvault.notebook import Aspect, Cell, CellChange, CellKind, ChangeKind, Line, Notebook
from nbvault.notebook.show import harmless
from nbvault.recovery.past import Content

# Larger ones are offered for download only; a page of them helps nobody.
MOST_BYTES = 2 * 1024 * 1024
MOST_LINES = 4000
MOST_CHARACTERS = 2000
# So many characters of a page are highlighted, of what comes first: Pygments takes 3 to 5 µs for each, longer than all
# the rest of a page, and of a comparison people look at a few lines.
_HIGHLIGHTED = 60_000
_HIGHLIGHTED_BESIDE = 12_000
_COMPARED = 400
_CONTEXT = 3
_SHORT = 24

_LEXERS = {"python": "python", "sql": "sql", "scala": "scala", "r": "r", "sh": "bash", "markdown": "markdown"}
_CLASSES = (
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "d"),
    (Name.Builtin, "b"),
    (Keyword, "k"),
    (String, "s"),
    (Comment, "c"),
    (Number, "n"),
    (Operator.Word, "k"),
    (Generic.Heading, "k"),
    (Generic.Subheading, "k"),
)
# Strings and comments: one of them may go on in the next line.
_REACHING = ("s", "c")
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

Segments = list[tuple[str, str]]
"""A line as (class of its token, text)."""


class Row(NamedTuple):
    """A row of a comparison: both sides with their line numbers, None where a side has no line.

    `kind` is ``same``, ``changed``, ``removed``, ``added`` or ``fold``: then `folded` lines are left out.
    """

    kind: str
    old_number: int | None = None
    old: Markup = Markup()
    new_number: int | None = None
    new: Markup = Markup()
    folded: int = 0


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell to look at."""

    number: int
    kind: str
    language: str
    title: str
    lines: tuple[Markup, ...]


@dataclass(frozen=True, slots=True)
class NotebookView:
    """A notebook to look at; `left_out` lines are not shown."""

    cells: tuple[CellView, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ChangeView:
    """What became of a cell, side by side; `words` says it in words."""

    kind: str
    words: str
    language: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class DiffView:
    """What became of every cell; runs of equal ones are one change without rows."""

    changes: tuple[ChangeView, ...]
    is_same: bool
    left_out: int = 0


class Ink:
    """How many characters of a page may still be highlighted."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def lines_of(self, lines: Sequence[str]) -> int:
        """How many of these lines, from the first on, may be highlighted; they are reckoned as if they were."""
        for count, line in enumerate(lines):
            if len(line) >= self._left:
                self._left = 0
                return count
            self._left -= len(line) + 1
        return len(lines)


def notebook_view(notebook: Notebook) -> NotebookView:
    """The cells, up to `MOST_LINES` lines."""
    found, left, left_out, ink = [], MOST_LINES, 0, Ink(_HIGHLIGHTED)
    for number, cell in enumerate(notebook.cells, 1):
        lines = cell.lines
        shown = lines[: max(left, 0)]
        left -= len(lines)
        left_out += len(lines) - len(shown)
        if shown or not lines:
            made = tuple(marked(line, ()) for line in highlighted(shown, cell.language, ink))
            found.append(CellView(number, cell.kind.value, cell.language, cell.title, made))
    return NotebookView(tuple(found), left_out)


def plain_view(text: str) -> NotebookView:
    """Text that is no notebook, or too large to be cut into cells."""
    lines = text.split("\n")
    shown = tuple(marked([("", line)], ()) for line in lines[:MOST_LINES])
    return NotebookView((CellView(1, CellKind.RAW.value, "", "", shown),), max(len(lines) - MOST_LINES, 0))


def parsed(content: Content | None, data: bytes, *, like: Notebook | None = None) -> Notebook:
    """The bytes as cells; a notebook without cells where there is none."""
    if content is not None:
        return content.parsed(data)
    form = like.format if like else NotebookFormat.SOURCE
    return Notebook(form, like.language if like else "", (), (b"",))


def diff_view(changes: Sequence[CellChange]) -> DiffView:
    """The changes side by side, up to `MOST_LINES` rows."""
    found: list[ChangeView] = []
    left, left_out, ink = MOST_LINES, 0, Ink(_HIGHLIGHTED_BESIDE)
    for same, run in groupby(changes, key=lambda change: change.kind is ChangeKind.SAME):
        if same:
            count = len(list(run))
            found.append(ChangeView("same", f"{count:,} equal cell{'' if count == 1 else 's'}", "", ()))
            continue
        for change in run:
            rows, count = _rows(change, ink, most=max(left, 0))
            found.append(ChangeView(change.kind.value, _words(change), change.cell.language, tuple(rows)))
            left_out += count - len(rows)
            left -= count
    return DiffView(tuple(found), all(change.kind is ChangeKind.SAME for change in changes), left_out)


def _words(change: CellChange) -> str:
    number = change.new_index if change.new_index is not None else change.old_index
    place = "Settings" if number == 0 else f"Cell {number}"
    what = {
        ChangeKind.ADDED: "added",
        ChangeKind.REMOVED: "removed",
        ChangeKind.CHANGED: "changed",
        ChangeKind.MOVED: f"moved, was cell {change.old_index}",
        ChangeKind.SAME: "equal",
    }[change.kind]
    others = [aspect.value for aspect in change.aspects if aspect is not Aspect.TEXT]
    return f"{place} {what}{': ' + ', '.join(others) if others else ''}"


def _rows(change: CellChange, ink: Ink, *, most: int) -> tuple[list[Row], int]:
    """The first rows of a change, and how many it has."""
    if change.kind in (ChangeKind.ADDED, ChangeKind.REMOVED):
        lines = highlighted(change.cell.lines[:most], change.cell.language, ink)
        texts = [(at, marked(line, ())) for at, line in enumerate(lines, 1)]
        if change.kind is ChangeKind.ADDED:
            rows = [Row("added", new_number=at, new=text) for at, text in texts]
        else:
            rows = [Row("removed", at, text) for at, text in texts]
        return rows, len(change.cell.lines)
    if not change.lines:
        return [], 0
    pairs = list(_paired(change.lines))
    shown = list(_folded(pairs))
    return list(_side_by_side(change, pairs, shown[:most], ink)), len(shown)


class _Pair(NamedTuple):
    """The places of a line on both sides, counted from 0; None where a side has none. Equal lines are `same`."""

    old: int | None
    new: int | None
    same: bool


def _side_by_side(change: CellChange, pairs: Sequence[_Pair], shown: Sequence[_Pair | int], ink: Ink) -> Iterator[Row]:
    """Only what is shown is highlighted, from the first line to the last one: that takes longer than all the rest."""
    last = max((each.new for each in shown if isinstance(each, _Pair) and each.new is not None), default=-1)
    after = highlighted(_side(change.lines, "+")[: last + 1], _language(change.new), ink)
    before = _Before(change, pairs, after, ink)
    for each in shown:
        if not isinstance(each, _Pair):
            yield Row("fold", folded=each)
            continue
        left = None if each.old is None else (each.old + 1, before.line(each))
        right = None if each.new is None else (each.new + 1, after[each.new])
        yield _row(left, right, same=each.same)


class _Before:
    """The old side's lines, highlighted: equal ones as on the new side, and of what is gone no more than must be.

    What is gone is highlighted by itself where no string or comment reaches into it from above.
    """

    def __init__(self, change: CellChange, pairs: Sequence[_Pair], after: Sequence[Segments], ink: Ink) -> None:
        self._ink = ink
        self._lines = _side(change.lines, "-")
        self._language = _language(change.old)
        self._alike = self._language == _language(change.new)
        self._after = after
        self._known: dict[int, Segments] = {}
        self._begins = self._beginnings(pairs)
        self._whole: list[Segments] | None = None

    def line(self, pair: _Pair) -> Segments:
        """The old line of a pair that has one."""
        if pair.old is None:
            raise ValueError("a row without a side")
        if pair.same and pair.new is not None and self._alike:
            return self._after[pair.new]
        run = self._begins.get(pair.old) if self._alike else None
        if run is None:
            self._whole = self._whole or highlighted(self._lines, self._language, self._ink)
            return self._whole[pair.old]
        if pair.old not in self._known:
            gone = [self._lines[at] for at in run]
            self._known |= zip(run, highlighted(gone, self._language, self._ink), strict=True)
        return self._known[pair.old]

    def _beginnings(self, pairs: Sequence[_Pair]) -> dict[int, range]:
        """The run of what is gone to which a line belongs, where the line above it ends in plain code."""
        found: dict[int, range] = {}
        above: _Pair | None = None
        for same, run in groupby(pairs, key=lambda pair: pair.same):
            each = list(run)
            gone = [pair.old for pair in each if pair.old is not None]
            if not same and gone and (above is None or self._is_plain(above)):
                found |= dict.fromkeys(gone, range(gone[0], gone[-1] + 1))
            above = each[-1]
        return found

    def _is_plain(self, above: _Pair) -> bool:
        if above.new is None or above.new >= len(self._after):
            return False
        return self._after[above.new][-1][0] not in _REACHING


def _paired(lines: Iterable[Line]) -> Iterator[_Pair]:
    old = new = 0
    for mark, run in groupby(lines, key=lambda line: line.mark == " "):
        found = list(run)
        gone = len(found) if mark else sum(line.mark == "-" for line in found)
        come = len(found) if mark else sum(line.mark == "+" for line in found)
        for one, other in zip_longest(range(old, old + gone), range(new, new + come)):
            yield _Pair(one, other, mark)
        old, new = old + gone, new + come


def _row(left: tuple[int, Segments] | None, right: tuple[int, Segments] | None, *, same: bool) -> Row:
    if left is None or right is None:
        if left is not None:
            return Row("removed", left[0], marked(left[1], ()))
        if right is not None:
            return Row("added", new_number=right[0], new=marked(right[1], ()))
        raise ValueError("a row without a side")
    if same:
        one = marked(left[1], ())
        return Row("same", left[0], one, right[0], one if left[1] == right[1] else marked(right[1], ()))
    gone, come = differing(_text(left[1]), _text(right[1]))
    return Row("changed", left[0], marked(left[1], gone), right[0], marked(right[1], come))


def _folded(pairs: Sequence[_Pair]) -> Iterator[_Pair | int]:
    """Equal lines further than a few from a change become one number that says how many."""
    near = [False] * len(pairs)
    for at, pair in enumerate(pairs):
        if not pair.same:
            for place in range(max(at - _CONTEXT, 0), min(at + _CONTEXT + 1, len(pairs))):
                near[place] = True
    for shown, run in groupby(range(len(pairs)), key=lambda at: near[at]):
        places = list(run)
        if shown or len(places) == 1:
            yield from (pairs[at] for at in places)
        else:
            yield len(places)


def _side(lines: Iterable[Line], mark: str) -> list[str]:
    return [line.text for line in lines if line.mark in (mark, " ")]


def _language(cell: Cell | None) -> str:
    return cell.language if cell else ""


def _text(segments: Segments) -> str:
    return "".join(text for _, text in segments)


def differing(old: str, new: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where two lines differ, as stretches of characters of each; none where they are long or have little in common."""
    if max(len(old), len(new)) > _COMPARED:
        return [], []
    one, other = _WORDS.findall(old), _WORDS.findall(new)
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    if matcher.quick_ratio() < 0.4:
        return [], []
    starts, others = _starts(one), _starts(other)
    blocks = [block for block in matcher.get_opcodes() if block[0] != "equal"]
    gone = [(starts[i], starts[j]) for _, i, j, _, _ in blocks if j > i]
    come = [(others[i], others[j]) for _, _, _, i, j in blocks if j > i]
    return gone, come


def _starts(words: Sequence[str]) -> list[int]:
    found = [0]
    for word in words:
        found.append(found[-1] + len(word))
    return found


def highlighted(lines: Sequence[str], language: str, ink: Ink) -> list[Segments]:
    """Each line as tokens; plain where the language is not known, or where the page has no ink left."""
    lexer = _lexer(language)
    inked = ink.lines_of(lines) if lexer is not None else 0
    coloured = _lexed(lines[:inked], lexer) if lexer is not None and inked else []
    return coloured + [[("", line)] for line in lines[inked:]]


def _lexed(lines: Sequence[str], lexer: Lexer) -> list[Segments]:
    text = "\n".join(lines)
    found: list[Segments] = [[]]
    # Neighbours of one class are one segment: whatever is done with segments later is done half as often.
    for name, run in groupby(lexer.get_tokens(text), key=lambda token: _class(token[0])):
        first, *rest = "".join(value for _, value in run).split("\n")
        found[-1].append((name, first))
        for part in rest:
            found.append([(name, part)])
    # A lexer that changes the text (a carriage return, a byte order mark) is not to be believed.
    return found if [_text(line) for line in found] == list(lines) else [[("", line)] for line in lines]


@lru_cache(maxsize=16)
def _lexer(language: str) -> Lexer | None:
    name = _LEXERS.get(language)
    return get_lexer_by_name(name, stripnl=False, ensurenl=False) if name else None


@lru_cache(maxsize=512)
def _class(kind: _TokenType) -> str:
    return next((name for known, name in _CLASSES if kind[: len(known)] == known), "")


def marked(segments: Segments, stretches: Sequence[tuple[int, int]]) -> Markup:
    """A line as HTML; the characters in ``stretches`` stand out. Nothing in it can be more than text."""
    found: list[str] = []
    at, shown = 0, 0
    for name, text in segments:
        for piece, inside in _cut(text, at, stretches) if stretches else ((text, False),):
            if shown >= MOST_CHARACTERS:
                continue
            shown += len(piece)
            html = _short(name, piece) if len(piece) <= _SHORT else _html(name, piece)
            found.append(f"<mark>{html}</mark>" if inside else html)
        at += len(text)
    if at > MOST_CHARACTERS:
        found.append(f'<span class="more">… {at - MOST_CHARACTERS:,} more characters</span>')
    return Markup("".join(found))  # noqa: S704 - every text in it is escaped above


def _html(name: str, piece: str) -> str:
    # Put together as plain texts, five times as fast: `escape` has seen everything but our own names of tokens.
    html = str(escape(visible(piece[:MOST_CHARACTERS])))
    return f'<span class="t-{name}">{html}</span>' if name and piece else html


# Keywords, operators, indentations come again and again.
_short = lru_cache(maxsize=4096)(_html)


def _cut(text: str, start: int, stretches: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    at, end = start, start + len(text)
    for low, high in stretches:
        if high <= at or low >= end:
            continue
        if low > at:
            yield text[at - start : low - start], False
            at = low
        stop = min(high, end)
        yield text[at - start : stop - start], True
        at = stop
    if at < end:
        yield text[at - start :], False


def visible(text: str) -> str:
    """The text with what steers, hides or turns it spelled out; tabs stay."""
    return harmless(text)

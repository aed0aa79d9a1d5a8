"""SOURCE: a header line, then cells behind separator lines, in the comments of four languages."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from nbvault.model import Language, NotebookFormat
from nbvault.notebook.cells import Cell, CellKind, Notebook, split_magic

_HEADER = re.compile(rb"(#|--|//) Databricks notebook source(?:\r?\n|\Z)")
_LANGUAGES = {b"#": Language.PYTHON, b"--": Language.SQL, b"//": Language.SCALA}


@dataclass(frozen=True, slots=True)
class _Marks:
    """What the marks look like behind one comment prefix.

    A separator takes at most one blank line on either side, as an export writes them; any more are the cell's own.
    """

    comment: str
    magic: str
    title: re.Pattern[str]
    separator: bytes
    rest: re.Pattern[bytes]
    environment: re.Pattern[bytes]


@cache
def _marks(prefix: bytes) -> _Marks:
    comment = prefix.decode()
    return _Marks(
        comment=comment,
        magic=f"{comment} MAGIC",
        title=re.compile(rf"{comment} DBTITLE ([01]),(.*)\Z"),
        separator=b"%b COMMAND ----------" % prefix,
        rest=re.compile(rb"%b COMMAND ----------(?:\r?\n(?:\r?\n)?|\Z)" % prefix),
        environment=re.compile(
            rb"(%b /// script\r?\n(?:%b(?! ///[\r\n])(?: [^\n]*|\r)?\n)*?%b ///)(?:\r?\n|\Z)" % (prefix, prefix, prefix)
        ),
    )


def parse_source(data: bytes, language: Language | None) -> Notebook | None:
    """The cells of a SOURCE notebook, or None if it is none.

    The header tells the language; ``language`` tells only R from Python, which share a comment prefix.
    """
    head = _head(data)
    if head is None:
        return None
    prefix, start, environment = head
    own = Language.R if prefix == b"#" and language is Language.R else _LANGUAGES[prefix]
    name = own.value.lower()
    marks = _marks(prefix)
    slices, gaps = _cut(data, start, marks)
    cells = tuple(_cell(piece, name, marks) for piece in slices)
    return Notebook(NotebookFormat.SOURCE, name, cells, gaps, _settings(environment, marks))


def cells_at(data: bytes, places: Sequence[tuple[int, int]]) -> list[int | None]:
    """The number of the cell, counted from 1, in which each place lies; None between cells. What is no notebook is one.

    Args:
        places: The line, from 1, and the offset of each in the text with ``\n`` as line ends.
    """
    head = _head(data)
    if head is None:
        return [1] * len(places)
    mark, text = _marks(head[0]).separator.decode(), data.decode()
    starts = [text.rfind("\n", 0, at) + 1 for _, at in places]
    # Then each mark cuts, and counting them, which costs next to nothing, tells the cell of any other line with text.
    even = text.count(mark) == text.count(f"\n{mark}") == text.count(f"{mark}\n") + text.endswith(mark)
    if not even or head[2] or "\r" in text or any(text[start : start + 1] in ("", "\n") for start in starts):
        cells = _cell_lines(data, head[1], _marks(head[0]))
        return [_cell_of(cells, line) for line, _ in places]
    return [
        None if start < head[1] or text.startswith(mark, start) else 1 + text.count(f"\n{mark}", 0, start)
        for start in starts
    ]


def _cell_lines(data: bytes, start: int, marks: _Marks) -> list[tuple[int, int]]:
    """The first and the last line of each cell, counted from 1; an empty one has none."""
    found, line, counted = [], 1, 0
    for begin, end in _stretches(data, start, marks):
        line += data.count(b"\n", counted, begin)
        last = line + data.count(b"\n", begin, end)
        found.append((line, last - (begin == end or data.endswith(b"\n", begin, end))))
        line, counted = last, end
    return found


def _cell_of(cells: Sequence[tuple[int, int]], line: int) -> int | None:
    """The number of the cell in which a line of the file lies."""
    at = bisect_right(cells, (line, sys.maxsize))
    return at if at and line <= cells[at - 1][1] else None


def _head(data: bytes) -> tuple[bytes, int, re.Match[bytes] | None] | None:
    """The comment prefix, where the first cell begins, and the settings before it; None for what is no notebook."""
    header = _HEADER.match(data)
    if header is None or not _is_text(data):
        return None
    environment = _marks(header[1]).environment.match(data, header.end())
    return header[1], environment.end() if environment else header.end(), environment


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cut(data: bytes, start: int, marks: _Marks) -> tuple[list[bytes], tuple[bytes, ...]]:
    """The cells and the gaps around them."""
    slices, gaps, before = [], [], 0
    for begin, end in _stretches(data, start, marks):
        gaps.append(data[before:begin])
        slices.append(data[begin:end])
        before = end
    return slices, (*gaps, data[before:])


def _stretches(data: bytes, start: int, marks: _Marks) -> Iterator[tuple[int, int]]:
    """Where each cell begins and ends. One newline at the very end belongs to no cell: an import drops it."""
    at = data.find(marks.separator, start)
    while at >= 0:
        found = marks.rest.match(data, at)
        if found and data[at - 1 : at] == b"\n":
            yield start, _before_newline(data, _before_newline(data, at, start), start)
            start = found.end()
        at = data.find(marks.separator, max(start, at + 1))
    yield start, _before_newline(data, len(data), start)


def _before_newline(data: bytes, end: int, start: int) -> int:
    """``end``, or where the line end just before it begins, if that is not before ``start``."""
    if end == start or data[end - 1 : end] != b"\n":
        return end
    return end - 2 if end - 2 >= start and data[end - 2 : end - 1] == b"\r" else end - 1


def _settings(environment: re.Match[bytes] | None, marks: _Marks) -> Cell | None:
    if environment is None:
        return None
    inner = _lines(environment[1])[1:-1]
    text = "\n".join(line.removeprefix(marks.comment).removeprefix(" ") for line in inner)
    return Cell(CellKind.SETTINGS, "toml", text, environment[1])


def _cell(raw: bytes, language: str, marks: _Marks) -> Cell:
    lines = _lines(raw)
    title = marks.title.match(lines[0])
    if title:
        lines = lines[1:]
    plain = _without_prefix(lines, marks.magic)
    if plain is None:
        magic, kind, spoken, text = "", CellKind.CODE, language, "\n".join(lines)
    else:
        magic, kind, spoken, text = split_magic("\n".join(plain), language)
    if title is None:
        return Cell(kind, spoken, text, raw, magic)
    return Cell(kind, spoken, text, raw, magic, title=title[2], title_shown=title[1] == "1")


def _lines(raw: bytes) -> list[str]:
    return raw.decode().replace("\r\n", "\n").split("\n")


def _without_prefix(lines: list[str], magic: str) -> list[str] | None:
    """The lines behind the MAGIC prefix; None unless the first and all others that are not empty have it."""
    if not lines or not lines[0]:
        return None
    if not all(not line or line == magic or line.startswith(magic + " ") for line in lines):
        return None
    return [line[len(magic) + 1 :] for line in lines]

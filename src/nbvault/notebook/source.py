"""SOURCE: a header line, then cells behind separator lines, in the comments of four languages."""

from __future__ import annotations

import re
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
    separator: re.Pattern[bytes]
    environment: re.Pattern[bytes]


@cache
def _marks(prefix: bytes) -> _Marks:
    comment = prefix.decode()
    return _Marks(
        comment=comment,
        magic=f"{comment} MAGIC",
        title=re.compile(rf"{comment} DBTITLE ([01]),(.*)\Z"),
        separator=re.compile(
            rb"(?:(?:\r?\n)?\r?\n)?^%b COMMAND ----------(?:\r?\n(?:\r?\n)?|\Z)" % prefix, re.MULTILINE
        ),
        environment=re.compile(
            rb"(%b /// script\r?\n(?:%b(?! ///[\r\n])(?: [^\n]*|\r)?\n)*?%b ///)(?:\r?\n|\Z)" % (prefix, prefix, prefix)
        ),
    )


def parse_source(data: bytes, language: Language | None) -> Notebook | None:
    """The cells of a SOURCE notebook, or None if it is none.

    The header tells the language; ``language`` tells only R from Python, which share a comment prefix.
    """
    header = _HEADER.match(data)
    if header is None or not _is_text(data):
        return None
    own = Language.R if header[1] == b"#" and language is Language.R else _LANGUAGES[header[1]]
    name = own.value.lower()
    marks = _marks(header[1])
    environment = marks.environment.match(data, header.end())
    start = environment.end() if environment else header.end()
    slices, gaps = _cut(data, start, marks.separator)
    cells = tuple(_cell(piece, name, marks) for piece in slices)
    return Notebook(NotebookFormat.SOURCE, name, cells, gaps, _settings(environment, marks))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cut(data: bytes, start: int, separator: re.Pattern[bytes]) -> tuple[list[bytes], tuple[bytes, ...]]:
    """The cells and the gaps around them. One newline at the very end belongs to a gap: an import drops it."""
    slices, gaps = [], [data[:start]]
    for found in separator.finditer(data, start):
        slices.append(data[start : found.start()])
        gaps.append(found[0])
        start = found.end()
    last = data[start:]
    body = last.removesuffix(b"\n").removesuffix(b"\r") if last.endswith(b"\n") else last
    return [*slices, body], (*gaps, last[len(body) :])


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

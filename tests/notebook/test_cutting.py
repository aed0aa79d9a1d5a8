"""Where SOURCE cells begin and end: told by one regular expression in words, found by faster means in the program."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.model import NotebookFormat
from nbvault.notebook import cell_lines, parse

HEADER = b"# Databricks notebook source\n"
PIECES = st.sampled_from(
    [b"# COMMAND ----------", b"# COMMAND ---------", b"\n", b"\n", b"\r\n", b"x", b" ", b"# MAGIC %md a", b"\r", b"#"]
)
BODIES = st.lists(PIECES, max_size=30).map(b"".join)
# A separator stands at the start of a line and takes at most one blank line on either side.
SEPARATOR = re.compile(rb"(?:(?:\r?\n)?\r?\n)?^# COMMAND ----------(?:\r?\n(?:\r?\n)?|\Z)", re.MULTILINE)


def _by_the_words(data: bytes) -> list[bytes]:
    cells, start = [], len(HEADER)
    for found in SEPARATOR.finditer(data, start):
        cells.append(data[start : found.start()])
        start = found.end()
    last = data[start:]
    return [*cells, last.removesuffix(b"\n").removesuffix(b"\r") if last.endswith(b"\n") else last]


@settings(max_examples=600)
@given(BODIES)
def test_cells_are_cut_where_the_words_say(body: bytes) -> None:
    """Whatever stands beside a separator, the cells are those of the expression."""
    found = parse(HEADER + body, format=NotebookFormat.SOURCE)
    assert [cell.raw for cell in found.cells] == _by_the_words(HEADER + body)


@settings(max_examples=600)
@given(BODIES)
def test_the_lines_of_cells_are_those_of_the_parsed_ones(body: bytes) -> None:
    """The lines in which cells lie, told without reading them, are counted from the same bytes."""
    notebook = parse(HEADER + body, format=NotebookFormat.SOURCE)
    expected, line = [], 1
    for gap, cell in zip(notebook.gaps, notebook.cells, strict=False):
        first = line + gap.count(b"\n")
        line = first + cell.raw.count(b"\n")
        expected.append((first, line - cell.raw.endswith(b"\n")))
    assert cell_lines(HEADER + body) == expected


def test_what_is_no_notebook_has_no_cells() -> None:
    """Without the header, or with bytes that are no text, there is nothing to tell."""
    assert [cell_lines(data) for data in (b"x = 1\n", b"", HEADER + b"\xff")] == [None, None, None]

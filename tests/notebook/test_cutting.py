"""Where SOURCE cells begin and end: told by one regular expression in words, found by faster means in the program."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.model import NotebookFormat
from nbvault.notebook import cells_at, parse

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
def test_the_cell_of_a_line_is_that_of_the_parsed_ones(body: bytes) -> None:
    """Told without reading the cells, the cell of each line is counted from the same bytes."""
    data = HEADER + body
    notebook = parse(data, format=NotebookFormat.SOURCE)
    cells: list[int | None] = [None] * (data.count(b"\n") + 1)
    line = 0
    for number, (gap, cell) in enumerate(zip(notebook.gaps, notebook.cells, strict=False), 1):
        line += gap.count(b"\n")
        last = line + cell.raw.count(b"\n")
        for each in range(line, last + (bool(cell.raw) and not cell.raw.endswith(b"\n"))):
            cells[each] = number
        line = last
    at, places = 0, []
    for number, text in enumerate(data.decode().replace("\r\n", "\n").split("\n"), 1):
        places.append((number, at + len(text) // 2))
        at += len(text) + 1
    assert [cells_at(data, [place]) for place in places] == [[cell] for cell in cells]
    assert cells_at(data, places) == cells


def test_what_is_no_notebook_is_one_cell() -> None:
    """Without the header, or with bytes that are no text, there is nothing to cut."""
    assert [cells_at(data, [(1, 0)]) for data in (b"x = 1\n", b"", HEADER + b"\xff")] == [[1], [1], [1]]

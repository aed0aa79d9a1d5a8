"""Parsing loses nothing: rendering gives every byte back, whatever it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.model import Language, NotebookFormat
from nbvault.notebook import CellKind, parse, render
from notebook_samples import HEADED_TEXT, MARKED_TEXT, documents, library_notebook, source

FORMATS = st.sampled_from(NotebookFormat)
LANGUAGES = st.sampled_from([None, *Language])


def comes_back(data: bytes, language: Language | None, notebook_format: NotebookFormat) -> bool:
    """Whether the bytes survive, and no byte is in two pieces."""
    parsed = parse(data, language=language, format=notebook_format)
    sizes = sum(len(cell.raw) for cell in parsed.cells) + sum(map(len, parsed.gaps))
    return render(parsed) == data and len(parsed.gaps) == len(parsed.cells) + 1 and sizes == len(data)


@given(st.binary(max_size=300), LANGUAGES, FORMATS)
def test_any_bytes(data: bytes, language: Language | None, notebook_format: NotebookFormat) -> None:
    """Any bytes at all come back."""
    assert comes_back(data, language, notebook_format)


@given(st.text(st.characters(exclude_categories=["Cs"])), LANGUAGES, FORMATS)
def test_any_text(text: str, language: Language | None, notebook_format: NotebookFormat) -> None:
    """Any text comes back, behind the header too."""
    assert comes_back(text.encode(), language, notebook_format)
    assert comes_back(f"# Databricks notebook source\n{text}".encode(), language, notebook_format)


@settings(max_examples=500)
@given(st.one_of(MARKED_TEXT, HEADED_TEXT), LANGUAGES)
def test_marks_in_any_order(data: bytes, language: Language | None) -> None:
    """Separators, magics, titles and line ends in any order and number come back."""
    assert comes_back(data, language, NotebookFormat.SOURCE)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_jupyter_documents(data: bytes) -> None:
    """Jupyter documents of any layout come back, flawed ones too."""
    assert comes_back(data, None, NotebookFormat.IPYNB)


@settings(deadline=None)
@given(documents())
def test_a_jupyter_cell_keeps_its_own_bytes(data: bytes) -> None:
    """The raw bytes of each cell are the JSON value that stands in the document."""
    parsed = parse(data, format=NotebookFormat.IPYNB)
    if parsed.language:
        kept = [json.loads(cell.raw) for cell in parsed.cells]
        assert json.dumps(kept) == json.dumps(json.loads(data)["cells"])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(Language),
    st.integers(0, 5),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\n\n", b"\r\n", b"\r", b" "]),
)
def test_real_text(language: Language, seed: int, end: bytes, tail: bytes) -> None:
    """Real sources cut into notebooks of four languages come back, with either line end and any ending."""
    cells = library_notebook(language, seed=seed, count=12)
    data = source(cells, language).replace(b"\n", end) + tail
    assert comes_back(data, language, NotebookFormat.SOURCE)
    assert [
        cell.raw.replace(end, b"\n") for cell in parse(data, language=language, format=NotebookFormat.SOURCE).cells
    ][:-1] == [cell.encode() for cell in cells][:-1]


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_nesting(depth: int) -> None:
    """JSON nested deeper than the parser reaches is kept as it is, and nothing is raised."""
    data = b'{"cells": [{"cell_type": "code", "metadata": ' + b"[" * depth + b"]" * depth + b"}]}"
    assert comes_back(data, None, NotebookFormat.IPYNB)


def test_numbers_too_long_for_python() -> None:
    """A number of more digits than Python converts makes it no notebook, and nothing is raised."""
    data = b'{"cells": [], "metadata": ' + b"9" * 5_000 + b"}"
    assert comes_back(data, None, NotebookFormat.IPYNB)


def test_a_large_notebook_of_newlines() -> None:
    """A million blank lines are parsed in time that grows with their number only."""
    data = b"# Databricks notebook source" + b"\n" * 1_000_000 + b"# COMMAND ----------"
    assert comes_back(data, None, NotebookFormat.SOURCE)
    assert [cell.kind for cell in parse(data, format=NotebookFormat.SOURCE).cells] == [CellKind.CODE] * 2

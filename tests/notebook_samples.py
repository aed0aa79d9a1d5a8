"""Notebooks to test with: generated ones, hostile ones, and the standard library's own sources cut into cells."""

from __future__ import annotations

import functools
import json
import random
import re
import sysconfig
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nbvault.model import Language, NotebookFormat
from nbvault.notebook import Notebook, parse

PREFIXES = {Language.PYTHON: "#", Language.SQL: "--", Language.SCALA: "//", Language.R: "#"}
CELL_KEY = "application/vnd.databricks.v1+cell"
NOTEBOOK_KEY = "application/vnd.databricks.v1+notebook"


def source(cells: list[str], language: Language = Language.PYTHON) -> bytes:
    """The SOURCE form of cells that are written as they stand in the file."""
    prefix = PREFIXES[language]
    return (f"{prefix} Databricks notebook source\n" + f"\n\n{prefix} COMMAND ----------\n\n".join(cells)).encode()


def notebook(cells: list[str], language: Language = Language.PYTHON) -> Notebook:
    """The same, parsed."""
    return parse(source(cells, language), language=language, format=NotebookFormat.SOURCE)


def magic(text: str, language: Language = Language.PYTHON) -> str:
    """Text behind the MAGIC prefix."""
    return "\n".join(f"{PREFIXES[language]} MAGIC {line}".rstrip() for line in text.split("\n"))


def code(text: str, *, nuid: str = "", title: str = "", **more: Any) -> dict[str, Any]:
    """A code cell as Databricks writes it into a Jupyter document."""
    own = {"cellMetadata": {}, "inputWidgets": {}, "nuid": nuid, "showTitle": bool(title), "title": title}
    cell = {"cell_type": "code", "execution_count": 0, "metadata": {CELL_KEY: own}, "outputs": []}
    return {**cell, "source": text.splitlines(keepends=True), **more}


def document(cells: list[dict[str, Any]], *, language: str = "python", **more: Any) -> bytes:
    """A Jupyter document as Databricks writes it."""
    metadata = {NOTEBOOK_KEY: {"language": language, "notebookName": "n"}, "language_info": {"name": language}, **more}
    return json.dumps(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 0}, ensure_ascii=False, indent=1
    ).encode(errors="surrogatepass")


def jupyter(cells: list[dict[str, Any]], **more: Any) -> Notebook:
    """The same, parsed."""
    return parse(document(cells, **more), format=NotebookFormat.IPYNB)


@functools.cache
def library_cells() -> tuple[str, ...]:
    """Pieces of the standard library's sources, as they stand between two blank lines."""
    top = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse", "ast", "calendar", "datetime", "decimal", "difflib", "inspect", "json/decoder", "textwrap")
    texts = ((top / f"{name}.py").read_text(encoding="utf-8") for name in names if (top / f"{name}.py").exists())
    return tuple(piece.strip("\n") for text in texts for piece in re.split(r"\n\n\n+", text) if piece.strip())


def library_notebook(language: Language, *, seed: int, count: int) -> list[str]:
    """Real text as the cells of a notebook: code, Markdown, SQL and titles mixed."""
    rng = random.Random(f"{language}{seed}")
    pieces = rng.sample(library_cells(), count)
    return [_dressed(piece, language, rng.random()) for piece in pieces]


def _dressed(piece: str, language: Language, draw: float) -> str:
    title = f"{PREFIXES[language]} DBTITLE 1,{piece.partition(chr(10))[0]}\n" if draw * 10 % 1 < 0.2 else ""
    if draw < 0.2:
        return title + magic(f"%md\n{piece}", language)
    if draw < 0.4 or language is not Language.PYTHON:
        return title + magic(f"%python\n{piece}", language)
    return title + piece


_MARKS = [
    *("# Databricks notebook source", "-- Databricks notebook source", "// Databricks notebook source"),
    *("# COMMAND ----------", "-- COMMAND ----------", "// COMMAND ----------", "# COMMAND ---------", "# COMMAND"),
    *("# MAGIC %sql", "# MAGIC", "# MAGIC ", "# MAGIC %md # A", "-- MAGIC %python", "// MAGIC x", "# MAGICAL"),
    *("# DBTITLE 1,Title", "# DBTITLE 0,", "# DBTITLE 2,x", "-- DBTITLE 1,é", "# /// script", "# ///", "# ///x", "#"),
    *("x = 1", "", "", " ", "é\u2028\x0b", "\x00", "\r", "\ufeff", "--", "//"),
]
MARKED_TEXT = st.lists(
    st.tuples(st.sampled_from(_MARKS), st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "", "\r"])), max_size=30
).map(lambda pieces: "".join(mark + end for mark, end in pieces).encode())
HEADED_TEXT = st.builds(
    lambda mark, end, rest: f"{mark} Databricks notebook source{end}".encode() + rest,
    st.sampled_from(["#", "--", "//"]),
    st.sampled_from(["\n", "\r\n"]),
    MARKED_TEXT,
)

_LINES = st.sampled_from(["a = 1", "b = 2", "c(3)", "select 1", "", "  d", "é"])
_CELL = st.lists(_LINES, max_size=5).map("\n".join)
_TEXT = st.one_of(
    _CELL,
    _CELL.map(lambda text: magic(f"%sql\n{text}")),
    _CELL.map(lambda text: f"# DBTITLE 1,T\n{text}"),
    st.sampled_from(["", "x", "y", "display(df)", magic("%md # A"), magic("%run ./x")]),
)
SOURCE_CELLS = st.lists(_TEXT, max_size=12)


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """The cells of a notebook, and those of the same notebook after some edits."""
    old = draw(SOURCE_CELLS)
    new = list(old)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(new)))
        what = draw(st.sampled_from(["insert", "delete", "move", "change", "copy"]))
        if what == "insert" or at == len(new):
            new.insert(at, draw(_TEXT))
        elif what == "delete":
            del new[at]
        elif what == "copy":
            new.append(new[at])
        else:
            moved = new.pop(at) + ("\nz = 26" if what == "change" else "")
            new.insert(draw(st.integers(0, len(new))) if what == "move" else at, moved)
    return old, new


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
JUPYTER_CELL = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw", "odd"])},
    optional={
        "source": st.one_of(_CELL, st.lists(_LINES), st.sampled_from(["%sql\nselect 1", "%md", "\ud800"])),
        "metadata": st.one_of(_JSON, st.fixed_dictionaries({CELL_KEY: _JSON})),
        "outputs": st.lists(_JSON, max_size=2),
        "execution_count": st.none() | st.integers(0, 9),
        "id": st.text(max_size=4),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Jupyter documents, in many layouts, some of them with a flaw."""
    cells = draw(st.lists(JUPYTER_CELL | _JSON if draw(st.integers(0, 4)) == 0 else JUPYTER_CELL, max_size=4))
    value = {"metadata": draw(_JSON), "cells": cells, "nbformat": 4}
    indent = draw(st.sampled_from([None, 0, 1, 4]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)
    text = draw(st.sampled_from(["", " ", "\n", "\ufeff"])) + text + draw(st.sampled_from(["", "\n", "\r\n\t", "x"]))
    return text.encode(errors="surrogatepass")


NOTEBOOKS = st.one_of(
    SOURCE_CELLS.map(notebook),
    HEADED_TEXT.map(lambda data: parse(data, format=NotebookFormat.SOURCE)),
    documents().map(lambda data: parse(data, format=NotebookFormat.IPYNB)),
    st.binary(max_size=40).map(lambda data: parse(data, format=NotebookFormat.SOURCE)),
)

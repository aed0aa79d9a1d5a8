"""What a cell is: kind, language, title and text as a person sees them."""

from __future__ import annotations

import hashlib
import json

import pytest

from nbvault.model import Language, NotebookFormat
from nbvault.notebook import Cell, CellKind, Notebook, parse
from notebook_samples import CELL_KEY, PREFIXES, code, document, jupyter, library_notebook, magic, notebook, source


def parsed(text: str, language: Language | None = None) -> Notebook:
    """A SOURCE notebook from its text."""
    return parse(text.encode(), language=language, format=NotebookFormat.SOURCE)


def seen(cell: Cell) -> tuple[str, str, str]:
    """What the tests look at most."""
    return cell.kind.value, cell.language, cell.text


@pytest.mark.parametrize("language", Language)
def test_cells_of_each_language(language: Language) -> None:
    """In all four languages code, Markdown, other languages and titles are told apart."""
    prefix = PREFIXES[language]
    cells = notebook(
        [
            "one\n\ntwo",
            magic("%md\n# Head\n\ntext", language),
            f"{prefix} DBTITLE 1,Über uns\n" + magic("%sql\nselect 1", language),
            f"{prefix} DBTITLE 0,hidden\nthree",
            magic("%run ./other $x=1", language),
            magic("%sh\nls", language),
        ],
        language,
    ).cells
    own = language.value.lower()
    assert [seen(cell) for cell in cells] == [
        ("code", own, "one\n\ntwo"),
        ("markdown", "markdown", "# Head\n\ntext"),
        ("code", "sql", "select 1"),
        ("code", own, "three"),
        ("code", own, "%run ./other $x=1"),
        ("code", "sh", "ls"),
    ]
    assert [(cell.title, cell.title_shown) for cell in cells[2:4]] == [("Über uns", True), ("hidden", False)]


def test_header_decides_the_language() -> None:
    """The header tells the language; what the workspace says tells only R from Python."""
    assert parsed("-- Databricks notebook source\nx", Language.PYTHON).language == "sql"
    assert parsed("# Databricks notebook source\nx", Language.SCALA).language == "python"
    assert parsed("# Databricks notebook source\nx", Language.R).language == "r"
    assert parsed("// Databricks notebook source\nx").language == "scala"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# MAGIC %md ### Head\n# MAGIC more", ("markdown", "markdown", "### Head\nmore")),
        ("# MAGIC %md-sandbox\n# MAGIC <b>", ("markdown", "markdown", "<b>")),
        ("# MAGIC %md", ("markdown", "markdown", "")),
        ("# MAGIC %sql\n# MAGIC\n# MAGIC select", ("code", "sql", "\nselect")),
        ("# MAGIC %sql\n# MAGIC \n# MAGIC select", ("code", "sql", "\nselect")),
        ("# MAGIC %sql\n\n# MAGIC select", ("code", "sql", "\nselect")),
        ("# MAGIC %sqlx", ("code", "python", "%sqlx")),
        ("# MAGIC %pip install x\n# MAGIC %restart_python", ("code", "python", "%pip install x\n%restart_python")),
        ("# MAGIC %sql\nselect", ("code", "python", "# MAGIC %sql\nselect")),
        ("x\n# MAGIC %sql", ("code", "python", "x\n# MAGIC %sql")),
        ("# MAGICAL", ("code", "python", "# MAGICAL")),
        ("%sql\nselect", ("code", "python", "%sql\nselect")),
        ("x\n# DBTITLE 1,late", ("code", "python", "x\n# DBTITLE 1,late")),
    ],
)
def test_magic(text: str, expected: tuple[str, str, str]) -> None:
    """A cell whose lines all have the MAGIC prefix is shown without it; a half-prefixed one as it stands."""
    assert seen(notebook([text]).cells[0]) == expected


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", [""]),
        ("\n", [""]),
        ("a\n\n# COMMAND ----------\n\nb", ["a", "b"]),
        ("a\n# COMMAND ----------\nb", ["a", "b"]),
        ("a\n\n\n# COMMAND ----------\n\n\nb\n", ["a\n", "\nb"]),
        ("# COMMAND ----------", ["", ""]),
        ("\n\n# COMMAND ----------\n\n\n\n# COMMAND ----------\n\n", ["", "", ""]),
        ("# COMMAND ----------\n# COMMAND ----------\n# COMMAND ----------", ["", "", "", ""]),
        ("a\n\n# COMMAND -----------\n\nb", ["a\n\n# COMMAND -----------\n\nb"]),
        ("a\n\n # COMMAND ----------\n\nb", ["a\n\n # COMMAND ----------\n\nb"]),
        ("a\n\n-- COMMAND ----------\n\nb", ["a\n\n-- COMMAND ----------\n\nb"]),
        ("a\r\n\r\n# COMMAND ----------\r\n\r\nb\r\nc\r\n", ["a", "b\nc"]),
    ],
)
def test_separators(text: str, cells: list[str]) -> None:
    """Only the exact separator cuts; it takes one blank line on either side, and the last newline is nobody's."""
    assert [cell.text for cell in parsed(f"# Databricks notebook source\n{text}").cells] == cells


def test_environment_block() -> None:
    """The serverless block behind the header is the notebook's settings, and no part of the first cell."""
    text = '# Databricks notebook source\n# /// script\n# [tool.x]\n#\n# v = "5"\n# ///\n# DBTITLE 1,T\nx'
    found = parsed(text)
    assert found.settings is not None
    assert seen(found.settings) == ("settings", "toml", '[tool.x]\n\nv = "5"')
    assert [(cell.title, cell.text) for cell in found.cells] == [("T", "x")]
    crlf = parsed(text.replace("\n", "\r\n"))
    assert crlf.settings is not None
    assert (crlf.settings.face, crlf.cells[0].face) == (found.settings.face, found.cells[0].face)


@pytest.mark.parametrize("block", ["# /// script\n# x", "# /// script\nx\n# ///", "x\n# /// script\n# ///"])
def test_what_is_no_environment_block(block: str) -> None:
    """A block that is not closed, has code in it, or stands elsewhere is ordinary text."""
    found = parsed(f"# Databricks notebook source\n{block}")
    assert found.settings is None
    assert [cell.text for cell in found.cells] == [block]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"print(1)\n",
        b" # Databricks notebook source\nx",
        b"# Databricks notebook sources\nx",
        b"\xef\xbb\xbf# Databricks notebook source\nx",
        b"# Databricks notebook source\n\xff",
        b"\x89PNG\r\n\x00\x00",
    ],
)
def test_what_is_no_source_notebook(data: bytes) -> None:
    """Without a header, or not in UTF-8, it is one cell of raw bytes."""
    found = parse(data, format=NotebookFormat.SOURCE)
    assert found.language == ""
    assert [(cell.kind, cell.raw) for cell in found.cells] == [(CellKind.RAW, data)]


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b'{"cells": {}}',
        b'{"cells": [1]}',
        b'{"cells": []} x',
        b'{"cells": [], "cells": []}',
        b'{"cells": [{"cell_type": "code", "source": 1}]}',
        b'{"cells": [{"cell_type": "code", "source": ["a", null]}]}',
        b'{"cells": [}',
        b'{"cells": [',
        b'{1: 2, "cells": []}',
        b'{"cells": [], "x": "\xff"}',
        b"# Databricks notebook source\nx",
    ],
)
def test_what_is_no_jupyter_document(data: bytes) -> None:
    """Broken JSON, or JSON of another shape, is one cell of raw bytes."""
    found = parse(data, format=NotebookFormat.IPYNB)
    assert [(cell.kind, cell.raw) for cell in found.cells] == [(CellKind.RAW, data)]


def test_raw_text_can_be_read() -> None:
    """Of text that is no notebook the lines are shown, of binary data the size and digest."""
    assert parse(b"a\r\nb \xff", format=NotebookFormat.SOURCE).cells[0].lines == ["a", "b \\xff"]
    digest = hashlib.sha256(b"a\0b").hexdigest()
    assert parse(b"a\0b", format=NotebookFormat.SOURCE).cells[0].text == f"binary data: 3 bytes, SHA-256 {digest}"


def test_jupyter_cells() -> None:
    """Kind, language, title and text of a Jupyter document are those of the same notebook in SOURCE."""
    found = jupyter(
        [
            {"cell_type": "markdown", "metadata": {}, "source": ["# Head\n", "\n", "text"]},
            code("%sql\nselect 1", title="Read"),
            code("x = 1\ny = 2"),
            {"cell_type": "code", "metadata": {}, "outputs": [], "source": "%run ./other"},
            {"cell_type": "raw", "metadata": {}, "source": "r"},
        ]
    )
    same = notebook(
        [
            magic("%md\n# Head\n\ntext"),
            "# DBTITLE 1,Read\n" + magic("%sql\nselect 1"),
            "x = 1\ny = 2",
            magic("%run ./other"),
        ]
    )
    assert [cell.face for cell in found.cells[:4]] == [cell.face for cell in same.cells]
    assert found.cells[4].kind is CellKind.RAW
    assert found.settings is not None
    assert json.loads(found.settings.text)["nbformat"] == 4


@pytest.mark.parametrize(("name", "expected"), [("sql", "sql"), ("R", "r"), ("julia", "julia"), ("", "scala")])
def test_jupyter_language(name: str, expected: str) -> None:
    """The document names its language; where it does not, the workspace's word counts."""
    found = parse(document([code("x")], language=name), language=Language.SCALA, format=NotebookFormat.IPYNB)
    assert (found.language, found.cells[0].language) == (expected, expected)


def test_half_a_surrogate_pair_is_spelled_out() -> None:
    """JSON may hold half a character; in the text it is spelled, so that the text can be printed and written."""
    found = jupyter([code("x")]).cells[0]
    odd = parse(b'{"cells": [{"cell_type": "code", "source": "\\ud800x"}]}', format=NotebookFormat.IPYNB).cells[0]
    assert (found.text, odd.text) == ("x", "\\ud800x")


def test_what_running_leaves_is_kept_apart() -> None:
    """Outputs, counts and times make one digest, everything else another; ids are in neither."""
    ran = code("x", nuid="1", outputs=[{"output_type": "stream", "text": "y"}], execution_count=3)
    ran["metadata"][CELL_KEY].update(cellMetadata={"rowLimit": 10_000}, startTime=1, finishTime=2)
    tagged = code("x", nuid="2")
    tagged["metadata"]["tags"] = ["a"]
    first, second, third = jupyter([code("x", nuid="0"), ran, tagged]).cells
    assert (first.metadata, first.outputs) == (second.metadata, third.outputs)
    assert first.outputs != second.outputs
    assert first.metadata != third.metadata
    assert [cell.identity for cell in (first, second, third)] == ["0", "1", "2"]


@pytest.mark.parametrize("language", Language)
def test_real_text_is_cut_where_it_was_joined(language: Language) -> None:
    """Real sources joined into a notebook come apart into the same cells."""
    cells = library_notebook(language, seed=1, count=40)
    found = parse(source(cells, language), language=language, format=NotebookFormat.SOURCE)
    assert [cell.raw.decode() for cell in found.cells] == cells
    assert not any(line.startswith(f"{PREFIXES[language]} MAGIC") for cell in found.cells for line in cell.lines)

"""Any bytes at all as a notebook."""

from __future__ import annotations

import hashlib

from nbvault.model import Language, NotebookFormat
from nbvault.notebook.cells import Cell, CellKind, Notebook
from nbvault.notebook.jupyter import parse_jupyter
from nbvault.notebook.source import parse_source

_READERS = {NotebookFormat.SOURCE: parse_source, NotebookFormat.IPYNB: parse_jupyter}


def parse(
    data: bytes,
    *,
    language: Language | None = None,
    format: NotebookFormat,  # noqa: A002 - the workspace API's own word
) -> Notebook:
    """The notebook that these bytes are; never raises, and ``render`` gives the same bytes back.

    What is no notebook of that format (no header, not UTF-8, broken JSON) becomes a single cell of kind `RAW`.

    Args:
        data: The bytes of the export.
        language: As the workspace tells it; needed only to tell R from Python, which share their header.
        format: The format in which the bytes are kept.
    """
    return _READERS[format](data, language) or _no_notebook(data, format)


def _no_notebook(data: bytes, notebook_format: NotebookFormat) -> Notebook:
    cell = Cell(CellKind.RAW, "", _readable(data), data)
    return Notebook(notebook_format, "", (cell,), (b"", b""))


def _readable(data: bytes) -> str:
    """The bytes as text, the undecodable ones spelled out; of binary data only the size and the digest."""
    if b"\0" in data:
        return f"binary data: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"
    return data.decode(errors="backslashreplace").replace("\r\n", "\n")

"""IPYNB: a JSON document. Each cell's own bytes are found by walking it, so that it can be put together again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from nbvault.model import Language, NotebookFormat
from nbvault.notebook.cells import Cell, CellKind, Notebook, split_magic

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_NOTEBOOK_KEY = "application/vnd.databricks.v1+notebook"
_CELL_KEY = "application/vnd.databricks.v1+cell"

# What running a cell writes, besides its outputs. The limits in `cellMetadata` appear with the first run.
_RUN_KEYS = ("cellMetadata", "executionTime", "finishTime", "startTime", "submitTime")
_RUN_METADATA = ("ExecuteTime", "execution", "executionInfo")


def parse_jupyter(data: bytes, language: Language | None) -> Notebook | None:
    """The cells of a Jupyter document (nbformat 4), or None if it is none.

    The document tells the language; ``language`` counts where it says nothing.
    """
    try:
        text = data.decode()
        rest, found = _Walk(text).document()
        own = _language_of(rest.get("metadata"), language)
        cells = tuple(_cell(value, text[start:end].encode(), own) for value, start, end in found)
        settings = Cell(CellKind.SETTINGS, "json", _clean(_canonical(rest, indent=1)), b"")
    except (ValueError, RecursionError):
        return None
    edges = [0, *(edge for _, start, end in found for edge in (start, end)), len(text)]
    gaps = tuple(text[start:end].encode() for start, end in zip(edges[::2], edges[1::2], strict=True))
    return Notebook(NotebookFormat.IPYNB, own, cells, gaps, settings)


class _Walk:
    """One pass over the outermost two levels of a document; what lies deeper is the standard library's work."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> tuple[dict[str, Any], list[tuple[Any, int, int]]]:
        """Everything but the cells, and each cell with the range of its characters."""
        rest: dict[str, Any] = {}
        cells: list[tuple[Any, int, int]] | None = None
        for _ in self._items("{", "}"):
            key = self._value() if self._peek() == '"' else _refuse()
            self._need(":")
            if key != "cells":
                rest[key] = self._value()
            else:
                cells = self._array() if cells is None else _refuse()
        if cells is None or self._peek():
            _refuse()
        return rest, cells or []

    def _array(self) -> list[tuple[Any, int, int]]:
        found = []
        for _ in self._items("[", "]"):
            self._peek()
            start = self._at
            found.append((self._value(), start, self._at))
        return found

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        self._need(opening)
        if self._take(closing):
            return
        yield
        while self._take(","):
            yield
        self._need(closing)

    def _value(self) -> Any:
        self._peek()
        value, self._at = _DECODER.raw_decode(self._text, self._at)
        return value

    def _peek(self) -> str:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str) -> bool:
        taken = self._peek() == mark
        self._at += taken
        return taken

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            _refuse()


def _refuse() -> Any:
    raise ValueError("not a Jupyter document")


def _cell(value: Any, raw: bytes, language: str) -> Cell:
    if not isinstance(value, dict):
        _refuse()
    kind = value.get("cell_type")
    text = _clean(_source(value.get("source", "")))
    word, spoken = "", language
    if kind == "markdown":
        word, found, spoken = "%md", CellKind.MARKDOWN, "markdown"
    elif kind == "raw":
        found = CellKind.RAW
    else:
        word, found, spoken, text = split_magic(text, language)
    metadata = value.get("metadata")
    own = _dict(_dict(metadata).get(_CELL_KEY))
    title = own.get("title")
    return Cell(
        kind=found,
        language=spoken,
        text=text,
        raw=raw,
        magic=word,
        title=_clean(title) if isinstance(title, str) else "",
        title_shown=own.get("showTitle") is True,
        outputs=_digest(_left_by_running(value)),
        metadata=_digest(_other_properties(value)),
        identity=str(own.get("nuid") or value.get("id") or ""),
    )


def _source(source: Any) -> str:
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        _refuse()
    return "".join(lines).replace("\r\n", "\n")


def _left_by_running(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = _dict(cell.get("metadata"))
    own = _dict(metadata.get(_CELL_KEY))
    return {
        "outputs": cell.get("outputs") or [],
        "execution_count": cell.get("execution_count") or 0,
        "metadata": {key: metadata[key] for key in _RUN_METADATA if metadata.get(key)},
        "databricks": {key: own[key] for key in _RUN_KEYS if own.get(key)},
    }


def _other_properties(cell: dict[str, Any]) -> dict[str, Any]:
    elsewhere = {"cell_type", "source", "outputs", "execution_count", "id"}
    metadata = {key: value for key, value in _dict(cell.get("metadata")).items() if key not in _RUN_METADATA}
    own = {
        key: value
        for key, value in _dict(metadata.pop(_CELL_KEY, None)).items()
        if key not in _RUN_KEYS and key not in ("nuid", "title", "showTitle")
    }
    rest = {key: value for key, value in cell.items() if key not in elsewhere and key != "metadata"}
    return {"rest": rest, "metadata": metadata, "databricks": own}


def _language_of(metadata: Any, fallback: Language | None) -> str:
    """The language a document names, Databricks' own word before Jupyter's."""
    known = _dict(metadata)
    places = ((_NOTEBOOK_KEY, "language"), ("language_info", "name"), ("kernelspec", "language"))
    for place, key in places:
        name = _dict(known.get(place)).get(key)
        if isinstance(name, str) and name:
            return _clean(name).lower()
    return (fallback or Language.PYTHON).value.lower()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _canonical(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=indent)


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode(errors="surrogatepass")).hexdigest()


def _clean(text: str) -> str:
    """The text with halves of surrogate pairs spelled out: JSON can hold them, no file or terminal can."""
    return text.encode(errors="backslashreplace").decode()


def same_cells(one: bytes, other: bytes) -> bool:
    """Whether two documents have the same cells with the same outputs; metadata and counters do not matter."""
    cells = _compared(one)
    return cells is not None and cells == _compared(other)


def _compared(document: bytes) -> list[tuple[str, str, Any]] | None:
    """Kind, text and outputs of each cell; None where this is no Jupyter document."""
    try:
        cells = json.loads(document)["cells"]
        return [(cell["cell_type"], _joined(cell["source"]), cell.get("outputs") or []) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)

"""Notebook formats: SOURCE text to cells and back, and Jupyter documents made from them."""

from __future__ import annotations

import json
from typing import Any

from nbvault_emulator.content import header_of, join_cells

EXTENSIONS = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}
LANGUAGES = {extension: language for language, extension in EXTENSIONS.items()}
_PREFIXES = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}
_KERNELS = {"PYTHON": "python", "SQL": "sql", "SCALA": "scala", "R": "r"}


def without_last_newline(source: bytes) -> bytes:
    """What an import keeps: everything but one newline at the very end."""
    return source[:-1] if source.endswith(b"\n") else source


def detect_language(path: str, source: bytes) -> str | None:
    """The language of what AUTO takes for a notebook: by extension, if its first line is the header; else None."""
    for extension, language in LANGUAGES.items():
        if path.endswith(extension) and source.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace") == header_of(
            language
        ):
            return language
    return None


def split_cells(source: bytes, language: str) -> list[str]:
    """The cells of a SOURCE text."""
    text = source.decode("utf-8", "replace")
    first, _, rest = text.partition("\n")
    body = rest if first.rstrip("\r") == header_of(language) else text
    return [cell.strip("\n") for cell in body.split(f"\n{_PREFIXES[language]} COMMAND ----------\n")]


def to_jupyter(source: bytes, language: str) -> bytes:
    """A minimal Jupyter document with the cells of a SOURCE text."""
    document = {
        "cells": [_jupyter_cell(cell, language) for cell in split_cells(source, language)],
        "metadata": {
            "application/vnd.databricks.v1+notebook": {"language": _KERNELS[language]},
            "language_info": {"name": _KERNELS[language]},
        },
        "nbformat": 4,
        "nbformat_minor": 0,
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def from_jupyter(document: bytes, *, fallback: str = "PYTHON") -> tuple[bytes, str]:
    """The SOURCE form and the language of a Jupyter document; outputs are lost, as on the real service.

    Raises:
        ValueError: it is no Jupyter document.
    """
    parsed = json.loads(document)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("cells"), list):
        raise ValueError("not a Jupyter document: it has no cells")
    language = _language_of(parsed.get("metadata", {}), fallback)
    cells = [_source_cell(cell, language) for cell in parsed["cells"]]
    return join_cells(language, cells).encode("utf-8", "replace"), language


def looks_like_jupyter(content: bytes) -> bool:
    """Whether the bytes are a Jupyter document."""
    if not content.lstrip().startswith(b"{"):
        return False
    try:
        from_jupyter(content)
    except ValueError:
        return False
    return True


def _jupyter_cell(cell: str, language: str) -> dict[str, Any]:
    prefix = f"{_PREFIXES[language]} MAGIC"
    lines = cell.split("\n")
    if lines[0].startswith(prefix):
        plain = [line.removeprefix(prefix).removeprefix(" ") for line in lines]
        if plain[0].startswith("%md"):
            text = "\n".join([plain[0].removeprefix("%md").strip(), *plain[1:]]).strip("\n")
            return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}
        lines = plain
    source = "\n".join(lines).splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": 0, "metadata": {}, "outputs": [], "source": source}


def _source_cell(cell: Any, language: str) -> str:
    source = cell.get("source", "") if isinstance(cell, dict) else ""
    text = "".join(source) if isinstance(source, list) else str(source)
    prefix = f"{_PREFIXES[language]} MAGIC"
    if cell.get("cell_type") == "markdown":
        text = "%md\n" + text
    elif not text.startswith("%"):
        return text
    return "\n".join(f"{prefix} {line}".rstrip() for line in text.split("\n"))


def _language_of(metadata: Any, fallback: str) -> str:
    if not isinstance(metadata, dict):
        return fallback
    own = metadata.get("application/vnd.databricks.v1+notebook")
    info = metadata.get("language_info")
    for source, key in ((own, "language"), (info, "name")):
        name = str(source.get(key, "")).upper() if isinstance(source, dict) else ""
        if name in _PREFIXES:
            return name
    return fallback

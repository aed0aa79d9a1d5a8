"""When two notebooks are the same, and in which language one is written. Pure."""

from __future__ import annotations

import json
from typing import Any

from nbvault.gitstore.writer import blob_id
from nbvault.model import Language, NotebookFormat, source_language
from nbvault.paths import IPYNB_EXTENSION

_LANGUAGES = {language.extension: language for language in Language}


def same(one: bytes, other: bytes, form: NotebookFormat = NotebookFormat.SOURCE) -> bool:
    """Whether two exports are the same notebook.

    SOURCE: byte for byte, but for one newline at the very end, which an import drops. IPYNB: the same cells with the
    same outputs; the workspace writes metadata and counters anew.
    """
    if one in (other, other + b"\n") or one + b"\n" == other:
        return True
    return form is NotebookFormat.IPYNB and (cells := _cells(one)) is not None and cells == _cells(other)


def is_blob(data: bytes, oid: str) -> bool:
    """Whether these bytes are that blob, but for one newline at the very end."""
    return oid in (blob_id(data), blob_id(data + b"\n"), blob_id(data.removesuffix(b"\n")))


def format_of(extension: str) -> NotebookFormat:
    """The format of a file of the vault."""
    return NotebookFormat.IPYNB if extension == IPYNB_EXTENSION else NotebookFormat.SOURCE


def language_of(extension: str) -> Language | None:
    """The language that a file's extension names; None for ``.ipynb``."""
    return _LANGUAGES.get(extension)


def written_in(source: bytes, extension: str) -> Language:
    """The language of a file: what its extension says, or its header where that says Python or nothing."""
    return source_language(source, language_of(extension))


def _cells(document: bytes) -> list[tuple[str, str, Any]] | None:
    """Kind, text and outputs of each cell; None where this is no Jupyter document."""
    try:
        cells = json.loads(document)["cells"]
        return [(cell["cell_type"], _joined(cell["source"]), cell.get("outputs") or []) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)

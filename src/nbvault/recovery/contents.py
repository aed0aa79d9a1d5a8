"""When two notebooks are the same, and in which language one is written. Pure."""

from __future__ import annotations

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
    if form is not NotebookFormat.IPYNB:
        return False
    # Who restores one SOURCE notebook does not wait for the reader of documents.
    from nbvault.notebook.jupyter import same_cells

    return same_cells(one, other)


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

"""The zip of a folder, read with suspicion: only what can be matched to the listing beyond doubt is taken from it.

Pure. What Databricks puts into such a zip is not documented to the letter, so nothing is assumed: every name in it must
be the name of one listed notebook with the extension of its language, and no two may be of the same one.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from nbvault.errors import WorkspaceError
from nbvault.model import DIRECTORY, NOTEBOOK, REPO, Language, ListedObject, source_language
from nbvault.paths import IPYNB_EXTENSION

# What the workspace exports singly at most; a larger one is left to its own export, and so to its own error.
NOTEBOOK_BYTES = 10_485_760
# What one zip may unpack to. More is exported singly, so that memory stays bounded.
UNPACKED_BYTES = 16 * 1024 * 1024
_LANGUAGES = {language.extension: language for language in Language}
_UTF8, _ENCRYPTED = 0x800, 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Layout(str, Enum):
    """Whether the names in a zip begin with the folder's own name."""

    DIRECTORY = "directory"
    FLAT = "flat"


class Unusable(WorkspaceError):
    """A zip from which nothing may be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What a zip holds of a folder.

    `sources` has the SOURCE text of notebooks by workspace path. `missing` are the listed notebooks that it does not
    give as such: not in it, empty, as a document, or too large. `deeper` says that it holds what is in subfolders, too.
    """

    layout: Layout
    sources: Mapping[str, bytes]
    missing: tuple[str, ...]
    deeper: bool = False


def is_leaf(objects: Iterable[ListedObject]) -> bool:
    """Whether a folder holds no other folder, so that its zip holds nothing but what its listing shows."""
    return not any(entry.kind in (DIRECTORY, REPO) for entry in objects)


def names_clash(objects: Sequence[ListedObject]) -> bool:
    """Whether an object here is called like another one's file: a notebook ``x`` and something called ``x.py``."""
    names = {_name_of(entry.path) for entry in objects}
    extensions = (*_LANGUAGES, IPYNB_EXTENSION)
    return any(name.endswith(extensions) and name.rpartition(".")[0] in names for name in names)


def unpack(data: bytes, folder: str, objects: Sequence[ListedObject]) -> Archive:
    """Read the zip of ``folder``, whose listing is ``objects``.

    Raises:
        Unusable: it is no sound zip, or it holds a name that is not expected, or one twice.
    """
    if names_clash(objects):
        raise Unusable(f"in {folder} one object is called like the file of another")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            layout, names = _inner_names(folder, [_spelled(info) for info in infos])
            own = _own(dict(zip(names, infos, strict=True)), folder, objects, count=len(infos))
            taken = {entry.path: (name, archive.read(own[name])) for name, entry in _matched(own, folder, objects)}
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OSError) as error:
        # What zipfile raises for damage of every kind: no zip, cut off, a bad CRC.
        raise Unusable(f"the archive of {folder} is damaged: {error}") from error
    listed = {entry.path: entry for entry in objects if entry.kind == NOTEBOOK}
    found = {path: _source(content, name, listed[path]) for path, (name, content) in taken.items()}
    sources = {path: content for path, content in found.items() if content}
    return Archive(layout, sources, tuple(path for path in listed if path not in sources), len(own) < len(infos))


def _own(
    infos: Mapping[str, zipfile.ZipInfo], folder: str, objects: Sequence[ListedObject], *, count: int
) -> dict[str, zipfile.ZipInfo]:
    """The files of the folder itself, by name, if they may be unpacked."""
    own = {name: info for name, info in infos.items() if "/" not in name}
    if len(infos) != count:
        raise Unusable(f"the archive of {folder} holds a name twice")
    if len(own) < count and is_leaf(objects):
        raise Unusable(f"the archive of {folder} holds subfolders, and the folder has none")
    if sum(info.file_size for info in own.values()) > UNPACKED_BYTES:
        raise Unusable(f"the archive of {folder} unpacks to more than {UNPACKED_BYTES:,} bytes")
    if any(info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS for info in own.values()):
        raise Unusable(f"the archive of {folder} is packed in a way that is not known")
    return own


def _matched(names: Iterable[str], folder: str, objects: Sequence[ListedObject]) -> Iterator[tuple[str, ListedObject]]:
    """Each name with the one notebook that it is about."""
    listed = {_name_of(entry.path): entry for entry in objects if entry.kind == NOTEBOOK}
    for name in names:
        # Taken out: a second name for the same notebook is not expected either.
        entry = listed.pop(name.rpartition(".")[0], None)
        if entry is None:
            raise Unusable(f"the archive of {folder} holds {name!r}, which is not expected")
        yield name, entry


def _source(content: bytes, name: str, entry: ListedObject) -> bytes:
    """The SOURCE text of a notebook; empty where this is none that its own export would give."""
    extension = "." + name.rpartition(".")[2]
    if extension == IPYNB_EXTENSION or len(content) > NOTEBOOK_BYTES:
        return b""
    told = _LANGUAGES.get(extension)
    # The workspace lists IPYNB notebooks of every language as Python; the header line then tells.
    if told is None or told not in (entry.language, source_language(content, entry.language)):
        raise Unusable(f"the archive has {name!r} for {entry.path}, whose language is {_language(entry)}")
    return content


def _language(entry: ListedObject) -> str:
    return entry.language.value if entry.language else "unknown"


def _inner_names(folder: str, names: Sequence[str]) -> tuple[Layout, list[str]]:
    """The names below the folder, and whether they have the folder's own name in front."""
    front = _name_of(folder) + "/"
    if names and all(name.startswith(front) for name in names):
        return Layout.DIRECTORY, [name[len(front) :] for name in names]
    return Layout.FLAT, list(names)


def _spelled(info: zipfile.ZipInfo) -> str:
    """A name as it was written; what is not marked as UTF-8 may be UTF-8 all the same."""
    name = info.orig_filename
    if info.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _name_of(path: str) -> str:
    return path.rsplit("/", 1)[-1]

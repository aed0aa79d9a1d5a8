"""The zip of a folder, in the one shape that the documentation lets expect and in those that it does not rule out."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nbvault_emulator import answers, notebooks
from nbvault_emulator.faults import Fault
from nbvault_emulator.world import NOTEBOOK, Node, World


class Entry(NamedTuple):
    """One file of a zip: the workspace path it is about, its name in the zip, its bytes."""

    path: str
    name: str
    content: bytes


def folder_zip(
    world: World, folder: Node, form: str, *, unseen: Callable[[str], bool], faults: Sequence[Fault] = ()
) -> bytes:
    """Everything below a folder as ``<folder>/<name><extension>``, without what is `unseen`; cut off above 10 MB."""
    shapes = [fault for fault in faults if fault.kind == "archive"]
    entries: Iterator[Entry] | list[Entry] = _entries(world, folder, form, unseen, shapes)
    for fault in shapes:
        entries = _shaped(list(entries), fault)
    data = _packed(entries)
    for fault in shapes:
        data = _damaged(data, fault.text("shape", "flat"))
    return data


def _entries(
    world: World, folder: Node, form: str, unseen: Callable[[str], bool], shapes: Sequence[Fault]
) -> Iterator[Entry]:
    told = {fault.text("shape", "flat") for fault in shapes}
    top = folder.path
    for child in world.walk(folder):
        path = child.path
        wanted = child.kind == NOTEBOOK or (child.kind == "FILE" and (form == "AUTO" or "files" in told))
        if not wanted or unseen(path):
            continue
        inner = path[len(top) :].lstrip("/")
        if "shallow" in told and "/" in inner:
            continue
        extension, content = _file_of(world, child, documents="documents" in told)
        yield Entry(path, f"{folder.name}/{inner}{extension}", content)


def _file_of(world: World, node: Node, *, documents: bool) -> tuple[str, bytes]:
    if node.kind != NOTEBOOK:
        return "", world.source(node)
    if documents and node.format == "IPYNB":
        return ".ipynb", node.content or b""
    return notebooks.EXTENSIONS[node.language], world.source(node)


def _shaped(entries: list[Entry], fault: Fault) -> list[Entry]:
    """The entries as a fault leaves them; ``entry`` says which notebooks it is about, by default the first."""
    shape = fault.text("shape", "flat")
    about = [e for e in entries if fault.is_about(e.path)] if fault.data.get("entry") else entries[:1]
    chosen = {entry.path for entry in about}
    rename = _RENAMES.get(shape)
    if rename is not None:
        return [entry._replace(name=rename(entry)) for entry in entries]
    if shape == "duplicate":
        return [*entries, *(entry._replace(content=entry.content + b"\n# again") for entry in about)]
    if shape == "extra":
        return [*entries, *(e._replace(name=posixpath.dirname(e.name) + "/nobody knows.py") for e in about)]
    if shape == "missing":
        return [entry for entry in entries if entry.path not in chosen]
    if shape == "wrong-extension":
        return [e._replace(name=_other_extension(e.name)) if e.path in chosen else e for e in entries]
    if shape == "wrong-bytes":
        return [e._replace(content=e.content + b"\n# added on the way") if e.path in chosen else e for e in entries]
    if shape == "swapped" and len(entries) > 1:
        contents = [entry.content for entry in entries]
        return [e._replace(content=c) for e, c in zip(entries, [*contents[1:], contents[0]], strict=True)]
    return entries


def _other_extension(name: str) -> str:
    stem, extension = posixpath.splitext(name)
    return stem + (".sql" if extension != ".sql" else ".py")


_RENAMES: dict[str, Callable[[Entry], str]] = {
    "flat": lambda entry: entry.name.partition("/")[2],
    "full-path": lambda entry: entry.path.lstrip("/") + posixpath.splitext(entry.name)[1],
    "no-extension": lambda entry: posixpath.splitext(entry.name)[0],
    "upper-extension": lambda e: posixpath.splitext(e.name)[0] + posixpath.splitext(e.name)[1].upper(),
    "underscores": lambda e: "".join(c if c.isascii() and (c.isalnum() or c in "/._-") else "_" for c in e.name),
}


def _packed(entries: Iterator[Entry] | list[Entry]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry in entries:
            # Not by name: ZipFile warns of a name that is there twice, which is just what a fault wants.
            info = zipfile.ZipInfo(entry.name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if entry.name in archive.NameToInfo:
                del archive.NameToInfo[entry.name]
            archive.writestr(info, entry.content)
            if buffer.tell() > answers.LIMIT_BYTES:
                break
    return buffer.getvalue()


def _damaged(data: bytes, shape: str) -> bytes:
    if shape == "truncated":
        return data[: len(data) * 2 // 3]
    if shape == "not-a-zip":
        return b"PK nothing of the kind"
    if shape == "bad-crc":
        # The CRC of the last entry, as the central directory has it.
        directory = data.rfind(b"PK\x01\x02", 0, data.find(b"PK\x05\x06"))
        broken = bytearray(data)
        broken[directory + 16] ^= 0xFF
        return bytes(broken)
    return data

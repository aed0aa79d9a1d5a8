"""What is taken out of the zip of a folder, and what makes it useless."""

from __future__ import annotations

import asyncio
import io
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.backup.archive import NOTEBOOK_BYTES, Archive, Layout, Unusable, names_clash, unpack
from nbvault.backup.folders import Compared, Room, compare
from nbvault.backup.scan import FolderListing
from nbvault.model import Language, ListedObject, NotebookFormat

FOLDER = "/Clients/a"
HEADER = b"# Databricks notebook source\n"


def notebook(name: str, language: Language = Language.PYTHON, number: int = 0) -> ListedObject:
    return ListedObject(number, "NOTEBOOK", f"{FOLDER}/{name}", language)


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


TWO = [notebook("x"), notebook("q", Language.SQL)]
GOOD = (("a/x.py", HEADER + b"1"), ("a/q.sql", b"-- Databricks notebook source\nSELECT 1"))


def test_both_layouts() -> None:
    """Names may have the folder in front or not; the sources are the same."""
    flat = unpack(zipped(*((name[2:], content) for name, content in GOOD)), FOLDER, TWO)
    deep = unpack(zipped(*GOOD), FOLDER, TWO)
    sources = {f"{FOLDER}/x": GOOD[0][1], f"{FOLDER}/q": GOOD[1][1]}
    assert deep == Archive(Layout.DIRECTORY, sources, ())
    assert flat == Archive(Layout.FLAT, sources, ())


def test_entries_of_folders_are_no_files() -> None:
    """A zip may name the folder itself."""
    assert unpack(zipped(("a/", b""), *GOOD), FOLDER, TWO).missing == ()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([*GOOD, ("a/y.py", b"y")], "not expected"),
        ([*GOOD, ("a/x.py", b"again")], "twice"),
        ([*GOOD, ("a/x.sql", b"again")], "not expected"),
        ([("a/x.sql", HEADER), GOOD[1]], "language"),
        ([("a/x.scala", b"1"), GOOD[1]], "language"),
        ([("a/q.py", HEADER), GOOD[0]], "language"),
        ([("a/x", HEADER), GOOD[1]], "not expected"),
        ([("a/x.PY", HEADER), GOOD[1]], "language"),
        ([("a/x.txt", HEADER), GOOD[1]], "language"),
        ([("Clients/a/x.py", HEADER), GOOD[1]], "subfolders"),
        ([("a/b/x.py", HEADER), *GOOD], "subfolders"),
        ([("x.py", HEADER), GOOD[1]], "subfolders"),
        ([("a/../x.py", HEADER), *GOOD], "subfolders"),
        ([("a/.py", HEADER), *GOOD], "not expected"),
    ],
)
def test_a_name_that_is_not_expected_makes_it_useless(files: list[tuple[str, bytes]], said: str) -> None:
    """An unknown name, one twice, another extension, a folder: nothing of the archive is taken."""
    with pytest.raises(Unusable, match=said):
        unpack(zipped(*files), FOLDER, TWO)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 and nothing", zipped(*GOOD)[:-30], zipped(*GOOD)[20:]])
def test_damage_makes_it_useless(content: bytes) -> None:
    """What is no whole zip is refused in words."""
    with pytest.raises(Unusable):
        unpack(content, FOLDER, TWO)


@given(position=st.integers(0, len(zipped(*GOOD)) - 1), bit=st.integers(0, 7))
def test_one_wrong_bit_gives_right_bytes_or_none(position: int, bit: int) -> None:
    """Whatever bit of a zip is flipped: it is useless, or what it gives is right."""
    data = bytearray(zipped(*GOOD))
    data[position] ^= 1 << bit
    right = {f"{FOLDER}/x": GOOD[0][1], f"{FOLDER}/q": GOOD[1][1]}
    try:
        sources = unpack(bytes(data), FOLDER, TWO).sources
    except Unusable:
        return
    assert all(right[path] == content for path, content in sources.items())


def test_what_is_no_source_of_its_own_is_missing() -> None:
    """Documents, empty files, what is over the limit for single exports and what is not there are left to those."""
    listed = [notebook(name) for name in ("doc", "empty", "large", "absent", "x")]
    large = HEADER + b" " * NOTEBOOK_BYTES
    found = unpack(
        zipped(("doc.ipynb", b"{}"), ("empty.py", b""), ("large.py", large), ("x.py", HEADER)), FOLDER, listed
    )
    assert list(found.sources) == [f"{FOLDER}/x"]
    assert {path.rpartition("/")[2] for path in found.missing} == {"doc", "empty", "large", "absent"}


def test_a_document_of_another_language_goes_by_its_header() -> None:
    """IPYNB notebooks are listed as Python, whatever they are; the extension must be that of the first line."""
    text = b"-- Databricks notebook source\nSELECT 1"
    assert unpack(zipped(("x.sql", text)), FOLDER, [notebook("x")]).sources == {f"{FOLDER}/x": text}
    with pytest.raises(Unusable):
        unpack(zipped(("x.sql", HEADER)), FOLDER, [notebook("x")])


@pytest.mark.parametrize("other", ["x.py", "x.sql", "x.ipynb"])
@pytest.mark.parametrize("kind", ["NOTEBOOK", "FILE"])
def test_a_notebook_called_like_anothers_file(other: str, kind: str) -> None:
    """Beside `x` something called `x.py` could take its name in the zip: nothing is taken, whatever is in it."""
    objects = [notebook("x"), ListedObject(2, kind, f"{FOLDER}/{other}", Language.PYTHON)]
    assert names_clash(objects)
    with pytest.raises(Unusable, match="like the file"):
        unpack(zipped(("x.py", HEADER)), FOLDER, objects)


def test_names_without_the_utf8_mark() -> None:
    """A zip whose names are UTF-8 without saying so is read all the same."""
    data = bytearray(zipped(("é.py", HEADER)))
    for start in (data.find(b"PK\x03\x04") + 6, data.find(b"PK\x01\x02") + 8):
        data[start + 1] &= ~0x08 & 0xFF
    assert unpack(bytes(data), FOLDER, [notebook("é")]).sources == {f"{FOLDER}/é": HEADER}


def test_a_bomb_is_not_unpacked() -> None:
    """What unpacks to more than memory is meant to hold is refused by its size alone."""
    files = [(f"n{number}.py", b"\0" * 9_000_000) for number in range(3)]
    with pytest.raises(Unusable, match="more than"):
        unpack(zipped(*files), FOLDER, [notebook(f"n{number}") for number in range(3)])


def test_an_unknown_packing_is_refused() -> None:
    """Only what Databricks could sensibly use is unpacked."""
    with pytest.raises(Unusable, match="not known"):
        unpack(zipped(*GOOD, method=zipfile.ZIP_LZMA), FOLDER, TWO)


async def test_room_bounds_the_bytes_in_memory() -> None:
    """Who asks for more than is left waits until others give back; one alone is let in whatever it asks."""
    room = Room(100)
    await room.take(60)
    waiting = asyncio.ensure_future(room.take(50))
    await asyncio.sleep(0)
    assert not waiting.done()
    await room.give(60)
    await asyncio.wait_for(waiting, 5)
    await room.give(50)
    await asyncio.wait_for(room.take(1000), 5)


class Twice:
    """A workspace whose first archive differs and whose second one cannot be had; no server can be told to be both."""

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:  # noqa: ARG002
        return HEADER + b"as it is"

    async def export_folder(self, path: str) -> bytes:  # noqa: ARG002
        raise Unusable("not again")


async def test_a_difference_that_cannot_be_looked_at_again_stays_one() -> None:
    """Only a second look may excuse a difference; without one, archives are not trusted."""
    archive = Archive(Layout.FLAT, {f"{FOLDER}/x": HEADER + b"something else"}, ())
    listing = FolderListing(FOLDER, [notebook("x")])
    assert await compare(Twice(), listing, archive, f"{FOLDER}/x") is Compared.DIFFERENT

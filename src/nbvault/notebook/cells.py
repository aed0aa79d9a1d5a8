"""The values: a notebook, its cells, and the bytes between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from itertools import chain, zip_longest
from typing import NamedTuple

from nbvault.model import NotebookFormat


class CellKind(str, Enum):
    """What a cell is.

    `SETTINGS` is what stands outside all cells: the serverless environment of a SOURCE notebook, the metadata of an
    IPYNB one. `RAW` is an IPYNB cell of type raw, or the whole of something that is no notebook.
    """

    CODE = "code"
    MARKDOWN = "markdown"
    SETTINGS = "settings"
    RAW = "raw"


# What a person sees of a cell, as one value that can be compared.
Face = tuple[str, str, str, str, str, bool]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as a person sees it, and the bytes that it was read from.

    `text` has no MAGIC prefixes, no title line and no language magic, and its lines end with LF. `magic` is that
    language magic (``%sql``, ``%md-sandbox``) where there is one; other magics (``%run``, ``%pip``) stay in the text.
    `outputs` is a digest of what running it left behind and `metadata` one of all its other properties; both are None
    where the format has no such thing. `identity` is the id that an IPYNB notebook gives it.
    """

    kind: CellKind
    language: str
    text: str
    raw: bytes
    magic: str = ""
    title: str = ""
    title_shown: bool = False
    outputs: str | None = None
    metadata: str | None = None
    identity: str = ""

    @property
    def lines(self) -> list[str]:
        """The lines of the text, without their ends; none where the text is empty."""
        return self.text.split("\n") if self.text else []

    @property
    def face(self) -> Face:
        """All that a person sees of it. Two cells with the same face differ in outputs, metadata or layout at most."""
        return self.text, self.kind.value, self.language, self.magic, self.title, self.title_shown


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook cut into cells.

    `gaps` has one piece more than `cells`: the bytes before, between and after them, so nothing is ever lost.
    `language` is the notebook's own in small letters, empty for what is no notebook. `settings` is a view of bytes
    that lie in the gaps.
    """

    format: NotebookFormat
    language: str
    cells: tuple[Cell, ...]
    gaps: tuple[bytes, ...]
    settings: Cell | None = None


def render(notebook: Notebook) -> bytes:
    """The bytes that the notebook was parsed from, exactly."""
    pieces = zip_longest(notebook.gaps, (cell.raw for cell in notebook.cells), fillvalue=b"")
    return b"".join(chain.from_iterable(pieces))


class Magic(NamedTuple):
    """The language magic at the start of a cell, and the text behind it."""

    word: str
    kind: CellKind
    language: str
    text: str


_LANGUAGES = {"md": "markdown", "md-sandbox": "markdown"}
_MAGIC = re.compile(r"%(md-sandbox|md|python|sql|scala|r|sh)(?=[ \t\n]|\Z)[ \t]*\n?")


def split_magic(text: str, language: str) -> Magic:
    """What the first line says of a cell's kind and language; without a language magic it is code in ``language``."""
    found = _MAGIC.match(text)
    if found is None:
        return Magic("", CellKind.CODE, language, text)
    word = found[1]
    spoken = _LANGUAGES.get(word, word)
    kind = CellKind.MARKDOWN if spoken == "markdown" else CellKind.CODE
    return Magic(f"%{word}", kind, spoken, text[found.end() :])

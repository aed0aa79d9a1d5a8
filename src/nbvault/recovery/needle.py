"""What is searched for, and where it stands in a notebook. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbvault.errors import ConfigurationError
from nbvault.model import NotebookFormat
from nbvault.notebook import cells_at, parse
from nbvault.recovery.contents import format_of

SHOWN = 2000
"""So many characters of a line are kept round what was found."""

# What JSON may spell in another way, so that the bytes of a document need not hold the text.
_SPELLED = re.compile(r"[^ !#-\[\]-~]")


class Hit(NamedTuple):
    """A line in which it was found.

    `cell` counts from 1 and is None between the cells. `line` counts from 1: in the file, or in a cell of an IPYNB
    notebook; 0 in its title, or in what running it left behind.
    """

    cell: int | None
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Needle:
    """A text or a regular expression.

    `quick` are bytes that every SOURCE notebook with it must hold (in small letters where `fold`), so far as one can
    say; `quick_in_json` those that every IPYNB notebook must.
    """

    pattern: re.Pattern[str]
    quick: bytes = b""
    quick_in_json: bytes = b""
    fold: bool = False

    @classmethod
    def of(cls, text: str, *, regex: bool = False, ignore_case: bool = False) -> Needle:
        """What a person asks for.

        Args:
            regex: It is one of Python's; ``^`` and ``$`` are the ends of a line.

        Raises:
            ConfigurationError: it is empty, or no regular expression.
        """
        if not text:
            raise ConfigurationError("There is nothing to search for.", hint="Give a text.")
        flags = re.MULTILINE | (re.IGNORECASE if ignore_case else 0)
        if not regex and text.isascii():
            # Otherwise k would also be the Kelvin sign, which has other bytes.
            flags |= re.ASCII
        try:
            pattern = re.compile(text if regex else re.escape(text), flags)
        except re.error as error:
            raise ConfigurationError(
                f"{text!r} is no regular expression: {error}.", hint="Without --regex it is searched for as it stands."
            ) from error
        if regex or "\n" in text or (ignore_case and not text.isascii()):
            return cls(pattern)
        plain = (text.lower() if ignore_case else text).encode(errors="surrogateescape")
        return cls(pattern, plain, b"" if _SPELLED.search(text) else plain, ignore_case)

    def hits(self, data: bytes, extension: str) -> list[Hit]:
        """Each line of a notebook in which it begins, once, in order."""
        document = format_of(extension) is NotebookFormat.IPYNB
        if (self.quick_in_json if document else self.quick) not in (data.lower() if self.fold else data):
            return []
        return self._in_document(data) if document else self._in_source(data)

    def _in_source(self, data: bytes) -> list[Hit]:
        text = _text(data)
        places = list(self._places(text))
        cells = cells_at(data, places) if places else []
        return [Hit(cell, line, _round(text, at)) for cell, (line, at) in zip(cells, places, strict=True)]

    def _in_document(self, data: bytes) -> list[Hit]:
        notebook = parse(data, format=NotebookFormat.IPYNB)
        found = []
        for number, cell in enumerate(notebook.cells, 1):
            found += [Hit(number, line, text) for line, text in self._lines(cell.text)]
            beside = (cell.title, *_left_behind(cell.raw))
            found += [Hit(number, 0, text) for each in beside for _, text in self._lines(each)]
        return found

    def _lines(self, text: str) -> Iterator[tuple[int, str]]:
        """Number and text of each line in which it begins."""
        return ((line, _round(text, at)) for line, at in self._places(text))

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """The number of each line in which it begins, and where it first does."""
        line, counted, before = 1, 0, 0
        for match in self.pattern.finditer(text):
            line += text.count("\n", counted, match.start())
            counted = match.start()
            if line != before and not (match.start() == len(text) and text.endswith("\n")):
                yield line, match.start()
            before = line


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace").replace("\r\n", "\n")


def _round(text: str, at: int) -> str:
    """The line in which a place lies; of a very long one what is round that place."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    first, last = max(start, at - SHOWN // 4), min(end, at + SHOWN)
    return ("…" if first > start else "") + text[first:last] + ("…" if last < end else "")


def _left_behind(cell: bytes) -> Iterator[str]:
    """Every text in what running a cell of a document left behind."""
    try:
        outputs = json.loads(cell).get("outputs")
    except (ValueError, AttributeError):
        return
    yield from _texts(outputs)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if value and all(isinstance(each, str) for each in value):
            yield "".join(value)
        else:
            for each in value:
                yield from _texts(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)

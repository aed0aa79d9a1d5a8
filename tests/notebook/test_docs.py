"""The page for users says what the program does."""

from __future__ import annotations

import re
from pathlib import Path

from nbvault.model import NotebookFormat
from nbvault.notebook import Aspect, CellKind, ChangeKind, diff, parse, to_json, to_text
from nbvault.notebook.match import ALMOST_SAME, SIMILAR

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cells.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example() -> None:
    """The difference of the two notebooks on the page is the one on the page."""
    old, new, text = (content for _, content in EXAMPLES)
    pair = (parse(content.encode(), format=NotebookFormat.SOURCE) for content in (old, new))
    assert to_text(diff(*pair), colour=False) == text + "\n"


def test_every_word_is_explained() -> None:
    """Each kind, each aspect, each kind of cell and each field of the JSON form is named on the page."""
    made = to_json(diff(*[parse(b"x", format=NotebookFormat.SOURCE)] * 2))[0]
    words = [*(value.value for kind in (ChangeKind, Aspect, CellKind) for value in kind), *made]
    assert [word for word in words if f"`{word}`" not in PAGE] == []


def test_the_thresholds() -> None:
    """The page says half and four fifths, and so does the program."""
    assert (SIMILAR, ALMOST_SAME) == (1 / 2, 4 / 5)

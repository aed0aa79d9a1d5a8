"""Notebooks as cells, and the difference of two notebooks by cell. Pure: no I/O, and no input makes it raise.

`parse` cuts the bytes of a notebook into cells and `render` puts exactly those bytes together again. `diff` pairs the
cells of two notebooks; `summary`, `to_text` and `to_json` tell the result. See docs/cells.md for the rules in words.

.. code-block:: text

    cells    the values            source, jupyter   the two formats        parse   the door to both
    align    equal items in order  match             which cell became which   diff    the changes
    show     text and JSON
"""

from __future__ import annotations

from nbvault.notebook.cells import Cell, CellKind, Notebook, render
from nbvault.notebook.diff import Aspect, CellChange, CellSummary, ChangeKind, Line, diff, summary
from nbvault.notebook.parse import parse
from nbvault.notebook.show import to_json, to_text
from nbvault.notebook.source import cells_at

__all__ = [
    "Aspect",
    "Cell",
    "CellChange",
    "CellKind",
    "CellSummary",
    "ChangeKind",
    "Line",
    "Notebook",
    "cells_at",
    "diff",
    "parse",
    "render",
    "summary",
    "to_json",
    "to_text",
]

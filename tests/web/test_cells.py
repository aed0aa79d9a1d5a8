"""Versions side by side: every line stands where it belongs, and is highlighted as in its notebook."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.model import NotebookFormat
from nbvault.notebook import diff, parse
from nbvault.web import cells
from nbvault.web.cells import DiffView, Ink, Row, highlighted

HEAD = "# Databricks notebook source\n"
LINES = ["x = 1", "", "def f(a):", "    return 'text'", "# a note", '"""', 'words = "b"  # c', "if x: pass"]
texts = st.lists(st.sampled_from(LINES), min_size=0, max_size=30).map("\n".join)


def view(old: str, new: str) -> DiffView:
    before, after = (
        parse((HEAD + text).encode(), language="python", format=NotebookFormat.SOURCE) for text in (old, new)
    )
    return cells.diff_view(diff(before, after))


def rows(old: str, new: str) -> list[Row]:
    return [row for change in view(old, new).changes for row in change.rows]


def plain(html: str) -> str:
    return re.sub(r"</?(span|mark)[^>]*>", "", html)


@given(old=texts, new=texts)
def test_each_side_counts_its_lines_and_shows_them(old: str, new: str) -> None:
    """Line numbers go up by one, but for what is folded; a line that both have is shown alike."""
    at, there = 0, 0
    for row in rows(old, new):
        if row.kind == "fold":
            at, there = at + row.folded, there + row.folded
            continue
        if row.old_number is not None:
            at += 1
            assert row.old_number == at
        if row.new_number is not None:
            there += 1
            assert row.new_number == there
        if row.kind == "same":
            assert row.old == row.new


@given(old=texts, new=texts)
def test_what_is_gone_looks_as_in_its_own_notebook(old: str, new: str) -> None:
    """Whichever way is quicker: where no text goes over several lines, a line that is gone is as in the whole cell."""
    for row in rows(old, new):
        if row.kind in ("removed", "changed") and row.old_number is not None:
            expected = cells.marked(highlighted(_cell_lines(old), "python", Ink(10_000))[row.old_number - 1], ())
            assert plain(row.old) == plain(expected)
            if row.kind == "removed" and '"""' not in old + new:
                assert row.old == expected


def _cell_lines(text: str) -> list[str]:
    (cell,) = parse((HEAD + text).encode(), language="python", format=NotebookFormat.SOURCE).cells
    return list(cell.lines)


def test_a_line_inside_a_long_text_is_no_code() -> None:
    """A changed line of a docstring is a string on both sides, though it would be code by itself."""
    old = 'x = 1\n"""\nif this\nwhile that\n"""'
    (row,) = (each for each in rows(old, old.replace("while that", "while those")) if each.kind == "changed")
    assert "t-s" in row.old
    assert "t-k" not in row.old


def test_of_a_very_long_change_no_more_is_made_than_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows end at the limit, and how many are left out is said exactly."""
    monkeypatch.setattr(cells, "MOST_LINES", 50)
    old, new = "\n".join(f"a{n} = 1" for n in range(300)), "\n".join(f"b{n} = 2" for n in range(200))
    made = view(old, new)
    assert sum(len(change.rows) for change in made.changes) == 50
    assert made.left_out == 450


@pytest.mark.parametrize("beside", [True, False])
def test_of_a_very_long_page_the_first_part_is_highlighted(monkeypatch: pytest.MonkeyPatch, *, beside: bool) -> None:
    """What highlighting costs is bounded for a page: what comes after is there, every line of it, without colours."""
    monkeypatch.setattr(cells, "_HIGHLIGHTED_BESIDE" if beside else "_HIGHLIGHTED", 100)
    separator = "\n\n# COMMAND ----------\n\n"
    text = separator.join("\n".join(f"def f{cell}_{n}(): pass" for n in range(4)) for cell in range(4))
    if beside:
        shown = [str(row.new) for row in rows("", text) if row.new_number]
    else:
        made = cells.notebook_view(parse((HEAD + text).encode(), language="python", format=NotebookFormat.SOURCE))
        shown = [str(line) for cell in made.cells for line in cell.lines]
    assert [plain(line) for line in shown] == [f"def f{cell}_{n}(): pass" for cell in range(4) for n in range(4)]
    coloured = ["<span" in line for line in shown]
    assert coloured == sorted(coloured, reverse=True)
    assert 0 < coloured.count(True) < len(shown)


@given(lines=st.lists(st.sampled_from(LINES), max_size=30), characters=st.integers(0, 200))
def test_ink_is_used_for_whole_lines_from_the_first_on(lines: list[str], characters: int) -> None:
    """Never more is highlighted than there is ink for, and once it is used up nothing more."""
    ink = Ink(characters)
    inked = ink.lines_of(lines)
    assert sum(map(len, lines[:inked])) <= characters
    assert inked == len(lines) or ink.lines_of(["x"]) == 0

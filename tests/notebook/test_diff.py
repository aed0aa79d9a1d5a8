"""The difference of two notebooks: what must hold for any two, and what a reader expects of some."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.model import Language, NotebookFormat
from nbvault.notebook import Aspect, Cell, CellChange, CellSummary, ChangeKind, Notebook, diff, parse, render, summary
from notebook_samples import (
    NOTEBOOKS,
    SOURCE_CELLS,
    code,
    edited,
    jupyter,
    library_cells,
    library_notebook,
    magic,
    notebook,
    source,
)

PAIRS = st.one_of(
    edited().map(lambda cells: (notebook(cells[0]), notebook(cells[1]))),
    st.tuples(SOURCE_CELLS.map(notebook), SOURCE_CELLS.map(notebook)),
    st.tuples(NOTEBOOKS, NOTEBOOKS),
)
Told = tuple[str, int | None, int | None]


def told(changes: tuple[CellChange, ...]) -> list[Told]:
    """The changes in short."""
    return [(change.kind.value, change.old_index, change.new_index) for change in changes]


def of_cells(changes: tuple[CellChange, ...]) -> list[CellChange]:
    """The changes of cells, without that of the settings."""
    return [change for change in changes if 0 not in (change.old_index, change.new_index)]


def apply(changes: tuple[CellChange, ...], old: Notebook) -> list[list[str]]:
    """The lines of the new cells, made from the old ones and what the changes say."""
    return [_applied(change, old) for change in of_cells(changes) if change.kind is not ChangeKind.REMOVED]


def _applied(change: CellChange, old: Notebook) -> list[str]:
    if change.kind is ChangeKind.ADDED:
        return change.cell.lines
    assert change.old_index is not None
    lines = old.cells[change.old_index - 1].lines
    if Aspect.TEXT not in change.aspects:
        assert not change.lines
        return lines
    assert [line.text for line in change.lines if line.mark != "+"] == lines
    return [line.text for line in change.lines if line.mark != "-"]


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_changes_make_the_new_notebook_of_the_old(pair: tuple[Notebook, Notebook]) -> None:
    """Applied to the old notebook, the changes give the new one, in its order."""
    old, new = pair
    assert apply(diff(old, new), old) == [cell.lines for cell in new.cells]


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_every_cell_is_told_once(pair: tuple[Notebook, Notebook]) -> None:
    """Each old and each new cell is in exactly one change, of a kind that fits, with its right place."""
    old, new = pair
    changes = of_cells(diff(old, new))
    olds = [change for change in changes if change.old_index is not None]
    news = [change for change in changes if change.new_index is not None]
    assert sorted(change.old_index or 0 for change in olds) == list(range(1, len(old.cells) + 1))
    assert [change.new_index for change in news] == list(range(1, len(new.cells) + 1))
    assert all((change.old_index is None) == (change.kind is ChangeKind.ADDED) for change in changes)
    assert all((change.new_index is None) == (change.kind is ChangeKind.REMOVED) for change in changes)
    assert all(change.old == old.cells[(change.old_index or 0) - 1] for change in olds)
    assert all(change.new == new.cells[(change.new_index or 0) - 1] for change in news)


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_only_what_crosses_has_moved(pair: tuple[Notebook, Notebook]) -> None:
    """Cells told as same or changed keep their order, and removed ones stand among them; a moved one crosses some."""
    changes = of_cells(diff(*pair))
    stayed = [change for change in changes if change.kind in (ChangeKind.SAME, ChangeKind.CHANGED)]
    places = [(change.old_index or 0, change.new_index or 0) for change in stayed]
    standing = [change.old_index or 0 for change in changes if change.kind not in (ChangeKind.ADDED, ChangeKind.MOVED)]
    assert places == sorted(places)
    assert standing == sorted(standing)
    for change in changes:
        if change.kind is ChangeKind.MOVED:
            here = (change.old_index or 0, change.new_index or 0)
            assert any((here[0] < old) != (here[1] < new) for old, new in places)


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_the_other_direction_mirrors(pair: tuple[Notebook, Notebook]) -> None:
    """With the arguments swapped, added is removed, every pair is the same pair, and so are its aspects."""
    forth, back = (
        {(change.old_index, change.new_index, change.kind, change.aspects) for change in diff(*pair)},
        {(change.new_index, change.old_index, change.kind, change.aspects) for change in diff(*pair[::-1])},
    )
    mirror = {ChangeKind.ADDED: ChangeKind.REMOVED, ChangeKind.REMOVED: ChangeKind.ADDED}
    assert forth == {(old, new, mirror.get(kind, kind), aspects) for old, new, kind, aspects in back}


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_same_means_the_same_bytes(pair: tuple[Notebook, Notebook]) -> None:
    """All is told as the same if and only if every byte is; what differs otherwise is never silent."""
    old, new = pair
    assert all(change.kind is ChangeKind.SAME for change in diff(old, old))
    assert all(change.kind is ChangeKind.SAME for change in diff(old, new)) == (render(old) == render(new))


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_summary_counts_everything(pair: tuple[Notebook, Notebook]) -> None:
    """The counts add up to the cells of both notebooks, the lines to the difference in their lengths."""
    old, new = pair
    changes = diff(old, new)
    counts = summary(changes)
    sides = [[cell for cell in (one.settings, *one.cells) if cell] for one in pair]
    layout = sum(change.aspects == (Aspect.LAYOUT,) and change.cell.raw == b"" for change in changes)
    both = counts.changed + counts.moved + counts.same
    if not layout:
        assert (counts.removed + both, counts.added + both) == (len(sides[0]), len(sides[1]))
    grown = sum(len(cell.lines) for cell in sides[1]) - sum(len(cell.lines) for cell in sides[0])
    assert counts.lines_added - counts.lines_removed == grown


BASE = ["import os", "def load():\n    a\n    b\n    c", magic("%sql\nselect 1\nfrom a\nwhere x"), "print(1)", "last()"]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (BASE, "s11 s22 s33 s44 s55"),
        (["new()", *BASE], "a-1 s12 s23 s34 s45 s56"),
        ([*BASE[:2], *BASE[3:]], "s11 s22 r3- s43 s54"),
        (["import os, sys", *BASE[1:]], "c11 s22 s33 s44 s55"),
        ([*BASE[1:], BASE[0]], "s21 s32 s43 s54 m15"),
        ([BASE[4], *BASE[:4]], "m51 s12 s23 s34 s45"),
        ([BASE[0], BASE[0], *BASE[1:]], "s11 a-2 s23 s34 s45 s56"),
        ([BASE[0], "", *BASE[1:]], "s11 a-2 s23 s34 s45 s56"),
        ([BASE[3], BASE[0] + ", sys", BASE[1] + "\n    d", *BASE[2:3], BASE[4]], "m41 c12 c23 s34 s55"),
        ([*BASE[2:], BASE[0], BASE[1].replace("b", "q") + "\n    d\n    e\n    f"], "r2- s31 s42 s53 m14 a-5"),
        ([*BASE[2:], BASE[0], BASE[1] + "\n    d"], "s31 s42 s53 m14 m25"),
        (["entirely", "other words", "here"], "r1- r2- r3- r4- r5- a-1 a-2 a-3"),
        ([], "r1- r2- r3- r4- r5- a-1"),
    ],
)
def test_edits(new: list[str], expected: str) -> None:
    """Common edits are told as a person would tell them."""
    changes = diff(notebook(BASE), notebook(new))
    found = [(kind[0], *("-" if at is None else str(at) for at in places)) for kind, *places in told(changes)]
    assert " ".join("".join(parts) for parts in found) == expected


def test_one_word_of_a_short_cell() -> None:
    """A short cell in which a word changed is told as changed, with both lines."""
    (change,) = diff(notebook(["display(df)"]), notebook(["display(df.limit(5))"]))
    assert change.kind is ChangeKind.CHANGED
    assert change.lines == (("-", "display(df)"), ("+", "display(df.limit(5))"))


def test_lines_that_are_indented_are_the_same_cell() -> None:
    """A cell whose lines all moved to the right is changed, not replaced."""
    text = library_cells()[5]
    wrapped = "if True:\n" + "\n".join(f"    {line}" for line in text.split("\n"))
    assert [change.kind for change in diff(notebook([text]), notebook([wrapped]))] == [ChangeKind.CHANGED]


def test_other_language() -> None:
    """Half of the words in common make two cells alike in one language, and not in two."""
    new = ["a c", magic("%sql\na c")]
    assert [len(diff(notebook(["a b"]), notebook([text]))) for text in new] == [1, 2]


def test_a_short_cell_elsewhere_is_another() -> None:
    """A cell of one line that looks much like a removed one elsewhere is not taken for it; one of three lines is."""
    stays = ["import os", "load()", "save()"]
    for lines, expected in ((1, "added removed same same same"), (3, "moved same same same")):
        old, new = ("\n".join(["a b c d e f g h"] * (lines - 1) + [last]) for last in ("i j k l m", "i j k l n"))
        changes = diff(notebook([old, *stays]), notebook([*stays, new]))
        assert " ".join(sorted(change.kind.value for change in changes)) == expected


def test_shuffled_and_changed() -> None:
    """Cells of real text are known again when each was changed and all were shuffled."""
    cells = [piece for piece in library_cells() if piece.count("\n") > 12][:60]
    new = [f"{piece}\n# changed" for piece in cells]
    random.Random(1).shuffle(new)
    changes = diff(notebook(cells), notebook(new))
    assert all((change.old or change.cell).text + "\n# changed" == change.cell.text for change in changes)
    assert {change.kind for change in changes} == {ChangeKind.CHANGED, ChangeKind.MOVED}


def test_short_changes_all_over_a_long_notebook() -> None:
    """Between cells that stayed, a changed one-liner is known again however much changed elsewhere."""
    stays = [f"def stay_{at}():\n    pass" for at in range(60)]
    old = [text for at, stay in enumerate(stays) for text in (stay, f"run({at})")]
    new = [text for at, stay in enumerate(stays) for text in (stay, f"run({at}, 1)")]
    changes = diff(notebook([*(f"old {at} {at}" for at in range(20)), *old]), notebook(new))
    assert summary(changes) == CellSummary(removed=20, changed=60, same=60, lines_added=60, lines_removed=80)


@pytest.mark.parametrize(
    ("old", "new", "aspects"),
    [
        ("# DBTITLE 1,A\nx", "# DBTITLE 1,B\nx", (Aspect.TITLE,)),
        ("# DBTITLE 1,A\nx", "# DBTITLE 0,A\nx", (Aspect.TITLE,)),
        ("# DBTITLE 1,A\nx", "x", (Aspect.TITLE,)),
        ("select 1", magic("%sql\nselect 1"), (Aspect.LANGUAGE,)),
        (magic("%md\nx"), magic("%md-sandbox\nx"), (Aspect.LANGUAGE,)),
        ("# DBTITLE 1,A\nx = 1", "# DBTITLE 1,A\nwholly different", (Aspect.TEXT,)),
        ("# DBTITLE 1,A\nx = 1", "# DBTITLE 1,B\nx = 2", (Aspect.TEXT, Aspect.TITLE)),
    ],
)
def test_aspects(old: str, new: str, aspects: tuple[Aspect, ...]) -> None:
    """It is told what of a cell changed, and an equal title makes it the same cell."""
    (change,) = diff(notebook([old]), notebook([new]))
    assert (change.kind, change.aspects) == (ChangeKind.CHANGED, aspects)
    assert bool(change.lines) == (Aspect.TEXT in aspects)


@pytest.mark.parametrize(
    "new",
    [
        b"# Databricks notebook source\nx\n\n# COMMAND ----------\n\n# MAGIC %md a\n# MAGIC\n# MAGIC b\n",
        b"# Databricks notebook source\nx\n# COMMAND ----------\n\n# MAGIC %md a\n# MAGIC\n# MAGIC b",
        b"# Databricks notebook source\nx\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC a\n# MAGIC \n# MAGIC b",
    ],
)
def test_layout(new: bytes) -> None:
    """Where only the writing differs, that is told on its own, and the cells are the same."""
    old = parse(
        b"# Databricks notebook source\r\nx\r\n\r\n# COMMAND ----------\r\n\r\n# MAGIC %md a\r\n# MAGIC\r\n# MAGIC b",
        format=NotebookFormat.SOURCE,
    )
    changes = diff(old, parse(new, format=NotebookFormat.SOURCE))
    assert told(changes) == [("changed", 0, 0), ("same", 1, 1), ("same", 2, 2)]
    assert changes[0].aspects == (Aspect.LAYOUT,)


def test_environment() -> None:
    """The serverless environment is told like a cell with the number 0."""
    block = '# /// script\n# environment_version = "5"\n# ///\n'
    plain, old = notebook(["x"]), notebook([block + "x"])
    new = notebook([block.replace("5", "6") + "x"])
    assert told(diff(plain, old)) == [("added", None, 0), ("same", 1, 1)]
    assert told(diff(old, plain)) == [("removed", 0, None), ("same", 1, 1)]
    assert diff(old, new)[0].lines == (("-", 'environment_version = "5"'), ("+", 'environment_version = "6"'))


def test_only_outputs() -> None:
    """A notebook that was run again has cells of which only the outputs changed."""
    ran = code("y", outputs=[{"output_type": "stream", "text": "1"}])
    changes = diff(jupyter([code("x"), code("y")]), jupyter([code("x"), ran]))
    assert [change.aspects for change in changes] == [(), (), (Aspect.OUTPUTS,)]
    assert summary(changes) == CellSummary(changed=1, same=2)


def test_databricks_cell_ids() -> None:
    """In IPYNB a cell is known by its id, though every word of it changed and it stands elsewhere."""
    old = jupyter([code("a b c", nuid="1"), code("d e f", nuid="2"), code("g", nuid="3")])
    new = jupyter([code("d e f", nuid="2"), code("g", nuid="3"), code("x", nuid="1")])
    assert told(diff(old, new))[1:] == [("same", 2, 1), ("same", 3, 2), ("moved", 1, 3)]


def test_across_formats() -> None:
    """SOURCE and IPYNB of the same notebook differ in their settings only."""
    changes = diff(notebook(["x", magic("%md\ny")]), jupyter([code("x"), code("%md\ny")]))
    assert told(changes) == [("added", None, 0), ("same", 1, 1), ("same", 2, 2)]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("seed", range(3))
def test_real_text(language: Language, seed: int) -> None:
    """In notebooks of real text, a removed, an added, a changed and a moved cell are each told as that."""
    cells = library_notebook(language, seed=seed, count=40)
    new = list(cells)
    new[30] = new[30] + "\n" + (magic("# changed", language) if "MAGIC" in new[30] else "# changed")
    del new[20]
    new.insert(10, magic("%md\nA new cell", language))
    new.insert(35, new.pop(2))
    changes = diff(notebook(cells, language), notebook(new, language))
    gone = len(notebook(cells, language).cells[20].lines)
    expected = CellSummary(added=1, removed=1, changed=1, moved=1, same=37, lines_added=2, lines_removed=gone)
    assert summary(changes) == expected


def _large(count: int, cell: str) -> list[str]:
    return [cell.format(at) for at in range(count)]


BODY = "def load_{0}():\n" + "\n".join(f"    step_{at}({{0}})" for at in range(15))


@pytest.mark.parametrize(
    ("old", "new", "limit_s"),
    [
        pytest.param(
            _large(2_000, BODY), [*_large(1_000, BODY), "x", *_large(2_000, BODY)[1_001:]], 0.5, id="small-edit"
        ),
        pytest.param(_large(2_000, BODY), _large(2_000, BODY + "\nx"), 5, id="all-changed"),
        pytest.param(_large(2_000, BODY), _large(2_000, BODY + "\nx")[::-1], 5, id="all-changed-reversed"),
        pytest.param(["x = 1"] * 5_000, ["x = 1"] * 4_000, 2, id="identical"),
        pytest.param(["x = 1"] * 5_000, ["x = 2"] * 5_000, 5, id="identical-each-changed"),
        pytest.param(["a", "b"] * 2_500, ["b", "b", "a"] * 1_666, 5, id="two-kinds"),
        pytest.param([""] * 5_000, ["x"] * 5_000, 5, id="empty"),
    ],
)
def test_bounded(old: list[str], new: list[str], limit_s: float) -> None:
    """Thousands of cells are compared within seconds, and after a small edit at once."""
    pair = notebook(old), notebook(new)
    start = time.process_time()
    changes = diff(*pair)
    assert time.process_time() - start < limit_s
    assert apply(changes, pair[0]) == [cell.lines for cell in pair[1].cells]


@pytest.mark.parametrize("kinds", [2, 150, 5_000])
def test_long_cells_are_bounded(kinds: int) -> None:
    """The lines of one cell of thirty thousand are compared within seconds, however often they repeat."""
    rng = random.Random(kinds)
    pair = [notebook(["\n".join(f"x{rng.randrange(kinds)}" for _ in range(30_000))]) for _ in range(2)]
    start = time.process_time()
    diff(*pair)
    assert time.process_time() - start < 5


def test_deterministic() -> None:
    """The same two notebooks give the same changes, also where cells repeat."""
    rng = random.Random(3)
    old, new = ([rng.choice(["a", "b\nc\nd", "b\nc\ne", ""]) for _ in range(300)] for _ in range(2))
    first, second = (diff(notebook(old), notebook(new)) for _ in range(2))
    assert first == second
    assert parse(source(old), format=NotebookFormat.SOURCE) == notebook(old)
    assert isinstance(first[0].cell, Cell)

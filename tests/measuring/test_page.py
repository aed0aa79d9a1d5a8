"""The page of the benchmarks: tables, targets, and sections that stay when another is measured anew."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Row
from benchmarks.page import PAGE, Column, Result, load, render, save, table, whole
from benchmarks.targets import TARGETS, figure, quotient, total, worst

SYNC = Row("first sync", 70_000, figures={"wall_s": 60.0, "saved_per_s": 1166.0, "cpu_own_s": 30, "cpu_git_s": 31})


def result(program: str, name: str, *rows: Row) -> Result:
    return Result(program, name, f"python -m benchmarks.{program}", "2026-11-21T02:00Z", "abc1234", "2 cores", rows)


def test_a_table_has_the_columns_that_were_measured() -> None:
    """Columns and rows without any figure are left out; a single missing one is a dash."""
    columns = [Column("A", "a", whole), Column("B", "b", whole), Column("C", "c", whole)]
    rows = [Row("one", 1000, figures={"a": 1234.4}), Row("two", 5, figures={"c": 2}), Row("none", 5, figures={"d": 2})]
    assert table(columns, rows).splitlines() == [
        "| notebooks | scenario | A | C |",
        "| --- | --- | --- | --- |",
        "| 1,000 | one | 1,234 | - |",
        "| 5 | two | - | 2 |",
    ]


def test_limits_are_a_column_where_there_are_any() -> None:
    """Rows with and without limits can stand in one table."""
    rows = [Row("one", 1, "60/s", {"a": 1}), Row("one", 1, "", {"a": 2})]
    lines = table([Column("A", "a", whole)], rows).splitlines()
    assert lines[2:] == ["| 1 | 60/s | one | 1 |", "| 1 | none | one | 2 |"]


def test_other_sections_stay(tmp_path: Path) -> None:
    """Measuring one thing anew replaces its own result and leaves the others on the page."""
    save(result("sync", "sync-70000", SYNC), tmp_path)
    save(result("day", "day-70000", Row("a day, editors anywhere", 70_000, figures={"objects": 10_000})), tmp_path)
    save(result("sync", "sync-70000", Row("first sync", 70_000, figures={"wall_s": 44.0})), tmp_path)
    text = render(load(tmp_path))
    assert "| 70,000 | a day, editors anywhere | 10,000 |" in text
    assert "| 70,000 | first sync | 44.0 |" in text
    assert "60.0" not in text


def test_targets_beside_what_was_measured() -> None:
    """A target is met, missed or not measured, and the page says which."""
    lines = render([result("sync", "sync-70000", SYNC)]).splitlines()
    assert "| first sync of 70,000, notebooks/s | at least 1,000 | 1,166 | yes |" in lines
    assert "| first sync of 70,000, CPU of nbvault and git | under 60 s | 61.0 s | **no** |" in lines
    assert "| nothing changed in 70,000 | under 8 s | - | not measured |" in lines


def test_targets_find_their_figures() -> None:
    """Figures are found by scenario, size and limits; what was not measured is None, never 0."""
    rows = [Row("a", 5000, "60/s", {"x": 6.0, "y": 3.0}), Row("b", 5000, "60/s", {"x": 8.0})]
    x, y, none = figure("a", 5000, "x", "60/s"), figure("a", 5000, "y", "60/s"), figure("a", 5000, "x")
    assert (x(rows), y(rows), none(rows)) == (6.0, 3.0, None)
    assert (total(x, y)(rows), total(x, none)(rows)) == (9.0, None)
    assert (quotient(x, y)(rows), quotient(x, none)(rows)) == (2.0, None)


def test_the_worst_under_a_limit_counts() -> None:
    """Of several limits and sizes the worst counts, save those of worlds too small to tell."""
    rows = [Row("a", 5000, "60/s", {"x": 6.0}), Row("b", 9000, "30/s", {"x": 8.0}), Row("a", 400, "60/s", {"x": 9.0})]
    assert worst("x", ["60/s", "30/s"])(rows) == 8.0
    assert worst("x", ["60/s", "30/s"], ["a"])(rows) == 6.0
    assert worst("x", ["", "40/s"])(rows) is None


def test_the_page_is_that_of_the_kept_results() -> None:
    """docs/benchmarks.md is what the results render to, with every target on it."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == render(load())
    assert [target.name for target in TARGETS if f"| {target.name} |" not in text] == []

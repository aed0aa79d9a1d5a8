"""Rows of several runs become one."""

from __future__ import annotations

import json

from benchmarks.figures import Row, medians, ratio


def run(wall_s: float, peak: float, scenario: str = "first sync") -> Row:
    return Row(scenario, 10, figures={"wall_s": wall_s, "peak_all_mb": peak, "lists": 3})


def test_medians_of_times_and_the_largest_of_peaks() -> None:
    """Each figure has its own median, so that an odd run does not count; of memory the worst run does."""
    found = medians([run(9.0, 50), run(1.0, 80), run(2.0, 60)])
    wanted = {"wall_s": 2.0, "peak_all_mb": 80, "lists": 3, "runs": 3, "wall_min_s": 1.0, "wall_max_s": 9.0}
    assert [dict(row.figures) for row in found] == [wanted]


def test_scenarios_sizes_and_limits_stay_apart() -> None:
    """Only runs of the same thing are put together, in the order in which they came; one run has no range."""
    limited = Row("first sync", 10, "60/s", {"wall_s": 5.0})
    larger = Row("first sync", 20, "", {"wall_s": 6.0})
    found = medians([run(1.0, 1, "b"), limited, run(1.0, 1, "a"), larger])
    assert [row.key for row in found] == [("b", 10, ""), ("first sync", 10, "60/s"), ("a", 10, ""), larger.key]
    assert "wall_min_s" not in found[0].figures


def test_a_figure_that_one_run_lacks() -> None:
    """It is the median of the runs that have it."""
    rows = [Row("a", 1, figures={"x": 4.0}), Row("a", 1), Row("a", 1, figures={"x": 2.0})]
    assert medians(rows)[0].figures["x"] == 3.0


def test_rows_survive_json() -> None:
    """What is kept is what was measured, to the thousandth."""
    row = Row("first sync", 10, "60/s", {"wall_s": 1.23456, "lists": 3}, "a note")
    kept = Row.from_json(json.loads(json.dumps(row.as_json())))
    assert kept == Row("first sync", 10, "60/s", {"wall_s": 1.235, "lists": 3}, "a note")


def test_ratio() -> None:
    """Compared with nothing, it is 0 and no error."""
    assert (ratio(6, 3), ratio(6, 0)) == (2, 0)

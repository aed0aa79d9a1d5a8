"""The numbers that nbvault promises, and where among the measured rows each is found: pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Row, ratio

Measured = Callable[[Sequence[Row]], "float | None"]

SETTLED = 3000
FREE = ""
SIXTY = ("60/s", "60/s, 100 ms")
THIRTY = ("30/s", "30/s, 100 ms")
WHOLE_FOLDERS = "60/s, 100 ms, bulk on"
RESTORES = "30 imports/s, 100 ms"
CEILING = ("60/s, ceiling 55", "60/s, 100 ms, ceiling 60")


@dataclass(frozen=True, slots=True)
class Target:
    """A promise in words, the figure that it is about, and when it is kept."""

    name: str
    wanted: str
    measured: Measured
    is_met: Callable[[float], bool]
    shown: Callable[[float], str] = "{:,.0f}".format


def figure(scenario: str, notebooks: int, name: str, limits: str = FREE) -> Measured:
    """A figure of one row; None while that was not measured."""

    def found(rows: Sequence[Row]) -> float | None:
        values = [row.figures.get(name) for row in rows if row.key == (scenario, notebooks, limits)]
        return values[0] if values else None

    return found


def worst(name: str, limits: Sequence[str], scenarios: Sequence[str] = (), *, settled: int = SETTLED) -> Measured:
    """The largest value of a figure among the rows under any of these limits, in these scenarios or all.

    Worlds that are too small for a limit to matter more than the start of a program do not count.

    Args:
        settled: So many notebooks are not too few.
    """

    def found(rows: Sequence[Row]) -> float | None:
        chosen = [row for row in rows if row.limits in limits and (row.scenario in scenarios or not scenarios)]
        large = [row for row in chosen if row.notebooks >= settled]
        return max((row.figures[name] for row in large if name in row.figures), default=None)

    return found


def total(*parts: Measured) -> Measured:
    """The sum of figures, all measured."""

    def found(rows: Sequence[Row]) -> float | None:
        values = [part(rows) for part in parts]
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return found


def quotient(over: Measured, under: Measured) -> Measured:
    """One figure divided by another, both measured."""

    def found(rows: Sequence[Row]) -> float | None:
        above, below = over(rows), under(rows)
        return None if above is None or not below else ratio(above, below)

    return found


def peak(notebooks: int) -> Measured:
    """The highest peak of all processes in any unlimited sync of this size."""

    def found(rows: Sequence[Row]) -> float | None:
        chosen = [row for row in rows if row.scenario in (_FIRST, _QUIET, _DAY, _NEW)]
        exact = [row for row in chosen if row.notebooks == notebooks and row.limits == FREE]
        return max((row.figures["peak_all_mb"] for row in exact if "peak_all_mb" in row.figures), default=None)

    return found


_FIRST, _QUIET, _DAY, _NEW = "first sync", "nothing changed", "5 % changed", "5 % changed, new machine"
_RIVALS = ("SDK and GitPython", "export_dir")
_TENTHS, _SECONDS, _MB, _TIMES = "{:.1f}".format, "{:,.1f} s".format, "{:,.1f} MB".format, "{:.2f}".format
_SHARE, _HUNDREDTHS = "{:.1%}".format, "{:,.2f} s".format
_FOLDER = ("restore a folder, all overwritten", "restore a folder, all created")


def _look(scenario: str) -> Measured:
    return figure(scenario, 70_000, "wall_s")


TARGETS = (
    Target(
        "first sync of 70,000, notebooks/s",
        "at least 1,000",
        figure(_FIRST, 70_000, "saved_per_s"),
        lambda v: v >= 1000,
    ),
    Target(
        "first sync of 70,000, CPU of nbvault and git",
        "under 60 s",
        total(figure(_FIRST, 70_000, "cpu_own_s"), figure(_FIRST, 70_000, "cpu_git_s")),
        lambda v: v < 60,
        _SECONDS,
    ),
    Target(
        "first sync under 60 exports/s, against N/60 s",
        "at most 1.15",
        worst("times_limit", SIXTY, [_FIRST]),
        lambda v: v <= 1.15,
        _TIMES,
    ),
    Target(
        "the same, 70,000 in whole folders",
        "under 180 s",
        figure(_FIRST, 70_000, "wall_s", WHOLE_FOLDERS),
        lambda v: v < 180,
        _SECONDS,
    ),
    Target("3,500 of 70,000 changed", "under 20 s", figure(_DAY, 70_000, "wall_s"), lambda v: v < 20, _SECONDS),
    Target(
        "nothing changed in 70,000",
        "under 8 s",
        figure(_QUIET, 70_000, "wall_s"),
        lambda v: v < 8,
        _SECONDS,
    ),
    Target(
        "nothing changed, listings a folder",
        "1",
        quotient(figure(_QUIET, 70_000, "lists"), figure(_QUIET, 70_000, "folders")),
        lambda v: v == 1,
        _TIMES,
    ),
    Target(
        "throttled requests under 60 exports/s",
        "under 5 %",
        worst("throttled_share", SIXTY, [_FIRST]),
        lambda v: v < 0.05,
        _SHARE,
    ),
    Target(
        "throttled requests under an unknown 30 exports/s",
        "under 20 %",
        worst("throttled_share", THIRTY, [_FIRST]),
        lambda v: v < 0.20,
        _SHARE,
    ),
    Target("throttled requests with a ceiling set", "0", worst("throttled", CEILING), lambda v: v == 0),
    Target(
        "peak memory of all processes at 100,000",
        "under 400 MB",
        peak(100_000),
        lambda v: v < 400,
        _MB,
    ),
    Target(
        "peak memory, 100,000 against 10,000",
        "at most 1.5",
        quotient(peak(100_000), peak(10_000)),
        lambda v: v <= 1.5,
        _TIMES,
    ),
    Target(
        "new machine, 100 sessions in the vault: obtained before the first listing",
        "at most 30 MB",
        figure("next session, new machine", 70_000, "first_listing_mb"),
        lambda v: v <= 30,
        _MB,
    ),
    Target(
        "the same, time",
        "at most 10 s",
        figure("next session, new machine", 70_000, "first_listing_s"),
        lambda v: v <= 10,
        _SECONDS,
    ),
    Target(
        "new Git objects of a day's 3,620 changes, editors own engagements",
        "under 8,000",
        figure("a day, editors own engagements", 70_000, "objects"),
        lambda v: v < 8000,
    ),
    Target(
        "the same, editors anywhere",
        "under 13,000",
        figure("a day, editors anywhere", 70_000, "objects"),
        lambda v: v < 13_000,
    ),
    Target(
        "transfer of a daily sync of 70,000, to and from everything",
        "under 1,000 MB",
        total(*(figure(_NEW, 70_000, name) for name in ("workspace_mb", "git_up_mb", "git_down_mb"))),
        lambda v: v < 1000,
        _MB,
    ),
    Target(
        "one notebook restored, 100 ms latency",
        "under 2 s",
        figure("restore one notebook", 1, "wall_s", RESTORES),
        lambda v: v < 2,
        _HUNDREDTHS,
    ),
    Target(
        "a folder of 1,000 restored, against N/30 s",
        "at most 1.25",
        worst("times_limit", [RESTORES], _FOLDER, settled=1000),
        lambda v: v <= 1.25,
        _TIMES,
    ),
    Target(
        "plan of all 70,000",
        "under 10 s",
        figure("plan of everything", 70_000, "wall_s"),
        lambda v: v < 10,
        _SECONDS,
    ),
    Target(
        "the same, memory of all processes",
        "under 300 MB",
        figure("plan of everything", 70_000, "peak_all_mb"),
        lambda v: v < 300,
        _MB,
    ),
    Target("history of a notebook of 70,000", "under 1 s", _look("history"), lambda v: v < 1, _HUNDREDTHS),
    Target("search of 70,000, 100 sessions", "under 5 s", _look("search"), lambda v: v < 5, _SECONDS),
    Target("search of all their versions", "under 90 s", _look("search --all-versions"), lambda v: v < 90, _SECONDS),
    *(
        Target(
            f"{rival}'s wall time, {scenario} of 70,000",
            "at least 5 times ours",
            figure(f"{rival}, {scenario}", 70_000, "times_wall"),
            lambda v: v >= 5,
            _TENTHS,
        )
        for rival in _RIVALS
        for scenario in (_FIRST, _DAY)
    ),
)

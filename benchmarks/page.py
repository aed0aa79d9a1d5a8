"""docs/benchmarks.md, rendered from the files in benchmarks/results: writing one section anew leaves the others be.

`python -m benchmarks.page` writes the page again without measuring anything.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Row
from benchmarks.targets import TARGETS, Target

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = RESULTS.parent.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Result:
    """What one command measured: which program, under which name it is kept, how, when and where."""

    program: str
    name: str
    command: str
    at: str
    commit: str
    machine: str
    rows: tuple[Row, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The content of a results file."""
        about = {name: getattr(self, name) for name in self.__slots__ if name != "rows"}
        return about | {"rows": [row.as_json() for row in self.rows]}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Result:
        """The inverse of `as_json`."""
        return cls(**{**kept, "rows": tuple(Row.from_json(row) for row in kept["rows"])})


class Column(NamedTuple):
    """A column of a table: its heading, the figure that it shows, and how."""

    heading: str
    figure: str
    shown: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Section:
    """The part of the page that a program writes: what it says, and the columns of its tables."""

    title: str
    text: str
    tables: tuple[tuple[Column, ...], ...]


def whole(value: float) -> str:
    """A number without decimals."""
    return f"{value:,.0f}"


def tenth(value: float) -> str:
    """A number with one decimal."""
    return f"{value:,.1f}"


def hundredth(value: float) -> str:
    """A number with two decimals."""
    return f"{value:,.2f}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"


TIME = (
    Column("runs", "runs", whole),
    Column("saved", "saved", whole),
    Column("wall s", "wall_s", tenth),
    Column("fastest", "wall_min_s", tenth),
    Column("slowest", "wall_max_s", tenth),
    Column("saved/s", "saved_per_s", whole),
    Column("x limit", "times_limit", hundredth),
    Column("CPU s client", "cpu_own_s", tenth),
    Column("CPU s git", "cpu_git_s", tenth),
    Column("CPU s emulator", "cpu_emulator_s", tenth),
    Column("CPU s its git", "cpu_server_git_s", tenth),
    Column("CPU s others", "cpu_others_s", tenth),
    Column("load before", "load", tenth),
)
COST = (
    Column("lists", "lists", whole),
    Column("exports", "exports", whole),
    Column("folder exports", "folder_exports", whole),
    Column("imports", "imports", whole),
    Column("other requests", "other_requests", whole),
    Column("429s", "throttled", whole),
    Column("share of 429s", "throttled_share", percent),
    Column("MB from workspace", "workspace_mb", tenth),
    Column("MB to Git", "git_up_mb", tenth),
    Column("MB from Git", "git_down_mb", tenth),
    Column("new objects", "objects", whole),
    Column("of them trees", "trees", whole),
    Column("commits", "commits", whole),
    Column("peak MB all", "peak_all_mb", whole),
    Column("peak MB client", "peak_own_mb", whole),
    Column("peak MB git", "peak_git_mb", whole),
)
BEGINNING = (
    Column("sessions before", "sessions", whole),
    Column("s to first listing", "first_listing_s", tenth),
    Column("MB from Git by then", "first_listing_mb", tenth),
)
AGAINST = (
    Column("x nbvault, wall", "times_wall", tenth),
    Column("x nbvault, CPU", "times_cpu", tenth),
    Column("x nbvault, MB to Git", "times_up", tenth),
    Column("x nbvault, peak MB", "times_peak", tenth),
    Column("70,000 at this rate, min", "extrapolated_min", tenth),
)

SCREENED = (
    Column("reported", "reported", whole),
    Column("share reported", "reported_share", percent),
    Column("KB each", "kb_each", tenth),
    Column("µs each", "us_each", whole),
    Column("share of the client's CPU", "client_share", percent),
)
FLOOR = (
    Column("wall s", "wall_s", tenth),
    Column("CPU s client", "cpu_own_s", tenth),
    Column("CPU s git", "cpu_git_s", tenth),
    Column("CPU ms each", "cpu_ms_each", hundredth),
)
PEOPLE = (
    Column("answers", "asked", whole),
    Column("failed", "failures", whole),
    Column("p50 ms", "p50_ms", whole),
    Column("p95 ms", "p95_ms", whole),
    Column("slowest ms", "slowest_ms", whole),
)
SERVER = (
    Column("s to ready", "ready_s", tenth),
    Column("RSS MB, with its git", "rss_mb", whole),
    Column("PSS MB, with its git", "peak_all_mb", whole),
)

SECTIONS = {
    "floor": Section(
        "This machine",
        "What the parts cost by themselves here, with nothing of nbvault: requests of the HTTP client alone, and files "
        "of `git fast-import` alone. Seconds of two machines, or of one on two days, compare by these. The targets "
        "were set on two cores where such a request took 0.09 ms of CPU.",
        (FLOOR,),
    ),
    "sync": Section(
        "Sync",
        "Each run has a new vault. *Slice of the day*: the first session after the first sync also exports a "
        "thirtieth of all notebooks, whatever their times say. *5 % changed*: a twentieth edited by 50 "
        "people, and one in 1,750 created, deleted and moved. A sync that found deletions lists its folders "
        "twice: that is the proof of [design.md](design.md), section 4. *New machine*: neither local "
        "repository nor state store. *x limit*: wall time over the exports divided by the limit. "
        "*Share of 429s*: among the requests of the kinds that were ever refused.",
        (TIME, COST),
    ),
    "day": Section(
        "A day of 50 editors",
        "3,500 notebooks of 70,000 edited, 40 created, 40 moved and 40 deleted (fewer in proportion at other "
        "sizes): each editor in engagements of their own, or anyone anywhere. Each editor gets a commit, and "
        "each commit has new trees on the way to what it changed.",
        (TIME, COST),
    ),
    "past": Section(
        "A vault with a past",
        "A hundred sessions, a day apart, lie in the vault. *New machine* begins with nothing and does the "
        "next session: what it must obtain from the Git server, and how long that takes, until its first "
        "listing. `history`, `show` and `diff` are whole commands; the first `history` on a machine fetches "
        "the commits and trees of all history.",
        (TIME, COST, BEGINNING),
    ),
    "reports": Section(
        "Change reports",
        "Whole `nbvault changes` commands on one vault with a year and more of sessions, each by five people. Without "
        "`no cells`, cells and lines of the newest 5,000 changes are compared (HTML: 2,000).",
        (TIME, COST),
    ),
    "screening": Section(
        "Looking for credentials",
        "*Ordinary source*: files of Python's library and of installed packages, without credentials; what is "
        "reported there is an error. Time is that of one process, for each notebook, beside the CPU that a first "
        "sync of the same world costs nbvault and its git, screening included.",
        (SCREENED,),
    ),
    "recovery": Section(
        "Restore and verify",
        "Whole commands. *Limited*: 30 imports/s, 60 exports/s, 100 ms latency; *x limit* is then wall time "
        "over the imports divided by 30.",
        (TIME, COST),
    ),
    "web": Section(
        "The page",
        "`nbvault serve` with 50 people who look around and 10 who restore, all at once, with tokens of their own "
        "and for the first time: whatever they may see is asked of the workspace, the emulator, on the same two "
        "cores as page, Git server and locust. Somebody opens a page every 5 to 15 seconds, types 3 letters a "
        "second, looks at a plan for 3 to 8 seconds; a browser asks for a task every 0.7 seconds. *Limits*: how "
        "long the workspace waits before each answer. `/api/me, first time` always waits for the workspace; other "
        "addresses do where nobody asked yet what that person may see in a folder. What would take longer than "
        "`web.patience_s` is answered then, with how far it is: such an answer counts under the address, the time "
        "until all was there under *whole*. Plans, restores and comparisons with the live notebook are tasks. The page "
        "has the texts of all versions already; *fresh*: it begins to fetch them when the people come. *First paint*: "
        "in a browser without anything of the page, before they come.",
        (PEOPLE, SERVER),
    ),
    "rivals": Section(
        "Against the obvious",
        "The same world and emulator, one after the other. *SDK and GitPython*: databricks-sdk in 20 threads,"
        " a working tree, GitPython's `index.add` and `index.commit` for every 1,000 files, a push; every night"
        " all of it again. *export_dir*: `databricks workspace export_dir` of the legacy databricks-cli 0.18 into"
        " an emptied folder, `git add -A`, commit, push. *SDK, only what changed*: what one has after some weeks"
        " with the first of them, and no target of ours: git's own commands, and `modified_at` in a JSON file,"
        " so that a night exports only what changed. It lists once and believes it, where we list twice to"
        " prove what is gone, and nobody reads back what it wrote. Client, emulator and both sides of git share two"
        " cores: without latency whoever does one thing after the other loses nothing by it, while the parts of our"
        " first sync keep both cores busy for four fifths of its time. A workspace that takes 20 ms to answer is"
        " nearer to life. Programs and pinned requirements are in `benchmarks/rivals`.",
        (TIME, COST, AGAINST),
    ),
}


def save(result: Result, folder: Path = RESULTS) -> None:
    """Keep a result, in place of an older one of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.as_json(), indent=1, ensure_ascii=False) + "\n"
    (folder / f"{result.name}.json").write_text(text, encoding="utf-8")


def load(folder: Path = RESULTS) -> list[Result]:
    """Every result that is kept, by name."""
    return [Result.from_json(json.loads(file.read_text("utf-8"))) for file in sorted(folder.glob("*.json"))]


def render(results: Sequence[Result]) -> str:
    """The whole page."""
    rows = [row for result in results for row in result.rows]
    parts = [_HEAD, "## Targets\n\n" + _targets_table(TARGETS, rows)]
    for program, section in SECTIONS.items():
        own = [result for result in results if result.program == program]
        if own:
            parts.append(_section(section, own))
    return "\n\n".join(parts) + "\n"


def table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Those rows and columns that have a figure; empty if there are none."""
    rows = [row for row in rows if any(column.figure in row.figures for column in columns)]
    used = [column for column in columns if any(column.figure in row.figures for row in rows)]
    if not used:
        return ""
    limited = any(row.limits for row in rows)
    head = ["notebooks", *(["limits"] if limited else []), "scenario", *(column.heading for column in used)]
    lines = []
    for row in rows:
        names = [f"{row.notebooks:,}", *([row.limits or "none"] if limited else []), row.scenario]
        lines.append(names + [_cell(column, row) for column in used])
    return markdown(head, lines)


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table as Markdown has it."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines))


def _cell(column: Column, row: Row) -> str:
    value = row.figures.get(column.figure)
    return "-" if value is None else column.shown(value)


def _section(section: Section, results: Sequence[Result]) -> str:
    rows = sorted((row for result in results for row in result.rows), key=lambda row: (row.limits, row.notebooks))
    tables = [made for columns in section.tables if (made := table(columns, rows))]
    notes = dict.fromkeys(row.note for row in rows if row.note)
    told = [
        f"- `{result.command}`, {result.at[:10]}, at {result.commit}, on {result.machine}"
        for result in sorted(results, key=lambda result: result.name)
    ]
    text = textwrap.fill(section.text, 120, break_on_hyphens=False, break_long_words=False)
    return "\n\n".join([f"## {section.title}\n\n{text}", *tables, *notes, "\n".join(told)])


def _targets_table(targets: Sequence[Target], rows: Sequence[Row]) -> str:
    lines = []
    for target in targets:
        value = target.measured(rows)
        verdict = "not measured" if value is None else "yes" if target.is_met(value) else "**no**"
        lines.append([target.name, target.wanted, "-" if value is None else target.shown(value), verdict])
    return markdown(["what", "target", "measured", "met"], lines)


_HEAD = """# Benchmarks

`make bench` measures everything at small sizes (a quarter of an hour on two quiet cores), `make bench-full` at 10,000,
70,000 and 100,000 (an hour and a half), `make bench-whole` besides that 70,000 under 60 exports/s and the rivals at
70,000 (two hours and a half). They tell on stderr how far they are, print tables, and write this page from
`benchmarks/results/`, where each program keeps what it measured: what is not measured again stays. Each program can be
run alone; `--help` tells its options.

Workspace and Git server are the emulator, on the same machine and so on the same cores: read CPU seconds, counts and
ratios before wall times. *CPU s its git*: the server's side of Git. *CPU s others*: what everything else on the machine
used meanwhile; *load before*: the load average as the run began. Figures are medians of the runs, peaks the largest of
them. *Client*: nbvault, or the rival itself; *CPU s git*: its git processes. *Peak MB all*: the client and its git
processes together at one moment, by PSS from `/proc`, looked at 20 times a second, so that a page that several
processes map is counted once; *peak MB client* and *peak MB git* are resident sets, the latter of the largest single
git process. *MB from* and *to*: millions of bytes of HTTP bodies as they were on the wire."""


def write() -> None:
    """Write the page from what is kept."""
    PAGE.write_text(render(load()), encoding="utf-8")


if __name__ == "__main__":
    write()

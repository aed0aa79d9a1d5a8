"""What the benchmark programs share: a place to run, a day's work of people, one session measured, results kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import page
from benchmarks.figures import Row, medians
from benchmarks.meter import Cost, json_line, measured, require_linux
from nbvault_emulator.testing import Admin, Emulator

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = "/Clients"
YEARS = 5
# As at the first site: 47 notebooks in each folder of an engagement.
_A_FOLDER = 47
_CHUNK = 500
_GIT = "git-"


def emulator(notebooks: int, **options: Any) -> Emulator:
    """The world of that many notebooks, served by a process of its own; not started yet."""
    engagements = max(notebooks // (YEARS * _A_FOLDER), 1)
    return Emulator(notebooks=notebooks, years=YEARS, engagements=engagements, in_process=False, **options)


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for machines and repositories, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nbvault-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Machine:
    """A computer that backs an emulator up: a folder with a configuration, a local repository and a state store.

    Args:
        more: Further keys of the configuration, by section.
    """

    folder: Path
    emulator: Emulator
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        workspace = {"host": self.emulator.workspace_url, "token": "env:BENCH_WORKSPACE_TOKEN"}
        sections: dict[str, dict[str, Any]] = {
            "workspace": workspace,
            "vault": {"remote": self.emulator.git_url, "token": "env:BENCH_GIT_TOKEN"},
        }
        for name, keys in self.more.items():
            sections[name] = {**sections.get(name, {}), **keys}
        lines = []
        for name, keys in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def config(self) -> Path:
        """Its nbvault.toml."""
        return self.folder / "nbvault.toml"

    def environment(self) -> dict[str, str]:
        """With the tokens that its configuration names, and this project's packages."""
        tokens = {"BENCH_WORKSPACE_TOKEN": self.emulator.workspace_token, "BENCH_GIT_TOKEN": self.emulator.git_token}
        own = {name: value for name, value in os.environ.items() if not name.startswith("NBVAULT_")}
        return {**own, **tokens, "PYTHONPATH": str(ROOT)}

    def nbvault(self, *arguments: str, ok: Sequence[int] = (0,)) -> Cost:
        """A command of nbvault as people run it, measured."""
        command = [sys.executable, "-m", "nbvault.cli.main", *arguments, "--config", str(self.config)]
        return self.run(command, ok=ok)

    def run(self, command: Sequence[str], *, ok: Sequence[int] = (0,)) -> Cost:
        """Any command, measured, in its folder."""
        return measured(command, server=self.emulator.pid, cwd=self.folder, environment=self.environment(), ok=ok)

    def sync(self, scenario: str, notebooks: int, limits: str = "", rate: float = 0) -> Row:
        """One session and everything it cost.

        Args:
            rate: Exports a second that the workspace allows; 0 for as many as it can.

        Raises:
            CommandFailed: the session is not complete.
        """
        with counted(self.emulator) as moved:
            cost = self.nbvault("sync", "--json")
        row = Row(scenario, notebooks, limits, {**cost.figures(), **moved})
        return with_report(row, json_line(cost), rate=rate)


def with_report(row: Row, report: Mapping[str, Any], *, rate: float = 0) -> Row:
    """The row of a session with what its report says; ``rate`` as in `Machine.sync`."""
    figures: dict[str, float] = {**row.figures, **{name: report[name] for name in ("saved", "commits", "folders")}}
    if report["saved"]:
        figures["saved_per_s"] = report["saved"] / figures["wall_s"]
    if rate and figures.get("exports"):
        figures["times_limit"] = figures["wall_s"] * rate / figures["exports"]
    return replace(row, figures=figures)


@contextmanager
def counted(emulator: Emulator) -> Iterator[dict[str, float]]:
    """What moves between client and emulator meanwhile: requests by kind, bytes, new Git objects; filled at the end."""
    found: dict[str, float] = {}
    before = git_objects(emulator)
    emulator.reset_requests()
    yield found
    found |= traffic(emulator)
    found |= {kind: count - before.get(kind, 0) for kind, count in git_objects(emulator).items()}


def traffic(emulator: Admin) -> dict[str, float]:
    """Requests and bytes since the emulator's counts were reset."""
    requests, carried = emulator.requests(), emulator.traffic()
    answered = {kind: by_status.get("200", 0) for kind, by_status in requests.items()}
    workspace = {kind: by_status for kind, by_status in requests.items() if not kind.startswith(_GIT)}
    throttled = sum(by_status.get("429", 0) for by_status in workspace.values())
    # Of what has a limit, for any number of unlimited requests would make the share look small.
    limited = sum(sum(by_status.values()) for by_status in workspace.values() if "429" in by_status)
    named = {"lists": "list", "exports": "export", "folder_exports": "export-folder", "imports": "import"}
    found: dict[str, float] = {name: answered.get(kind, 0) for name, kind in named.items()}
    for name in ("folder_exports", "imports"):
        if not found[name]:
            del found[name]
    git = [way for kind, way in carried.items() if kind.startswith(_GIT)]
    return found | {
        "other_requests": sum(sum(by.values()) for kind, by in workspace.items() if kind not in named.values()),
        "throttled": throttled,
        "throttled_share": throttled / limited if limited else 0.0,
        "workspace_mb": sum(way["sent"] for kind, way in carried.items() if not kind.startswith(_GIT)) / 1e6,
        "git_up_mb": sum(way["received"] for way in git) / 1e6,
        "git_down_mb": sum(way["sent"] for way in git) / 1e6,
    }


def git_objects(emulator: Emulator) -> dict[str, int]:
    """How many objects the Git server's repository has, each counted once, and of which kind."""
    command = ["git", "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objecttype)"]
    done = subprocess.run(command, cwd=emulator.git_dir / "vault.git", capture_output=True, check=True)
    kinds = Counter(done.stdout.decode().split())
    return {"objects": kinds.total(), "blobs": kinds["blob"], "trees": kinds["tree"]}


class Day(NamedTuple):
    """How much people do in a day."""

    edited: int
    created: int
    deleted: int
    moved: int

    @classmethod
    def busy(cls, notebooks: int) -> Day:
        """A twentieth edited; 3,620 changes where there are 70,000 notebooks."""
        few = max(notebooks // 1750, 1)
        return cls(notebooks // 20, few, few, few)


def people_work(emulator: Admin, day: Day, *, seed: int, editors: int = 50, owners: bool = False) -> None:
    """Change the workspace as people do in a day: cells added to notebooks, some made, removed and renamed.

    Args:
        owners: Each editor works in engagements of their own; otherwise anyone works anywhere.
    """
    chooser = random.Random(seed)
    paths = sorted(each["path"] for each in emulator.world(WORKSPACE, brief=True))
    chosen = iter(chooser.sample(paths, day.edited + day.created + day.deleted + day.moved))
    owner_of = {folder: number % editors for number, folder in enumerate(dict.fromkeys(map(_folder, paths)))}

    def editor(path: str) -> str:
        return f"editor{owner_of[_folder(path)] if owners else chooser.randrange(editors)}@clients.example"

    changes: list[dict[str, Any]] = []
    for path in (next(chosen) for _ in range(day.edited)):
        text = _with_a_cell(_source(emulator, path), f"Looked at again in round {seed}: {path}")
        changes.append({"op": "edit", "path": path, "content": text, "editor": editor(path)})
    for path in (next(chosen) for _ in range(day.created)):
        text = _with_a_cell(_source(emulator, path), f"A copy, round {seed}: {path}")
        changes.append({"op": "create", "path": f"{path} copy {seed}", "content": text, "editor": editor(path)})
    changes += [{"op": "delete", "path": next(chosen)} for _ in range(day.deleted)]
    changes += [{"op": "move", "from": path, "to": f"{path} moved {seed}"} for path in chosen]
    for start in range(0, len(changes), _CHUNK):
        emulator.batch(changes[start : start + _CHUNK])


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _source(emulator: Admin, path: str) -> str:
    return str(emulator.world(path, content=True)[0]["content"])


def _with_a_cell(source: str, remark: str) -> str:
    """A notebook with one cell more in its middle."""
    mark = {"# ": "# ", "--": "-- ", "//": "// "}.get(source[:2], "# ")
    separator = f"\n\n{mark}COMMAND ----------\n\n"
    cells = source.split(separator)
    cells.insert(max(len(cells) // 2, 1), f"{mark}{remark}")
    return separator.join(cells)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every program takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1, help="runs of everything; tables have medians")
    parser.add_argument("--no-page", action="store_true", help="print only: keep no result, leave the page alone")
    return parser


def carry_out(program: str, name: str, options: argparse.Namespace, measure: Callable[[], Iterable[Row]]) -> list[Row]:
    """Measure as often as asked for, print the tables, keep the result and write the page.

    Args:
        name: Of the results file; another run under the same name replaces it.
        measure: One run: rows as they are measured.
    """
    require_linux()
    rows: list[Row] = []
    for run in range(options.runs):
        for row in measure():
            wall = f"{row.figures['wall_s']:8.1f} s" if "wall_s" in row.figures else ""
            told = f"{program} {run + 1}/{options.runs} {row.notebooks:>9,} {row.limits} {row.scenario}"
            print(f"{told:<76}{wall}", file=sys.stderr, flush=True)
            rows.append(row)
    result = _result(program, name, tuple(medians(rows)))
    for columns in page.SECTIONS[program].tables:
        print(page.table(columns, result.rows), end="\n\n", flush=True)
    if not options.no_page:
        page.save(result)
        page.write()
    return list(result.rows)


def _result(program: str, name: str, rows: tuple[Row, ...]) -> page.Result:
    spec = sys.modules["__main__"].__spec__
    module = spec.name if spec else f"benchmarks.{Path(sys.argv[0]).stem}"
    command = shlex.join(["python", "-m", module, *sys.argv[1:]])
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%MZ}"
    return page.Result(program, name, command, now, _commit(), _machine(), rows)


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, check=False)
    return done.stdout.decode().strip() or "an unknown commit"


def _machine() -> str:
    git = subprocess.run(["git", "--version"], capture_output=True, check=True).stdout.decode().split()[2]
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    python = platform.python_version()
    return f"{len(os.sched_getaffinity(0))} cores ({cpu}), {memory:.0f} GB, Python {python}, git {git}"

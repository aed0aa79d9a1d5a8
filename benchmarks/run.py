"""How long a sync takes and what it costs: python benchmarks/run.py --notebooks 10000 70000

The workspace and the Git server are the emulator, in a process of its own on the same machine, so the two share the
cores: read ratios and CPU seconds before wall times. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvault_emulator.testing import Emulator

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SCENARIOS = ("first sync", "nothing changed", "5 % changed", "5 % changed, new machine")


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario at one size, the median of its runs."""

    notebooks: int
    scenario: str
    wall_s: float
    own_cpu_s: float
    git_cpu_s: float
    own_peak_mb: float
    git_peak_mb: float
    report: dict[str, Any]

    @property
    def cells(self) -> list[str]:
        requests, saved = self.report["requests"], self.report["saved"]
        rate = f"{saved / self.wall_s:,.0f}" if saved else "-"
        counts = [f"{requests[kind]:,}" for kind in ("list", "export", "throttled")]
        times = [f"{value:.1f}" for value in (self.wall_s, self.own_cpu_s, self.git_cpu_s)]
        memory = [f"{value:.0f}" for value in (self.own_peak_mb, self.git_peak_mb)]
        size = f"{self.report['bytes_exported'] / 1e6:,.0f}"
        return [f"{self.notebooks:,}", self.scenario, f"{saved:,}", *times, rate, *counts, size, *memory]


HEAD = (
    "notebooks",
    "scenario",
    "saved",
    "wall s",
    "CPU s nbvault",
    "CPU s git",
    "saved/s",
    "lists",
    "exports",
    "429s",
    "MB exported",
    "peak MB nbvault",
    "peak MB git",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", type=int, nargs="+", default=[10_000])
    parser.add_argument("--runs", type=int, default=1, help="runs of everything; the table has medians")
    parser.add_argument("--export-rate", type=float, default=0, help="exports a second that the workspace allows")
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--no-page", action="store_true", help="print only, leave docs/benchmarks.md alone")
    options = parser.parse_args()
    rows = []
    for notebooks in options.notebooks:
        runs = [list(measure(notebooks, options)) for _ in range(options.runs)]
        rows += [median([run[place] for run in runs]) for place in range(len(SCENARIOS))]
    table = as_table(rows)
    print(table)
    if not options.no_page:
        PAGE.write_text(page(table, options), encoding="utf-8")


def measure(notebooks: int, options: argparse.Namespace) -> Iterator[Row]:
    """Every scenario, in order, on one world."""
    engagements = max(notebooks // 235, 1)
    with (
        workshop() as folder,
        Emulator(
            notebooks=notebooks,
            years=5,
            engagements=engagements,
            export_rate=options.export_rate,
            latency_ms=options.latency_ms,
            in_process=False,
        ) as emulator,
    ):
        config = configure(folder / "a", emulator)
        yield session(notebooks, SCENARIOS[0], config, emulator)
        # The first session of a day after the first one also does the daily slice; it is not what is measured here.
        session(notebooks, "slice of the day", config, emulator)
        yield session(notebooks, SCENARIOS[1], config, emulator)
        edit(emulator, notebooks, seed=1)
        yield session(notebooks, SCENARIOS[2], config, emulator)
        edit(emulator, notebooks, seed=2)
        yield session(notebooks, SCENARIOS[3], configure(folder / "b", emulator), emulator)


@contextmanager
def workshop() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="nbvault-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def configure(folder: Path, emulator: Emulator) -> Path:
    folder.mkdir()
    file = folder / "nbvault.toml"
    file.write_text(
        f'[workspace]\nhost = "{emulator.workspace_url}"\ntoken = "env:BENCH_WORKSPACE_TOKEN"\n'
        f'[vault]\nremote = "{emulator.git_url}"\ntoken = "env:BENCH_GIT_TOKEN"\n',
        encoding="utf-8",
    )
    return file


def session(notebooks: int, scenario: str, config: Path, emulator: Emulator) -> Row:
    tokens = {"BENCH_WORKSPACE_TOKEN": emulator.workspace_token, "BENCH_GIT_TOKEN": emulator.git_token}
    command = [sys.executable, str(HERE / "session.py"), str(config)]
    done = subprocess.run(command, env={**os.environ, **tokens}, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    report = found.pop("report")
    if report["status"] != "complete":
        raise SystemExit(f"{scenario} at {notebooks:,} ended as {report['status']}: {report.get('error')}")
    print(f"{notebooks:>9,} {scenario:<26} {found['wall_s']:6.1f} s", file=sys.stderr)
    return Row(notebooks, scenario, report=report, **found)


def edit(emulator: Emulator, notebooks: int, *, seed: int) -> None:
    """Five in a hundred notebooks edited by their engagement's people, and a few moved and deleted."""
    chooser = random.Random(seed)
    paths = [entry["path"] for entry in emulator.world()]
    chosen = chooser.sample(paths, notebooks // 20 + notebooks // 500)
    edited, others = chosen[: notebooks // 20], chosen[notebooks // 20 :]
    operations: list[dict[str, Any]] = [
        {"op": "edit", "path": path, "content": text(path, seed), "editor": f"person{hash(path) % 50}@example.com"}
        for path in edited
    ]
    operations += [{"op": "move", "from": path, "to": f"{path} moved"} for path in others[: len(others) // 2]]
    operations += [{"op": "delete", "path": path} for path in others[len(others) // 2 :]]
    emulator.batch(operations)


def text(path: str, seed: int) -> str:
    """A notebook of about the median size whose text is its own."""
    source = (HERE / "run.py").read_text(encoding="utf-8")
    return f"# Databricks notebook source\n# {path} {seed}\n\n# COMMAND ----------\n\n{source}"


def median(rows: list[Row]) -> Row:
    """The run in the middle, by wall time."""
    return sorted(rows, key=lambda row: row.wall_s)[len(rows) // 2] if len(rows) > 1 else rows[0]


def as_table(rows: list[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def page(table: str, options: argparse.Namespace) -> str:
    limits = f"{options.export_rate:g} exports/s" if options.export_rate else "no rate limit"
    cores = os.cpu_count()
    return (
        "# Benchmarks\n\n"
        "Written by `make bench` (10,000 notebooks) or `make bench-full` (10,000 and 70,000); the program is\n"
        "`benchmarks/run.py`. Workspace and Git server are the emulator, on the same machine and so on the same\n"
        "cores: read CPU seconds and ratios before wall times. *New machine*: neither local repository nor state\n"
        "store. A sync that found deletions lists its folders twice: that is the proof of design.md, section 4.\n"
        "*Peak MB git* is the largest single git process.\n\n"
        f"{cores} cores, Python {platform.python_version()}, {limits}, {options.latency_ms} ms latency, "
        f"median of {options.runs}.\n\n{table}\n"
    )


if __name__ == "__main__":
    main()

"""The page under load: python -m benchmarks.web --notebooks 70000 --sessions 400

Fifty people look around while ten restore (`benchmarks.web_users` says how fast), all with tokens of their own, for the
first time: what they may see is asked of the workspace. The page is a process of its own behind a pretended proxy, on a
clone of its own, as a Databricks App has it; locust, in a virtual environment of its own for it brings much along, is
the people. `--keep` names a folder where the world is made once, `--prepare` only makes it and the clone. The page has
been running for a while, so that it has the texts of all versions; with `--fresh` it has none. Exits 1 if an answer is
over the target, be it the first one or the whole one, or the memory is.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.figures import Row
from benchmarks.harness import arguments, carry_out, workshop
from benchmarks.meter import Sampler
from benchmarks.web_paint import first_paints
from benchmarks.web_world import World, variables
from nbvault.clock import SystemClock
from nbvault.settings import load_settings
from nbvault.web.stock import Stock
from nbvault.web.warm import WarmVault
from nbvault_emulator.testing import Emulator

TARGET_MS = 300
PAINT_MS = 1000
TARGET_MB = 400
PEOPLE = 60
_USERS = Path(__file__).with_name("web_users.py")
_PAINT = "first paint of "
# Rows that are no page's answer.
_OTHERS = ("Aggregated", "a restore, from confirmed to proven")


class Server(NamedTuple):
    """The page as a process."""

    url: str
    pid: int
    ready_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: a copy of the world, and the clone of the page."""

    folder: Path
    world: World

    @property
    def page(self) -> Path:
        """What `nbvault serve` has beside it."""
        return self.folder / "page"

    @property
    def paths(self) -> list[str]:
        """Notebooks that were edited in the last session."""
        found: list[str] = self.world.facts["paths"]
        return found

    def prepare(self, *, texts: bool) -> Iterator[str]:
        """Copy the world, let the page clone the vault and fetch its texts; tells what that took."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.world.copy_to(self.folder)
        self.page.mkdir()
        with self.world.running(self.folder) as running:
            with self.serving(running, texts=False) as server:
                yield f"first start, with its clone: {server.ready_s:.1f} s, {self._size_mb():.0f} MB"
            if texts:
                began = time.monotonic()
                self._fetch_texts(running)
                yield f"the texts of all versions: {time.monotonic() - began:.1f} s, {self._size_mb():.0f} MB"

    def _fetch_texts(self, running: Emulator) -> None:
        """What the page does in the background, to its end."""
        settings = load_settings(environment=self._variables(running), cwd=self.page)
        warm = WarmVault(settings, clock=SystemClock())
        warm.open()
        try:
            if not Stock(settings, warm, clock=SystemClock()).fill():
                sys.exit("not all texts could be fetched")
        finally:
            warm.close()

    def _variables(self, running: Emulator) -> dict[str, str]:
        return variables(self.folder, running) | {"NBVAULT_VAULT__PATH": str(self.page / "vault.git")}

    def _size_mb(self) -> float:
        return sum(path.stat().st_size for path in self.page.rglob("*") if path.is_file()) / 1e6

    @contextmanager
    def serving(self, running: Emulator, *, texts: bool = True) -> Iterator[Server]:
        """`nbvault serve` behind a proxy; without ``texts`` it fetches none beforehand."""
        began = time.monotonic()
        web = {"NBVAULT_WEB__SIGN_IN": "proxy", "NBVAULT_WEB__PROXIES": "127.0.0.1"}
        environment = self._variables(running) | web | ({} if texts else {"NBVAULT_WEB__TEXTS_MB": "0"})
        command = [sys.executable, "-m", "nbvault.cli.main", "serve", "--port", "0"]
        process = subprocess.Popen(command, cwd=self.page, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            yield Server(url, process.pid, time.monotonic() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def main() -> int:
    """Measure what the command line asks for; returns the exit code."""
    parser = arguments(__doc__)
    parser.set_defaults(notebooks=70_000)
    parser.add_argument("--sessions", type=int, default=400, help="sessions of history")
    parser.add_argument("--changes", type=int, default=500, help="notebooks changed in each of them")
    parser.add_argument("--seconds", type=int, default=100)
    parser.add_argument("--latency-ms", type=int, default=0, help="of the workspace, before each answer")
    parser.add_argument("--keep", type=Path, help="keep the world here")
    parser.add_argument("--prepare", action="store_true", help="only make the world and the page's clone there")
    parser.add_argument("--fresh", action="store_true", help="the page has no texts yet when the people come")
    parser.add_argument("--profile", type=Path, help="py-spy's profile of the page goes here")
    options = parser.parse_args()
    with workshop() as folder:
        kept = options.keep.resolve() if options.keep else folder
        world = World(kept / "world", options.notebooks, options.sessions, options.changes)
        world.make()
        place = Place(kept / "run", world)
        if options.prepare or not place.page.exists():
            for told in place.prepare(texts=not options.fresh):
                print(told, flush=True)
        if options.prepare:
            locust(kept)
            return 0
        told_ms = [f"{options.latency_ms} ms"] if options.latency_ms else []
        limits = ", ".join([*told_ms, *(["fresh"] if options.fresh else [])])
        rows = carry_out(
            "web",
            f"web-{options.notebooks}{'-' * bool(limits)}{limits.replace(' ', '').replace(',', '-')}",
            options,
            lambda: measure(place, locust(kept), options, limits),
        )
        shutil.rmtree(place.folder)
        return judged(rows)


def measure(place: Place, program: Path, options: argparse.Namespace, limits: str) -> Iterator[Row]:
    """What each address took, then what the page needed."""
    with place.world.running(place.folder, latency_ms=options.latency_ms) as running, place.serving(running) as server:
        plan = place.folder / "plan.json"
        day = f"{datetime.now(timezone.utc):%Y-%m-%d}"
        tokens = [running.user_token(f"person{number}@clients.example") for number in range(PEOPLE)]
        plan.write_text(json.dumps({"paths": place.paths, "tokens": tokens, "day": day}), "utf-8")
        for name, found_ms in first_paints(server.url, running.user_token("first@clients.example"), place.paths):
            yield Row(f"{_PAINT}{name}", options.notebooks, limits, _of_times(found_ms))
        sampler = Sampler(server.pid)
        sampler.start()
        with profiled(server.pid, program, options.profile):
            told = loaded(place.folder, program, server.url, plan, seconds=options.seconds)
        sampler.end()
        for name, figures in told.items():
            yield Row(name, options.notebooks, limits, figures)
        memory = {"rss_mb": sampler.rss_mb, "peak_all_mb": sampler.all_mb, "peak_own_mb": sampler.own_mb}
        yield Row("the page as a process", options.notebooks, limits, {"ready_s": server.ready_s, **memory})


def locust(folder: Path) -> Path:
    """The program, installed where it is not yet."""
    venv = folder / "locust"
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", "locust>=2.32", "py-spy>=0.4"], check=True)
    return venv / "bin" / "locust"


@contextmanager
def profiled(pid: int, program: Path, to: Path | None) -> Iterator[None]:
    """Where the page spends its time, if somebody wants to know."""
    if to is None:
        yield
        return
    command = [
        str(program.with_name("py-spy")),
        "record",
        "--pid",
        str(pid),
        "--rate",
        "50",
        "--nonblocking",
        "--output",
        str(to),
    ]
    spy = subprocess.Popen([*command, "--format", "raw", "--threads"], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        spy.send_signal(signal.SIGINT)
        spy.wait(30)


def loaded(folder: Path, program: Path, url: str, plan: Path, *, seconds: int) -> dict[str, Mapping[str, float]]:
    """Let the people loose; what they waited for, by address."""
    command = [str(program), "-f", str(_USERS), "--headless", "-H", url, "-u", str(PEOPLE), "-r", "3"]
    command += ["-t", f"{seconds}s", "--csv", str(folder / "told"), "--only-summary"]
    own = {**os.environ, "NBVAULT_BENCH_PLAN": str(plan)}
    own.pop("PYTHONPATH", None)
    subprocess.run(command, env=own, check=False, stdout=sys.stderr)
    with (folder / "told_stats.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["50%"].isdigit()]
    return {row["Name"]: _figures(row) for row in rows}


def _of_times(found_ms: Sequence[float]) -> dict[str, float]:
    times = sorted(found_ms)
    most = times[-1]
    return {"asked": len(times), "failures": 0, "p50_ms": median(times), "p95_ms": most, "slowest_ms": most}


def _figures(row: Mapping[str, str]) -> dict[str, float]:
    return {
        "asked": int(row["Request Count"]),
        "failures": int(row["Failure Count"]),
        "p50_ms": float(row["50%"]),
        "p95_ms": float(row["95%"]),
        "slowest_ms": float(row["Max Response Time"]),
    }


def judged(rows: list[Row]) -> int:
    """1 if anything is over its target."""
    answers = [row for row in rows if "p95_ms" in row.figures and row.scenario not in _OTHERS]
    over = [row.scenario for row in answers if row.figures["p95_ms"] > _target_ms(row)]
    failed = [row.scenario for row in rows if row.figures.get("failures")]
    memory_mb = max(row.figures.get("rss_mb", 0) for row in rows)
    print(f"over {TARGET_MS} ms: {', '.join(over) or 'none'}; failed: {', '.join(failed) or 'none'}")
    print(f"memory {memory_mb:.0f} MB (target {TARGET_MB})")
    return int(bool(over or failed) or memory_mb > TARGET_MB)


def _target_ms(row: Row) -> float:
    return PAINT_MS if row.scenario.startswith(_PAINT) else TARGET_MS


if __name__ == "__main__":
    sys.exit(main())

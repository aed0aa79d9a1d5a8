"""Memory and time of a very large vault: python benchmarks/million.py 10000 100000 1000000

The workspace is in this process and made of arithmetic, so that what is measured is nbvault and its git processes: the
real engine, real git, a bare repository on this disk as the remote. No HTTP: benchmarks/run.py measures that. The
notebooks are small (about `--bytes`), for it is their number that is in question. Prints a JSON line for each session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from nbvault.backup.engine import GitSyncEngine
from nbvault.backup.surroundings import Surroundings
from nbvault.backup.survey import Survey
from nbvault.clock import SystemClock
from nbvault.gitstore.upkeep import sizes
from nbvault.model import Identity, Language, ListedObject, NotebookFormat, Person, RequestCounts
from nbvault.opening import opened_vault
from nbvault.settings import Settings, load_settings
from nbvault.wiring import lease_of, opened_state, sync_settings
from nbvault_emulator.plan import Plan

ROOT = "/Clients"
EDITED, EDITORS = 3_620, 50


class Arithmetic:
    """A workspace of which nothing is kept in memory; `edited` says which notebooks are not what they were.

    Of fifty editors each has engagements of their own or, with `spread`, anybody edits anywhere.
    """

    def __init__(self, notebooks: int, size_bytes: int, edited: frozenset[int], *, spread: bool) -> None:
        self.plan = Plan(notebooks=notebooks, years=5, engagements=max(notebooks // 235, 1), seed=1, oversize=0)
        self.stats = RequestCounts()
        self._size_bytes = size_bytes
        self._edited = edited
        self._spread = spread
        self._years = {name: number for number, name in enumerate(self.plan.year_names())}
        self.host = "https://arithmetic.invalid"

    async def me(self) -> Identity:
        return Identity("1", "nbvault@example.com", True)

    async def list_folder(self, path: str) -> list[ListedObject]:
        self.stats.list += 1
        names = path.split("/")[2:]
        if not names:
            return [ListedObject(number + 1, "DIRECTORY", f"{path}/{name}") for name, number in self._years.items()]
        year = self._years[names[0]]
        if len(names) == 1:
            inner = enumerate(self.plan.engagement_names(year))
            return [ListedObject(10**6 * (year + 1) + place, "DIRECTORY", f"{path}/{name}") for place, name in inner]
        group = int(names[1].removeprefix("ENG-")) - 1001
        if len(names) == 2:
            return [ListedObject(10**8 + group, "DIRECTORY", f"{path}/NOTEBOOKS")]
        return [
            ListedObject(
                n.object_id,
                "NOTEBOOK",
                f"{path}/{n.name}",
                Language(n.language),
                n.modified_at + (n.number in self._edited),
                n.interactive_at,
                str(n.interactive_user or ""),
            )
            for n in self.plan.members(group)
        ]

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        assert form is NotebookFormat.SOURCE
        self.stats.export += 1
        # A hundred in a row would keep everybody else waiting: a real export gives way as well.
        await asyncio.sleep(0)
        text = f"# Databricks notebook source\n# {path} {len(self._edited)}\n"
        return (text + "spark.table('ledger').count()\n" * (self._size_bytes // 31)).encode()

    async def export_folder(self, path: str) -> bytes:
        raise ValueError(f"{path}: this workspace has single exports only")

    async def inspect(self, path: str) -> tuple[ListedObject, NotebookFormat | None]:
        raise ValueError(f"{path}: this workspace has the SOURCE format only")

    async def editor_of(self, listed: ListedObject) -> Person:
        owner = listed.object_id if self._spread else int(listed.path.split("/")[3].removeprefix("ENG-"))
        who = random.Random(owner).randrange(EDITORS)
        return Person(f"Person {who}", f"person{who}@example.com")


class Quiet:
    """A screen that tells the stages on stderr."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._begun = time.monotonic()

    def began(self, session: str, started_at: datetime) -> None:
        pass

    def watch(self, survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        peak = f"{self._meter.peak_kb // 1024} MB at most"
        print(f"{time.monotonic() - self._begun:7.1f} s  {peak}  {text}", file=sys.stderr)


class Meter(threading.Thread):
    """The proportional memory of this process and all below it, together, every 0.2 s."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self.peak_kb = self.git_kb = 0

    def run(self) -> None:
        while not self._ended.wait(0.2):
            own, *others = (_pss_kb(pid) for pid in [os.getpid(), *_below(os.getpid())])
            self.peak_kb = max(self.peak_kb, own + sum(others))
            self.git_kb = max(self.git_kb, sum(others))

    def __enter__(self) -> Meter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _below(pid: int) -> list[int]:
    try:
        tasks = [task.read_text(encoding="ascii") for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    children = [int(child) for task in tasks for child in task.split()]
    return [*children, *(below for child in children for below in _below(child))]


async def session(settings: Settings, workspace: Arithmetic, meter: Meter) -> Any:
    clock, screen = SystemClock(), Quiet(meter)
    state = opened_state(settings, screen, clock=clock)
    with opened_vault(settings, writing=True, clock=clock) as vault:
        around = Surroundings(
            workspace,
            vault,
            lambda name: lease_of(settings, vault, name, sightings=state, say=screen.stage, clock=clock),
            workspace.editor_of,
            clock=clock,
            watcher=screen,
            stop=asyncio.Event(),
        )
        report = await GitSyncEngine(around, sync_settings(settings)).run()
        size = sizes(vault.git)
    state.close()
    return report, size


def measure(config: Path, notebooks: int, size_bytes: int, edited: int, spread: int) -> None:
    """One session in a process of its own, so that each begins with nothing."""
    numbers = [str(number) for number in (notebooks, size_bytes, edited, spread)]
    subprocess.run([sys.executable, __file__, "--one", str(config), *numbers], check=True)


def one(config: Path, notebooks: int, size_bytes: int, edited: int, spread: int) -> None:
    changed = frozenset(range(0, notebooks, max(notebooks // edited, 1))) if edited else frozenset[int]()
    workspace = Arithmetic(notebooks, size_bytes, changed, spread=bool(spread))
    settings = load_settings(config)
    begun = time.monotonic()
    with Meter() as meter:
        report, size = asyncio.run(session(settings, workspace, meter))
    own, git = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "notebooks": workspace.plan.notebooks,
        "edited": len(changed),
        "status": report.status.value,
        "saved": report.counts.saved,
        "wall_s": round(time.monotonic() - begun, 1),
        "cpu_s": round(own.ru_utime + own.ru_stime, 1),
        "git_cpu_s": round(git.ru_utime + git.ru_stime, 1),
        "peak_mb": meter.peak_kb // 1024,
        "git_peak_mb": meter.git_kb // 1024,
        "objects": size.objects,
        "pack_mb": size.pack_bytes // 10**6,
        "error": report.error,
    }
    print(json.dumps(found), flush=True)
    raise SystemExit(report.exit_code)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", type=int, nargs="+")
    parser.add_argument("--bytes", type=int, default=600)
    parser.add_argument("--spread", action="store_true", help="fifty editors edit anywhere, not each their own")
    options = parser.parse_args()
    for notebooks in options.notebooks:
        folder = Path(tempfile.mkdtemp(prefix="nbvault-million-"))
        try:
            subprocess.run(["git", "init", "--quiet", "--bare", str(folder / "remote.git")], check=True)
            config = folder / "nbvault.toml"
            config.write_text(
                f'[workspace]\nroot = "{ROOT}"\n[vault]\nremote = "{folder / "remote.git"}"\n',
                encoding="utf-8",
            )
            # The second is the slice of the day, which follows a first sync whatever changed.
            for edited in (0, 0, 0, EDITED):
                measure(config, notebooks, options.bytes, edited, int(options.spread))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

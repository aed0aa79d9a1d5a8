"""How long a restore takes: python benchmarks/restore.py [one] [folder] [plan]

One notebook and a folder of 1,000 at 30 imports/s, 60 exports/s and 100 ms latency, and the plan of 70,000 unthrottled.
The emulator is a process of its own on the same machine: read CPU seconds before wall times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbvault.backup.surroundings import SyncOptions
from nbvault.cli.recovering import opened_restorer
from nbvault.recovery.plan import Overwrite
from nbvault.recovery.restorer import Request
from nbvault.settings import Settings, load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

ROOT = "/Clients"
SLOW = {"latency_ms": 100, "import_rate": 30, "export_rate": 60}
FOLDER = 1000
TREE = 70_000


PLAN = """
import json, os, sys, time
from pathlib import Path
from nbvault.cli.recovering import opened_restorer
from nbvault.recovery.restorer import Request
from nbvault.settings import load_settings

begun = time.monotonic()
with opened_restorer(load_settings(environment=dict(os.environ), cwd=Path(sys.argv[1]))) as restorer:
    opened_s = time.monotonic() - begun
    counts = restorer.plan(Request(("/Clients",), at=" ".join(sys.argv[2:]))).shown().counts()
found = {"open_s": round(opened_s, 2), "wall_s": round(time.monotonic() - begun, 2)}
found["cpu_s"] = round(time.process_time(), 2)
# Not ru_maxrss, which begins with that of the parent.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps(found | {"peak_mb": int(status["VmHWM"].split()[0]) // 1024, **counts}))
"""


class Quiet:
    """A screen that shows nothing."""

    def began(self, *_: Any) -> None:
        pass

    def watch(self, *_: Any) -> None:
        pass

    def stage(self, *_: Any) -> None:
        pass


def environment(emulator: Emulator) -> dict[str, str]:
    return {
        **os.environ,
        "WS": emulator.workspace_token,
        "GT": emulator.git_token,
        "NBVAULT_WORKSPACE__HOST": emulator.workspace_url,
        "NBVAULT_WORKSPACE__TOKEN": "env:WS",
        "NBVAULT_VAULT__REMOTE": emulator.git_url,
        "NBVAULT_VAULT__TOKEN": "env:GT",
    }


@contextmanager
def site(
    folder: Path, *, world: list[dict[str, Any]] | None = None, **options: Any
) -> Iterator[tuple[Emulator, Settings]]:
    """An emulator, backed up once at full speed, then as slow as asked for."""
    data = folder / "data"
    with Emulator(in_process=False, data=data, world=world, notebooks=options.get("notebooks", 0)) as quick:
        settings = load_settings(environment=environment(quick), cwd=folder)
        report = run_sync(settings, SyncOptions(), Quiet())
        assert report.exit_code == 0, report
    slow = {name: value for name, value in options.items() if name != "notebooks"}
    with Emulator(in_process=False, data=data, **slow) as emulator:
        yield emulator, load_settings(environment=environment(emulator), cwd=folder)


def notebooks(count: int) -> list[dict[str, Any]]:
    """A folder of notebooks of some kilobytes."""
    head = "# Databricks notebook source\n"
    return [{"path": f"{ROOT}/f/{n:05}", "content": head + f"print({n})\n" * 400} for n in range(count)]


def restored(settings: Settings, path: str) -> dict[str, Any]:
    """One restore in this process, timed from opening the vault."""
    begun = time.monotonic()
    with opened_restorer(settings) as restorer:
        prepared = restorer.plan(Request((path,), overwrite=Overwrite.CHANGED))
        planned_s = time.monotonic() - begun
        receipt = restorer.apply(prepared)
    assert receipt.exit_code == 0, receipt.counts()
    found = {"plan_s": round(planned_s, 2), "wall_s": round(time.monotonic() - begun, 2)}
    return found | receipt.counts()


def one(folder: Path) -> None:
    with site(folder, world=notebooks(3), **SLOW) as (emulator, settings):
        for _ in range(3):
            emulator.edit(f"{ROOT}/f/00001", "# Databricks notebook source\nwrecked")
            print("one notebook, library", json.dumps(restored(settings, f"{ROOT}/f/00001")))
        emulator.edit(f"{ROOT}/f/00001", "# Databricks notebook source\nwrecked")
        begun = time.monotonic()
        command = [sys.executable, "-m", "nbvault.cli.main", "restore", f"{ROOT}/f/00001", "--yes", "--json"]
        done = subprocess.run(command, env=environment(emulator), cwd=folder, capture_output=True, check=True)
        took = time.monotonic() - begun
        print("one notebook, command", f"{took:.2f} s", json.loads(done.stdout)["counts"])


def whole_folder(folder: Path) -> None:
    with site(folder, world=notebooks(FOLDER), **SLOW) as (emulator, settings):
        emulator.batch(
            {"op": "edit", "path": f"{ROOT}/f/{n:05}", "content": f"# Databricks notebook source\nwrecked {n}"}
            for n in range(FOLDER)
        )
        print(f"folder of {FOLDER:,}, all overwritten", json.dumps(restored(settings, f"{ROOT}/f")))
        emulator.delete(f"{ROOT}/f")
        print(f"folder of {FOLDER:,}, all created", json.dumps(restored(settings, f"{ROOT}/f")))
        limit = FOLDER / SLOW["import_rate"]
        print(f"  {FOLDER:,} / 30 imports/s = {limit:.1f} s; the promise is 1.25 x that = {1.25 * limit:.1f} s")


def plan(folder: Path) -> None:
    with site(folder, notebooks=TREE) as (emulator, _):
        for at in ((), ("main",)):
            command = [sys.executable, "-c", PLAN, str(folder), *at]
            done = subprocess.run(command, env=environment(emulator), capture_output=True, check=True)
            print(f"plan of {TREE:,}", *at, done.stdout.decode().strip())


def main() -> None:
    wanted = sys.argv[1:] or ["one", "folder", "plan"]
    for name, measure in {"one": one, "folder": whole_folder, "plan": plan}.items():
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                measure(Path(folder))


if __name__ == "__main__":
    main()

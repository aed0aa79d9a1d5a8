"""How long it takes to get work back, and to prove that it would come back: python -m benchmarks.recovery

One notebook and a folder of 1,000 restored under 30 imports/s, 60 exports/s and 100 ms latency; at --notebooks without
limits the plan of everything, and `verify` of all bytes and of a sample.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Row
from benchmarks.harness import WORKSPACE, Machine, arguments, carry_out, counted, emulator, workshop
from benchmarks.meter import json_line
from nbvault_emulator.testing import Emulator

SLOW: dict[str, Any] = {"latency_ms": 100, "import_rate": 30, "export_rate": 60}
LIMITS = "30 imports/s, 100 ms"
FOLDER = f"{WORKSPACE}/f"
WRECKED = "# Databricks notebook source\nwrecked {}"


def main() -> None:
    """Measure what the command line asks for."""
    parser = arguments(__doc__)
    parser.add_argument("--folder", type=int, default=1000, help="notebooks in the folder that is restored")
    options = parser.parse_args()
    carry_out("recovery", f"recovery-{options.notebooks}", options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Limited restores of a folder, then what the whole vault costs."""
    with workshop() as folder:
        yield from _restores(folder, options.folder)
    with workshop() as folder, emulator(options.notebooks) as running:
        machine = Machine(folder / "a", running)
        machine.sync("first sync", options.notebooks)
        plan = ("restore", WORKSPACE, "--dry-run", "--json")
        yield _command("plan of everything", Machine(folder / "b", running), plan, options.notebooks)
        yield _command("verify --sample 5%", machine, ("verify", "--sample", "5%", "--json"), options.notebooks)
        yield _command("verify --full", machine, ("verify", "--full", "--json"), options.notebooks)


def _restores(folder: Path, many: int) -> Iterator[Row]:
    data = folder / "data"
    with Emulator(in_process=False, data=data, world=_notebooks(many)) as quick:
        Machine(folder / "first", quick).sync("first sync", many)
    with Emulator(in_process=False, data=data, **SLOW) as running:
        machine = Machine(folder / "a", running)
        running.edit(f"{FOLDER}/00001", WRECKED.format(1))
        one = ("restore", f"{FOLDER}/00001", "--yes", "--json")
        yield _command("restore one notebook, new machine", machine, one, 1, LIMITS)
        running.edit(f"{FOLDER}/00001", WRECKED.format(2))
        yield _command("restore one notebook", machine, one, 1, LIMITS)
        everything = ("restore", FOLDER, "--yes", "--json")
        running.batch({"op": "edit", "path": path, "content": WRECKED.format(path)} for path in _paths(many))
        yield _command("restore a folder, all overwritten", machine, everything, many, LIMITS)
        running.delete(FOLDER)
        yield _command("restore a folder, all created", machine, everything, many, LIMITS)


def _command(scenario: str, machine: Machine, command: Sequence[str], notebooks: int, limits: str = "") -> Row:
    with counted(machine.emulator) as moved:
        cost = machine.nbvault(*command)
    figures = {**cost.figures(), **moved}
    if limits and moved.get("imports", 0) > 1:
        figures["times_limit"] = cost.wall_s * SLOW["import_rate"] / moved["imports"]
    assert json_line(cost), "the command must say what it did"
    return Row(scenario, notebooks, limits, figures)


def _paths(many: int) -> list[str]:
    return [f"{FOLDER}/{number:05}" for number in range(many)]


def _notebooks(many: int) -> list[dict[str, Any]]:
    """A folder of notebooks of some kilobytes."""
    head = "# Databricks notebook source\n"
    return [{"path": path, "content": head + f"print({path!r})\n" * 300} for path in _paths(many)]


if __name__ == "__main__":
    main()

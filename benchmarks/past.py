"""A vault with a hundred sessions in it: python -m benchmarks.past --notebooks 70000

What a new machine must obtain before its first listing, the session after that, and what looking into the past costs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.figures import Row
from benchmarks.harness import (
    WORKSPACE,
    Day,
    Machine,
    arguments,
    carry_out,
    counted,
    emulator,
    people_work,
    with_report,
    workshop,
)
from benchmarks.meter import json_line

TEXT = "spark.read"


def main() -> None:
    """Measure what the command line asks for."""
    parser = arguments(__doc__)
    parser.add_argument("--sessions", type=int, default=100, help="sessions of history")
    parser.add_argument("--changes", type=int, default=200, help="notebooks edited between two of them")
    options = parser.parse_args()
    carry_out("past", f"past-{options.notebooks}", options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Everything on one vault."""
    with workshop() as folder, emulator(options.notebooks) as running:
        old = Machine(folder / "old", running)
        path = sorted(each["path"] for each in running.world(WORKSPACE, brief=True))[0]
        old.run(_program("aging", old, str(options.sessions), str(options.changes)))
        running.edit(path, "# Databricks notebook source\nprint('edited last')\n")
        people_work(running, Day.busy(options.notebooks), seed=0)
        yield _next_session(Machine(folder / "new", running), options)
        yield from _looks(Machine(folder / "reader", running), path, options.notebooks)


def _next_session(machine: Machine, options: argparse.Namespace) -> Row:
    with counted(machine.emulator) as moved:
        cost = machine.run(_program("beginning", machine))
    report = json_line(cost)
    row = Row("next session, new machine", options.notebooks, figures={**cost.figures(), **moved})
    begun = {name: report[name] for name in ("first_listing_s", "first_listing_mb")}
    row = with_report(row, report)
    return replace(row, figures={**row.figures, "sessions": options.sessions, **begun})


def _looks(machine: Machine, path: str, notebooks: int) -> Iterator[Row]:
    looks = {
        "history, new machine": ("history", path, "--json"),
        "history": ("history", path, "--json"),
        "show": ("show", path),
        "diff": ("diff", path, "--json"),
        "search, blobs not here": ("search", TEXT, "--json"),
        "search": ("search", TEXT, "--json"),
        "search --all-versions": ("search", TEXT, "--all-versions", "--json"),
    }
    for scenario, command in looks.items():
        with counted(machine.emulator) as moved:
            cost = machine.nbvault(*command)
        yield Row(scenario, notebooks, figures={**cost.figures(), "git_down_mb": moved["git_down_mb"]})


def _program(name: str, machine: Machine, *more: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{name}", str(machine.config), machine.emulator.admin_url, *more]


if __name__ == "__main__":
    main()

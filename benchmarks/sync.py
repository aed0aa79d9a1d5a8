"""How long a sync takes and what it costs: python -m benchmarks.sync --notebooks 70000

First sync, the slice of the day, nothing changed, a twentieth changed, the same on a new machine; without limits, or
with those of a workspace: --export-rate 60 --latency-ms 100.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Row
from benchmarks.harness import Day, Machine, arguments, carry_out, emulator, people_work, workshop

SCENARIOS = ("first sync", "slice of the day", "nothing changed", "5 % changed", "5 % changed, new machine")


def main() -> None:
    """Measure what the command line asks for."""
    parser = arguments(__doc__)
    parser.add_argument("--export-rate", type=float, default=0, help="exports a second that the workspace allows")
    parser.add_argument("--latency-ms", type=int, default=0, help="before each answer of the workspace and Git server")
    parser.add_argument("--ceiling", type=float, default=0, help="workspace.requests_per_second of the configuration")
    parser.add_argument("--bulk", choices=("off", "probe", "on"), help="export.bulk of the configuration")
    parser.add_argument("--only-first", action="store_true", help="the first sync and no more")
    options = parser.parse_args()
    name = "-".join(["sync", str(options.notebooks), *_words(limits(options))])
    carry_out("sync", name, options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Every scenario, in order, on one world."""
    notebooks, rate = options.notebooks, options.export_rate
    limited = limits(options)
    with workshop() as folder, emulator(notebooks, export_rate=rate, latency_ms=options.latency_ms) as running:
        machine = Machine(folder / "a", running, configuration(options))
        if options.bulk not in (None, "off"):
            # Folders are exported whole only where that was proven on this workspace.
            machine.nbvault("doctor", "--probe", "--json")
        yield machine.sync(SCENARIOS[0], notebooks, limited, rate)
        if options.only_first:
            return
        for scenario in SCENARIOS[1:3]:
            yield machine.sync(scenario, notebooks, limited, rate)
        people_work(running, Day.busy(notebooks), seed=1)
        yield machine.sync(SCENARIOS[3], notebooks, limited, rate)
        people_work(running, Day.busy(notebooks), seed=2)
        yield Machine(folder / "b", running, configuration(options)).sync(SCENARIOS[4], notebooks, limited, rate)


def configuration(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the configuration says besides where workspace and vault are."""
    found: dict[str, dict[str, Any]] = {}
    if options.ceiling:
        found["workspace"] = {"requests_per_second": options.ceiling}
    if options.bulk:
        found["export"] = {"bulk": options.bulk}
    return found


def limits(options: argparse.Namespace) -> str:
    """What holds the sync back, and what is unusual about it, in the words of the tables."""
    parts = [f"{options.export_rate:g}/s"] if options.export_rate else []
    parts += [f"{options.latency_ms} ms"] if options.latency_ms else []
    parts += [f"ceiling {options.ceiling:g}"] if options.ceiling else []
    return ", ".join(parts + ([f"bulk {options.bulk}"] if options.bulk else []))


def _words(limited: str) -> list[str]:
    return [part.replace("/s", "ps").replace(" ", "") for part in limited.split(", ") if part]


if __name__ == "__main__":
    main()

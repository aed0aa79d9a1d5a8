"""What a day of 50 editors adds to the vault: python -m benchmarks.day --notebooks 70000

3,620 changes of 70,000 notebooks, each editor in engagements of their own, then the same with anyone anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmarks.figures import Row
from benchmarks.harness import Day, Machine, arguments, carry_out, emulator, people_work, workshop

SCENARIOS = {"a day, editors own engagements": True, "a day, editors anywhere": False}


def main() -> None:
    """Measure what the command line asks for."""
    options = arguments(__doc__).parse_args()
    carry_out("day", f"day-{options.notebooks}", options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Both kinds of days, one after the other, on one vault."""
    notebooks = options.notebooks
    with workshop() as folder, emulator(notebooks) as running:
        machine = Machine(folder / "a", running)
        machine.sync("first sync", notebooks)
        machine.sync("slice of the day", notebooks)
        for seed, (scenario, owners) in enumerate(SCENARIOS.items()):
            people_work(running, Day.busy(notebooks), seed=seed, owners=owners)
            yield machine.sync(scenario, notebooks)


if __name__ == "__main__":
    main()

"""Every benchmark, one after the other: python -m benchmarks.run [quick|full|whole]

quick: small sizes. full: the sizes that the promises are about, several runs each. whole: besides, 70,000 under 60
exports/s, and the rivals at 70,000.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import NamedTuple

_SLOW = "--latency-ms 100 --export-rate"


class Step(NamedTuple):
    """A program with its arguments, and how long it takes on two quiet cores."""

    command: str
    minutes: float


QUICK = (
    Step("sync --notebooks 10000", 1),
    Step(f"sync --notebooks 1200 {_SLOW} 60", 1),
    Step("throttling --notebooks 600", 1.5),
    Step("day --notebooks 10000", 1),
    Step("past --notebooks 2000 --changes 20", 3),
    Step("reports --notebooks 2000 --sessions 40 --changes 50", 1),
    Step("screening --notebooks 2000", 1),
    Step("recovery --notebooks 2000 --folder 150", 1),
    Step("rivals.contest --notebooks 2000", 3),
)
FULL = (
    Step("sync --notebooks 10000 --runs 3", 2),
    Step("sync --notebooks 70000 --runs 3", 9),
    Step("sync --notebooks 100000 --runs 3", 13),
    Step(f"sync --notebooks 6000 {_SLOW} 60", 3),
    Step(f"sync --notebooks 70000 {_SLOW} 60 --bulk on --only-first", 2),
    Step("throttling --notebooks 6000", 15),
    Step("day --notebooks 70000", 4),
    Step("past --notebooks 70000", 20),
    Step("reports --notebooks 70000", 10),
    Step("screening --notebooks 10000", 2),
    Step("recovery --notebooks 70000", 7),
    Step("rivals.contest --notebooks 10000", 6),
    Step("rivals.contest --notebooks 10000 --latency-ms 20", 15),
)
WHOLE = (
    *FULL,
    Step(f"sync --notebooks 70000 {_SLOW} 60", 26),
    Step("rivals.contest --notebooks 70000", 30),
)
PLANS = {"quick": QUICK, "full": FULL, "whole": WHOLE}


def main() -> int:
    """Run the plan; 1 if a step of it failed, after the others were run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=PLANS, nargs="?", default="quick")
    steps = PLANS[parser.parse_args().plan]
    failed = []
    for number, step in enumerate(steps):
        left = sum(each.minutes for each in steps[number:])
        _say(f"--- {number + 1} of {len(steps)}: {step.command}; about {left:.0f} min left on two quiet cores")
        begun = time.monotonic()
        done = subprocess.run([sys.executable, "-m", *f"benchmarks.{step.command}".split()], check=False)
        _say(f"--- took {(time.monotonic() - begun) / 60:.1f} min")
        if done.returncode:
            failed.append(step.command)
    for command in failed:
        _say(f"failed: {command}")
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

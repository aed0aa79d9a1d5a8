"""How well nbvault lives with a rate limit, known or not: python -m benchmarks.throttling

A first sync of a small world under each limit: the share of requests that were refused, and the time against notebooks
divided by the limit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmarks import sync
from benchmarks.figures import Row
from benchmarks.harness import arguments, carry_out

# Exports a second, our own ceiling in requests a second (0: none), latency in milliseconds.
LIMITS = ((60, 0, 0), (60, 0, 100), (30, 0, 0), (30, 0, 100), (60, 55, 0), (60, 60, 100), (0, 0, 100))


def main() -> None:
    """Measure what the command line asks for."""
    parser = arguments(__doc__)
    parser.set_defaults(notebooks=3000)
    options = parser.parse_args()
    carry_out("sync", f"throttling-{options.notebooks}", options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """One first sync under each limit."""
    for rate, ceiling, latency_ms in LIMITS:
        told = {"export_rate": rate, "ceiling": ceiling, "latency_ms": latency_ms, "bulk": None, "only_first": True}
        yield from sync.measure(argparse.Namespace(**{**vars(options), **told}))


if __name__ == "__main__":
    main()

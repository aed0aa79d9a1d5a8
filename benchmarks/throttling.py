"""How well the window lives with a rate limit that nobody told it: python benchmarks/throttling.py

A first sync of a small world under each limit; the emulator is a process of its own. Printed for each: the share of
requests that were throttled (of all requests to the endpoint with the limit), and the time against the ideal one,
notebooks / limit, from which the burst that the emulator's bucket begins with has been taken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nbvault_emulator.testing import Emulator

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Limit:
    """A workspace that allows `rate` exports a second (0: any number); `told` is our own ceiling (0: not told)."""

    name: str
    rate: float = 0.0
    told: float = 0.0
    latency_ms: int = 0


LIMITS = (
    Limit("60 exports/s, not told", rate=60),
    Limit("60 exports/s, not told, 100 ms latency", rate=60, latency_ms=100),
    Limit("30 exports/s, not told", rate=30),
    Limit("30 exports/s, not told, 100 ms latency", rate=30, latency_ms=100),
    Limit("60 exports/s, told 55 requests/s", rate=60, told=55),
    Limit("no limit, 100 ms latency", latency_ms=100),
)
HEAD = ("workspace", "notebooks", "wall s", "ideal s", "ratio", "exports sent", "throttled", "share")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", type=int, default=3000)
    parser.add_argument("--only", default="", help="only the limits whose name contains this")
    options = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n" + "| --- " * len(HEAD) + "|")
    for limit in LIMITS:
        if options.only in limit.name:
            print("| " + " | ".join(measure(limit, options.notebooks)) + " |", flush=True)


def measure(limit: Limit, notebooks: int) -> tuple[str, ...]:
    """A row of the table."""
    with (
        tempfile.TemporaryDirectory(prefix="nbvault-bench-") as folder,
        Emulator(
            notebooks=notebooks,
            years=2,
            engagements=max(notebooks // 94, 1),
            export_rate=limit.rate,
            latency_ms=limit.latency_ms,
            in_process=False,
        ) as emulator,
    ):
        found = first_sync(Path(folder), emulator, told=limit.told)
        answered = emulator.requests()["export"]
    sent, throttled = sum(answered.values()), answered.get("429", 0)
    slowest = min(rate for rate in (limit.rate, limit.told, float("inf")) if rate)
    ideal_s = (notebooks - limit.rate) / slowest
    wall_s = found["wall_s"]
    ratio = f"{wall_s / ideal_s:.2f}" if ideal_s else "-"
    share = f"{100 * throttled / sent:.1f} %"
    times = (f"{wall_s:.1f}", f"{ideal_s:.1f}", ratio)
    return (limit.name, f"{notebooks:,}", *times, f"{sent:,}", f"{throttled:,}", share)


def first_sync(folder: Path, emulator: Emulator, *, told: float) -> dict[str, float]:
    """Run one and return what benchmarks/session.py measured."""
    config = folder / "nbvault.toml"
    config.write_text(
        f'[workspace]\nhost = "{emulator.workspace_url}"\ntoken = "env:BENCH_WORKSPACE_TOKEN"\n'
        f'requests_per_second = {told}\n[vault]\nremote = "{emulator.git_url}"\ntoken = "env:BENCH_GIT_TOKEN"\n',
        encoding="utf-8",
    )
    tokens = {"BENCH_WORKSPACE_TOKEN": emulator.workspace_token, "BENCH_GIT_TOKEN": emulator.git_token}
    command = [sys.executable, str(HERE / "session.py"), str(config)]
    done = subprocess.run(command, env={**os.environ, **tokens}, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()

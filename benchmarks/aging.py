"""Gives a vault a past: python -m benchmarks.aging CONFIG ADMIN_URL SESSIONS CHANGES

That many sessions, a day apart, the last one yesterday; between two of them people edit that many notebooks. Started by
`benchmarks.past` in a process of its own.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.beginning import Quiet
from benchmarks.harness import Day, people_work
from nbvault.backup.surroundings import SyncOptions
from nbvault.clock import SystemClock
from nbvault.settings import load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Admin


class Earlier(SystemClock):
    """The clock of this machine some days ago."""

    def __init__(self, days: int) -> None:
        self._days = timedelta(days=days)

    def now(self) -> datetime:
        """The present moment, so many days ago."""
        return super().now() - self._days


def main() -> None:
    """Make the past that the command line asks for."""
    config, admin_url, sessions, changes = sys.argv[1:]
    settings = load_settings(Path(config))
    running = Admin(admin_url)
    for days in range(int(sessions), 0, -1):
        report = run_sync(settings, SyncOptions(), Quiet(), clock=Earlier(days))
        if report.exit_code:
            sys.exit(f"the session {days} days ago ended as {report.status.value}: {report.error}")
        people_work(running, Day(int(changes), 1, 1, 1), seed=days)
        if days % 10 == 0:
            print(f"aging: {days} sessions to go", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""One session that tells when its first listing began: python -m benchmarks.beginning CONFIG ADMIN_URL

Prints the report with `first_listing_s`, counted from the start of the process, and `first_listing_mb`, what had come
from the Git server by then. Started by `benchmarks.past`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path

from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.settings import load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Admin


class Quiet:
    """A screen that shows nothing."""

    def began(self, session: str, started_at: datetime) -> None:
        """The session has its name."""

    def watch(self, survey: Survey) -> None:
        """The survey that now runs."""

    def stage(self, text: str) -> None:
        """What comes next, in words."""


class Marker(Quiet):
    """A screen that notes how things stand just before the first listing."""

    def __init__(self, admin_url: str) -> None:
        self._emulator = Admin(admin_url)
        self.found: dict[str, float] = {}

    def watch(self, _survey: Survey) -> None:
        """The survey is about to list its first folder."""
        if not self.found:
            carried = self._emulator.traffic()
            down = sum(way["sent"] for kind, way in carried.items() if kind.startswith("git-"))
            self.found = {"first_listing_s": _age_s(), "first_listing_mb": down / 1e6}


def _age_s() -> float:
    """Seconds since this process began."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run the session; returns its exit code."""
    marker = Marker(sys.argv[2])
    report = run_sync(load_settings(Path(sys.argv[1])), SyncOptions(), marker)
    print(json.dumps(report.as_json() | marker.found))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())

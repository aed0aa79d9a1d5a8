"""One session in a process of its own, made to be killed: prints its id, then its report, one JSON line each.

Usage: driver.py CONFIG [MACHINE]; with MACHINE it believes to run on another computer.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.gitstore import process
from nbvault.settings import load_settings
from nbvault.wiring import run_sync


class Teller:
    """A screen that prints the session's id."""

    def began(self, session: str, _started_at: datetime) -> None:
        _tell({"began": session})

    def watch(self, _survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        _tell({"stage": text})


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    config = Path(sys.argv[1])
    if len(sys.argv) > 2:
        # There is only one computer here: nothing but its name can be another.
        process._machine = lambda: sys.argv[2]
    report = run_sync(load_settings(config), SyncOptions(), Teller())
    _tell(report.as_json())
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())

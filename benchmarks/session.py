"""One sync in a process of its own; prints the report and what the process and its git children used, as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.settings import load_settings
from nbvault.wiring import run_sync


class Quiet:
    """A screen that shows nothing."""

    def began(self, session: str, started_at: datetime) -> None:
        pass

    def watch(self, survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        pass


class GitWatcher(threading.Thread):
    """Looks at the git processes of this one: a child's `ru_maxrss` would be that of its parent before exec."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.peak_kb = 0

    def run(self) -> None:
        while not self.stop.wait(0.02):
            for folder in Path("/proc").glob("[0-9]*"):
                self.look(folder)

    def look(self, folder: Path) -> None:
        try:
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        except OSError:
            return
        if status["Name"].strip().startswith("git") and int(status["PPid"]) == os.getpid():
            self.peak_kb = max(self.peak_kb, int(status.get("VmHWM", "0 kB").split()[0]))


def main() -> None:
    settings = load_settings(Path(sys.argv[1]))
    watcher = GitWatcher()
    watcher.start()
    begun = time.monotonic()
    report = run_sync(settings, SyncOptions(full="--full" in sys.argv), Quiet())
    wall_s = time.monotonic() - begun
    watcher.stop.set()
    watcher.join()
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "report": {**report.as_json(), "problems": len(report.problems)},
        "wall_s": wall_s,
        "own_cpu_s": own.ru_utime + own.ru_stime,
        "git_cpu_s": children.ru_utime + children.ru_stime,
        "own_peak_mb": own.ru_maxrss / 1024,
        "git_peak_mb": watcher.peak_kb / 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

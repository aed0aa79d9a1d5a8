"""What a command costs: wall time, CPU by process, and the memory of all its processes at the same moment (Linux)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.05
# Who looks like its parent in so many looks will remain so: on a busy machine it takes several for an exec to come.
_LOOKS = 5
# Looking may itself cost at most this share of one core.
_SHARE = 0.05
_BUSY = (0, 1, 2, 5, 6, 7)


class CommandFailed(Exception):
    """A measured command did not end as it was to."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of a process itself and of all children that it has waited for."""

    own_s: float
    children_s: float

    def since(self, before: Cpu) -> Cpu:
        """What was used between two looks."""
        return Cpu(self.own_s - before.own_s, self.children_s - before.children_s)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command cost.

    `peak_all_mb` is the largest sum of PSS over the command and its children, seen at one moment: a page that several
    map is counted once. `peak_own_mb` and `peak_child_mb` are the largest resident sets of the command itself and of
    any one child. `others_s` is the CPU that everything else on the machine used meanwhile. `load` is the load
    average before it began.
    """

    wall_s: float
    cpu: Cpu
    server: Cpu
    others_s: float
    load: float
    peak_all_mb: float
    peak_own_mb: float
    peak_child_mb: float
    output: bytes

    def figures(self) -> dict[str, float]:
        """The numbers under the names that tables use."""
        return {
            "wall_s": self.wall_s,
            "cpu_own_s": self.cpu.own_s,
            "cpu_git_s": self.cpu.children_s,
            "cpu_emulator_s": self.server.own_s,
            "cpu_server_git_s": self.server.children_s,
            "cpu_others_s": self.others_s,
            "load": self.load,
            "peak_all_mb": self.peak_all_mb,
            "peak_own_mb": self.peak_own_mb,
            "peak_git_mb": self.peak_child_mb,
        }


def measured(
    command: Sequence[str],
    *,
    server: int,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
) -> Cost:
    """Run a command to its end and tell what it cost.

    Args:
        server: The process whose CPU is to be told apart, which is the emulator's.

    Raises:
        CommandFailed: its exit code is none of ``ok``; with the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        load, busy, before = os.getloadavg()[0], _machine_s(), cpu_of(server)
        ours = time.process_time()
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)
        sampler = Sampler(process.pid)
        sampler.start()
        try:
            # Left unreaped until its times are read.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        wall_s = time.monotonic() - begun
        cpu = cpu_of(process.pid)
        sampler.end()
        status = process.wait()
        served = cpu_of(server).since(before)
        known = cpu.own_s + cpu.children_s + served.own_s + served.children_s + time.process_time() - ours
        others_s = max(_machine_s() - busy - known, 0.0)
        out.seek(0)
        err.seek(0)
        if status not in ok:
            told = (out.read() + err.read())[-3000:].decode("utf-8", "replace")
            raise CommandFailed(f"{' '.join(command)} ended with {status}:\n{told}")
        return Cost(
            wall_s, cpu, served, others_s, load, sampler.all_mb, sampler.own_mb, sampler.child_mb, output=out.read()
        )


def cpu_of(pid: int) -> Cpu:
    """CPU used by a process so far; it may be a zombie."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    user, system, children_user, children_system = (int(each) / _TICKS for each in fields[11:15])
    return Cpu(user + system, children_user + children_system)


def _machine_s() -> float:
    """CPU seconds that the whole machine has worked."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    return sum(int(fields[place]) for place in _BUSY) / _TICKS


class Sampler(threading.Thread):
    """Looks at a process and all below it, again and again: the largest sums of PSS and RSS, the largest of each."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self._seen = Counter[int]()
        self.all_mb = self.own_mb = self.child_mb = self.rss_mb = 0.0

    def run(self) -> None:
        pause_s = _EVERY_S
        while not self._over.wait(pause_s):
            begun = time.thread_time()
            self._look()
            pause_s = max(_EVERY_S, (time.thread_time() - begun) / _SHARE)

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()

    def _look(self) -> None:
        total_kb, rss_kb, seen = 0, 0, Counter[int]()
        for pid, alike in _tree(self._pid):
            seen[pid] = self._seen[pid] + 1
            if alike and seen[pid] < _LOOKS:
                # Between fork and exec it still has its parent's memory, which must not be counted twice.
                continue
            pss = _sizes(pid, "smaps_rollup").get("Pss")
            sizes = _sizes(pid, "status")
            peak = sizes.get("VmHWM")
            if pss is None or peak is None:
                continue
            total_kb += pss
            rss_kb += sizes.get("VmRSS", 0)
            if pid == self._pid:
                self.own_mb = max(self.own_mb, peak / 1024)
            else:
                self.child_mb = max(self.child_mb, peak / 1024)
        self._seen = seen
        self.all_mb = max(self.all_mb, total_kb / 1024)
        self.rss_mb = max(self.rss_mb, rss_kb / 1024)


def _tree(pid: int, above: str = "") -> Iterator[tuple[int, bool]]:
    """A process and all below it, and of each whether it is of the same command line as its parent."""
    told = _read(f"/proc/{pid}/cmdline")
    if not told:
        return
    yield pid, told == above
    for task in _entries(Path(f"/proc/{pid}/task")):
        for child in _read(f"{task}/children").split():
            yield from _tree(int(child), told)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        # It ended between two looks.
        return ""


def _sizes(pid: int, name: str) -> dict[str, int]:
    """The lines of a file of /proc that give kilobytes."""
    lines = (line.split() for line in _read(f"/proc/{pid}/{name}").splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}


def is_measurable() -> bool:
    """Whether /proc tells here what is measured, as Linux does."""
    return Path("/proc/self/smaps_rollup").exists() and any(Path("/proc/self/task").glob("*/children"))


def require_linux() -> None:
    """End the program where costs cannot be measured."""
    if not is_measurable():
        sys.exit("The benchmarks read /proc/PID/smaps_rollup and /proc/PID/task/*/children: they need Linux.")


def json_line(cost: Cost) -> Any:
    """The JSON value in the last line that a command printed."""
    return json.loads(cost.output.splitlines()[-1])

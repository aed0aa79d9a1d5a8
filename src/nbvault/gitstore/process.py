"""Which process this is, and whether another one on this machine still runs."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from nbvault.gitstore.lease import Holder


def this_process(repository: Path, *, job: str = "") -> Holder:
    """This process as a holder of the lease."""
    pid = os.getpid()
    return Holder(_machine(), pid, _started(pid) or "", str(repository.resolve()), job)


def is_alive(holder: Holder) -> bool | None:
    """Whether the holder's process runs; None if it belongs to another machine or namespace."""
    if holder.machine != _machine():
        return None
    started = _started(holder.pid)
    return started is not None and (started == holder.started or not holder.started)


def _machine() -> str:
    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{platform.node()} {boot} {namespace}".strip()


def _started(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot; "" where the system does not tell, None if it is gone."""
    stat = _read(Path(f"/proc/{pid}/stat"))
    if stat:
        fields = stat.rsplit(")", 1)[1].split()
        # A zombie has ended; only its parent has not looked yet.
        return None if fields[0] == "Z" else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

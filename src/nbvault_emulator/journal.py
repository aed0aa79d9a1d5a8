"""The journal: every change of the world as a line, replayed at start and shared by all workers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbvault_emulator import mutations
from nbvault_emulator.world import World

Operation = dict[str, Any]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """Applies operations to a world and, with a file, keeps them: append-only JSON lines, one writer at a time.

    Without a file the world lives in this process only. `on_faults` is called with each new set of faults (an operation
    like any other, so that all workers take it; those of an earlier start are not replayed).
    """

    def __init__(
        self,
        world: World,
        path: Path | None,
        on_faults: Callable[[list[Any]], None],
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._world = world
        self._on_faults = on_faults
        self._now_ms = now_ms
        self._descriptor = -1
        self._position = 0
        self._path = path
        if path is not None:
            self.reopen()
            self._replay(faults=False)

    def reopen(self) -> None:
        """A descriptor of its own: after a fork, so that locks are not shared."""
        if self._path is not None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def catch_up(self) -> None:
        """Apply what other workers wrote; cheap when there is nothing."""
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_size > self._position:
            with self._locked(fcntl.LOCK_SH):
                self._replay(faults=True)

    def commit(self, operations: list[Operation]) -> list[dict[str, Any]]:
        """Apply operations in order and keep them; those before a refused one stay.

        Raises:
            WorldError: the world refuses one.
        """
        with self._locked(fcntl.LOCK_EX):
            self._replay(faults=True)
            done: list[bytes] = []
            results: list[dict[str, Any]] = []
            try:
                for operation in operations:
                    operation.setdefault("at", self._now_ms())
                    results.append(self._apply(operation, faults=True))
                    if self._descriptor >= 0:
                        done.append(json.dumps(operation).encode() + b"\n")
            finally:
                self._append(b"".join(done))
            return results

    def _apply(self, operation: Operation, *, faults: bool) -> dict[str, Any]:
        if operation.get("op") == "faults":
            if faults:
                self._on_faults(operation["faults"])
            return {}
        return mutations.apply(self._world, operation)

    def _append(self, lines: bytes) -> None:
        if lines:
            view = memoryview(lines)
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._position += len(lines)

    def _replay(self, *, faults: bool) -> None:
        if self._descriptor < 0:
            return
        size = os.fstat(self._descriptor).st_size
        data = b""
        while len(data) < size - self._position:
            data += os.pread(self._descriptor, size - self._position - len(data), self._position + len(data))
        # A line without an end is what a killed writer left: it was never answered, and the next write would join it.
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._descriptor, self._position + whole)
        for line in data[:whole].splitlines():
            self._apply(json.loads(line), faults=faults)
        self._position += whole

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        if self._descriptor < 0:
            yield
            return
        fcntl.flock(self._descriptor, how)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

"""What all workers share in memory: counts of requests and bytes, token buckets, how often each fault has fired."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context

ENDPOINTS = (
    "list",
    "get-status",
    "export",
    "export-folder",
    "import",
    "mkdirs",
    "delete",
    "scim",
    "repos-list",
    "repos-create",
    "repos-get",
    "repos-update",
    "repos-delete",
    "credentials-list",
    "credentials-create",
    "credentials-get",
    "credentials-update",
    "credentials-delete",
    "secrets-read",
    "secrets-write",
    "permissions-get",
    "permissions-set",
    "jobs-list",
    "jobs-get",
    "jobs-runs-list",
    "sql-statements",
    "sql-warehouses",
    "unity-catalog",
    "well-known",
    "git-fetch-refs",
    "git-fetch-pack",
    "git-push-refs",
    "git-push-pack",
    "git-other",
    "azuredevops",
    "oauth",
    "other",
)
BUCKETS = ("export", "list", "import")
MAX_FAULTS = 512
_STATUSES = 512
_IN_FLIGHT = len(ENDPOINTS) * _STATUSES
_TRAFFIC = _IN_FLIGHT + 1
_PER_WORKER = _TRAFFIC + 2 * len(ENDPOINTS)
_INDEX = {name: number * _STATUSES for number, name in enumerate(ENDPOINTS)}
_TRAFFIC_OF = {name: _TRAFFIC + 2 * number for number, name in enumerate(ENDPOINTS)}


class Shared:
    """Counters in anonymous shared memory: made before the workers are forked, then used by all.

    Each worker counts in a region of its own, so counting needs no lock; buckets and faults are behind one.
    """

    def __init__(self, workers: int, rates: dict[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._rates = {name: rate for name, rate in rates.items() if rate > 0}
        self._clock = clock
        self._numbers = memoryview(mmap.mmap(-1, 8 * (workers * _PER_WORKER + 2 * MAX_FAULTS))).cast("Q")
        self._levels = memoryview(mmap.mmap(-1, 16 * len(BUCKETS))).cast("d")
        self._faults = workers * _PER_WORKER
        self._own = 0
        self._lock: AbstractContextManager[object] = get_context("fork").Lock() if workers > 1 else nullcontext()
        for number, name in enumerate(BUCKETS):
            self._levels[2 * number] = max(1.0, self._rates.get(name, 0.0))
            self._levels[2 * number + 1] = clock()

    def become(self, worker: int) -> None:
        """Count as this worker from now on."""
        self._own = worker * _PER_WORKER

    def count(self, endpoint: str, status: int) -> None:
        """One request more; status 0 for one that got no whole answer."""
        self._numbers[self._own + _INDEX[endpoint] + (status - 100 if status else 0)] += 1

    def carried(self, endpoint: str, *, received: int = 0, sent: int = 0) -> None:
        """So many bytes of bodies more, as they were on the wire; heads are not counted."""
        place = self._own + _TRAFFIC_OF[endpoint]
        self._numbers[place] += received
        self._numbers[place + 1] += sent

    def in_flight(self, change: int) -> int:
        """Add to this worker's requests under way; the sum over all workers."""
        self._numbers[self._own + _IN_FLIGHT] += change
        return sum(self._numbers[worker * _PER_WORKER + _IN_FLIGHT] for worker in range(self._workers))

    def counts(self) -> dict[str, dict[str, int]]:
        """Counts since the start or the last reset, by endpoint and status ("dropped" for no whole answer)."""
        result: dict[str, dict[str, int]] = {}
        for name, start in _INDEX.items():
            for offset in range(_STATUSES):
                total = sum(self._numbers[worker * _PER_WORKER + start + offset] for worker in range(self._workers))
                if total:
                    status = str(offset + 100) if offset else "dropped"
                    result.setdefault(name, {})[status] = total
        return result

    def traffic(self) -> dict[str, dict[str, int]]:
        """Bytes of bodies since the start or the last reset, by endpoint: what came in and what went out."""
        result: dict[str, dict[str, int]] = {}
        for name, start in _TRAFFIC_OF.items():
            received, sent = (
                sum(self._numbers[worker * _PER_WORKER + start + way] for worker in range(self._workers))
                for way in (0, 1)
            )
            if received or sent:
                result[name] = {"received": received, "sent": sent}
        return result

    def reset_counts(self) -> None:
        """All counts to zero, bytes too; not what is under way."""
        for worker in range(self._workers):
            for place in range(_PER_WORKER):
                if place != _IN_FLIGHT:
                    self._numbers[worker * _PER_WORKER + place] = 0

    def take(self, bucket: str) -> float:
        """Take a token: 0 if there was one, else the seconds until there is one again."""
        rate = self._rates.get(bucket)
        if rate is None:
            return 0.0
        place = 2 * BUCKETS.index(bucket)
        with self._lock:
            now = self._clock()
            level = min(max(1.0, rate), self._levels[place] + (now - self._levels[place + 1]) * rate)
            self._levels[place + 1] = now
            if level >= 1:
                self._levels[place] = level - 1
                return 0.0
            self._levels[place] = level
            return (1 - level) / rate

    def fault_seen(self, index: int) -> int:
        """A request matched this fault: how many have, this one included."""
        with self._lock:
            self._numbers[self._faults + index] += 1
            return self._numbers[self._faults + index]

    def fault_may_fire(self, index: int, times: int | None) -> bool:
        """Count a firing, unless the fault has fired so many times already."""
        place = self._faults + MAX_FAULTS + index
        with self._lock:
            if times is not None and self._numbers[place] >= times:
                return False
            self._numbers[place] += 1
            return True

    def fault_fired(self, index: int) -> int:
        """How many times this fault has fired."""
        return self._numbers[self._faults + MAX_FAULTS + index]

    def reset_faults(self) -> None:
        """A new set of faults begins to count at zero."""
        for place in range(2 * MAX_FAULTS):
            self._numbers[self._faults + place] = 0

"""How many requests may be in flight: a window that finds the workspace's limit by itself, as TCP finds a line's.

The rules, measured against fixed widths and learnt rates (a window won or tied everywhere without being told a number):

- a success widens it by 0.5/window, and only while it is the window that holds requests back;
- a throttled answer narrows it to 0.8 of itself, once per round trip: answers to requests sent before the last
  narrowing say nothing new;
- when answers get slow (smoothed latency over 4 times the least seen lately, and over half a second: below that,
  slowness is our own machine) it narrows gently to 0.95, once per round trip, and never below 2; where half the
  window did not make them faster, it is not our number that makes them slow: that is then what latency is like;
- first come, first served, but a retry comes before what has not been tried yet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

# Slow answers are no reason to stop.
SLOW_FLOOR = 2.0


class Outcome(Enum):
    """What an attempt says about the workspace's limit."""

    SUCCESS = "success"
    THROTTLED = "throttled"
    NEUTRAL = "neutral"


@dataclass(slots=True)
class _Latency:
    """Latency of one kind of request: smoothed, and the least seen; the least slowly forgets, for routes change."""

    smooth_s: float
    least_s: float
    wide: float = 0.0
    worst_s: float = 0.0

    def add(self, latency_s: float) -> None:
        self.smooth_s += (latency_s - self.smooth_s) / 16
        self.least_s = min(latency_s, self.least_s * 1.001)

    def is_high(self, window: float, *, floor: float) -> bool:
        """Whether answers are slow, and a narrower window might help.

        `wide` is the window when they got slow (0: they are not), `worst_s` the worst since.
        """
        if self.smooth_s <= max(4 * self.least_s, 0.5):
            self.wide = self.worst_s = 0.0
            return False
        self.wide = self.wide or window
        self.worst_s = max(self.worst_s, self.smooth_s)
        if window > max(self.wide / 2, floor):
            return True
        helped = self.smooth_s < 0.75 * self.worst_s
        if not helped:
            self.least_s = self.smooth_s
        self.wide = self.worst_s = 0.0
        return helped


class AimdWindow:
    """Admits requests; for one event loop.

    Every `acquire` that returned must be followed by exactly one `release`, whatever happened. At the moment of
    admission never more than `size` requests are in flight; after a narrowing, those already sent are left to finish.

    Args:
        cap: The widest it gets.
        start: Where it begins.
    """

    def __init__(self, *, cap: int = 64, start: int = 4) -> None:
        self._cap = float(cap)
        self._window = float(max(1, min(start, cap)))
        self._in_flight = 0
        self._admitted = 0
        self._narrowed_at = 0
        self._fresh: deque[asyncio.Future[int]] = deque()
        self._retries: deque[asyncio.Future[int]] = deque()
        self._latency: dict[str, _Latency] = {}

    @property
    def size(self) -> float:
        """The window now; whole requests only are admitted."""
        return self._window

    @property
    def in_flight(self) -> int:
        """Requests admitted and not yet released."""
        return self._in_flight

    async def acquire(self, *, retry: bool = False) -> int:
        """Wait for a slot; returns the ticket that `release` wants back. Cancelling the wait is safe."""
        if self._has_room() and not self._fresh and not self._retries:
            return self._admit()
        queue = self._retries if retry else self._fresh
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        queue.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The slot was handed over in the same turn of the loop as the cancellation: pass it on.
                self._in_flight -= 1
            else:
                with suppress(ValueError):
                    queue.remove(waiter)
            self._wake()
            raise

    def release(self, ticket: int, *, outcome: Outcome, latency_s: float = 0.0, kind: str = "") -> None:
        """Give the slot back, and say how the attempt went.

        Args:
            latency_s: Seconds from sending to the whole answer; only successes are measured.
            kind: Latencies are compared within one kind of request.
        """
        was_full = self._in_flight + 1 > self._window
        self._in_flight -= 1
        if outcome is Outcome.THROTTLED:
            self._narrow(ticket, factor=0.8, floor=1.0)
        elif outcome is Outcome.SUCCESS:
            if self._is_slow(kind, latency_s):
                self._narrow(ticket, factor=0.95, floor=SLOW_FLOOR)
            elif was_full:
                self._window = min(self._cap, self._window + 0.5 / self._window)
        self._wake()

    def _has_room(self) -> bool:
        return self._in_flight + 1 <= self._window

    def _admit(self) -> int:
        self._in_flight += 1
        self._admitted += 1
        return self._admitted

    def _narrow(self, ticket: int, *, factor: float, floor: float) -> None:
        if ticket > self._narrowed_at:
            self._window = max(min(floor, self._window), self._window * factor)
            self._narrowed_at = self._admitted

    def _is_slow(self, kind: str, latency_s: float) -> bool:
        seen = self._latency.get(kind)
        if seen is None:
            seen = self._latency[kind] = _Latency(latency_s, latency_s)
        seen.add(latency_s)
        return seen.is_high(self._window, floor=SLOW_FLOOR)

    def _wake(self) -> None:
        while self._has_room() and (queue := self._retries or self._fresh):
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(self._admit())

"""How fast one kind of request is sent once the workspace has refused some: as fast as it lately let through.

A window on requests in flight cannot do this where answers come faster than the limit allows requests: even one at a
time is too many then. So there is a pace besides, which is free until the first refusal:

- refused: the pace becomes what was let through in the last second, for a workspace that refuses lets through exactly
  as much as it will; refusals of what was sent before the last change say nothing new;
- a second without refusal: a little faster, and twice as much more after each further one, so that a limit that rises
  tenfold is found within seconds, and one that stands is exceeded by a hundredth now and then;
- ten times as fast as what is asked for: free again.

Never under five a second: so few refusals do no harm, and one bad moment must not cost a quiet session seconds.

Simulated with 3,000 exports under 60 a second: 1 % refused instead of 5-8 % (100 ms latency) or 86 % (3 ms), in
the same time; under 30 a second 2 % instead of 13-17 %.
"""

from __future__ import annotations

from collections import deque

SPAN_S = 1.0
FIRST_STEP = 0.01
LARGEST_STEP = 0.5
SLOWEST = 5.0
FREE_ABOVE = 10.0
# Less than this is rounding: who waits for it might wait for ever.
_INSTANT_S = 1e-6


class Pace:
    """Tells when to send and is told how it went; pure arithmetic on the seconds of one clock."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self._let_through: deque[float] = deque()
        self._step = FIRST_STEP
        self._changed_at = float("-inf")
        self._next_at = float("-inf")

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may be sent; 0 takes the turn."""
        if self.rate is None:
            return 0.0
        if self._next_at - now > _INSTANT_S:
            return self._next_at - now
        self._next_at = max(self._next_at, now - 1 / self.rate) + 1 / self.rate
        return 0.0

    def let_through(self, now: float) -> None:
        """A request was answered."""
        self._let_through.append(now)
        self._forget(now)
        if self.rate is not None and now - self._changed_at >= SPAN_S:
            self.rate *= 1 + self._step
            self._step = min(2 * self._step, LARGEST_STEP)
            self._changed_at = now
            if self.rate > FREE_ABOVE * max(len(self._let_through) / SPAN_S, 1.0):
                self.rate = None

    def refused(self, now: float, *, sent_at: float) -> None:
        """A request was refused for the number of requests."""
        if sent_at < self._changed_at:
            return
        self._forget(now)
        measured = max(len(self._let_through) / SPAN_S, SLOWEST)
        self.rate = measured if self.rate is None else min(self.rate, measured)
        self._step, self._changed_at = FIRST_STEP, now

    def _forget(self, now: float) -> None:
        while self._let_through and self._let_through[0] <= now - SPAN_S:
            self._let_through.popleft()

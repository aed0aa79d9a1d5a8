"""How long one request is tried: pure arithmetic, so that the promise can be read in one place.

At least `LEAST_TRIES` tries, and on until the budget is used up: the waits between the first ten grow twofold with full
jitter and add up to the budget at most; later ones are cut to what is left of it. A Retry-After is always waited
out, even where it leads beyond the budget. A host that lets every try time out is left after `LEAST_SILENT_TRIES`, once
the budget is used up by the waiting itself.
"""

from __future__ import annotations

from collections.abc import Callable

from nbvault.workspace.errors import RequestFailed, Unreachable

LEAST_TRIES = 10
LEAST_SILENT_TRIES = 3
FIRST_CONTACT_S = 8.0
"""The budget while the workspace has never answered: a mistyped host is told soon."""

_STEPS = [min(2.0**n, 64.0) for n in range(LEAST_TRIES - 1)]
_SHARES = [step / sum(_STEPS) for step in _STEPS]


class Patience:
    """The tries of one request.

    Args:
        random: A number in [0, 1) at each call.
    """

    def __init__(self, *, random: Callable[[], float]) -> None:
        self._random = random
        self.tries = 0
        self._spent_s = 0.0

    def spend(self, seconds: float) -> None:
        """Count the time that a try took; it uses up the budget like a wait."""
        self._spent_s += seconds

    def wait_after(self, error: RequestFailed, *, budget_s: float) -> float | None:
        """Seconds to wait before the next try, or None if the error is final.

        Args:
            budget_s: What all tries and waits together may take, about.
        """
        self.tries += 1
        if not error.retryable or self._is_spent(error, budget_s):
            return None
        wait_s = self._asked_or_jittered(error.retry_after_s or 0.0, budget_s)
        self._spent_s += wait_s
        return wait_s

    def _is_spent(self, error: RequestFailed, budget_s: float) -> bool:
        silent = isinstance(error, Unreachable) and error.timed_out
        return self._spent_s >= budget_s and self.tries >= (LEAST_SILENT_TRIES if silent else LEAST_TRIES)

    def _asked_or_jittered(self, asked_s: float, budget_s: float) -> float:
        step_s = budget_s * _SHARES[min(self.tries, len(_SHARES)) - 1]
        if self.tries < LEAST_TRIES:
            wait_s = step_s * self._random()
        else:
            # Half a step at least, so that the budget is used up after a few more tries.
            wait_s = min(step_s * (0.5 + self._random() / 2), max(budget_s - self._spent_s, 0.0))
        return max(wait_s, asked_s * (1 + self._random() / 10))

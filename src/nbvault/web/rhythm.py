"""When the next session may be expected: from the rhythm of the last ones, and no more is said than they tell. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

# So many gaps between sessions are looked at, so many must be there, and so far they may be from their middle.
LOOKED_AT = 7
_LEAST = 3
_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Expected:
    """When the next session begins if it goes on as in the last `sessions`; `late` where that has passed already."""

    at: datetime
    sessions: int
    late: bool


def next_session(starts: Sequence[datetime], *, now: datetime) -> Expected | None:
    """When the next session may be expected; None where the last ones had no rhythm, or there were too few.

    One session out of its turn, such as one that a person started, does not hide the rhythm of the others.

    Args:
        starts: When sessions began, newest first.
    """
    last = starts[: LOOKED_AT + 1]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(last)]
    if len(gaps) < _LEAST:
        return None
    middle_s = median(gaps)
    regular = [gap for gap in gaps if abs(gap - middle_s) <= _SPREAD * middle_s]
    if middle_s <= 0 or len(regular) < max(_LEAST, len(gaps) - 2):
        return None
    at = last[0] + timedelta(seconds=middle_s)
    # A little later than usual is not late.
    return Expected(at, len(last), late=now > at + timedelta(seconds=_SPREAD * middle_s))

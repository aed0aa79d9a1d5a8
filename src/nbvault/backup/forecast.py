"""When the repository reaches the limits of its host, from the growth that its sessions recorded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from nbvault.clock import iso

SIZE_LIMIT = 10_000_000_000
"""Azure Repos advises repositories below 10 GB."""
OBJECT_LIMIT = 10_000_000
"""Azure Repos allows no more objects."""

WINDOW = timedelta(days=90)
ENOUGH = timedelta(days=7)
NEW_A_MONTH = 1000
CHANGED_A_DAY = 0.05
# What a change costs in a vault of 70,500 notebooks: its blob and its share of trees, commits and records.
OBJECTS_A_CHANGE = 1.6
BYTES_A_CHANGE = 2800.0
HORIZON_DAYS = 36_500


class Advice(str, Enum):
    """What to do about it: nothing, plan for a rotation within the year, or rotate."""

    NONE = "none"
    PLAN = "plan"
    ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class Measure:
    """What the repository held after a session; `notebooks` is how many of them were alive."""

    at: datetime
    objects: int
    pack_bytes: int
    notebooks: int = 0
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: how much there is, how much comes in a day, and when it is reached; None is not in a hundred years."""

    name: str
    limit: int
    now: int
    a_day: float
    reached_at: datetime | None

    @property
    def share(self) -> float:
        """How much of the limit is used; above 1 where it is passed."""
        return self.now / self.limit

    def as_json(self) -> dict[str, Any]:
        """The limit as ``status --json`` prints it."""
        reached = iso(self.reached_at) if self.reached_at else None
        return {"limit": self.limit, "now": self.now, "a_day": round(self.a_day, 1), "reached_at": reached}


@dataclass(frozen=True, slots=True)
class Forecast:
    """When what is reached, on which facts that stands, and what to do. `exact` is false where totals are too low."""

    size: Limit
    objects: Limit
    basis: str
    advice: Advice
    exact: bool

    @property
    def first(self) -> Limit:
        """The limit that is reached first."""
        return min(self.size, self.objects, key=lambda limit: (limit.reached_at is None, limit.reached_at or 0))

    def as_json(self) -> dict[str, Any]:
        """The forecast as ``status --json`` prints it."""
        found: dict[str, Any] = {"bytes": self.size.as_json(), "objects": self.objects.as_json()}
        return found | {"basis": self.basis, "advice": self.advice.value, "exact": self.exact}


def forecast(measures: Iterable[Measure], *, now: datetime) -> Forecast | None:
    """The forecast from what sessions measured, oldest first; None where nothing was measured.

    A week of sessions tells how fast it grows; until then the plan does: 1,000 new notebooks a month, and one in twenty
    changed on each working day. A measure of tomorrow was taken by a wrong clock and is not believed; a total that went
    down is that of another repository, and what was before it does not count.
    """
    known = _of_one_repository([m for m in measures if m.at <= now + timedelta(days=1)])
    if not known:
        return None
    last = known[-1]
    size_a_day, objects_a_day, basis = _seen(known) or _planned(last)
    size = _limit("size", SIZE_LIMIT, last.pack_bytes, size_a_day, now)
    objects = _limit("objects", OBJECT_LIMIT, last.objects, objects_a_day, now)
    return Forecast(size, objects, basis, max(_advice(size, now), _advice(objects, now), key=_order), last.exact)


def _of_one_repository(measures: Sequence[Measure]) -> Sequence[Measure]:
    start = 0
    for place in range(1, len(measures)):
        before, after = measures[place - 1], measures[place]
        if after.objects < before.objects or after.pack_bytes < before.pack_bytes:
            start = place
    return measures[start:]


def _seen(measures: Sequence[Measure]) -> tuple[float, float, str] | None:
    """Bytes and objects a day as they came; the first measure is where that begins, for a first sync is no growth."""
    last = measures[-1]
    window = [m for m in measures if last.at - WINDOW <= m.at <= last.at]
    first = min(window, key=lambda m: (m.at, m.objects))
    span = last.at - first.at
    if span < ENOUGH:
        return None
    days = span / timedelta(days=1)
    basis = f"the growth seen in {len(window):,} sessions over {days:.0f} days"
    return max(last.pack_bytes - first.pack_bytes, 0) / days, max(last.objects - first.objects, 0) / days, basis


def _planned(last: Measure) -> tuple[float, float, str]:
    new, changed = NEW_A_MONTH * 12 / 365, last.notebooks * CHANGED_A_DAY * 5 / 7
    each = max(last.notebooks, 1)
    size = new * max(last.pack_bytes / each, BYTES_A_CHANGE) + changed * BYTES_A_CHANGE
    objects = new * max(last.objects / each, OBJECTS_A_CHANGE) + changed * OBJECTS_A_CHANGE
    basis = (
        f"the plan of {NEW_A_MONTH:,} new notebooks a month and {CHANGED_A_DAY:.0%} changed on each working day, "
        "until a week of sessions was seen"
    )
    return size, objects, basis


def _limit(name: str, limit: int, present: int, a_day: float, now: datetime) -> Limit:
    left = limit - present
    if left <= 0:
        return Limit(name, limit, present, a_day, now)
    far = a_day * HORIZON_DAYS < left
    return Limit(name, limit, present, a_day, None if far else now + timedelta(days=left / a_day))


def _advice(limit: Limit, now: datetime) -> Advice:
    within = limit.reached_at - now if limit.reached_at else timedelta.max
    if limit.share >= 0.8 or within <= timedelta(days=180):
        return Advice.ROTATE
    return Advice.PLAN if within <= timedelta(days=365) else Advice.NONE


def _order(advice: Advice) -> int:
    return list(Advice).index(advice)

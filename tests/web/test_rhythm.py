"""The next session is expected where the last ones had a rhythm, and nowhere else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from nbvault.web.rhythm import Expected, next_session

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
TWO = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)


def nights(count: int, *, minutes: int = 0) -> list[datetime]:
    """Sessions of so many nights, newest first; every second one begins some minutes later."""
    return [TWO - timedelta(days=day) + timedelta(minutes=minutes * (day % 2)) for day in range(count)]


def test_every_night_means_tonight() -> None:
    """After nights at two, with minutes of difference, the next is expected at two."""
    assert next_session(nights(10), now=NOON) == Expected(TWO + timedelta(days=1), 8, late=False)
    found = next_session(nights(10, minutes=9), now=NOON)
    assert found is not None
    assert abs(found.at - TWO - timedelta(days=1)) <= timedelta(minutes=9)


@pytest.mark.parametrize(("hours", "late"), [(24, False), (29, False), (31, True)])
def test_late_is_a_quarter_of_the_rhythm_over(hours: int, late: bool) -> None:
    """A little later than usual is not late; six hours after a nightly session is."""
    found = next_session(nights(8), now=TWO + timedelta(hours=hours))
    assert (found and found.late) == late


def test_too_few_and_irregular_sessions_tell_nothing() -> None:
    """Three sessions have no rhythm, nor have any at odd times."""
    assert next_session(nights(3), now=NOON) is None
    odd = [TWO - timedelta(hours=hours) for hours in (0, 1, 30, 33, 90, 91, 200, 260)]
    assert next_session(odd, now=NOON) is None
    assert next_session([TWO] * 8, now=NOON) is None


def test_one_out_of_its_turn_does_not_hide_the_rhythm() -> None:
    """A session that somebody started at noon three days ago leaves the nights as they are."""
    starts = sorted([*nights(8), NOON - timedelta(days=3)], reverse=True)
    found = next_session(starts, now=NOON)
    assert (found.at if found else None) == TWO + timedelta(days=1)

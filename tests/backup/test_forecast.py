"""The forecast of growth: what it stands on, what it says, and what cannot make it fail."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from nbvault.backup.forecast import OBJECT_LIMIT, SIZE_LIMIT, Advice, Measure, forecast

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=timezone.utc)
DAY = timedelta(days=1)
MOMENTS = st.floats(-13_000, 23_000).map(lambda days: NOW + timedelta(days=days))
MEASURES = st.builds(
    Measure,
    at=MOMENTS,
    objects=st.integers(0, 2 * OBJECT_LIMIT),
    pack_bytes=st.integers(0, 2 * SIZE_LIMIT),
    notebooks=st.integers(0, 1_000_000),
    exact=st.booleans(),
)


def days(count: int, *, a_day: int = 10_200_000, objects: int = 5_700, first: int = 142_000_000) -> list[Measure]:
    """A first sync and a session on each day after it, the last one now."""
    return [
        Measure(NOW - DAY * (count - day), 75_000 + day * objects, first + day * a_day, 70_500)
        for day in range(count + 1)
    ]


def test_what_was_seen_decides() -> None:
    """Ten megabytes a day: 10 GB after the days that the rest of it takes, whatever the first sync brought."""
    found = forecast(days(30), now=NOW)
    assert found is not None
    assert (found.size.a_day, found.objects.a_day) == (10_200_000, 5_700)
    assert found.size.reached_at == NOW + timedelta(days=(SIZE_LIMIT - 142_000_000 - 30 * 10_200_000) / 10_200_000)
    assert found.basis == "the growth seen in 31 sessions over 30 days"
    assert (found.first.name, found.advice) == ("size", Advice.NONE)


def test_the_plan_decides_until_a_week_was_seen() -> None:
    """After three days: 1,000 notebooks a month, and five in a hundred changed on working days."""
    found = forecast(days(3), now=NOW)
    assert found is not None
    assert found.basis.startswith("the plan of 1,000 new notebooks a month and 5% changed")
    assert 7_000_000 < found.size.a_day < 8_000_000
    assert 4_000 < found.objects.a_day < 5_000


def test_rotation_is_advised_in_time() -> None:
    """Within the year: plan; within half a year, or at eighty in a hundred, or beyond: rotate."""
    room = {400: Advice.NONE, 300: Advice.PLAN, 100: Advice.ROTATE, 0: Advice.ROTATE, -50: Advice.ROTATE}
    for left, advice in room.items():
        found = forecast(days(30, a_day=10_000_000, first=SIZE_LIMIT - 10_000_000 * (left + 30)), now=NOW)
        assert found is not None
        assert found.advice is advice, left


def test_nothing_measured_is_no_forecast() -> None:
    """An empty history, or one that only a wrong clock has written, says nothing."""
    assert forecast([], now=NOW) is None
    assert forecast([Measure(NOW + 400 * DAY, 1, 1)], now=NOW) is None


def test_a_session_with_a_wrong_clock_is_not_believed() -> None:
    """One that was years ahead changes nothing."""
    history = days(30)
    wrong = Measure(NOW + 3000 * DAY, history[15].objects, history[15].pack_bytes, 70_500)
    assert forecast([*history[:16], wrong, *history[16:]], now=NOW) == forecast(history, now=NOW)


def test_what_was_before_a_rotation_does_not_count() -> None:
    """A total that went down is that of a new repository."""
    found = forecast([*days(300, first=8_000_000_000), Measure(NOW, 75_000, 142_000_000, 70_500)], now=NOW)
    assert found is not None
    assert found.size.now == 142_000_000
    assert found.basis.startswith("the plan")


@given(st.lists(MEASURES, max_size=8), MOMENTS)
def test_no_history_makes_it_fail(measures: list[Measure], now: datetime) -> None:
    """Clocks that jump, sessions at one moment, totals that fall, nothing at all: no error, no date in the past."""
    found = forecast(measures, now=now)
    for limit in (found.size, found.objects) if found else ():
        assert limit.a_day >= 0
        assert limit.reached_at is None or limit.reached_at >= now
        assert (limit.reached_at == now) == (limit.share >= 1) or limit.a_day > 0


@given(st.integers(1, 60), st.integers(0, 50_000_000), st.integers(0, 5_000_000), st.integers(0, 5_000_000))
def test_who_grows_faster_or_is_larger_is_there_no_later(span: int, a_day: int, faster: int, larger: int) -> None:
    """More a day, or more to begin with, never moves the date into the future."""
    one = forecast(days(span, a_day=a_day), now=NOW)
    other = forecast(days(span, a_day=a_day + faster, first=142_000_000 + larger), now=NOW)
    assert one is not None
    assert other is not None
    never = datetime.max.replace(tzinfo=timezone.utc)
    assert (other.size.reached_at or never) <= (one.size.reached_at or never)

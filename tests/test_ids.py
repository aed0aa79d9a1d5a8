"""Names that say when something began."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.ids import latest, moment, new_id, stamp

ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.builds(datetime.fromtimestamp, st.floats(-60_000_000_000, 4_102_444_800), ZONES)


@given(MOMENTS)
def test_a_name_says_its_second(at: datetime) -> None:
    """Whatever the zone, a name gives back the moment it was made for, in UTC and to the second."""
    assert moment(new_id(at)) == moment(stamp(at)) == at.astimezone(timezone.utc).replace(microsecond=0)


@given(st.lists(MOMENTS, min_size=2, max_size=8))
def test_names_sort_as_they_were_made(clock: list[datetime]) -> None:
    """Each sorts after the one before, on a clock that stands still or goes back, too."""
    made = [""]
    for now in clock:
        made.append(new_id(now, after=made[-1]))
    assert made == sorted(made)
    assert len({name[:16] for name in made}) == len(made)


@given(MOMENTS, MOMENTS)
def test_a_clock_that_goes_on_is_believed(one: datetime, other: datetime) -> None:
    """A name of a later second says that second."""
    early, late = sorted((one, other))
    if stamp(early) != stamp(late):
        assert moment(new_id(late, after=new_id(early))) == late.astimezone(timezone.utc).replace(microsecond=0)


@pytest.mark.parametrize("name", ["foo", "zzz", "99999999T999999Z-1a2b3c", "99991231T235959Z-1a2b3c", "９" * 16])
def test_what_others_put_beside_our_names_stops_nothing(name: str) -> None:
    """A name that is none, or says a moment that is none, leaves the clock's."""
    now = datetime(2026, 11, 30, 2, tzinfo=timezone.utc)
    assert moment(new_id(now, after=name)) == now


def test_the_latest_is_one_of_ours() -> None:
    """What lies beside our names is passed over, wherever it sorts."""
    ours = ["20261129T020000Z-1a2b3c", "20261130T020000Z-000000"]
    assert latest(["2026", *ours, "zzz"]) == ours[1]
    assert latest(["foo", ""]) == ""


@pytest.mark.parametrize("name", ["", "keep", "2026-11-21", "20261321T020000Z-1a2b3c"])
def test_what_is_no_such_name_says_so(name: str) -> None:
    """No moment is made of what begins with none."""
    with pytest.raises(ValueError, match="does not match"):
        moment(name)

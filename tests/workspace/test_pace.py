"""The pace of a workspace that refuses: found by itself, kept to, and forgotten when it is not needed any more."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.workspace.pace import SLOWEST, Pace
from nbvault.workspace.window import AimdWindow, Outcome


class Run(NamedTuple):
    """What came of a simulated sync."""

    refused: float
    seconds: float


def simulate(calls: int, limit: Callable[[float], float], *, latency_s: tuple[float, float]) -> Run:
    """Window and pace together before a token bucket that begins full; who is refused comes back after a second."""
    window, pace, dice = AimdWindow(cap=64, start=4), Pace(), random.Random(7)
    now, tokens, served, refused, todo = 0.0, limit(0), 0, 0, calls
    flying: list[tuple[float, int, int, bool, float]] = []
    resting: list[float] = []
    numbers = itertools.count()
    while served < calls:
        while resting and resting[0] <= now:
            heapq.heappop(resting)
            todo += 1
        wait_s = 0.0
        while todo and window._has_room() and not (wait_s := pace.wait_s(now)):
            todo -= 1
            taken = tokens >= 1
            tokens -= taken
            flight = (now + dice.uniform(*latency_s), next(numbers), window._admit(), taken, now)
            heapq.heappush(flying, flight)
        events = [*(flying[0][:1] if flying else ()), *resting[:1], *([now + wait_s + 1e-6] if wait_s else [])]
        step = min(events)
        tokens, now = min(max(1.0, limit(now)), tokens + (step - now) * limit(now)), step
        while flying and flying[0][0] <= now:
            _, _, ticket, taken, sent_at = heapq.heappop(flying)
            window.release(ticket, outcome=Outcome.SUCCESS if taken else Outcome.THROTTLED, latency_s=now - sent_at)
            served, refused = served + taken, refused + (not taken)
            if taken:
                pace.let_through(now)
            else:
                pace.refused(now, sent_at=sent_at)
                heapq.heappush(resting, now + 1 + dice.random() / 10)
    return Run(refused / (served + refused), now)


@pytest.mark.parametrize("latency_s", [(0.002, 0.004), (0.05, 0.15)], ids=["3 ms", "100 ms"])
@pytest.mark.parametrize("rate", [100.0, 60.0, 30.0, 10.0])
def test_an_unknown_limit_costs_few_refusals_and_no_time(rate: float, latency_s: tuple[float, float]) -> None:
    """Under 4 % are refused, and it takes at most 5 % longer than the limit alone."""
    run = simulate(1500, lambda _now: rate, latency_s=latency_s)
    assert run.refused < 0.04
    assert run.seconds < 1.05 * 1500 / rate


@pytest.mark.parametrize("latency_s", [(0.002, 0.004), (0.05, 0.15)], ids=["3 ms", "100 ms"])
def test_a_limit_that_drops_to_a_tenth_and_comes_back(latency_s: tuple[float, float]) -> None:
    """60 a second, 6 for twenty seconds, 60 again: under 6 % are refused, and it is soon as fast as before."""
    run = simulate(3000, lambda now: 6 if 10 < now < 30 else 60, latency_s=latency_s)
    assert run.refused < 0.06
    assert run.seconds < 1.12 * 68


def test_without_refusals_there_is_no_pace() -> None:
    """A workspace without a limit is not slowed down."""
    pace = Pace()
    for number in range(1000):
        assert pace.wait_s(number / 1000) == 0
        pace.let_through(number / 1000)
    assert pace.rate is None


def test_one_bad_moment_is_forgotten() -> None:
    """After a single refusal in a quiet session the pace is free again within fifteen seconds."""
    pace, now = Pace(), 100.0
    pace.refused(now, sent_at=now - 0.1)
    assert pace.rate == SLOWEST
    while pace.rate is not None and now < 130:
        now += 0.25
        if not pace.wait_s(now):
            pace.let_through(now)
    assert now < 115


def test_refusals_of_one_round_trip_count_once() -> None:
    """What was sent before the pace changed says nothing about the new one."""
    pace = Pace()
    for number in range(100):
        pace.let_through(number / 100)
    pace.refused(1.0, sent_at=0.9)
    first = pace.rate
    pace.refused(1.5, sent_at=0.95)
    assert pace.rate == first


@given(st.lists(st.tuples(st.sampled_from(["send", "good", "bad"]), st.floats(0, 3)), max_size=200))
def test_it_never_stands_still(events: list[tuple[str, float]]) -> None:
    """Whatever happened, the next turn comes within the time of the slowest pace."""
    pace, now = Pace(), 0.0
    for what, later in events:
        now += later
        if what == "send":
            pace.wait_s(now)
        elif what == "good":
            pace.let_through(now)
        else:
            pace.refused(now, sent_at=now)
        assert pace.rate is None or pace.rate >= SLOWEST
        wait_s = pace.wait_s(now)
        assert 0 <= wait_s <= 1 / SLOWEST + 1e-6

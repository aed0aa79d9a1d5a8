"""The window on requests in flight: its invariants under any order of events."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.workspace.window import AimdWindow, Outcome

SUCCESS, THROTTLED, NEUTRAL = Outcome.SUCCESS, Outcome.THROTTLED, Outcome.NEUTRAL


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


steps = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "retry", "success", "throttled", "neutral", "cancel", "cancel-admitted"]),
        st.integers(0, 10_000),
        st.floats(0, 10),
    ),
    max_size=120,
)


async def play(window: AimdWindow, script: list[tuple[str, int, float]]) -> None:
    """Runs a script of events; checks after each that slots add up, and that nobody waits for nothing."""
    tasks: list[asyncio.Task[int]] = []
    held: list[int] = []
    for what, pick, latency_s in script:
        before, room = window.in_flight, int(window.size)
        if what in ("acquire", "retry"):
            tasks.append(asyncio.ensure_future(window.acquire(retry=what == "retry")))
        elif what.startswith("cancel"):
            waiting = [task for task in tasks if not task.done()]
            # Before or after the cancellation, in one turn of the loop: the slot may go to the one that is cancelled.
            first, then = pick % 3 == 1, pick % 3 == 2
            if what == "cancel-admitted" and held and first:
                window.release(held.pop(), outcome=NEUTRAL)
            if waiting:
                waiting[pick % len(waiting)].cancel()
            if what == "cancel-admitted" and held and then:
                window.release(held.pop(), outcome=NEUTRAL)
        elif held:
            window.release(held.pop(pick % len(held)), outcome=Outcome(what), latency_s=latency_s)
        await settle()
        assert window.in_flight <= max(before, room, int(window.size))
        held += [task.result() for task in tasks if task.done() and not task.cancelled()]
        tasks = [task for task in tasks if not task.done()]
        assert window.in_flight == len(held)
        assert 1 <= window.size <= 8
        assert not tasks or window.in_flight >= int(window.size), "somebody waits beside a free slot"
    await drain(window, tasks, held)


async def drain(window: AimdWindow, tasks: list[asyncio.Task[int]], held: list[int]) -> None:
    """All who wait are admitted once those before them have let go."""
    while tasks or held:
        assert held, "waiting, and nobody holds a slot"
        window.release(held.pop(), outcome=NEUTRAL)
        await settle()
        held += [task.result() for task in tasks if task.done()]
        tasks = [task for task in tasks if not task.done()]
    assert window.in_flight == 0


@given(steps)
@settings(deadline=None, max_examples=150)
def test_never_more_in_flight_than_the_window_and_no_wakeup_lost(script: list[tuple[str, int, float]]) -> None:
    """Under any order of acquiring, ending, throttling and cancelling, slots are neither lost nor invented."""
    asyncio.run(play(AimdWindow(cap=8, start=3), script))


async def test_retries_go_first_and_the_rest_in_order() -> None:
    """First come, first served; a retry comes before what has not been tried yet."""
    window, order = AimdWindow(cap=1, start=1), list[str]()
    ticket = await window.acquire()

    async def wait(name: str, *, retry: bool = False) -> None:
        mine = await window.acquire(retry=retry)
        order.append(name)
        window.release(mine, outcome=NEUTRAL)

    waiting = [
        asyncio.ensure_future(wait(name, retry=name.startswith("retry"))) for name in ("a", "b", "retry1", "retry2")
    ]
    await settle()
    window.release(ticket, outcome=NEUTRAL)
    await asyncio.gather(*waiting)
    assert order == ["retry1", "retry2", "a", "b"]


async def test_throttled_answers_of_one_round_trip_narrow_once() -> None:
    """Thirty refusals of requests that were sent together are one piece of news."""
    window = AimdWindow(cap=64, start=30)
    tickets = [await window.acquire() for _ in range(30)]
    for ticket in tickets:
        window.release(ticket, outcome=THROTTLED)
    assert window.size == pytest.approx(24)
    window.release(await window.acquire(), outcome=THROTTLED)
    assert window.size == pytest.approx(24 * 0.8)


async def test_it_grows_only_while_it_holds_requests_back() -> None:
    """One request at a time says nothing about what more would do."""
    window = AimdWindow(cap=64, start=4)
    for _ in range(100):
        window.release(await window.acquire(), outcome=SUCCESS, latency_s=0.1)
    assert window.size == 4


async def test_it_reaches_its_cap_where_nothing_is_refused() -> None:
    """Without a limit it opens up to the cap and stays there."""
    window = AimdWindow(cap=64, start=4)
    held = [await window.acquire() for _ in range(4)]
    for _ in range(4200):
        window.release(held.pop(0), outcome=SUCCESS, latency_s=0.1)
        while window.in_flight + 1 <= window.size:
            held.append(await window.acquire())
    assert window.size == 64


async def test_slow_answers_narrow_it_gently_and_not_below_two() -> None:
    """Answers that take ten times as long as before are a sign of overload, but no reason to stop."""
    window = AimdWindow(cap=64, start=10)
    sizes = []
    for round_trip in range(200):
        held = [await window.acquire() for _ in range(int(window.size))]
        for ticket in held:
            window.release(ticket, outcome=SUCCESS, latency_s=0.2 if round_trip < 5 else 3.0, kind="export")
        sizes.append(window.size)
    assert sizes[4] > 10
    assert min(sizes) >= 2
    assert min(sizes) < 6
    assert all(after >= before * 0.95 - 1e-9 for before, after in itertools.pairwise(sizes))


async def test_latencies_of_one_kind_do_not_count_against_another() -> None:
    """Listing is not slow because exporting is."""
    window = AimdWindow(cap=64, start=8)
    for kind, latency_s in [("list", 0.1), ("export", 2.0)] * 50:
        window.release(await window.acquire(), outcome=SUCCESS, latency_s=latency_s, kind=kind)
    assert window.size == 8


def test_a_bucket_is_used_well_with_little_waste() -> None:
    """Simulated token bucket of 100/s, 50-150 ms latency: over 85 of 100 requests a second, under 8 % refused."""
    served, refused, seconds = _simulate(rate=100.0, calls=1500)
    assert served / seconds > 85
    assert refused / (served + refused) < 0.08


def _simulate(*, rate: float, calls: int) -> tuple[int, int, float]:
    """A discrete simulation: events by time, no waiting. Refused requests come back after a second."""
    window, dice = AimdWindow(cap=64, start=4), random.Random(7)
    now, tokens, refused, served, todo = 0.0, rate / 10, 0, 0, calls
    flying: list[tuple[float, int, bool]] = []
    resting: list[float] = []
    while served < calls:
        ready = [at for at in resting if at <= now]
        while (todo or ready) and window.in_flight + 1 <= window.size:
            if ready:
                resting.remove(ready.pop())
            else:
                todo -= 1
            taken = tokens >= 1
            tokens -= taken
            flying.append((now + dice.uniform(0.05, 0.15), window._admit(), taken))
        step = min([at for at, _, _ in flying] + [at for at in resting if at > now])
        tokens, now = min(rate, tokens + (step - now) * rate), step
        for one in [one for one in flying if one[0] <= now]:
            flying.remove(one)
            window.release(one[1], outcome=SUCCESS if one[2] else THROTTLED, latency_s=0.1)
            served, refused = served + one[2], refused + (not one[2])
            resting += [] if one[2] else [now + 1 + dice.random()]
    return served, refused, now


class Service:
    """A simulated workspace: how long an answer takes, from how many are in flight."""

    def __init__(self, latency_s: Callable[[int, float], float]) -> None:
        self._latency_s = latency_s
        self.window = AimdWindow(cap=64, start=4)
        self.now = 0.0

    def serve(self, *, seconds: float) -> tuple[int, list[float]]:
        """Always enough to do, for so long; how many were answered, and the window at each answer."""
        flying, sizes, end = list[tuple[float, int, float]](), list[float](), self.now + seconds
        while self.now < end:
            while self.window._has_room():
                ticket = self.window._admit()
                heapq.heappush(flying, (self.now + self._latency_s(self.window.in_flight, self.now), ticket, self.now))
            self.now, ticket, sent = heapq.heappop(flying)
            self.window.release(ticket, outcome=SUCCESS, latency_s=self.now - sent, kind="export")
            sizes.append(self.window.size)
        for _, ticket, _ in flying:
            self.window.release(ticket, outcome=NEUTRAL)
        return len(sizes), sizes


def test_slowness_that_is_not_ours_costs_no_more_than_it_must() -> None:
    """Latency grows from 0.1 s to 5 s whatever we do: after some minutes most of the cap is in flight again."""
    service = Service(lambda _in_flight, now: 0.1 if now < 60 else 5.0)
    service.serve(seconds=60)
    service.serve(seconds=600)
    answered, sizes = service.serve(seconds=600)
    assert answered / 600 > 0.6 * 64 / 5
    assert min(sizes) > 25


def test_slowness_that_comes_from_us_is_kept_low() -> None:
    """A service that answers 40 a second, and queues the rest: the queue is cut, the service busy."""
    service = Service(lambda in_flight, _now: max(0.1, in_flight / 40))
    answered, sizes = service.serve(seconds=60)
    assert answered / 60 > 36
    assert sum(sizes) / len(sizes) < 48

"""How long one request is tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbvault.workspace.errors import Forbidden, RequestFailed, ServerFault, Throttled, Unreachable
from nbvault.workspace.patience import Patience

chances = st.lists(st.floats(0, 1, exclude_max=True), min_size=200, max_size=200)


def waits(error: RequestFailed, chance: list[float], *, budget_s: float = 60.0, took_s: float = 0.0) -> list[float]:
    numbers = iter(chance * 5)
    patience = Patience(random=lambda: next(numbers))
    found: list[float] = []
    while True:
        patience.spend(took_s)
        wait_s = patience.wait_after(error, budget_s=budget_s)
        if wait_s is None:
            return found
        found.append(wait_s)


@given(chances, st.floats(1, 600))
def test_at_least_ten_tries_and_no_more_time_than_the_budget(chance: list[float], budget_s: float) -> None:
    """Whatever the dice say: ten tries or more, and the waits use the budget up without exceeding it."""
    found = waits(ServerFault("x"), chance, budget_s=budget_s)
    assert 10 <= len(found) + 1 <= 40
    assert budget_s * 0.99 <= sum(found) <= budget_s * 1.000001


@given(chances, st.floats(0.5, 600))
def test_retry_after_is_waited_out_every_time(chance: list[float], asked_s: float) -> None:
    """No wait is shorter than what the workspace asked for, though the whole takes longer than the budget."""
    found = waits(Throttled("x", retry_after_s=asked_s), chance)
    assert len(found) + 1 >= 10
    assert min(found) >= asked_s
    assert sum(found) <= max(60.0, 0.0) + 10 * asked_s * 1.1 + asked_s * 1.1


def test_what_is_final_is_tried_once() -> None:
    """A 403 is not asked again."""
    assert waits(Forbidden("x"), [0.5]) == []


@given(chances)
def test_a_host_that_lets_every_try_time_out_is_left_after_three(chance: list[float]) -> None:
    """The waiting itself uses up the budget."""
    silent = Unreachable("x")
    silent.timed_out = True
    assert len(waits(silent, chance, took_s=60.0)) + 1 == 3


@given(chances)
def test_slow_faults_are_still_tried_ten_times(chance: list[float]) -> None:
    """Ten tries are promised even where they take longer than the budget."""
    assert len(waits(ServerFault("x"), chance, took_s=30.0)) + 1 == 10

"""Exports spread over other machines; here the machines are threads, which run what an executor runs."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from nbvault.clock import SystemClock
from nbvault.errors import AuthenticationError
from nbvault.model import NotebookFormat
from nbvault.workspace import spread as spread_module
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errand import Call, Errand, Homecoming, Method, carry_out
from nbvault.workspace.errors import NotFound, Unauthorized, Unreachable
from nbvault.workspace.spread import ClusterLost, SpreadWorkspace
from nbvault.workspace.transport import ClientOptions
from nbvault_emulator.testing import Emulator

ROOT = "/Clients"
OPTIONS = ClientOptions(max_in_flight=8, retry_s=0.3)


@dataclass
class Threads:
    """A cluster of threads. What crosses its border is pickled; `before` is called on the way of each errand."""

    slots: int = 2
    before: Callable[[int], None] = lambda _number: None
    errands: list[tuple[Errand, list[Call]]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)

    def run(self, errand: Errand, calls: Sequence[Call]) -> Homecoming:
        self.errands.append((errand, list(calls)))
        self.started.set()
        self.before(len(self.errands))
        home: Homecoming = _journey(carry_out(*_journey((errand, list(calls)))))
        return home

    def cancel(self) -> None:
        self.cancelled.set()


def _journey(value: Any) -> Any:
    """What arrives elsewhere."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - made in this very line


@dataclass
class Badge:
    """Credentials; the first `stale` sets of headers are no good."""

    host: str
    token: str
    stale: int = 0
    renewed: int = 0

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token if self.renewed >= self.stale else 'stale'}"}

    def renew(self) -> dict[str, str]:
        self.renewed += 1
        return self.headers()

    def accepted(self, identity: str = "") -> None:
        """Not counted."""


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(notebooks=60, years=1, engagements=2) as running:
        yield running


@asynccontextmanager
async def spread_over(
    emulator: Emulator, cluster: Threads, *, badge: Badge | None = None, said: list[str] | None = None
) -> AsyncIterator[SpreadWorkspace]:
    badge = badge or Badge(emulator.workspace_url, emulator.workspace_token)
    say = (said if said is not None else []).append
    async with (
        WorkspaceClient(Badge(badge.host, emulator.workspace_token), options=OPTIONS) as client,
        SpreadWorkspace(client, cluster, badge, options=OPTIONS, clock=SystemClock(), say=say) as workspace,
    ):
        yield workspace


def sources(emulator: Emulator) -> dict[str, bytes]:
    return {each["path"]: each["content"].encode() for each in emulator.world(ROOT, content=True)}


async def exported(workspace: SpreadWorkspace, paths: Sequence[str]) -> dict[str, bytes]:
    return dict(zip(paths, await asyncio.gather(*(workspace.export(path) for path in paths)), strict=True))


async def test_every_notebook_comes_home_byte_for_byte(emulator: Emulator) -> None:
    """The answers are those of one machine, and the requests of all are counted."""
    wanted = sources(emulator)
    cluster = Threads()
    async with spread_over(emulator, cluster) as workspace:
        assert await exported(workspace, list(wanted)) == wanted
        listed, form = await workspace.inspect(next(iter(wanted)))
        assert (listed.path, form) == (next(iter(wanted)), NotebookFormat.SOURCE)
        assert (workspace.stats.export, workspace.stats.other) == (len(wanted), 1)
    assert len(cluster.errands) >= 2, "the calls were not spread"


async def test_each_partition_has_its_share_of_the_ceilings(emulator: Emulator) -> None:
    """What all send together is what one machine would."""
    cluster = Threads(slots=4)
    async with spread_over(emulator, cluster) as workspace:
        await exported(workspace, list(sources(emulator)))
    assert {errand.max_in_flight for errand, _ in cluster.errands} == {2}


async def test_a_failure_comes_home_as_the_same_error(emulator: Emulator) -> None:
    """Message, hint, path and kind survive the journey."""
    path = f"{ROOT}/not there"
    async with spread_over(emulator, Threads()) as workspace:
        with pytest.raises(NotFound) as far:
            await workspace.export(path)
    async with WorkspaceClient(Badge(emulator.workspace_url, emulator.workspace_token)) as client:
        with pytest.raises(NotFound) as near:
            await client.export(path)
    assert (str(far.value), vars(far.value)) == (str(near.value), vars(near.value))


async def test_a_lost_partition_is_done_here(emulator: Emulator) -> None:
    """Nothing is missing, and it is said."""

    def lose_the_first(number: int) -> None:
        if number == 1:
            raise ClusterLost("The executor is gone.")

    wanted, said = sources(emulator), list[str]()
    async with spread_over(emulator, Threads(before=lose_the_first), said=said) as workspace:
        assert await exported(workspace, list(wanted)) == wanted
    assert len(said) == 1
    assert "exported here instead" in said[0]


async def test_a_cluster_that_loses_everything_is_left_alone(emulator: Emulator) -> None:
    """After three in a row no more is sent there."""

    def lose(_number: int) -> None:
        raise ClusterLost("The executor is gone.")

    wanted, said = sources(emulator), list[str]()
    cluster = Threads(slots=1, before=lose)
    async with spread_over(emulator, cluster, said=said) as workspace:
        for _ in range(5):
            assert await exported(workspace, list(wanted)) == wanted
    assert len(cluster.errands) == 3
    assert "without the cluster" in said[-1]


async def test_refused_credentials_are_renewed_once(emulator: Emulator) -> None:
    """A token that ran out on the way is made anew here, and the calls are made again."""
    wanted = sources(emulator)
    badge = Badge(emulator.workspace_url, emulator.workspace_token, stale=1)
    async with spread_over(emulator, Threads(), badge=badge) as workspace:
        assert await exported(workspace, list(wanted)) == wanted
    assert badge.renewed == 1


async def test_credentials_refused_twice_are_refused(emulator: Emulator) -> None:
    """Then everyone who waits is told."""
    badge = Badge(emulator.workspace_url, emulator.workspace_token, stale=10**9)
    paths = list(sources(emulator))[:10]
    async with spread_over(emulator, Threads(), badge=badge) as workspace:
        ends = await asyncio.gather(*(workspace.export(path) for path in paths), return_exceptions=True)
    assert {type(end) for end in ends} == {Unauthorized}


async def test_credentials_that_cannot_be_had_end_the_calls(emulator: Emulator) -> None:
    """No errand leaves without them."""

    class Lost(Badge):
        def headers(self) -> dict[str, str]:
            raise AuthenticationError("The variable is empty.")

    cluster = Threads()
    async with spread_over(emulator, cluster, badge=Lost(emulator.workspace_url, "")) as workspace:
        with pytest.raises(AuthenticationError, match="The variable is empty"):
            await workspace.export(next(iter(sources(emulator))))
    assert cluster.errands == []


async def test_who_stops_waiting_calls_the_partition_home(emulator: Emulator) -> None:
    """A session that is asked to stop does not wait for what it no longer wants."""
    cluster = Threads()

    def until_cancelled(_number: int) -> None:
        assert cluster.cancelled.wait(30), "nobody cancelled the errand"
        raise ClusterLost("cancelled")

    cluster.before = until_cancelled
    said: list[str] = []
    async with spread_over(emulator, cluster, said=said) as workspace:
        waiting = asyncio.ensure_future(exported(workspace, list(sources(emulator))))
        assert await asyncio.to_thread(cluster.started.wait, 30)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert said == []


async def test_a_fault_of_the_program_reaches_those_who_wait(emulator: Emulator) -> None:
    """It is raised, not waited for for ever."""

    def break_down(_number: int) -> None:
        raise ZeroDivisionError

    async with spread_over(emulator, Threads(before=break_down)) as workspace:
        with pytest.raises(ZeroDivisionError):
            await workspace.export(next(iter(sources(emulator))))


# --- what an executor does -------------------------------------------------------------------------------------------


def errand(emulator: Emulator, **more: object) -> Errand:
    headers = {"Authorization": f"Bearer {emulator.workspace_token}"}
    return Errand(emulator.workspace_url, headers, **{"retry_s": 0.2, "max_in_flight": 2, **more})  # type: ignore[arg-type]


def calls(emulator: Emulator) -> list[Call]:
    return [Call(Method.EXPORT, path) for path in sources(emulator)]


def test_an_errand_comes_home_when_it_carries_enough(emulator: Emulator) -> None:
    """Memory is bounded: what is over the bytes is left for the next errand, untried."""
    todo = calls(emulator)
    home = carry_out(errand(emulator, most_bytes=1), todo)
    assert 1 <= len(home.answers) <= 2
    assert emulator.requests()["export"] == {"200": len(home.answers)}


def test_an_errand_to_a_silent_workspace_comes_home_soon(emulator: Emulator) -> None:
    """Ten calls in a row without an answer are enough to know."""
    todo = calls(emulator)
    emulator.faults({"kind": "drop", "when": "before"})
    home = carry_out(errand(emulator, retry_s=0.05), todo)
    assert {type(answer.error) for answer in home.answers.values()} == {Unreachable}
    assert 10 <= len(home.answers) <= 12


def test_an_errand_has_the_time_that_is_left(emulator: Emulator) -> None:
    """With none left it asks nothing."""
    home = carry_out(errand(emulator, time_left_s=0.0), calls(emulator))
    assert len(home.answers) <= 2
    assert emulator.requests().get("export", {}) == {}


def test_an_errand_prints_without_its_credentials(emulator: Emulator) -> None:
    """Neither the token nor the proxy's password is in any text made from it."""
    shown = errand(emulator, proxy="http://user:pa55word@proxy")
    assert emulator.workspace_token not in f"{shown!r} {shown}"
    assert "pa55word" not in f"{shown!r} {shown}"


async def test_partitions_are_bounded(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, a partition is no larger than what may be lost, or in memory, at once."""
    monkeypatch.setattr(spread_module, "PARTITION_CALLS", 20)
    wanted = sources(emulator)
    cluster = Threads(slots=1)
    async with spread_over(emulator, cluster) as workspace:
        assert await exported(workspace, list(wanted)) == wanted
    assert [len(calls) for _, calls in cluster.errands] == [20, 20, 20]

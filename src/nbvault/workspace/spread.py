"""A workspace whose notebooks are exported by a cluster: to whoever asks, it is a workspace like any other.

Calls are collected, handed to the cluster in partitions, and answered when a partition comes home. Listing and
everything else stays with the client here. What the cluster cannot do is done here.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, NbvaultError
from nbvault.model import Identity, ListedObject, NotebookFormat, RequestCounts
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errand import Answer, Call, Errand, Homecoming, Method, Value, answer_of
from nbvault.workspace.errors import Unauthorized
from nbvault.workspace.transport import Authenticator, ClientOptions

# A partition, the unit of what can be lost and of what is in memory at once.
PARTITION_CALLS = 250
PARTITION_BYTES = 16 * 1024 * 1024
# More partitions at once need more memory here, and a workspace's limit is reached long before.
MOST_PARTITIONS = 16
# A job costs about this much to start: worth the wait for company.
LINGER_S = 0.1
LOST_IN_A_ROW = 3


class ClusterLost(NbvaultError):
    """The cluster could not bring a partition to its end; nothing of it came back."""


class Cluster(Protocol):
    """Machines that run errands."""

    @property
    def slots(self) -> int:
        """How many errands it runs at once."""

    def run(self, errand: Errand, calls: Sequence[Call]) -> Homecoming:
        """One partition, on one of the machines; blocks. Raises ClusterLost."""

    def cancel(self) -> None:
        """End what is running; its `run` raises ClusterLost."""


@dataclass(slots=True, eq=False)
class _Wanted:
    """A call that somebody waits for; `renewed` after its credentials were refused once."""

    call: Call
    answer: asyncio.Future[Value]
    renewed: bool = False

    def settle(self, answer: Answer) -> None:
        if self.answer.done():
            return
        if answer.error is not None:
            self.answer.set_exception(answer.error)
        elif answer.value is not None:
            self.answer.set_result(answer.value)


class SpreadWorkspace:
    """An async context manager for one event loop; `export` and `inspect` go to the cluster.

    Args:
        options: The ceilings of all together; each partition gets its share of them.
        say: Told in words when something is lost.
    """

    def __init__(
        self,
        client: WorkspaceClient,
        cluster: Cluster,
        auth: Authenticator,
        *,
        options: ClientOptions,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._auth = auth
        self._options = options
        self._clock = clock
        self._say = say
        self._lanes = max(1, min(cluster.slots, options.max_in_flight, MOST_PARTITIONS))
        self._waiting: deque[_Wanted] = deque()
        self._arrived = asyncio.Event()
        self._collecting = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._renewals = 0
        self._lost_in_a_row = 0
        self._window = 4.0
        self._tasks: list[asyncio.Task[None]] = []
        self._open: set[asyncio.Future[Value]] = set()
        self._broken: BaseException | None = None
        self._threads = ThreadPoolExecutor(self._lanes, thread_name_prefix="errand")

    @property
    def wanted_at_once(self) -> int:
        """How many calls should wait at once, so that every partition can be full while the next one fills up."""
        return (self._lanes + 1) * PARTITION_CALLS

    @property
    def host(self) -> str:
        """As `WorkspaceClient.host`."""
        return self._client.host

    @property
    def stats(self) -> RequestCounts:
        """Requests sent so far, here and by the partitions that are home."""
        return self._client.stats

    async def __aenter__(self) -> SpreadWorkspace:
        self._tasks = [asyncio.create_task(self._lane()) for _ in range(self._lanes)]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        closing = asyncio.ensure_future(asyncio.to_thread(self._threads.shutdown, cancel_futures=True))
        while not closing.done():
            # Again and again: a job may have been on its way to the cluster when the last order came.
            await asyncio.to_thread(self._cluster.cancel)
            await asyncio.wait([closing], timeout=1.0)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def list_folder(self, path: str) -> list[ListedObject]:
        """As `WorkspaceClient.list_folder`."""
        return await self._client.list_folder(path)

    async def me(self) -> Identity:
        """As `WorkspaceClient.me`."""
        return await self._client.me()

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        """As `WorkspaceClient.export`, by the cluster."""
        found = await self._ask(Call(Method.EXPORT, path, form))
        return found if isinstance(found, bytes) else b""

    async def export_folder(self, path: str) -> bytes:
        """As `WorkspaceClient.export_folder`, by this process: one request is no work to share."""
        return await self._client.export_folder(path)

    async def inspect(self, path: str) -> tuple[ListedObject, NotebookFormat | None]:
        """As `WorkspaceClient.inspect`, by the cluster."""
        found = await self._ask(Call(Method.INSPECT, path))
        return found if not isinstance(found, bytes) else await self._client.inspect(path)

    async def _ask(self, call: Call) -> Value:
        await self._client.take_turn()
        if self._broken is not None:
            raise self._broken
        wanted = _Wanted(call, asyncio.get_running_loop().create_future())
        self._open.add(wanted.answer)
        self._waiting.append(wanted)
        self._arrived.set()
        try:
            return await wanted.answer
        finally:
            self._open.discard(wanted.answer)

    # --- lanes: each has one partition out at a time -----------------------------------------------------------------

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A lane never ends by itself; if it does, a fault of the program, whoever waits is told instead of left."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._broken = error
        for answer in self._open:
            if not answer.done():
                answer.set_exception(error)

    async def _lane(self) -> None:
        while True:
            await self._deal_with(await self._collect())

    async def _collect(self) -> list[_Wanted]:
        """The next partition: what waits, or with little waiting a fair part of it."""
        async with self._collecting:
            while True:
                if not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                if len(self._waiting) < PARTITION_CALLS:
                    await self._clock.sleep(LINGER_S)
                if found := self._take():
                    return found

    def _take(self) -> list[_Wanted]:
        count = min(PARTITION_CALLS, math.ceil(len(self._waiting) / self._lanes))
        taken = [self._waiting.popleft() for _ in range(count)]
        return [wanted for wanted in taken if not wanted.answer.done()]

    async def _deal_with(self, partition: list[_Wanted]) -> None:
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            await self._do_here(partition)
            return
        renewals = self._renewals
        try:
            home = await self._sent(partition)
            self._lost_in_a_row = 0
            await self._hand_out(partition, home, since=renewals)
        except AuthenticationError as error:
            for wanted in partition:
                wanted.settle(Answer(error=error))
        except ClusterLost as error:
            if not all(wanted.answer.done() for wanted in partition):
                self._lost(error, len(partition))
                await self._do_here(partition)

    async def _sent(self, partition: Sequence[_Wanted]) -> Homecoming:
        """The partition's way to the cluster and back; called home when nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        calls = [wanted.call for wanted in partition]
        out = loop.run_in_executor(self._threads, lambda: self._cluster.run(self._errand(), calls))
        unwanted = asyncio.gather(*(wanted.answer for wanted in partition), return_exceptions=True)
        watched: set[asyncio.Future[Any]] = {out, unwanted}
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if not out.done():
            await asyncio.to_thread(self._cluster.cancel)
        return await out

    def _errand(self) -> Errand:
        """What a partition gets that leaves now: credentials of this moment, and its share of the ceilings."""
        headers, options = self._auth.headers(), self._options
        share = max(1, options.max_in_flight // self._lanes)
        deadline = self._client.deadline
        return Errand(
            self._auth.host,
            headers,
            proxy=options.proxy_for(self._auth.host),
            ca_file=options.ca_file,
            max_in_flight=share,
            start_in_flight=max(1, min(share, int(self._window))),
            requests_per_second=options.requests_per_second / self._lanes,
            retry_s=options.retry_s,
            timeout_s=options.timeout_s,
            time_left_s=None if deadline is None else max(deadline - self._clock.monotonic(), 0.0),
            most_bytes=PARTITION_BYTES,
        )

    async def _hand_out(self, partition: Sequence[_Wanted], home: Homecoming, *, since: int) -> None:
        self._window = home.window or self._window
        self._client.stats.add(home.requests)
        again = []
        for number, wanted in enumerate(partition):
            answer = home.answers.get(number)
            refused = answer is not None and isinstance(answer.error, Unauthorized) and not wanted.renewed
            if answer is None or refused:
                wanted.renewed = wanted.renewed or refused
                again.append(wanted)
            else:
                wanted.settle(answer)
        if any(wanted.renewed for wanted in again):
            await self._renew(since=since)
        self._waiting.extendleft(reversed(again))
        if again:
            self._arrived.set()

    async def _renew(self, *, since: int) -> None:
        """New credentials, unless another partition has asked for them since this one left."""
        async with self._renewing:
            if self._renewals == since:
                await asyncio.to_thread(self._auth.renew)
                self._renewals += 1

    # --- what the cluster cannot do ----------------------------------------------------------------------------------

    def _lost(self, error: ClusterLost, calls: int) -> None:
        self._lost_in_a_row += 1
        self._say(f"{error} Its {calls} notebooks are exported here instead.")
        if self._lost_in_a_row == LOST_IN_A_ROW:
            self._say(f"{LOST_IN_A_ROW} partitions in a row were lost: this session goes on without the cluster.")

    async def _do_here(self, partition: Sequence[_Wanted]) -> None:
        await asyncio.gather(*(self._one_here(wanted) for wanted in partition))

    async def _one_here(self, wanted: _Wanted) -> None:
        wanted.settle(await answer_of(self._client, wanted.call))

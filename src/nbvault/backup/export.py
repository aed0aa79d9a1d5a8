"""Exporting notebooks, many at once, into blobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

from nbvault.backup.folders import WORKERS, FolderExporter, FolderJob
from nbvault.backup.ledger import Outcome
from nbvault.backup.scan import GIVE_UP_AFTER, FolderListing
from nbvault.backup.trust import Trust
from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import ListedObject, NotebookFormat, State
from nbvault.workspace.errors import DeadlineExceeded, NotFound, Unreachable

# Small enough to bound memory, large enough that listing seldom waits.
WAITING = 4000


class Source(Protocol):
    """What exporting needs of a workspace."""

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        """The notebook's bytes in that format."""

    async def export_folder(self, path: str) -> bytes:
        """Everything below a folder as a zip of SOURCE files."""

    async def inspect(self, path: str) -> tuple[ListedObject, NotebookFormat | None]:
        """What is at the path and, where the workspace says so, the format that the notebook has of its own."""


class NotebookExporter:
    """A pool that turns outcomes into bytes; failures are entered into the outcome, never swallowed.

    Args:
        keep: Takes the bytes of an exported notebook; may wait, which slows the pool down (bounded memory).
        workers: How many exports may be under way; the workspace client's window decides how many really are.
        native: Keep each notebook in its own format, which costs a question for each that is exported, and none for
            the others.
        trust: Whether folders are exported whole where many of their notebooks are wanted.
        day: Days since 1970, which choose what is then compared.
        alone: The notebooks, by id, that are exported by themselves in any case.
        recall: Settles an outcome whose bytes this session has exported before; False for all others.

    `waiting` counts what was submitted and has not ended, `exported` and `failed` what has.
    """

    def __init__(
        self,
        workspace: Source,
        *,
        keep: Callable[[Outcome, bytes], Awaitable[None]],
        workers: int,
        native: bool = False,
        trust: Trust | None = None,
        day: int = 0,
        alone: Callable[[int], bool] = lambda _: False,
        recall: Callable[[Outcome], Awaitable[bool]] | None = None,
    ) -> None:
        self._workspace = workspace
        self._recall = recall
        self._native = native
        self._alone = alone
        self._keep = keep
        self._workers = workers
        self._queue: asyncio.Queue[Outcome] = asyncio.Queue()
        self._room = asyncio.Event()
        self._folders: asyncio.Queue[FolderJob] = asyncio.Queue(maxsize=100)
        self.folders = FolderExporter(
            workspace, trust or Trust(), day=day, keep=self._take_from_folder, leave=self._queue.put
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: asyncio.Future[None]
        self._unreachable_in_a_row = 0
        self.vanished: list[Outcome] = []
        self.bytes_exported = 0
        self.exported = 0
        self.failed = 0
        self.waiting = 0

    async def __aenter__(self) -> NotebookExporter:
        self._broken = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        if self.folders.trust.usable:
            self._tasks += [asyncio.create_task(self._work_on_folders()) for _ in range(WORKERS)]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._broken.cancel()

    async def submit(self, outcome: Outcome) -> None:
        """Queue a notebook for export; waits while very many are waiting, raises what ended the pool."""
        self.waiting += 1
        self._queue.put_nowait(outcome)
        if self._queue.qsize() >= WAITING:
            # Until half of them are gone: to wait for a place each costs as much as parsing its listing.
            self._room.clear()
            await self._unless_broken(self._room.wait())

    async def submit_folder(self, listing: FolderListing, wanted: Sequence[Outcome]) -> None:
        """Queue notebooks of one folder, as one or each by itself; as `submit`."""
        if self._recall is not None:
            wanted = [outcome for outcome in wanted if not await self._recall(outcome)]
        whole = self.folders.wants(listing, wanted)
        together = [outcome for outcome in wanted if whole and not self._alone(outcome.listed.object_id)]
        for outcome in wanted:
            if not whole or self._alone(outcome.listed.object_id):
                await self.submit(outcome)
        if together:
            self.waiting += len(together)
            await self._unless_broken(self._folders.put(FolderJob(listing, together)))

    async def drain(self) -> None:
        """Wait until every queued export has ended, well or badly; raises what ended the pool."""
        # What folders leave behind goes into the other queue, never the other way round.
        await self._unless_broken(self._folders.join())
        await self._unless_broken(self._queue.join())

    async def _unless_broken(self, waiting: Coroutine[Any, Any, Any]) -> None:
        wanted = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait([wanted, self._broken], return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                self._broken.result()
            await wanted
        finally:
            wanted.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._broken.done():
            self._broken.set_exception(error)
            self._broken.exception()  # seen: whoever waits next raises it

    async def _work(self) -> None:
        while True:
            outcome = await self._queue.get()
            if self._queue.qsize() <= WAITING // 2:
                self._room.set()
            await self._export(outcome)
            self.waiting -= 1
            self._queue.task_done()

    async def _work_on_folders(self) -> None:
        while True:
            await self.folders.take(await self._folders.get())
            self._folders.task_done()

    async def _take_from_folder(self, outcome: Outcome, data: bytes) -> None:
        await self._took(outcome, data)
        self.waiting -= 1

    async def _export(self, outcome: Outcome) -> None:
        if self._recall is not None and await self._recall(outcome):
            return
        try:
            data = await self._bytes_of(outcome)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except NotFound as error:
            outcome.reason = str(error)
            self.vanished.append(outcome)
        except WorkspaceError as error:
            self._failed(outcome, error)
        else:
            await self._took(outcome, data)

    async def _took(self, outcome: Outcome, data: bytes) -> None:
        self._unreachable_in_a_row = 0
        self.exported += 1
        self.bytes_exported += len(data)
        outcome.size_bytes = len(data)
        await self._keep(outcome, data)

    async def _bytes_of(self, outcome: Outcome) -> bytes:
        path = outcome.listed.path
        if self._native:
            _, own = await self._workspace.inspect(path)
            outcome.form = own or NotebookFormat.SOURCE
        return await self._workspace.export(path, form=outcome.form)

    def _failed(self, outcome: Outcome, error: WorkspaceError) -> None:
        outcome.state, outcome.reason = State.FAILED, str(error)
        self.failed += 1
        if isinstance(error, Unreachable):
            self._unreachable_in_a_row += 1
            if self._unreachable_in_a_row >= GIVE_UP_AFTER:
                raise error

"""Listing the workspace folder by folder, and knowing exactly which folders were read, when, and which were not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nbvault.backup.detect import Folder, parent_of
from nbvault.backup.scope import Scope
from nbvault.errors import AuthenticationError, ConfigurationError, WorkspaceError
from nbvault.model import DIRECTORY, REPO, ListedObject
from nbvault.workspace.errors import DeadlineExceeded, NotADirectory, NotFound, Unreachable

# So many objects in a row that could not be reached mean that the workspace is gone, not a folder.
GIVE_UP_AFTER = 10


class Lister(Protocol):
    """What scanning needs of a workspace."""

    async def list_folder(self, path: str) -> list[ListedObject]:
        """Everything directly in the folder ``path``."""


@dataclass(frozen=True, slots=True)
class FolderListing:
    """One folder, listed completely."""

    path: str
    objects: Sequence[ListedObject]


@dataclass(slots=True)
class FolderRecord:
    """What is known of a folder; `begun` and `ended` order its last listing among all others of the session."""

    state: Folder
    begun: int
    ended: int
    error: str = ""
    missing: bool = False


class ChangeScanner:
    """Walks the folders below a root, many at once, and hands on each complete listing.

    Never drops a folder: each one met ends in `folders` as read, unreadable, gone, opaque (a Git folder), or
    resting: one of those that it was told not to list, before `wake`. `unreachable` is the last error of a workspace
    that did not answer.
    """

    def __init__(
        self,
        workspace: Lister,
        *,
        root: str,
        scope: Scope,
        observe: Callable[[FolderListing], Awaitable[None]],
        resting: Collection[str] = (),
        workers: int = 24,
    ) -> None:
        self._workspace = workspace
        self._root = root
        self._scope = scope
        self._observe = observe
        self._resting = resting
        self._workers = workers
        self._ticks = 0
        self._children: dict[str, set[str]] = {}
        self.folders: dict[str, FolderRecord] = {}
        self.unreachable_in_a_row = 0
        self.unreachable: Unreachable | None = None

    async def scan(self, folders: Iterable[str]) -> None:
        """List these folders, again if they were listed before, and whatever new folders they lead to."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        waiting = set()
        for folder in folders:
            waiting.add(folder)
            queue.put_nowait(folder)
        workers = [asyncio.create_task(self._work(queue, waiting)) for _ in range(self._workers)]
        try:
            await _finished_or_failed(queue, workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def settle_404s(self) -> None:
        """List the parents of folders that answered 404 again: gone is only what they no longer show."""
        checked: set[str] = {self._root}
        while suspects := [path for path in self._missing() if path not in checked]:
            checked.update(suspects)
            # A parent that is missing itself has nothing to say; its own parent has.
            await self.scan(sorted({parent_of(path) for path in suspects} - set(self._missing())))
        for path in sorted(self.folders):
            parent = self.folders.get(parent_of(path))
            if self.folders[path].missing and parent is not None and parent.state is Folder.GONE:
                self.folders[path].state = Folder.GONE

    def _missing(self) -> list[str]:
        return [path for path, r in self.folders.items() if r.missing and r.state is Folder.UNREADABLE]

    def wake(self) -> list[str]:
        """Let no folder rest any longer; returns those that did, for the caller to list."""
        self._resting = ()
        return [path for path, record in self.folders.items() if record.state is Folder.RESTING]

    def listed_before(self, moment: int) -> list[str]:
        """The folders whose last listing had begun before ``moment`` and was complete."""
        return [path for path, record in self.folders.items() if record.state is Folder.READ and record.begun < moment]

    def states(self) -> dict[str, Folder]:
        return {path: record.state for path, record in self.folders.items()}

    def unreadable(self) -> dict[str, str]:
        """The folders that could not be read, and why."""
        return {path: r.error for path, r in sorted(self.folders.items()) if r.state is Folder.UNREADABLE}

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks

    async def _work(self, queue: asyncio.Queue[str], waiting: set[str]) -> None:
        while True:
            folder = await queue.get()
            for child in await self._list(folder):
                if child not in waiting and self._is_news(child):
                    waiting.add(child)
                    queue.put_nowait(child)
            queue.task_done()

    def _is_news(self, folder: str) -> bool:
        """Whether a folder that is shown was never listed, or was thought to be gone."""
        known = self.folders.get(folder)
        if known is None and folder in self._resting:
            self._record(folder, FolderRecord(Folder.RESTING, self._ticks, self._ticks))
            return False
        return known is None or known.state is Folder.GONE

    async def _list(self, folder: str) -> list[str]:
        begun = self._tick()
        try:
            objects = await self._workspace.list_folder(folder)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except WorkspaceError as error:
            self._not_read(folder, begun, error)
            return []
        self.unreachable_in_a_row = 0
        self._mark_gone(folder, {entry.path for entry in objects})
        self._record(folder, FolderRecord(Folder.READ, begun, self._tick()))
        for entry in objects:
            if entry.kind == REPO:
                self._record(entry.path, FolderRecord(Folder.OPAQUE, begun, self._ticks))
        await self._observe(FolderListing(folder, objects))
        return [e.path for e in objects if e.kind == DIRECTORY and self._scope.may_contain(e.path)]

    def _not_read(self, folder: str, begun: int, error: WorkspaceError) -> None:
        missing = isinstance(error, NotFound)
        if missing and folder == self._root and folder not in self.folders:
            raise ConfigurationError(
                f"The root {self._root} does not exist in the workspace, or this identity may not see it.",
                hint="Check workspace.root, and the permissions of the backup identity.",
            ) from error
        if isinstance(error, NotADirectory) and folder == self._root and folder not in self.folders:
            raise ConfigurationError(
                f"The root cannot be backed up: {error.message}",
                hint="Check workspace.root: it is the folder above the notebooks.",
            ) from error
        if isinstance(error, Unreachable):
            self.unreachable = error
            self.unreachable_in_a_row += 1
            if self.unreachable_in_a_row >= GIVE_UP_AFTER:
                raise error
        self._record(folder, FolderRecord(Folder.UNREADABLE, begun, self._tick(), str(error), missing=missing))

    def _record(self, folder: str, record: FolderRecord) -> None:
        self.folders[folder] = record
        if folder != self._root:
            self._children.setdefault(parent_of(folder), set()).add(folder)

    def _mark_gone(self, folder: str, shown: set[str]) -> None:
        """What an earlier listing showed and this one does not is gone from this folder."""
        for path in self._children.get(folder, set()) - shown:
            self.folders[path].state = Folder.GONE


async def _finished_or_failed(queue: asyncio.Queue[str], workers: Sequence[asyncio.Task[None]]) -> None:
    """Wait until the queue is empty, or raise what a worker raised."""
    drained = asyncio.ensure_future(queue.join())
    try:
        await asyncio.wait([drained, *workers], return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            if worker.done():
                worker.result()
    finally:
        drained.cancel()

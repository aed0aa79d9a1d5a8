"""Doing what a plan says: many notebooks at once, each with its own outcome, until all are done or all must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from nbvault.errors import (
    AuthenticationError,
    GitError,
    LockedError,
    NbvaultError,
    SessionInterrupted,
    WorkspaceError,
)
from nbvault.recovery.deed import Deed, Manner, Surroundings, Workspace
from nbvault.recovery.plan import Action, Entry, folders_above
from nbvault.recovery.receipt import WITHOUT_A_DEED, Outcome, Result
from nbvault.recovery.saver import Saver
from nbvault.workspace.errors import DeadlineExceeded, Unreachable

WORKERS = 64
SLICE = 200
GIVE_UP_AFTER = 10
"""So many requests in a row without an answer, and the workspace is gone."""

_ENDS_ALL = (AuthenticationError, DeadlineExceeded, GitError, LockedError, SessionInterrupted)
Load = Callable[[Sequence[str]], Mapping[str, bytes]]


class _NothingNew(NbvaultError):
    """Nothing new may be begun."""


class Applier:
    """Applies entries; an outcome for each is in `outcomes` afterwards, whatever happened.

    Args:
        load: Reads blobs from the vault; those that are missing there are left out. May block.
        stop: Set when the restore is to end early.
        missing: The folders that did not exist when it was planned.
        done: Called when an entry has its outcome.

    `halted` is the error that ended it early, if one did.
    """

    def __init__(
        self,
        workspace: Workspace,
        saver: Saver,
        *,
        load: Load,
        stop: asyncio.Event,
        missing: Iterable[str] = (),
        manner: Manner | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.halted: NbvaultError | None = None
        self._load = load
        self._stop = stop
        self._done = done
        self._silent = 0
        folders = _FolderMaker(workspace, missing)
        self._around = Surroundings(
            workspace,
            manner or Manner(),
            go_on=self._go_on,
            begun=saver.begun,
            save=saver.save,
            folder=folders.see_to,
            folder_again=folders.make,
            trouble=self._trouble,
        )

    async def run(self, entries: Sequence[Entry]) -> None:
        """Apply the entries; raises nothing that the outcomes and `halted` can say."""
        queue: asyncio.Queue[tuple[Entry, bytes]] = asyncio.Queue(maxsize=SLICE)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(WORKERS)]
        feeding = asyncio.create_task(self._feed(entries, queue))
        try:
            # A worker ends only by a fault of the program, and nobody would take what is still in the queue.
            await asyncio.wait([feeding, *workers], return_when=asyncio.FIRST_COMPLETED)
            for task in (feeding, *workers):
                if task.done():
                    task.result()
        finally:
            for task in (feeding, *workers):
                task.cancel()
            await asyncio.gather(feeding, *workers, return_exceptions=True)
        for entry in entries:
            self.outcomes.setdefault(entry.number, _not_done(entry))

    async def _feed(self, entries: Sequence[Entry], queue: asyncio.Queue[tuple[Entry, bytes]]) -> None:
        for start in range(0, len(entries), SLICE):
            batch = entries[start : start + SLICE]
            if self._ended:
                break
            data = await self._contents([e.blob for e in batch if e.action.writes and e.blob])
            for entry in batch:
                if not entry.action.writes:
                    self._settle(entry, Outcome(entry.action, WITHOUT_A_DEED[entry.action], entry.reason))
                elif entry.blob and entry.blob not in data:
                    why = "its bytes are missing in the vault" if not self._ended else ""
                    self._settle(entry, Outcome(entry.action, Result.FAILED, why) if why else _not_done(entry))
                else:
                    await queue.put((entry, data.get(entry.blob, b"")))
        await queue.join()

    async def _contents(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        try:
            return await asyncio.to_thread(self._load, blobs)
        except _ENDS_ALL as error:
            self._halt(error)
            return {}

    async def _work(self, queue: asyncio.Queue[tuple[Entry, bytes]]) -> None:
        while True:
            entry, data = await queue.get()
            self._settle(entry, await self._outcome(entry, data))
            queue.task_done()

    def _settle(self, entry: Entry, outcome: Outcome) -> None:
        self.outcomes[entry.number] = outcome
        if outcome.verified:
            self._silent = 0
        self._done()

    async def _outcome(self, entry: Entry, data: bytes) -> Outcome:
        try:
            self._go_on()
            return await Deed(entry, data, self._around).do()
        except _NothingNew:
            return _not_done(entry)
        except _ENDS_ALL as error:
            self._halt(error)
            return _not_done(entry)
        except WorkspaceError as error:
            self._trouble(error)
            return Outcome(entry.action, Result.FAILED, str(error))

    @property
    def _ended(self) -> bool:
        return self._stop.is_set() or self.halted is not None

    def _go_on(self) -> None:
        if self._ended:
            raise _NothingNew("Nothing new is begun.")

    def _trouble(self, error: NbvaultError) -> None:
        if isinstance(error, Unreachable):
            self._silent += 1
            if self._silent >= GIVE_UP_AFTER:
                self._halt(error)
        else:
            self._silent = 0
            if isinstance(error, _ENDS_ALL):
                self._halt(error)

    def _halt(self, error: NbvaultError) -> None:
        self.halted = self.halted or error


class _FolderMaker:
    """Makes folders, one request at a time and each once."""

    def __init__(self, workspace: Workspace, missing: Iterable[str]) -> None:
        self._workspace = workspace
        self._missing = set(missing)
        self._one_at_a_time = asyncio.Lock()
        self._refused: dict[str, WorkspaceError] = {}

    async def see_to(self, folder: str) -> None:
        """See that a folder is there that may have been missing."""
        if folder in self._missing:
            async with self._one_at_a_time:
                if folder in self._missing:
                    await self._make(folder)

    async def make(self, folder: str) -> None:
        """Make a folder that was believed to be there."""
        async with self._one_at_a_time:
            await self._make(folder)

    async def _make(self, folder: str) -> None:
        if folder in self._refused:
            raise self._refused[folder]
        try:
            await self._workspace.mkdirs(folder)
        except (AuthenticationError, DeadlineExceeded, Unreachable):
            raise
        except WorkspaceError as error:
            self._refused[folder] = error
            raise
        self._missing -= {folder, *folders_above(folder)}


def _not_done(entry: Entry) -> Outcome:
    if not entry.action.writes:
        return Outcome(entry.action, WITHOUT_A_DEED[entry.action], entry.reason)
    return Outcome(entry.action, Result.NOT_DONE)


async def remove_empty(workspace: Workspace, folders: Iterable[str]) -> None:
    """Remove those of the folders that are empty, the deepest first; one that cannot be removed stays."""
    for folder in sorted(folders, key=lambda path: (-path.count("/"), path)):
        with suppress(WorkspaceError):
            await workspace.delete(folder, recursive=False)


def pre_images(entries: Iterable[Entry]) -> int:
    """How many notebooks must be saved before they are touched."""
    return sum(entry.action in (Action.OVERWRITE, Action.REPLACE, Action.DELETE) for entry in entries)

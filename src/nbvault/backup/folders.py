"""Exporting whole folders: one request for all notebooks of a folder, and never more believed of it than is proven."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nbvault.backup.archive import NOTEBOOK_BYTES, UNPACKED_BYTES, Archive, Unusable, is_leaf, names_clash, unpack
from nbvault.backup.ledger import Outcome
from nbvault.backup.scan import FolderListing
from nbvault.backup.trust import Trust, place
from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import NOTEBOOK, ListedObject, NotebookFormat
from nbvault.workspace.errors import DeadlineExceeded, TooLarge

# A folder's archive is asked for if so many of its notebooks, and so large a share of them, are wanted: it costs the
# workspace all of them, and saves a request for each that is wanted.
AT_LEAST = 4
SHARE = 4
# So many folders in a row whose archive was of no use, and this session asks for no more.
GIVE_UP_AFTER = 5
WORKERS = 12
# Of archives in memory, packed and unpacked, all together; and what is reckoned for a notebook before it is here.
IN_MEMORY_BYTES = 64 * 1024 * 1024
RECKONED_BYTES = 32 * 1024


class Source(Protocol):
    """What exporting folders needs of a workspace."""

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        """The notebook's bytes in that format."""

    async def export_folder(self, path: str) -> bytes:
        """Everything below a folder as a zip of SOURCE files."""


class Compared(Enum):
    """What comes of comparing an archive with the notebook's own export; `CHANGED` says it was edited in between."""

    SAME = "same"
    CHANGED = "changed"
    DIFFERENT = "different"


async def compare(workspace: Source, listing: FolderListing, archive: Archive, path: str) -> Compared:
    """Whether the archive has the bytes of a notebook's own export.

    Who finds a difference asks for both once more: an edit in between must not look like a lie. If that cannot be had,
    it stays a difference.

    Raises:
        WorkspaceError: the notebook cannot be exported.
    """
    alone = await workspace.export(path)
    if archive.sources[path] == alone:
        return Compared.SAME
    try:
        again = unpack(await workspace.export_folder(listing.path), listing.path, listing.objects).sources.get(path)
        edited = again is not None and again in (alone, await workspace.export(path))
    except (AuthenticationError, DeadlineExceeded):
        raise
    except WorkspaceError:
        edited = False
    return Compared.CHANGED if edited else Compared.DIFFERENT


@dataclass(frozen=True, slots=True)
class FolderJob:
    """A folder as it was listed, and those of its notebooks that are wanted."""

    listing: FolderListing
    wanted: Sequence[Outcome]


class Room:
    """Bytes that may be in memory at once; who asks for more than there is waits. One is let in whatever it asks."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0
        self._changed = asyncio.Condition()

    async def take(self, amount: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._used or self._used + amount <= self._limit)
            self._used += amount

    async def give(self, amount: int) -> None:
        """Give back; a negative amount takes without waiting, for what is here already."""
        async with self._changed:
            self._used -= amount
            self._changed.notify_all()


class FolderExporter:
    """Takes notebooks out of the archives of their folders, as long as these are right.

    One notebook in a hundred, and one of the first folder at least, is compared with its own export before anything of
    its archive is kept. After one difference nothing more is taken from archives, and `recall` gives back everything
    that was.

    Args:
        day: Days since 1970, which choose the notebooks that are compared.
        keep: Takes the bytes of a notebook.
        leave: Takes a notebook that has to be exported by itself.
    """

    def __init__(
        self,
        workspace: Source,
        trust: Trust,
        *,
        day: int,
        keep: Callable[[Outcome, bytes], Awaitable[None]],
        leave: Callable[[Outcome], Awaitable[None]],
    ) -> None:
        self.trust = trust
        self._workspace = workspace
        self._day = day
        self._keep = keep
        self._leave = leave
        self._room = Room(IN_MEMORY_BYTES)
        self._useless_in_a_row = 0
        self._compared = 0
        self._taken: dict[int, ListedObject] = {}

    def wants(self, listing: FolderListing, wanted: Sequence[Outcome]) -> bool:
        """Whether these notebooks of the folder are better taken from its archive."""
        if not self.trust.usable or len(wanted) < AT_LEAST:
            return False
        notebooks = sum(entry.kind == NOTEBOOK for entry in listing.objects)
        enough = len(wanted) * SHARE >= notebooks
        return enough and is_leaf(listing.objects) and not names_clash(listing.objects)

    async def take(self, job: FolderJob) -> None:
        """Keep every wanted notebook that the folder's archive has, and leave the others."""
        reckoned = min(RECKONED_BYTES * len(job.listing.objects), NOTEBOOK_BYTES + UNPACKED_BYTES)
        await self._room.take(reckoned)
        try:
            archive, packed = await self._archive_of(job)
            if archive is not None:
                held = packed + sum(map(len, archive.sources.values()))
                await self._room.give(reckoned - held)
                reckoned = held
                await self._take_from(archive, job)
        finally:
            await self._room.give(reckoned)

    def recall(self) -> list[ListedObject]:
        """Once the trust is broken: what was taken from archives and must be exported again; each is told once."""
        if not self.trust.broken:
            return []
        taken, self._taken = self._taken, {}
        return list(taken.values())

    async def _archive_of(self, job: FolderJob) -> tuple[Archive | None, int]:
        """The archive, if it is of use; otherwise every notebook is left."""
        try:
            if self.trust.usable:
                data = await self._workspace.export_folder(job.listing.path)
                archive = unpack(data, job.listing.path, job.listing.objects)
                self._expect_layout(archive, job.listing.path)
                self._useless_in_a_row = 0
                return archive, len(data)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except WorkspaceError as error:
            self._useless(error)
        await self._leave_all(job.wanted)
        return None, 0

    def _expect_layout(self, archive: Archive, folder: str) -> None:
        if archive.layout is not self.trust.layout:
            raise Unusable(f"the names in the archive of {folder} are not built as they were when it was probed")

    def _useless(self, error: WorkspaceError) -> None:
        self.trust.unusable.append(error.message.rstrip("."))
        # Too large says something of this folder only.
        self._useless_in_a_row += not isinstance(error, TooLarge)
        if self._useless_in_a_row >= GIVE_UP_AFTER:
            reason = (
                f"{GIVE_UP_AFTER} archives in a row could not be used, the last one because {self.trust.unusable[-1]}"
            )
            self.trust.given_up = self.trust.given_up or reason

    async def _take_from(self, archive: Archive, job: FolderJob) -> None:
        there = [outcome for outcome in job.wanted if outcome.listed.path in archive.sources]
        proven = await self._compare(archive, job, there)
        for outcome in job.wanted:
            path = outcome.listed.path
            if self.trust.broken or path not in archive.sources or proven.get(path, Compared.SAME) is not Compared.SAME:
                await self._leave(outcome)
                continue
            if path not in proven:
                outcome.from_archive = True
                self._taken[outcome.listed.object_id] = outcome.listed
            await self._keep(outcome, archive.sources[path])

    async def _compare(self, archive: Archive, job: FolderJob, there: Sequence[Outcome]) -> dict[str, Compared]:
        """Today's share of the folder, by path; a notebook that cannot be compared is left to its own export."""
        proven: dict[str, Compared] = {}
        for path in self._drawn(there):
            try:
                proven[path] = await compare(self._workspace, job.listing, archive, path)
            except (AuthenticationError, DeadlineExceeded):
                raise
            except WorkspaceError:
                proven[path] = Compared.CHANGED
            if proven[path] is Compared.DIFFERENT:
                self.trust.broken = self.trust.broken or f"the archive of its folder has other bytes for {path}"
        return proven

    def _drawn(self, there: Sequence[Outcome]) -> list[str]:
        places = {outcome.listed.path: place(outcome.listed.object_id, self._day) for outcome in there}
        drawn = [path for path, where in places.items() if where == 0]
        if not (drawn or self._compared) and places:
            drawn = [min(places, key=lambda path: places[path])]
        self._compared += len(drawn)
        return drawn

    async def _leave_all(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            await self._leave(outcome)

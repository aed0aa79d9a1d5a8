"""What the pages and the API ask of the vault for a viewer. Whatever names a notebook has passed `Access` here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool

from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.gitstore.blobs import blob_sizes
from nbvault.notebook import diff
from nbvault.recovery.blame import Blame, blame
from nbvault.recovery.history import Change, Version, history
from nbvault.recovery.moments import Moment, moment
from nbvault.recovery.notebooks import Found
from nbvault.recovery.past import Content, content_at, content_now
from nbvault.reporting import query as changed
from nbvault.reporting.walk import NotebookChange, changes, in_period
from nbvault.web import cells
from nbvault.web.access import Access
from nbvault.web.catalogue import Item, Query, State
from nbvault.web.kept import Kept
from nbvault.web.patience import VAULT, in_time, unknown, went_on
from nbvault.web.refusals import NotThere, no_notebook
from nbvault.web.viewer import Viewer
from nbvault.web.warm import Snapshot, WarmVault

PAGE = 50
MOST_CHANGES = 10_000
# Of so many changes the texts are fetched before somebody opens them: some tens of megabytes.
MOST_FETCHED = 6_000
# So many candidates are asked about at once at most, and so many for one answer. The first ones are as many as fill the
# page: mostly all of them may be seen, and each folder among them is a question to the workspace.
_PART = 200
_AT_MOST = 5_000
# Larger ones are read again: two hundred of these are 20 MB.
_KEPT_BYTES = 100_000
_AHEAD_AT_ONCE = 2
# So many read from the vault at once: more would only take each other's memory and processors.
_READERS = 12

P = ParamSpec("P")
T = TypeVar("T")


class Place(NamedTuple):
    """A notebook for `Access`."""

    path: str
    object_id: int


class Happened(NamedTuple):
    """A change, and where its notebook is today, or was last."""

    change: NotebookChange
    today: Place


class Page(NamedTuple):
    """Some notebooks; `after` is where the next page begins, None if there is none."""

    items: list[Item]
    after: int | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A notebook that the viewer may see, in one state of the vault."""

    snapshot: Snapshot
    found: Found

    @property
    def path(self) -> str:
        """Where it is, or was last."""
        return self.found.present_path

    @property
    def deleted(self) -> bool:
        return self.found.row is None


@dataclass(frozen=True, slots=True)
class Told:
    """A version for a viewer: where it was is left out if that folder may not be seen."""

    version: Version
    path: str

    @property
    def has_content(self) -> bool:
        return self.version.change is not Change.DELETED

    def as_json(self) -> dict[str, Any]:
        """As ``history --json``, but for the path."""
        return {**self.version.as_json(), "path": self.path or None}


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a version, and where it came from; `content` is None where it was not there."""

    content: Content | None
    data: bytes
    label: str

    @property
    def is_large(self) -> bool:
        return len(self.data) > cells.MOST_BYTES


class Library:
    """Reads for viewers; for one event loop. What git is asked for runs in threads."""

    def __init__(self, warm: WarmVault, access: Access) -> None:
        self._warm = warm
        self._access = access
        self._histories: Kept[list[Version]] = Kept(2000)
        self._moments: Kept[Moment] = Kept(5000)
        self._views: Kept[cells.NotebookView] = Kept(50)
        self._diffs: Kept[cells.DiffView] = Kept(50)
        self._changes: Kept[list[Happened]] = Kept(10)
        self._blames: Kept[Blame] = Kept(20)
        self._fetched_for: tuple[str, changed.Query] | None = None
        self._ahead = asyncio.Semaphore(_AHEAD_AT_ONCE)
        self._reading: set[asyncio.Future[None]] = set()
        self._data: Kept[bytes] = Kept(200, worth=lambda data: len(data) <= _KEPT_BYTES)
        self._readers = CapacityLimiter(_READERS)

    @property
    def snapshot(self) -> Snapshot:
        """The newest state of the vault."""
        return self._warm.snapshot

    async def _read(self, work: Callable[P, T], *values: P.args, **more: P.kwargs) -> T:
        """Let a thread read from the vault, which may have to ask the Git server for it.

        Raises:
            StillAsking: it takes longer than the request may.
        """
        reading = to_thread.run_sync(partial(work, *values, **more), limiter=self._readers)
        return await in_time(reading, VAULT, unknown)

    # --- finding -----------------------------------------------------------------------------------------------------

    async def find(self, viewer: Viewer, query: Query, *, after: int = -1, most: int = PAGE) -> Page:
        """The notebooks that are meant and may be seen, a page of them."""
        candidates = self.snapshot.catalogue.find(query, after=after)
        found: list[Item] = []
        last, examined = after, 0
        while len(found) <= most and examined < _AT_MOST:
            wanted = max(most + 1 - len(found), min(examined, _PART))
            part = list(islice(candidates, wanted))
            if not part:
                return Page(found, None)
            seen = await self._access.visible(viewer, part)
            for item, is_seen in zip(part, seen, strict=True):
                if is_seen:
                    found.append(item)
                if len(found) > most:
                    return Page(found[:most], found[most - 1].number)
                last = item.number
            examined += len(part)
        return Page(found[:most], last)

    async def folder(self, viewer: Viewer, folder: str, *, state: State = State.LIVING) -> tuple[list[str], list[Item]]:
        """The folders and notebooks directly in a folder.

        Raises:
            NotThere: the vault knows of no such folder, or it may not be seen.
        """
        catalogue = self.snapshot.catalogue
        folder = folder.rstrip("/") or catalogue.root or "/"
        if not catalogue.holds_folder(folder) or not await self._access.may_enter(viewer, folder):
            raise no_notebook(folder)
        folders, items = catalogue.children(folder, state=state)
        seen = await self._access.visible(viewer, items)
        shown = [item for item, is_seen in zip(items, seen, strict=True) if is_seen]
        return await self._access.folders(viewer, folder, folders), shown

    async def open(self, viewer: Viewer, path: str) -> Opened:
        """The notebook that a path means.

        Raises:
            NotThere: there is none, or it may not be seen.
        """
        snapshot = self.snapshot
        try:
            found = snapshot.notebooks.find(path)
        except ConfigurationError:
            raise no_notebook(path) from None
        # Where it is today decides; that it was where it is asked for must not be given away either.
        places = [Place(each, found.object_id) for each in dict.fromkeys((found.present_path, found.path))]
        if not all(await self._access.visible(viewer, places)):
            raise no_notebook(path)
        return Opened(snapshot, found)

    async def may_see_all(self, viewer: Viewer, about: Iterable[tuple[str, int]]) -> bool:
        """Whether all of these may (still) be seen; what lies outside the backed-up root is nobody's secret."""
        return (await self.may_see_each(viewer, [about]))[0]

    async def may_see_each(self, viewer: Viewer, many: Iterable[Iterable[tuple[str, int]]]) -> list[bool]:
        """The same for each of many, all asked about at once."""
        root = self.snapshot.catalogue.root + "/"
        places = [[Place(*each) for each in about if each[0].startswith(root)] for about in many]
        every = list(dict.fromkeys(place for about in places for place in about))
        seen = dict(zip(every, await self._access.visible(viewer, every), strict=True))
        return [all(seen[place] for place in about) for about in places]

    async def seen_paths(self, viewer: Viewer, paths: Iterable[str]) -> frozenset[str]:
        """Those of the paths, living or gone, that may be named."""
        notebooks = self.snapshot.notebooks
        wanted = list(dict.fromkeys(paths))
        places = [Place(path, notebooks.by_path.get(path, 0)) for path in wanted]
        seen = await self._access.visible(viewer, places)
        return frozenset(path for path, is_seen in zip(wanted, seen, strict=True) if is_seen)

    async def changes(self, viewer: Viewer, query: changed.Query) -> list[NotebookChange]:
        """The changes that are meant and may be seen, newest first; the newest `MOST_CHANGES` of them are looked at."""
        snapshot = self.snapshot
        return await self._may_be_told(viewer, await self._all_changes(snapshot, query))

    def know_changes(self, query: changed.Query) -> None:
        """Read the changes that are meant before anybody asks for them, and fetch their texts, new and old; blocks.

        Does little where that was done already. Where the vault cannot tell, who asks will be told so.
        """
        with suppress(NbvaultError):
            snapshot = self.snapshot
            newest = self._changes_of(snapshot, query)[:MOST_FETCHED]
            texts = [blob for each in newest for blob in (each.change.new_blob, each.change.old_blob) if blob]
            if self._fetched_for != (snapshot.tip, query):
                snapshot.vault.blobs.ensure(dict.fromkeys(texts))
                self._fetched_for = (snapshot.tip, query)

    async def some_changes(
        self, viewer: Viewer, query: changed.Query, *, after: int = 0, most: int = PAGE
    ) -> tuple[list[NotebookChange], int | None]:
        """A page of the same, from the one numbered ``after`` on, and where the next page begins; None: nowhere.

        Only as many are asked about as it takes to fill the page.
        """
        snapshot = self.snapshot
        every = await self._all_changes(snapshot, query)
        found: list[NotebookChange] = []
        while after < len(every):
            part = every[after : after + most - len(found)]
            found += await self._may_be_told(viewer, part)
            after += len(part)
            if len(found) == most:
                return found, after if after < len(every) else None
        return found, None

    async def _all_changes(self, snapshot: Snapshot, query: changed.Query) -> list[Happened]:
        return await self._read(self._changes_of, snapshot, query)

    def _changes_of(self, snapshot: Snapshot, query: changed.Query) -> list[Happened]:
        notebooks = snapshot.notebooks

        def place(change: NotebookChange) -> Happened:
            owner = notebooks.owner_at(change.path, change.session)
            return Happened(change, Place(notebooks.present_path(owner) or change.path, owner))

        def read() -> list[Happened]:
            if (known := self._part_of_the_known(snapshot, query)) is not None:
                return known
            return [place(change) for change in islice(changes(snapshot.vault, query), MOST_CHANGES)]

        return self._changes.get((snapshot.tip, query), read)

    def _part_of_the_known(self, snapshot: Snapshot, query: changed.Query) -> list[Happened] | None:
        """Those of a period inside the one that was read beforehand; None where that does not hold them all."""
        if self._fetched_for is None or query.since is None or query != changed.Query(query.since, query.until):
            return None
        tip, ahead = self._fetched_for
        whole = self._changes.peek((tip, ahead)) if tip == snapshot.tip else None
        if whole is None or ahead != changed.Query(ahead.since) or ahead.since is None or query.since < ahead.since:
            return None
        if len(whole) == MOST_CHANGES and in_period(whole[-1].change.session, query):
            return None
        return [each for each in whole if in_period(each.change.session, query)]

    async def _may_be_told(self, viewer: Viewer, found: Sequence[Happened]) -> list[NotebookChange]:
        if viewer.sees_all:
            return [each.change for each in found]
        today = [each.today for each in found]
        then = [Place(each.change.path, each.today.object_id) for each in found]
        both = await self._access.visible(viewer, [*today, *then])
        seen = zip(both[: len(found)], both[len(found) :], strict=True)
        mine = [each.change for each, told in zip(found, seen, strict=True) if all(told)]
        known = await self.seen_paths(viewer, [each.old_path for each in mine if each.old_path])
        return [each if each.old_path in known else replace(each, old_path="", old_repo_path="") for each in mine]

    # --- one notebook ------------------------------------------------------------------------------------------------

    async def history(self, viewer: Viewer, opened: Opened) -> list[Told]:
        """Its versions, newest first, across renames."""
        versions = await self._read(self._history, opened)
        places = {each.path for each in versions} - {opened.path}
        known = await self._access.visible(viewer, [Place(path, opened.found.object_id) for path in sorted(places)])
        seen = {opened.path} | {path for path, is_seen in zip(sorted(places), known, strict=True) if is_seen}
        return [Told(each, each.path if each.path in seen else "") for each in versions]

    def read_ahead(self, opened: Opened, versions: Sequence[Told]) -> None:
        """Get what somebody who looks at a notebook's versions mostly wants next, while they look: the newest two."""

        def read() -> None:
            with suppress(NbvaultError):
                found = [self._content(opened, each.version.commit)[0] for each in versions[:2] if each.has_content]
                blobs = [each.blob for each in found if each]
                opened.snapshot.vault.blobs.ensure(blobs)
                for blob in blobs:
                    self._bytes(opened, blob)

        async def ahead() -> None:
            async with self._ahead:
                await run_in_threadpool(read)

        reading = asyncio.ensure_future(ahead())
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        reading.add_done_callback(went_on)

    def _history(self, opened: Opened) -> list[Version]:
        snapshot, found = opened.snapshot, opened.found
        key = (snapshot.tip, found.object_id)
        return self._histories.get(
            key, lambda: history(snapshot.vault, found.present_path, notebooks=snapshot.notebooks)
        )

    async def source(self, opened: Opened, at: str = "") -> Source:
        """Its bytes in the last version, or at a moment; also of a deleted one."""
        return await self._read(self._source, opened, at)

    def _source(self, opened: Opened, at: str) -> Source:
        content, label = self._content(opened, at)
        return Source(content, self._bytes(opened, content.blob), label) if content else Source(None, b"", label)

    def _bytes(self, opened: Opened, blob: str) -> bytes:
        def read() -> bytes:
            ((_, data),) = opened.snapshot.vault.blobs.read([blob])
            return data

        return self._data.get(blob, read)

    def _content(self, opened: Opened, at: str) -> tuple[Content | None, str]:
        snapshot, found = opened.snapshot, opened.found
        if at:
            when = self._moment(opened, at)
            stays = snapshot.notebooks.stays(found.object_id)
            return content_at(snapshot.vault, stays, when), when.label
        if found.row is None and found.stone is not None:
            stone = found.stone
            return Content(stone.path, stone.repo_path, stone.blob), "the last version before it was deleted"
        return content_now(snapshot.vault, found), "the last protected version"

    def _moment(self, opened: Opened, at: str) -> Moment:
        """What `moment` says; the versions that a page has just listed need not be looked up again."""
        snapshot = opened.snapshot
        listed = self._histories.peek((snapshot.tip, opened.found.object_id)) or []
        if found := next((each for each in listed if each.commit == at), None):
            return Moment(found.commit, found.session, at)
        return self._moments.get((snapshot.tip, at), lambda: moment(snapshot.vault, at))

    async def view(self, opened: Opened, at: str = "") -> tuple[Source, cells.NotebookView]:
        """A version as cells."""
        return await self._read(self._view, opened, at)

    def _view(self, opened: Opened, at: str) -> tuple[Source, cells.NotebookView]:
        source = self._source(opened, at)
        key = source.content.blob if source.content else ""
        return source, self._views.get((key, opened.path), lambda: shown(source))

    async def compare(self, opened: Opened, old: str, new: str) -> tuple[Source, Source, cells.DiffView | None]:
        """Two versions side by side; without a difference where one is too large to be shown."""
        return await self._read(self._compare, opened, old, new)

    def _compare(self, opened: Opened, old: str, new: str) -> tuple[Source, Source, cells.DiffView | None]:
        one, other = self._source(opened, old), self._source(opened, new)
        if one.is_large or other.is_large:
            return one, other, None
        key = tuple((each.content.blob, each.content.repo_path) if each.content else None for each in (one, other))
        return one, other, self._diffs.get(key, lambda: compared(one, other))

    async def blame(self, opened: Opened, at: str = "") -> Blame:
        """Who wrote each line.

        Raises:
            NotThere: it was not there then, or is too large.
        """

        def made() -> Blame:
            content, label = self._content(opened, at)
            if content is None:
                raise NotThere(f"{opened.path} was not in the vault at {label}.")
            vault = opened.snapshot.vault
            if blob_sizes(vault.git, [content.blob]).get(content.blob, 0) > cells.MOST_BYTES:
                raise NotThere(f"{opened.path} is too large to be shown line by line.", hint="Download it instead.")
            known = self._history(opened)
            return blame(vault, opened.path, at=at, notebooks=opened.snapshot.notebooks, versions=known)

        # Kept, so that who asks again after a long one finds it.
        return await self._read(lambda: self._blames.get((opened.snapshot.tip, opened.found.object_id, at), made))


def shown(source: Source) -> cells.NotebookView:
    """A version as cells; a large one as the beginning of its text."""
    if source.content is None:
        return cells.NotebookView(())
    if source.is_large:
        head = source.data[: cells.MOST_BYTES // 8].decode("utf-8", "replace")
        return cells.plain_view(head)
    return cells.notebook_view(source.content.parsed(source.data))


def compared(old: Source, new: Source) -> cells.DiffView:
    """Two versions side by side."""
    after = new.content.parsed(new.data) if new.content else None
    before = cells.parsed(old.content, old.data, like=after)
    return cells.diff_view(diff(before, after or cells.parsed(None, b"", like=before)))

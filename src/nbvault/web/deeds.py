"""What is done for a viewer in the background: plan, restore, undo, compare with the live notebook, search in texts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from nbvault.clock import Clock
from nbvault.errors import ConfigurationError, NbvaultError, SessionInterrupted
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.restores import BRANCH, RestoreBranch, opened_restores
from nbvault.model import NotebookFormat
from nbvault.paths import extension_of
from nbvault.recovery.carry import Prepared
from nbvault.recovery.contents import format_of, written_in
from nbvault.recovery.moments import moment
from nbvault.recovery.needle import Needle
from nbvault.recovery.past import Content
from nbvault.recovery.plan import Action, Entry, parent_of
from nbvault.recovery.receipt import Receipt, Record, Status, read_record, read_records
from nbvault.recovery.restorer import Request, Restorer
from nbvault.recovery.search import Match, search, search_all
from nbvault.recovery.selection import Chosen, Item, Selection
from nbvault.restoring import restorer_on
from nbvault.settings import Settings
from nbvault.web import cells
from nbvault.web.access import Access
from nbvault.web.kept import Kept
from nbvault.web.library import Library, Opened, Place, Source, compared
from nbvault.web.patience import VAULT, in_time, unknown
from nbvault.web.refusals import NotAllowed, NotThere, no_notebook
from nbvault.web.tasks import Kind, Stage, Task, Tasks
from nbvault.web.viewer import Role, Viewer
from nbvault.web.warm import Snapshot, WarmVault
from nbvault.web.workspaces import Workspaces
from nbvault.workspace.errors import NotFound

MOST_PATHS = 2000
MOST_MATCHES = 500
RECEIPTS = 50
# What is left by a fetch for each look at the branch is put together after so many.
TIDIED_EVERY = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan to look at; `view` compares the live notebook with what it will be, where it is about one."""

    prepared: Prepared
    shown: Receipt
    view: cells.DiffView | None = None
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A version beside the live notebook."""

    path: str
    old: str
    new: str
    view: cells.DiffView | None


@dataclass(slots=True)
class Searched:
    """Lines that were found; more of them come while it runs. `cut`: there are more than are kept."""

    text: str
    matches: list[tuple[Match, Place]] = field(default_factory=list)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """What deeds are done with."""

    library: Library
    warm: WarmVault
    workspaces: Workspaces
    access: Access


class Deeds:
    """Starts tasks. Made on the event loop that asks the workspace; its work runs in threads."""

    def __init__(self, settings: Settings, parts: Parts, tasks: Tasks, *, clock: Clock) -> None:
        self._settings = settings
        self._library = parts.library
        self._warm = parts.warm
        self._workspaces = parts.workspaces
        self._access = parts.access
        self._tasks = tasks
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # One that is complete stays as it is; any other one may be resumed, and then has another receipt.
        self._lists: Kept[list[Record]] = Kept(4)
        self._opened = 0
        self._receipts: Kept[Record] = Kept(4 * RECEIPTS, worth=_is_for_good)

    # --- restore -----------------------------------------------------------------------------------------------------

    async def plan(self, viewer: Viewer, request: Request) -> Task:
        """Begin to plan a restore.

        Raises:
            NotAllowed: the viewer only reads.
            NotThere: a path does not exist, or may not be seen.
        """
        _must_restore(viewer)
        if not request.paths or len(request.paths) > MOST_PATHS:
            raise ConfigurationError(f"Choose between one and {MOST_PATHS:,} notebooks or folders.")
        await asyncio.gather(*(self._check_known(viewer, path) for path in request.paths))
        title = f"Restore {request.paths[0]}" + (f" and {len(request.paths) - 1} more" if request.paths[1:] else "")
        request = await self._this_one(viewer, request)

        def work(task: Task) -> Planned:
            task.words = "Looking at the vault and the workspace"
            snapshot = self._warm.refresh()
            with self._restorer(viewer, snapshot) as restorer:
                restorer.allowed = lambda selection: self._allowed(viewer, snapshot, selection, task)
                prepared = restorer.plan(request)
                return self._planned(viewer, restorer.vault.blobs, prepared, task)

        return self._tasks.start(viewer.name, Kind.PLAN, title, work)

    async def undo(self, viewer: Viewer, restore: str, *, forced: bool = False) -> Task:
        """Begin to plan the way back of a restore.

        Raises:
            NotAllowed: the viewer only reads.
            NotThere: there is no such restore of the viewer's.
        """
        _must_restore(viewer)
        record = await self.record(viewer, restore)
        about = about_entries(record.intent.entries)

        def work(task: Task) -> Planned:
            task.words = "Looking at what is there now"
            task.about = about
            snapshot = self._warm.refresh()
            with self._restorer(viewer, snapshot) as restorer:
                prepared = restorer.undo(restore, forced=forced)
                return replace(self._planned(viewer, restorer.branch.blobs, prepared, task), undoes=restore)

        return self._tasks.start(viewer.name, Kind.PLAN, f"Undo {restore}", work)

    def apply(self, viewer: Viewer, plan: Task) -> Task:
        """Begin to carry out a plan, once.

        Raises:
            NotAllowed: the viewer only reads.
            ConfigurationError: it is no plan, is not ready, or has been carried out.
        """
        _must_restore(viewer)
        planned = plan.result
        if plan.kind is not Kind.PLAN or plan.stage is not Stage.DONE or not isinstance(planned, Planned):
            raise ConfigurationError("This is no plan that can be carried out.", hint="Make a new one.")
        if not planned.prepared.matters:
            raise ConfigurationError("This plan changes nothing.")
        if not self._tasks.use(plan):
            raise ConfigurationError("This plan has been carried out already.", hint="Make a new one.")

        def work(task: Task) -> Receipt:
            task.about = plan.about
            task.total = len(planned.prepared.entries)
            task.words = "Saving what is there, writing, reading back"
            snapshot = self._warm.refresh()
            try:
                with self._restorer(viewer, snapshot) as restorer:
                    restorer.done = lambda: _count(task)
                    receipt = restorer.apply(planned.prepared)
            finally:
                self._loop.call_soon_threadsafe(self._access.changed, _written(planned.prepared))
                # Whoever looks at the list of restores finds this one; without the remote it comes a little later.
                with suppress(NbvaultError):
                    self._warm.refresh()
                    self.know_records()
            task.done = task.total
            return receipt

        return self._tasks.start(viewer.name, Kind.RESTORE, plan.title, work)

    async def record(self, viewer: Viewer, restore: str) -> Record:
        """What the vault holds of a restore.

        Raises:
            NotThere: there is none, or it is somebody else's, or names what may not be seen.
        """
        record = await in_time(run_in_threadpool(self._record, restore), VAULT, unknown)
        if record is None or not self._is_own(viewer, record):
            raise NotThere(f"You have made no restore {restore}.")
        if not await self._library.may_see_all(viewer, about_entries(record.intent.entries)):
            raise NotThere(f"You have made no restore {restore}.")
        return record

    async def records(self, viewer: Viewer) -> list[Record]:
        """The viewer's last restores, newest first; an administrator's are everybody's."""
        snapshot = self._library.snapshot
        found = await in_time(run_in_threadpool(self._records, snapshot), VAULT, unknown)
        own = [record for record in found if self._is_own(viewer, record)]
        seen = await self._library.may_see_each(viewer, [about_entries(record.intent.entries) for record in own])
        return [record for record, is_seen in zip(own, seen, strict=True) if is_seen]

    def know_records(self) -> None:
        """Read the last restores before anybody asks for them; blocks. What the vault cannot tell is left."""
        with suppress(NbvaultError):
            self._records(self._library.snapshot)

    def _is_own(self, viewer: Viewer, record: Record) -> bool:
        return viewer.may(Role.ADMINISTRATOR) or record.intent.by.casefold() == viewer.name.casefold()

    def _record(self, restore: str) -> Record | None:
        if found := self._receipts.peek(restore):
            return found
        # Somebody may have made it elsewhere since the last look at the remote.
        return self._record_in(self._library.snapshot, restore) or self._record_in(self._warm.refresh(), restore)

    def _record_in(self, snapshot: Snapshot, restore: str) -> Record | None:
        def read() -> Record | None:
            with self._branch(snapshot) as branch:
                return read_record(branch, restore) if restore in branch.ids() else None

        found = read()
        if found:
            self._receipts.put(restore, found)
        return found

    def _records(self, snapshot: Snapshot) -> list[Record]:
        """As of the last look at the remote, which is every `web.refresh_s`, and after each restore of the page."""

        def read() -> list[Record]:
            with self._branch(snapshot) as branch:
                last = branch.ids()[-RECEIPTS:]
                known = {each: found for each in last if (found := self._receipts.peek(each))}
                for record in read_records(branch, [each for each in last if each not in known]):
                    name = record.intent.restore
                    known[name] = self._receipts.put(name, record)
                return [known[each] for each in reversed(last) if each in known]

        return self._lists.get(snapshot.vault.refs.get(BRANCH, ""), read)

    @contextmanager
    def _branch(self, snapshot: Snapshot) -> Iterator[RestoreBranch]:
        """The branch of restores to read from. Now and then its repository is opened in the way that tidies it up."""
        reading, self._opened = self._opened % TIDIED_EVERY > 0, self._opened + 1
        with opened_restores(snapshot.vault, clock=self._clock, reading=reading) as branch:
            yield branch

    async def _this_one(self, viewer: Viewer, request: Request) -> Request:
        """A version of one notebook, wherever that was then, goes where the notebook is today.

        `Request` means by a path what was there at the moment; a person on a notebook's page means this notebook.
        """
        catalogue = self._library.snapshot.catalogue
        if not request.at or len(request.paths) > 1 or catalogue.holds_folder(request.paths[0]):
            return request
        opened = await self._library.open(viewer, request.paths[0])
        source = await self._library.source(opened, request.at)
        if source.content is None:
            raise NotThere(f"{opened.path} was not in the vault at {source.label}.")
        then = Place(source.content.path, opened.found.object_id)
        if then.path != opened.path and not all(await self._access.visible(viewer, [then])):
            raise NotThere(
                f"{opened.path} was in a folder then that you may not see.", hint="Its version can be downloaded."
            )
        return replace(request, paths=(source.content.path,), to=request.to or opened.path)

    async def _check_known(self, viewer: Viewer, path: str) -> None:
        catalogue = self._library.snapshot.catalogue
        folder = path.rstrip("/")
        if folder == catalogue.root or catalogue.holds_folder(folder):
            if await self._access.may_enter(viewer, folder or "/"):
                return
            raise no_notebook(path)
        await self._library.open(viewer, path)

    @contextmanager
    def _restorer(self, viewer: Viewer, snapshot: Snapshot) -> Iterator[Restorer]:
        def connect() -> Any:
            return self._workspaces.client(viewer.token)

        with restorer_on(snapshot.vault, self._settings, connect, clock=self._clock) as restorer:
            restorer.notebooks = snapshot.notebooks
            yield restorer

    def _allowed(self, viewer: Viewer, snapshot: Snapshot, selection: Selection, task: Task) -> Selection:
        """What of a selection the viewer may see: each notebook is asked about where it is today."""
        session = moment(snapshot.vault, selection.commit).session if selection.label else ""
        notebooks = snapshot.notebooks

        def place(item: Item) -> Place:
            known = notebooks.owner_at(item.path, session) if session else notebooks.by_path.get(item.path, 0)
            return Place(notebooks.present_path(known) or item.path, known) if known else Place(item.path, 0)

        places = {item: place(item) for chosen in selection.chosen for item in chosen.items}
        # Where it is today decides, and where it was then must not be given away either.
        seen = self._wait(self._access.visible(viewer, list(places.values())))
        then = [Place(item.path, places[item].object_id) for item in places]
        named = self._wait(self._access.visible(viewer, then))
        mine = {item for item, *both in zip(places, seen, named, strict=True) if all(both)}
        if not mine:
            raise NotThere("None of that may be seen by you.")
        task.about = [(places[item].path, places[item].object_id) for item in places if item in mine]
        return replace(selection, chosen=tuple(_without(chosen, mine) for chosen in selection.chosen))

    def _planned(self, viewer: Viewer, blobs: BlobReader, prepared: Prepared, task: Task) -> Planned:
        view = None
        if len(prepared.entries) == 1 and prepared.entries[0].blob:
            task.words = "Comparing with the live notebook"
            view = self._against_live(viewer, blobs, prepared.entries[0])
        return Planned(prepared, prepared.shown(), view)

    def _against_live(self, viewer: Viewer, blobs: BlobReader, entry: Entry) -> cells.DiffView | None:
        try:
            ((_, wanted),) = blobs.read([entry.blob])
        except NbvaultError:
            # It may lie in an earlier epoch; the plan stands without the comparison.
            return None
        new = Source(Content(entry.path, f"x{entry.extension}", entry.blob), wanted, "as it will be")
        old = self._live(viewer, entry.target, entry.extension) if entry.action is not Action.CREATE else None
        if old is None:
            old = Source(None, b"", "nothing is there")
        return None if old.is_large or new.is_large else compared(old, new)

    # --- looking -----------------------------------------------------------------------------------------------------

    def compare_live(self, viewer: Viewer, opened: Opened, at: str) -> Task:
        """Begin to compare a version with the live notebook."""

        def work(task: Task) -> Compared:
            task.about = [(opened.path, opened.found.object_id)]
            task.words = "Asking the workspace for the live notebook"
            source = self._library._source(opened, at)
            extension = extension_of(source.content.repo_path) if source.content else ".py"
            live = self._live(viewer, opened.path, extension) or Source(None, b"", "the workspace has none now")
            view = None if source.is_large or live.is_large else compared(source, live)
            return Compared(opened.path, source.label, live.label, view)

        return self._tasks.start(viewer.name, Kind.COMPARE, f"{opened.path} beside the workspace", work)

    def _live(self, viewer: Viewer, path: str, extension: str) -> Source | None:
        """What the workspace has at a path now."""
        form = format_of(extension)

        async def export() -> bytes | None:
            async with self._workspaces.client(viewer.token) as workspace:
                try:
                    return await workspace.export(path, form=form)
                except NotFound:
                    return None

        data = asyncio.run(export())
        if data is None:
            return None
        suffix = extension if form is NotebookFormat.IPYNB else written_in(data, extension).extension
        return Source(Content(path, f"x{suffix}", ""), data, "the workspace now")

    def search(self, viewer: Viewer, needle: Needle, *, text: str, place: str, everything: bool) -> Task:
        """Begin to search for a text, as of the last backup or in all versions."""

        def work(task: Task) -> Searched:
            snapshot = self._library.snapshot
            found = Searched(text)
            task.result, task.words = found, "Searching"

            def told(_done: int) -> None:
                # How many have the text is not told: it would count what the viewer may not see.
                if self._tasks.closing.is_set():
                    raise SessionInterrupted("The page was stopped.")

            looking = search_all if everything else search
            _collect(found, self._seen(viewer, snapshot, looking(snapshot.vault, needle, place=place, progress=told)))
            return found

        where = "all versions" if everything else "the last backup"
        return self._tasks.start(viewer.name, Kind.SEARCH, f"Search for “{text}” in {where}", work)

    async def matches(self, viewer: Viewer, found: Searched) -> list[Match]:
        """What was found so far, as far as the viewer may see it now."""
        known = list(found.matches)
        seen = await self._access.visible(viewer, [place for _, place in known])
        return [match for (match, _), is_seen in zip(known, seen, strict=True) if is_seen]

    def _seen(self, viewer: Viewer, snapshot: Snapshot, matches: Iterable[Match]) -> Iterator[tuple[Match, Place]]:
        """The matches whose notebooks the viewer may see; each is asked about where its notebook is today."""
        known: dict[tuple[str, str], Place | None] = {}
        notebooks = snapshot.notebooks
        for match in matches:
            session = match.since.session if match.since else ""
            key = (match.path, session)
            if key not in known:
                owner = notebooks.owner_at(match.path, session) if session else notebooks.by_path.get(match.path, 0)
                place = Place(notebooks.present_path(owner) or match.path, owner)
                both = [place, Place(match.path, owner)]
                known[key] = place if all(self._wait(self._access.visible(viewer, both))) else None
            if found := known[key]:
                yield match, found

    def _wait(self, question: Coroutine[Any, Any, T]) -> T:
        """Ask on the event loop, from a thread."""
        return asyncio.run_coroutine_threadsafe(question, self._loop).result()


def about_entries(entries: Sequence[Entry]) -> list[tuple[str, int]]:
    """What a plan or a receipt names."""
    return [(entry.path or entry.target, entry.live.object_id if entry.live else 0) for entry in entries]


def _is_for_good(record: Record) -> bool:
    """Whether a receipt will never be another one: what is not complete may be resumed."""
    return record.status is Status.COMPLETE


def _written(prepared: Prepared) -> frozenset[str]:
    """The folders in whose listings a restore leaves something new, or something less."""
    inner = [entry.target for entry in prepared.entries if entry.action.writes]
    return frozenset(parent_of(path) for path in [*inner, *prepared.intent.folders, *prepared.emptied])


def _must_restore(viewer: Viewer) -> None:
    if not viewer.may(Role.RESTORER):
        raise NotAllowed("You may look, but not restore.", hint="Ask the administrator of nbvault (web.restorers).")


def _without(chosen: Chosen, mine: set[Item]) -> Chosen:
    return replace(chosen, items=tuple(item for item in chosen.items if item in mine))


def _count(task: Task) -> None:
    task.done += 1


def _collect(found: Searched, matches: Iterator[tuple[Match, Place]]) -> None:
    for match in matches:
        if len(found.matches) >= MOST_MATCHES:
            found.cut = True
            return
        found.matches.append(match)

"""One pass over the workspace: scan and export overlapping, then the proofs that a listing alone cannot give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from nbvault.backup.detect import Action, Distrust, Fate, Folder, Missing, decide, find_missing, parent_of
from nbvault.backup.export import NotebookExporter, Source
from nbvault.backup.freezing import Looks
from nbvault.backup.ledger import Ledger, Outcome
from nbvault.backup.plan import displaced
from nbvault.backup.probe import Picker
from nbvault.backup.scan import ChangeScanner, FolderListing, Lister
from nbvault.backup.scope import Scope
from nbvault.backup.trust import Trust
from nbvault.model import DIRECTORY, NOTEBOOK, ListedObject, Row, State, Tombstone

# A workspace that keeps moving is judged so often and then left for the next session.
ROUNDS = 3


class Workspace(Lister, Source, Protocol):
    """What a survey needs of a workspace: listing and exporting."""


class Keeper(Protocol):
    """Where a survey's bytes go, and what becomes of them."""

    async def keep(self, outcome: Outcome, data: bytes) -> None:
        """Store the bytes, and set the outcome's blob and state."""

    async def recall(self, outcome: Outcome) -> bool:
        """Settle it without its bytes, if this session has stored them before."""

    async def idle(self) -> None:
        """Nothing more is exported for a while."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the vault knew when the session began; batches add rows to it."""

    rows: Mapping[int, Row]
    tombstones: Mapping[int, Tombstone]


@dataclass(slots=True)
class Findings:
    """What a survey found. `replaced` are the rows at whose path another notebook was saved (`plan.displaced`)."""

    candidates: list[Missing] = field(default_factory=list)
    carried: list[Missing] = field(default_factory=list)
    unproven: list[Missing] = field(default_factory=list)
    replaced: list[Row] = field(default_factory=list)
    out_of_scope: int = 0
    archived: int = 0
    root_is_empty: bool = False


class Progress(NamedTuple):
    """How far a survey is; `listed` still grows while folders are being listed."""

    listed: int
    done: int
    exported: int
    failed: int
    bytes_exported: int
    folders: int
    unreadable: int


class Survey:
    """Lists everything in scope, exports what may have changed, and proves what is gone."""

    def __init__(
        self,
        workspace: Workspace,
        knowledge: Knowledge,
        keeper: Keeper,
        ledger: Ledger,
        *,
        root: str,
        scope: Scope,
        distrust: Distrust,
        contested: Callable[[Sequence[ListedObject]], frozenset[str]],
        max_in_flight: int = 64,
        first: Sequence[str] = (),
        native: bool = False,
        trust: Trust | None = None,
        picker: Picker | None = None,
        day: int = 0,
        looks: Looks | None = None,
    ) -> None:
        self._knowledge = knowledge
        self._keeper = keeper
        self._root = root
        self._first = [folder for folder in first if scope.may_contain(folder)]
        self._scope = scope
        self._distrust = distrust
        self._contested_names = contested
        self._contested_folders: set[str] = set()
        self._twice: dict[int, set[str]] = {}
        self._watched: dict[int, list[ListedObject]] = {}
        self._lost: set[str] = set()
        self._picker = picker
        self.ledger = ledger
        looks = looks or Looks()
        self._due = sorted(folder for folder in looks.due if scope.may_contain(folder))
        self.scanner = ChangeScanner(workspace, root=root, scope=scope, observe=self._observe, resting=looks.resting)
        self.exporter = NotebookExporter(
            workspace,
            keep=keeper.keep,
            workers=max_in_flight,
            native=native,
            trust=trust,
            day=day,
            alone=distrust.in_slice,
            recall=keeper.recall,
        )

    async def run(self) -> Findings:
        """The whole pass.

        Raises:
            ConfigurationError: the root does not exist.
            AuthenticationError, DeadlineExceeded, Unreachable: the pass cannot go on; the ledger tells how far it came.
        """
        async with self.exporter:
            # What failed last time is tried first.
            await self.scanner.scan(self._first)
            await self._again([self._root, *(f for f in self._due if f not in self.scanner.folders)])
            await self._keeper.idle()
            return await self._prove()

    def progress(self) -> Progress:
        """How far it is; may be asked from another thread."""
        exporter, ledger = self.exporter, self.ledger
        # list() of a dict's values is one step of the interpreter: the other thread cannot come in between.
        states = [record.state for record in list(self.scanner.folders.values())]
        return Progress(
            ledger.listed,
            max(ledger.listed - exporter.waiting, 0),
            exporter.exported,
            exporter.failed,
            exporter.bytes_exported,
            len(states),
            states.count(Folder.UNREADABLE),
        )

    async def _again(self, folders: Sequence[str]) -> None:
        """List folders, wait for the exports they lead to, and clear up what moved meanwhile."""
        await self.scanner.scan(folders)
        await self.scanner.settle_404s()
        await self._drain()
        for _ in range(ROUNDS):
            if not (self._twice or self.exporter.vanished):
                return
            await self._clear_up()
        self._give_up_on_vanished()

    async def _drain(self) -> None:
        """Wait for all exports, and for those that must be done again since archives turned out to be wrong."""
        await self.exporter.drain()
        for entry in self.exporter.folders.recall():
            if self.ledger.seen_at(entry.object_id) == entry.path:
                row = self._knowledge.rows.get(entry.object_id)
                await self.exporter.submit(self.ledger.put(Outcome(entry, row, contested=True)))
        await self.exporter.drain()

    # --- what one listing says ---------------------------------------------------------------------------------------

    async def _observe(self, listing: FolderListing) -> None:
        wanted: list[Outcome] = []
        if self._picker is not None:
            self._picker.offer(listing)
        for entry in sorted(listing.objects, key=_path_of):
            if entry.object_id in self._watched:
                self._watched[entry.object_id].append(entry)
            if entry.kind == NOTEBOOK and _holds_slash(entry, listing.path):
                self._refuse(entry)
            elif entry.kind != DIRECTORY:
                wanted += self._consider(entry)
        if wanted or any(entry.kind == DIRECTORY for entry in listing.objects):
            contested = self._contested(listing)
            for outcome in wanted:
                outcome.contested = outcome.listed.path in contested
        await self.exporter.submit_folder(listing, wanted)

    def _contested(self, listing: FolderListing) -> frozenset[str]:
        """The paths here whose plain names in the vault clash; what is below a contested folder is contested too."""
        if any(listing.path == f or listing.path.startswith(f + "/") for f in self._contested_folders):
            return frozenset(entry.path for entry in listing.objects)
        contested = self._contested_names(listing.objects)
        self._contested_folders.update(e.path for e in listing.objects if e.kind == DIRECTORY and e.path in contested)
        return contested

    def _consider(self, entry: ListedObject) -> Sequence[Outcome]:
        seen_at = self.ledger.seen_at(entry.object_id)
        if seen_at is None:
            return self._enter(entry)
        if seen_at != entry.path and entry.object_id not in self._watched:
            self._twice.setdefault(entry.object_id, {seen_at}).add(entry.path)
        return ()

    def _refuse(self, entry: ListedObject) -> None:
        """What is asked for by its path is another notebook, or none."""
        row = self._knowledge.rows.get(entry.object_id)
        reason = "its name holds a slash, so no request can name it: rename it in the workspace"
        if self._scope.covers(entry.path):
            self.ledger.put(Outcome(entry, row, State.FAILED, reason=reason, stays=True))
        else:
            self._enter(entry)

    def _is_refused(self, object_id: int) -> bool:
        outcome = self.ledger.outcomes.get(object_id)
        return outcome is not None and outcome.stays

    def _enter(self, entry: ListedObject, *, contested: bool = False) -> Sequence[Outcome]:
        """Decide on an object; it comes back where it is to be exported."""
        row = self._knowledge.rows.get(entry.object_id)
        if not self._scope.covers(entry.path):
            self.ledger.skipped_out_of_scope += 1
            self.ledger.put(Outcome(entry, row, State.SKIPPED, reason="out of scope (workspace.include, exclude)"))
            return ()
        tombstone = self._knowledge.tombstones.get(entry.object_id)
        action, reason = decide(entry, row, tombstone, self._distrust)
        if action is Action.UNCHANGED:
            self.ledger.mark_unchanged(entry.object_id)
            return ()
        outcome = self.ledger.put(Outcome(entry, row, reason=reason, contested=contested))
        if action is Action.EXPORT:
            return (outcome,)
        outcome.state = State.SKIPPED if action is Action.SKIP else State.FAILED
        return ()

    async def _submit(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            await self.exporter.submit(outcome)

    # --- what moved while we looked ----------------------------------------------------------------------------------

    async def _clear_up(self) -> None:
        """Ids seen at two paths, and notebooks gone before their export: their folders are listed again."""
        twice, self._twice = self._twice, {}
        vanished = {outcome.listed.object_id: outcome for outcome in self.exporter.vanished}
        self.exporter.vanished.clear()
        self._watched = {object_id: [] for object_id in (*twice, *vanished)}
        folders = {parent_of(path) for paths in twice.values() for path in paths}
        folders |= {parent_of(outcome.listed.path) for outcome in vanished.values()}
        await self.scanner.scan(sorted(folders))
        await self.scanner.settle_404s()
        watched, self._watched = self._watched, {}
        for object_id, paths in twice.items():
            if not self._is_refused(object_id):
                await self._place(object_id, paths, watched[object_id])
        for object_id, outcome in vanished.items():
            if object_id not in twice and not self._is_refused(object_id):
                await self._find_again(outcome, watched[object_id])
        await self._drain()

    async def _place(self, object_id: int, paths: set[str], sightings: Sequence[ListedObject]) -> None:
        """An id that was seen at two paths is where it is seen now; if that is still two, it is looked at again."""
        places = {entry.path: entry for entry in sightings}
        if len(places) > 1:
            self._twice[object_id] = set(places)
        elif not places:
            if not any(self._unreadable(parent_of(path)) for path in paths):
                self.ledger.forget(object_id)
        elif (entry := next(iter(places.values()))).path != self.ledger.seen_at(object_id):
            await self._submit(self._enter(entry, contested=True))

    async def _find_again(self, outcome: Outcome, sightings: Sequence[ListedObject]) -> None:
        """Export answered 404: gone if its folder no longer shows it, moved, or listed and yet out of reach."""
        folder = parent_of(outcome.listed.path)
        if sightings and sightings[-1].path != outcome.listed.path:
            await self._submit(self._enter(sightings[-1], contested=True))
        elif sightings:
            retry = self.ledger.put(Outcome(outcome.listed, outcome.row, contested=outcome.contested))
            await self.exporter.submit(retry)
        elif self._unreadable(folder):
            outcome.state = State.FAILED
        else:
            self.ledger.forget(outcome.listed.object_id)
            if outcome.row is None:
                # No row will be missed; it may have moved to where we had looked before.
                self._lost.add(folder)

    def _unreadable(self, folder: str) -> bool:
        return self.scanner.folders[folder].state is Folder.UNREADABLE

    def _give_up_on_vanished(self) -> None:
        for outcome in self.exporter.vanished:
            outcome.state = State.FAILED
            outcome.reason = f"it is listed, but its export answers: {outcome.reason}"
        self.exporter.vanished.clear()
        self._twice.clear()

    # --- what is not there -------------------------------------------------------------------------------------------

    async def _prove(self) -> Findings:
        """Absent rows are believed absent only after all that was listed before their folders has been listed again."""
        proven: set[int] = set()
        for _ in range(ROUNDS):
            # One in whose place another was saved may have moved since it was listed, to where we had looked before.
            replaced = self._displaced()
            doubtful = [m for m in self._missing() if _is_candidate(m) and m.row.object_id not in proven]
            witnesses = self._lost | {m.witness for m in doubtful}
            if not witnesses:
                break
            self._lost = set()
            if doubtful and (resting := self.scanner.wake()):
                # It may have moved to where nobody has looked yet.
                await self._again(resting)
            moment = max(self.scanner.folders[witness].ended for witness in witnesses)
            await self._again(self.scanner.listed_before(moment))
            still = {m.row.object_id for m in self._missing() if _is_candidate(m)}
            proven |= still & {m.row.object_id for m in doubtful}
        else:
            self._refuse_unproven(proven)
            replaced = self._displaced()
        return self._findings(proven, replaced)

    def _displaced(self) -> list[Row]:
        return displaced(self.ledger, self._knowledge.rows.values())

    def _missing(self) -> list[Missing]:
        rows = self._knowledge.rows
        return find_missing(
            (rows[object_id] for object_id in rows if object_id not in self.ledger),
            self.ledger,
            self.scanner.states(),
            root=self._root,
            in_scope=self._scope.covers,
        )

    def _refuse_unproven(self, proven: set[int]) -> None:
        """What came to the place of one that is not proven gone waits for the next session: it is no proof.

        Nor is what came to the place of one that must wait so.
        """
        self._displaced()
        taken = {m.row.path for m in self._missing() if _is_candidate(m) and m.row.object_id not in proven}
        while comers := [o for o in self.ledger.in_state(State.SAVED) if o.listed.path in taken and _has_come(o)]:
            for outcome in comers:
                outcome.state = State.FAILED
                outcome.reason = "the notebook that was at its path may only have moved: the workspace kept changing"
                if outcome.row is not None:
                    outcome.stays = True
                    taken.add(outcome.row.path)

    def _findings(self, proven: set[int], replaced: list[Row]) -> Findings:
        missing = self._missing()
        failed = self.ledger.in_state(State.FAILED)
        # The new notebook at its path could not be saved: until then the old content is what there is.
        not_replaced = {outcome.listed.path for outcome in failed if outcome.row is None and not outcome.stays}
        kept = [m for m in missing if m.row.path in not_replaced]
        missing = [m for m in missing if m.row.path not in not_replaced]
        candidates = [m for m in missing if _is_candidate(m) and m.row.object_id in proven]
        unproven = [m for m in missing if _is_candidate(m) and m.row.object_id not in proven]
        carried = [*kept, *(m for m in missing if m.fate is Fate.UNREADABLE)]
        archived = sum(m.fate is Fate.ARCHIVED for m in missing)
        beside = [m for m in missing if m.fate in (Fate.OUT_OF_SCOPE, Fate.OPAQUE)]
        return Findings(
            candidates=candidates,
            carried=carried,
            unproven=unproven,
            replaced=replaced,
            archived=archived,
            out_of_scope=len(beside) + self.ledger.skipped_out_of_scope,
            root_is_empty=self.ledger.listed == 0 and len(self.scanner.folders) == 1,
        )


def _is_candidate(missing: Missing) -> bool:
    return missing.fate in (Fate.ABSENT, Fate.FOLDER_VANISHED)


def _has_come(outcome: Outcome) -> bool:
    """Whether a notebook is not where the vault has it, or not in the vault."""
    return outcome.row is None or outcome.row.path != outcome.listed.path


def _holds_slash(entry: ListedObject, folder: str) -> bool:
    """Whether an object that a folder shows lies, by its path, in another one below."""
    above = folder.rstrip("/") + "/"
    return entry.path.startswith(above) and "/" in entry.path[len(above) :]


def _path_of(entry: ListedObject) -> str:
    return entry.path

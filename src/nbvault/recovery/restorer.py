"""A restore from end to end: choose, look, plan; and once a person has agreed: save, apply, read back, receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

from nbvault.clock import Clock, iso
from nbvault.errors import ConfigurationError, LockedError, NoRepository, VaultError
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.epochs import Epoch
from nbvault.gitstore.lease import Holder
from nbvault.gitstore.restores import RECEIPT, RestoreBranch
from nbvault.gitstore.upkeep import fetch_turn
from nbvault.gitstore.vault import Vault
from nbvault.ids import latest, new_id
from nbvault.model import DIRECTORY, Identity, ListedObject
from nbvault.paths import extension_of
from nbvault.recovery import again, carry, live
from nbvault.recovery.aftermath import WENT_WRONG
from nbvault.recovery.carry import Carrier, Prepared
from nbvault.recovery.deed import Manner
from nbvault.recovery.lines import count_lines
from nbvault.recovery.live import who_and_what
from nbvault.recovery.notebooks import Notebooks
from nbvault.recovery.plan import Entry, Known, Live, Overwrite, Wanted, folders_above, make_plan, with_lines
from nbvault.recovery.receipt import (
    Intent,
    Receipt,
    Record,
    Status,
    dump_receipt,
    read_intents,
    read_record,
)
from nbvault.recovery.scout import Scout
from nbvault.recovery.selection import Kind, Selection, choose
from nbvault.recovery.targets import assign, clean_path
from nbvault.workspace.errors import NotFound

T = TypeVar("T")


class Workspace(carry.Workspace, live.Workspace, Protocol):
    """What a restore needs of the workspace."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for. `at` as `moments.moment` takes it; `to` as given: a slash at its end means a folder."""

    paths: tuple[str, ...]
    at: str = ""
    to: str = ""
    remap: tuple[tuple[str, str], ...] = ()
    overwrite: Overwrite = Overwrite.CHANGED

    def options(self) -> dict[str, Any]:
        """As they are kept in the intent."""
        return {**asdict(self), "overwrite": self.overwrite.value}


class _Place(NamedTuple):
    """Where a restore is; `epoch` is None for the present one. `others` are restores of the epochs that were asked."""

    branch: RestoreBranch
    epoch: Epoch | None
    others: Sequence[str] = ()


@dataclass(slots=True)
class Restorer:
    """Plans and carries out restores on an open, refreshed vault; from a thread without an event loop.

    Args:
        connect: Opens the workspace; called once for each step.
        is_alive: Whether that holder's process runs; None where this machine cannot tell.
        done: Called when an entry has its outcome.
        allowed: What of a selection this person may see and restore; everything else is left out of the plan.
        notebooks: Those of the vault, where they are known already.
        scout: Out already to look at where a plan will want to write, if somebody could tell where.
    """

    vault: Vault
    branch: RestoreBranch
    connect: Callable[[], AbstractAsyncContextManager[Workspace]]
    clock: Clock
    holder: Holder
    is_alive: Callable[[Holder], bool | None]
    done: Callable[[], None] = lambda: None
    allowed: Callable[[Selection], Selection] = lambda selection: selection
    notebooks: Notebooks | None = None
    scout: Scout | None = None
    _found: dict[str, _Place] = field(default_factory=dict)

    # --- plans -------------------------------------------------------------------------------------------------------

    def plan(self, request: Request) -> Prepared:
        """What a restore would do; changes nothing.

        Raises:
            ConfigurationError: a path, a moment or a target that cannot be.
            LockedError: another restore has some of these notebooks in hand.
            NbvaultError: the vault or the workspace cannot tell.
        """
        selection = self.allowed(choose(self.vault, request.paths, at=request.at, notebooks=self.notebooks))
        to = clean_path(request.to, what="--to") if request.to else ""
        alone = len(selection.chosen) == 1 and selection.chosen[0].kind is Kind.NOTEBOOK

        async def ask(workspace: Workspace) -> tuple[Identity, Live, list[Wanted]]:
            into = request.to.rstrip().endswith("/")
            into = into or (bool(to) and alone and await _is_folder(workspace, to))
            wanted = assign(selection.chosen, to=to, into=into, remap=request.remap)
            me, there = await who_and_what(workspace, [each.target for each in wanted])
            return me, there, wanted

        me, there, wanted = self._scouted(selection, request) or self._ask(ask)
        known = familiar(self.vault)
        entries = make_plan(wanted, there, known=known, overwrite=request.overwrite)
        entries = with_lines(entries, count_lines(entries, known, self.vault.git))
        intent = self._intent(me, request.options(), entries)
        intent = replace(intent, at=selection.label, commit=selection.commit)
        manner = Manner(rewrite=request.overwrite is Overwrite.ALWAYS)
        return self._checked(Prepared(intent, entries, manner, there.missing, selection.notes))

    def undo(self, restore: str, *, forced: bool = False) -> Prepared:
        """What taking a restore back would do; changes nothing.

        Args:
            forced: Also take back what somebody has changed since.

        Raises:
            ConfigurationError: there is no such restore, or it is open.
            NbvaultError: as `plan`.
        """
        record = self._record(restore)
        wanted = again.wanted_back(record)
        me, there = self._ask(lambda workspace: who_and_what(workspace, [each.target for each in wanted]))
        entries = make_plan(wanted, there)
        options = {"undo": restore, "overwrite": (Overwrite.ALWAYS if forced else Overwrite.CHANGED).value}
        intent = replace(self._intent(me, options, entries), undo_of=restore)
        prepared = Prepared(intent, entries, Manner(forced=forced), there.missing, emptied=record.intent.folders)
        return self._checked(replace(prepared, settles=record.status in WENT_WRONG))

    def resume(self, restore: str) -> Prepared:
        """What is left to do of a restore that was interrupted; changes nothing.

        Raises:
            ConfigurationError: there is no such restore, or it is abandoned, or of an earlier epoch.
            LockedError: it still runs.
            NbvaultError: as `plan`.
        """
        record = self._record(restore, present=True)
        if record.status is Status.ABANDONED:
            raise ConfigurationError(f"Restore {restore} was abandoned.", hint=f"`nbvault undo {restore}` undoes it.")
        self._refuse_if_alive(record)
        targets = sorted(again.targets_of(again.unfinished(record)))
        _, there = self._ask(lambda workspace: who_and_what(workspace, targets))
        entries = again.left_to_do(record, there)
        manner = Manner(resumed=True, forced=False)
        # It may have been taken back since: what its receipt says is no news of today.
        ended = f"Restore {restore} had ended before; nothing was left to do, and nothing is written now."
        notes = (ended,) if record.status is Status.COMPLETE else ()
        return Prepared(record.intent, entries, manner, there.missing, notes, record=record)

    def abandon(self, restore: str) -> Receipt:
        """Close an open restore: its notebooks are free for others again. What it did can be undone.

        Raises:
            ConfigurationError: there is no such restore, or it is not open, or of an earlier epoch.
            LockedError: it still runs.
        """
        record = self._record(restore, present=True)
        if record.status is not None:
            raise ConfigurationError(f"Restore {restore} is not open: it is {record.status.value}.")
        self._refuse_if_alive(record)
        receipt = Receipt(record.intent, Status.ABANDONED, 0, ended=iso(self.clock.now()), recorded=True)
        self.branch.append(restore, {RECEIPT: dump_receipt(receipt)}, subject="abandoned")
        return receipt

    # --- deeds -------------------------------------------------------------------------------------------------------

    def apply(self, prepared: Prepared, *, ask: Callable[[Sequence[Entry]], bool] = lambda _: False) -> Receipt:
        """Do what the plan says; what goes wrong is in the receipt.

        Args:
            ask: Whether an undo shall take back these, too, that somebody has changed since.

        Raises:
            LockedError: another restore has taken some of these notebooks in hand meanwhile; nothing was changed.
            NbvaultError: the intent could not be written; nothing was changed.
        """
        undone = prepared.intent.undo_of
        blobs = self._place_of(undone).branch.blobs if undone else self._blobs()
        carrier = Carrier(
            self.branch,
            self.connect,
            self.clock,
            load=lambda oids: contents(blobs, oids),
            check=lambda: self._refuse_overlaps(prepared.intent),
            done=self.done,
        )
        return carrier.carry_out(prepared, ask)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[Workspace], Awaitable[T]]) -> T:
        answers: list[T] = []

        async def answer() -> None:
            async with self.connect() as workspace:
                answers.append(await question(workspace))

        # Not as the result of the task: asyncio prints that to itself when it gives Ctrl-C back, 70,000 entries long.
        asyncio.run(answer())
        return answers[0]

    def _scouted(self, selection: Selection, request: Request) -> tuple[Identity, Live, list[Wanted]] | None:
        """What a plan asks of the workspace, where somebody has been sent to look at just that."""
        if self.scout is None or request.to:
            return None
        wanted = assign(selection.chosen, remap=request.remap)
        seen = self.scout.seen(each.target for each in wanted)
        return (*seen, wanted) if seen else None

    def _intent(self, me: Identity, options: Mapping[str, Any], entries: Sequence[Entry]) -> Intent:
        now = self.clock.now()
        # Several of one second are told apart by their order.
        last = latest(self.branch.ids())
        return Intent(
            restore=new_id(now, after=last),
            by=me.user_name,
            started=iso(now),
            options=options,
            entries=entries,
            holder=asdict(self.holder),
        )

    def _checked(self, prepared: Prepared) -> Prepared:
        """The plan with the folders that it will make; refused if another restore has its notebooks in hand."""
        self._refuse_overlaps(prepared.intent)
        needed = {f for t in again.targets_of(prepared.entries) for f in folders_above(t)}
        folders = tuple(sorted(needed & prepared.missing))
        return replace(prepared, intent=replace(prepared.intent, folders=folders))

    def _refuse_overlaps(self, intent: Intent) -> None:
        """Nobody restores a notebook that another restore has in hand."""
        mine = intent.targets
        others = [each for each in self.branch.open_ids() if each != intent.restore]
        for other in read_intents(self.branch, others) if mine and others else ():
            if shared := sorted(mine & other.targets):
                raise LockedError(
                    f"Restore {other.restore} by {other.by}, begun at {other.started}, has {len(shared):,} of these "
                    f"notebooks in hand, such as {shared[0]}, and has not ended.",
                    hint=f"If it does not run any more: `nbvault restore --resume {other.restore}` finishes it, "
                    f"`nbvault restore --abandon {other.restore}` sets it aside.",
                )

    def _refuse_if_alive(self, record: Record) -> None:
        if record.status is None and record.intent.holder and self.is_alive(Holder(**record.intent.holder)):
            intent = record.intent
            raise LockedError(
                f"Restore {intent.restore} by {intent.by} still runs (process {intent.holder['pid']}).",
                hint="Wait until it has ended, or stop it.",
            )

    def _record(self, restore: str, *, present: bool = False) -> Record:
        """What is known of a restore.

        Args:
            present: It must be one of the present epoch.
        """
        place = self._place_of(restore)
        if present and (epoch := place.epoch):
            raise ConfigurationError(
                f"Restore {restore} belongs to epoch {epoch.epoch}, which ended at {epoch.until}: it can be neither "
                "resumed nor abandoned.",
                hint=f"`nbvault undo {restore}` takes back what it has done; or restore anew.",
            )
        return read_record(place.branch, restore, earlier=place.others)

    def _place_of(self, restore: str) -> _Place:
        """Of a restore that no epoch has, the present one is the place; then all others have been asked."""
        if restore not in self._found:
            self._found[restore] = self._sought(restore)
        return self._found[restore]

    def _sought(self, restore: str) -> _Place:
        others: list[str] = []
        if restore not in self.branch.ids():
            past = self.vault.past
            for epoch in past.epochs:
                remote = past.remote_of(epoch)
                try:
                    branch = self.branch.of_epoch(remote)
                except NoRepository as error:
                    raise past.explained(epoch, error) from error
                if restore in branch.ids():
                    return _Place(branch, epoch)
                others += branch.ids()
        return _Place(self.branch, None, others)

    def _blobs(self) -> BlobReader:
        """The vault's blobs; fetched in turn with whoever else uses this local repository."""

        def fetch(oids: list[str]) -> None:
            with fetch_turn(self.vault.git.repo):
                self.vault.past.fetch_objects(oids)

        return BlobReader(self.vault.git, fetch)


def contents(blobs: BlobReader, oids: Sequence[str]) -> dict[str, bytes]:
    """Many blobs at once; those that are missing or damaged are left out.

    Raises:
        RemoteUnreachable, AuthenticationError, GitError: the remote cannot be asked for what is not here.
    """
    wanted = list(dict.fromkeys(oids))
    try:
        return dict(blobs.read(wanted))
    except VaultError:
        found: dict[str, bytes] = {}
        for oid in wanted:
            with suppress(VaultError):
                found |= blobs.read([oid])
        return found


async def _is_folder(workspace: Workspace, path: str) -> bool:
    try:
        return (await workspace.get_status(path)).kind == DIRECTORY
    except NotFound:
        return False


def familiar(vault: Vault) -> Callable[[ListedObject], Known | None]:
    """What the vault knows of a listed notebook: its blob, if id, path and times are those of the last backup."""
    rows = vault.meta.rows

    def known(listed: ListedObject) -> Known | None:
        row = rows.get(listed.object_id)
        if row is None or row.path != listed.path or not listed.modified_at_ms:
            return None
        if (row.modified_at_ms, row.interactive_at_ms) != (listed.modified_at_ms, listed.interactive_at_ms):
            return None
        blob = vault.blob_of(row.repo_path)
        return Known(blob, extension_of(row.repo_path)) if blob else None

    return known

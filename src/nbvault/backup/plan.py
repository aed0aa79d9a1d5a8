"""From what became of each notebook to what changes in the vault: paths, blobs, rows, tombstones, renames. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from nbvault.backup.ledger import Kind, Ledger, Outcome
from nbvault.model import (
    UNKNOWN,
    FileChange,
    Language,
    ListedObject,
    NotebookFormat,
    Person,
    Rename,
    Row,
    State,
    Tombstone,
)
from nbvault.namespace import Namespace
from nbvault.paths import IPYNB_EXTENSION, UnwritablePath, extension_for, extension_of, forms, key, plain_form, relative


class Authored(NamedTuple):
    """A change of the tree, and in whose name it is committed."""

    change: FileChange
    author: Person


@dataclass(slots=True)
class Plan:
    """Everything that one set of commits changes in the vault."""

    changes: list[Authored] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    renames: list[Rename] = field(default_factory=list)
    kinds: dict[int, Kind] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write, not even into the inventory."""
        return not (self.changes or self.rows or self.tombstones or self.renames)


class Vault(NamedTuple):
    """What planning needs to know of the vault as it is."""

    root: str
    rows: Mapping[int, Row]
    tombstones: Mapping[int, Tombstone]
    blob_at: Callable[[str], str]


class Planner:
    """Makes plans for one session; keeps the namespace between its batches.

    Args:
        namespace: Makes the namespace of the vault as it is; asked when the first notebook is to be placed, so that a
            session in which nothing changed needs none.
    """

    def __init__(self, vault: Vault, namespace: Callable[[], Namespace], *, session: str) -> None:
        self._vault = vault
        self._made_by = namespace
        self._session = session

    @cached_property
    def _namespace(self) -> Namespace:
        return self._made_by()

    def needs_no_proof(self, outcome: Outcome) -> bool:
        """Whether this outcome can be committed before the scan has ended: nothing later can make it wrong."""
        if outcome.contested or outcome.state is not State.SAVED or not outcome.blob:
            return False
        listed, row = outcome.listed, outcome.row
        if row is not None:
            return row.path == listed.path and _extension(outcome) == extension_of(row.repo_path)
        if listed.object_id in self._vault.tombstones:
            return False
        try:
            return self._namespace.is_vacant(relative(self._vault.root, listed.path), _extension(outcome))
        except UnwritablePath:
            return False

    def plan(self, outcomes: Iterable[Outcome], *, deletions: Iterable[Row] = ()) -> Plan:
        """The changes that bring the vault up to these outcomes; outcomes that cannot be written become failures."""
        plan = Plan()
        placed: list[tuple[Outcome, Kind]] = []
        for outcome in outcomes:
            if self._writable(outcome):
                placed.append((outcome, self._kind(outcome)))
        removed = {row.object_id: row for row in deletions}
        freed = {r.repo_path for r in removed.values()} | {o.row.repo_path for o, _ in placed if o.row and _leaves(o)}
        for path in freed:
            self._namespace.release(path)
        for outcome, kind in sorted(placed, key=lambda pair: pair[0].listed.path):
            self._place(plan, outcome, kind, freed)
        self._remove(plan, removed, freed)
        return plan

    def _writable(self, outcome: Outcome) -> bool:
        """A failed notebook that moved is moved, too: with its last good version and its old times."""
        moved_and_failed = outcome.state is State.FAILED and _moved(outcome) and not outcome.stays
        if outcome.state is not State.SAVED and not moved_and_failed:
            return False
        if outcome.row is None:
            # What has no place yet is placed, or not, in its turn.
            return True
        try:
            self._namespace.check(relative(self._vault.root, outcome.listed.path), _extension(outcome))
        except ValueError as error:
            outcome.state, outcome.reason = State.FAILED, str(error)
            return False
        return True

    def _kind(self, outcome: Outcome) -> Kind:
        row = outcome.row
        if row is None:
            return Kind.RENAMED if outcome.listed.object_id in self._vault.tombstones else Kind.ADDED
        if _moved(outcome):
            return Kind.RENAMED
        same = outcome.blob == self._vault.blob_at(row.repo_path) and not _leaves(outcome)
        return Kind.UNCHANGED if same else Kind.MODIFIED

    def _place(self, plan: Plan, outcome: Outcome, kind: Kind, freed: set[str]) -> None:
        listed, row = outcome.listed, outcome.row
        old_blob = self._vault.blob_at(row.repo_path) if row else ""
        failed = outcome.state is State.FAILED
        blob = old_blob if failed else (outcome.blob or old_blob)
        try:
            repo_path = row.repo_path if row and not _leaves(outcome) else self._assign(outcome)
        except ValueError as error:
            self._stay(row, freed)
            outcome.state, outcome.reason = State.FAILED, str(error)
            return
        if row and not failed and kind is Kind.UNCHANGED and _same_row_times(row, listed):
            plan.kinds[listed.object_id] = kind
            return
        author = outcome.editor if blob != old_blob else UNKNOWN
        plan.rows.append(self._row(outcome, repo_path, author, touched=blob != old_blob))
        self._record_move(plan, outcome, repo_path)
        if kind is not Kind.UNCHANGED:
            plan.changes.append(Authored(FileChange(repo_path, blob), author))
        if not failed:
            plan.kinds[listed.object_id] = kind

    def _stay(self, row: Row | None, freed: set[str]) -> None:
        """What has no place to go to keeps the one that it has, if another notebook has not come there meanwhile."""
        if row is None:
            return
        if not self._namespace.is_free(row.repo_path):
            raise UnwritablePath(
                f"{row.path} has no place in the vault any more: another notebook has taken {row.repo_path}.",
                hint="Rename the notebook, or move the vault's files that stand in its way.",
            )
        self._namespace.occupy(row.repo_path)
        freed.discard(row.repo_path)

    def _assign(self, outcome: Outcome) -> str:
        components = relative(self._vault.root, outcome.listed.path)
        return self._namespace.assign(components, _extension(outcome))

    def _row(self, outcome: Outcome, repo_path: str, author: Person, *, touched: bool) -> Row:
        listed, row = outcome.listed, outcome.row
        editor = "" if author == UNKNOWN else author.email
        if outcome.state is State.FAILED and row is not None:
            return row._replace(path=listed.path, repo_path=repo_path, since=self._session)
        return Row(
            object_id=listed.object_id,
            path=listed.path,
            repo_path=repo_path,
            language=listed.language or Language.PYTHON,
            modified_at_ms=listed.modified_at_ms,
            interactive_at_ms=listed.interactive_at_ms,
            editor=editor if touched or row is None else row.editor,
            format=NotebookFormat.IPYNB if repo_path.endswith(IPYNB_EXTENSION) else NotebookFormat.SOURCE,
            since=row.since if row and row.repo_path == repo_path else self._session,
        )

    def _record_move(self, plan: Plan, outcome: Outcome, repo_path: str) -> None:
        before = outcome.row or self._vault.tombstones.get(outcome.listed.object_id)
        if before is None or (before.repo_path == repo_path and outcome.row is not None):
            return
        plan.renames.append(
            Rename(
                object_id=outcome.listed.object_id,
                session=self._session,
                old_path=before.path,
                new_path=outcome.listed.path,
                old_repo_path=before.repo_path,
                new_repo_path=repo_path,
                old_since=before.since,
            )
        )

    def _remove(self, plan: Plan, removed: Mapping[int, Row], freed: set[str]) -> None:
        written = {authored.change.path: authored.author for authored in plan.changes}
        # The old path goes in the same commit in which the new one comes, so that Git sees one move.
        movers = {rename.old_repo_path: written.get(rename.new_repo_path, UNKNOWN) for rename in plan.renames}
        for path in sorted(freed - written.keys()):
            plan.changes.append(Authored(FileChange(path), movers.get(path, UNKNOWN)))
        for row in removed.values():
            blob = self._vault.blob_at(row.repo_path)
            plan.tombstones.append(Tombstone(row.object_id, row.path, row.repo_path, blob, self._session, row.since))


def _moved(outcome: Outcome) -> bool:
    return outcome.row is not None and outcome.row.path != outcome.listed.path


def _leaves(outcome: Outcome) -> bool:
    """Whether the notebook gives up its repository path: it moved, or its extension is another."""
    row = outcome.row
    return row is not None and (_moved(outcome) or _extension(outcome) != extension_of(row.repo_path))


def _extension(outcome: Outcome) -> str:
    """Of its new bytes where they are known, else that of the bytes which the vault has."""
    listed, row = outcome.listed, outcome.row
    if outcome.extension and outcome.state is not State.FAILED:
        return outcome.extension
    if row is not None:
        return extension_of(row.repo_path)
    return extension_for(listed.language or Language.PYTHON, NotebookFormat.SOURCE)


def _same_row_times(row: Row, listed: ListedObject) -> bool:
    return (row.modified_at_ms, row.interactive_at_ms) == (listed.modified_at_ms, listed.interactive_at_ms)


def displaced(ledger: Ledger, rows: Iterable[Row]) -> list[Row]:
    """The rows at whose path another notebook has been saved, and which are not on the move themselves.

    Such a notebook is gone even if it was listed before the other came to its place; it then leaves the ledger. One
    that is listed at a path that is not its own stays there, but has no place any more.
    """
    newest: dict[str, int] = {}
    for outcome in list(ledger.in_state(State.SAVED)):
        path, object_id = outcome.listed.path, outcome.listed.object_id
        if path in newest:
            ledger.forget(newest[path])
        newest[path] = object_id
    found: list[Row] = []
    if not newest:
        return found
    for row in rows:
        if newest.get(row.path, row.object_id) == row.object_id:
            continue
        seen = ledger.outcomes.get(row.object_id)
        stays = seen is not None and seen.stays
        if seen is None or stays or not _moved(seen) or seen.state is State.SKIPPED:
            found.append(row)
            if ledger.seen_at(row.object_id) == row.path and not stays:
                ledger.forget(row.object_id)
    return found


def without_authors(plan: Plan, author: Person) -> Plan:
    """The same plan, all in one name: for the batches of a first sync."""
    return replace(plan, changes=[Authored(authored.change, author) for authored in plan.changes])


def contested_names(objects: Sequence[ListedObject]) -> frozenset[str]:
    """The paths of those objects in one folder whose plain names in the vault have one key."""
    claims: dict[str, list[str]] = {}
    for entry in objects:
        name = entry.path.rsplit("/", 1)[-1]
        extension = extension_for(entry.language, NotebookFormat.SOURCE) if entry.language else ""
        if name:
            plain = plain_form(name, extension) or forms(name, extension)[0]
            claims.setdefault(key(plain[0]), []).append(entry.path)
    return frozenset(path for paths in claims.values() if len(paths) > 1 for path in paths)

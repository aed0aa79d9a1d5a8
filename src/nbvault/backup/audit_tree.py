"""The vault against the workspace, hash by hash: is what the vault has what the notebooks say?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from nbvault.backup.detect import Fate, Folder, find_missing, parent_of, times_differ
from nbvault.backup.scan import ChangeScanner, FolderListing
from nbvault.backup.scope import Scope
from nbvault.errors import AuthenticationError, ConfigurationError, WorkspaceError
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import blob_id
from nbvault.model import NOTEBOOK, ListedObject, NotebookFormat, Problem, Row
from nbvault.workspace.errors import DeadlineExceeded, NotFound

WORKERS = 64


class Kind(str, Enum):
    """In what a notebook differs between vault and workspace.

    `DIFFERS`, `MISSING` and `DRIFTED` are faults of the vault, `UNREADABLE` says that nothing is known; the others are
    what the next sync will bring.
    """

    DIFFERS = "differs"
    MISSING = "missing"
    DRIFTED = "drifted"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    MOVED = "moved"
    NEW = "new"
    GONE = "gone"


FAULTS = (Kind.DIFFERS, Kind.MISSING, Kind.DRIFTED)


class Difference(NamedTuple):
    """One notebook (or folder, if unreadable) that is not the same on both sides."""

    path: str
    kind: Kind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the vault says: rows, the blob of each, and rows whose file is not where it must be.

    `drifted` are repository paths that somebody else has changed on the main branch.
    """

    rows: Mapping[int, Row]
    blob_at: Mapping[str, str]
    damaged: Sequence[Row] = ()
    drifted: Collection[str] = ()
    problems: Sequence[Problem] = ()

    @classmethod
    def of(cls, vault: Vault) -> Known:
        """What the vault says, as it was refreshed last.

        Raises:
            ConfigurationError: nothing has been backed up yet.
        """
        meta = vault.meta
        if not meta.content:
            raise ConfigurationError("The vault holds no backup yet.", hint="Run `nbvault sync` first.")
        return cls(meta.rows, vault.blob_at, vault.damaged, _drifted(vault), meta.problems)


def _drifted(vault: Vault) -> list[str]:
    """The paths that are not on main what they are in the content that main has concluded."""
    if not vault.main or not vault.contains(vault.main, vault.meta.content):
        return []
    main = {entry.path: entry.oid for entry in ls_tree(vault.git, vault.main)}
    return [path for path, blob in vault.blob_at.items() if main.get(path) != blob]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found: ``compared = same + differs + changed``.

    `acknowledged` are notebooks that could not be read, as an administrator knows. `repository` says what git's own
    check found, `sound` whether that is well. `due` notebooks were to be compared, of which `taken` were begun before
    the time was up, the last of them with the object id `reached`. `remembered` says whether the next comparison with a
    budget goes on there, and `notes` how far the comparisons of the last days are.
    """

    listed: int
    compared: int
    same: int
    acknowledged: int
    differences: tuple[Difference, ...]
    sample: float = 1.0
    head: str = ""
    repository: str = ""
    sound: bool = True
    due: int = 0
    taken: int = 0
    reached: int | None = None
    remembered: bool = False
    since: str = ""
    notes: tuple[str, ...] = ()

    def count(self, *kinds: Kind) -> int:
        """How many differences are of these kinds."""
        return sum(difference.kind in kinds for difference in self.differences)

    @property
    def exit_code(self) -> int:
        """8 where the vault is at fault, 3 where something could not be read, else 0."""
        if self.count(*FAULTS) or not self.sound:
            return 8
        return 3 if self.count(Kind.UNREADABLE) else 0

    def as_json(self) -> dict[str, Any]:
        """The comparison as ``verify --json`` prints it."""
        differences = [{"path": d.path, "kind": d.kind.value, "detail": d.detail} for d in self.differences]
        return {
            "exit_code": self.exit_code,
            "head": self.head or None,
            "sample": self.sample,
            "listed": self.listed,
            "compared": self.compared,
            "same": self.same,
            **{kind.value: self.count(kind) for kind in Kind},
            "acknowledged": self.acknowledged,
            "due": self.due,
            "taken": self.taken,
            "since": self.since or None,
            "remembered": self.remembered,
            "notes": list(self.notes),
            "differences": differences,
            "repository": self.repository,
            "sound": self.sound,
        }


class Workspace(Protocol):
    """What a comparison needs of a workspace."""

    async def list_folder(self, path: str) -> list[ListedObject]:
        """Everything directly in the folder."""

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        """The notebook's bytes in that format."""


class _Suspect(NamedTuple):
    """A notebook whose bytes are not the vault's, or (`vanished`) whose export says that it is not there."""

    listed: ListedObject
    row: Row
    vanished: bool


@dataclass(slots=True)
class TreeAudit:
    """Lists the whole workspace, exports its notebooks, and compares them with the vault; writes nothing.

    Args:
        chosen: Whether this notebook is in the sample; every one is by default.
        workers: How many exports may be under way.
        after: Begin behind this object id, in the order of ids, and go round; None for any order.
        enough: Whether nothing more is to be begun.
    """

    workspace: Workspace
    known: Known
    root: str
    scope: Scope = field(default_factory=Scope)
    chosen: Callable[[Row], bool] = lambda _row: True
    workers: int = WORKERS
    after: int | None = None
    enough: Callable[[], bool] = lambda: False
    _seen: dict[int, ListedObject] = field(default_factory=dict)
    _suspects: list[_Suspect] = field(default_factory=list)
    _differences: list[Difference] = field(default_factory=list)
    _compared: int = 0
    _same: int = 0
    _acknowledged: int = 0
    _taken: int = 0
    _reached: int | None = None

    async def run(self) -> Comparison:
        """The whole comparison; a notebook that is edited in the middle of it counts as changed, never as a fault.

        Raises:
            ConfigurationError: the root does not exist.
            AuthenticationError, DeadlineExceeded, Unreachable: it cannot go on.
        """
        scanner = ChangeScanner(self.workspace, root=self.root, scope=self.scope, observe=self._observe)
        await scanner.scan([self.root])
        if scanner.unreachable is not None and all(each.state is not Folder.READ for each in scanner.folders.values()):
            raise scanner.unreachable
        await scanner.settle_404s()
        self._say_what_the_vault_lacks()
        pairs = self._pairs()
        await self._compare_all(pairs)
        listed = len(self._seen)
        await scanner.scan(sorted({parent_of(suspect.listed.path) for suspect in self._suspects}))
        for suspect in self._suspects:
            self._judge(suspect)
        self._say_what_is_gone(scanner)
        return Comparison(
            listed,
            self._compared,
            self._same,
            self._acknowledged,
            tuple(sorted(self._differences)),
            due=len(pairs),
            taken=self._taken,
            reached=self._reached,
        )

    async def _observe(self, listing: FolderListing) -> None:
        for entry in listing.objects:
            if entry.kind == NOTEBOOK and self.scope.covers(entry.path):
                self._seen[entry.object_id] = entry

    def _say_what_the_vault_lacks(self) -> None:
        for row in self.known.damaged:
            self._tell(row.path, Kind.MISSING, f"its file {row.repo_path} is not in the vault")
        paths = {row.repo_path: row.path for row in self.known.rows.values()}
        for repo_path in self.known.drifted:
            self._tell(paths.get(repo_path, repo_path), Kind.DRIFTED, f"{repo_path} was changed on the main branch")

    def _pairs(self) -> list[tuple[ListedObject, Row]]:
        """The notebooks of the sample with their rows; those without one are told of at once."""
        problems = {problem.object_id: problem for problem in self.known.problems}
        damaged = {row.object_id for row in self.known.damaged}
        pairs = []
        for object_id, entry in self._seen.items():
            row = self.known.rows.get(object_id)
            if row is not None:
                pairs += [(entry, row)] if self.chosen(row) else []
            elif object_id in problems:
                self._could_not_read(entry, f"not in the vault: {problems[object_id].reason}")
            elif object_id not in damaged:
                self._tell(entry.path, Kind.NEW, "not in the vault: new since the last sync")
        after = self.after
        if after is None:
            return pairs
        return sorted(pairs, key=lambda pair: (pair[1].object_id <= after, pair[1].object_id))

    async def _compare_all(self, pairs: Sequence[tuple[ListedObject, Row]]) -> None:
        """Compare them, some at a time; the first error that is not of one notebook ends it."""
        left = iter(pairs)

        async def work() -> None:
            while not self.enough() and (pair := next(left, None)):
                self._taken += 1
                self._reached = pair[1].object_id
                await self._compare(*pair)

        tasks = [asyncio.ensure_future(work()) for _ in range(min(self.workers, len(pairs)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _compare(self, entry: ListedObject, row: Row) -> None:
        try:
            data = await self.workspace.export(entry.path, form=row.format)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except NotFound:
            self._suspects.append(_Suspect(entry, row, vanished=True))
        except WorkspaceError as error:
            self._could_not_read(entry, error.message)
        else:
            self._compared += 1
            if blob_id(data) != self.known.blob_at[row.repo_path]:
                self._suspects.append(_Suspect(entry, row, vanished=False))
                return
            self._same += 1
            if entry.path != row.path:
                self._tell(entry.path, Kind.MOVED, f"was {row.path} at the last sync")

    def _judge(self, suspect: _Suspect) -> None:
        """What a suspect is, by what its folder shows now that it was listed once more."""
        before, row, vanished = suspect
        now = self._seen[before.object_id]
        if not vanished and (now is before or times_differ(now, row) or now.path != row.path):
            self._tell(now.path, Kind.CHANGED, "changed since the last sync")
        elif not vanished:
            self._tell(now.path, Kind.DIFFERS, "its times are those of the last sync, but its bytes are others")
        elif now is before:
            self._tell(row.path, Kind.GONE, "deleted or moved while we looked")
        elif now.path == before.path:
            self._could_not_read(before, "it is listed, but its export says that it does not exist")
        else:
            self._tell(now.path, Kind.MOVED, f"was {row.path} at the last sync")

    def _could_not_read(self, entry: ListedObject, reason: str) -> None:
        if any(p.object_id == entry.object_id and p.acknowledged_by for p in self.known.problems):
            self._acknowledged += 1
        else:
            self._tell(entry.path, Kind.UNREADABLE, reason)

    def _say_what_is_gone(self, scanner: ChangeScanner) -> None:
        rows = self.known.rows.values()
        for each in find_missing(rows, self._seen, scanner.states(), root=self.root, in_scope=self.scope.covers):
            if each.fate in (Fate.ABSENT, Fate.FOLDER_VANISHED):
                self._tell(each.row.path, Kind.GONE, "deleted or moved out of sight since the last sync")
        for folder, why in scanner.unreadable().items():
            self._tell(folder, Kind.UNREADABLE, why)

    def _tell(self, path: str, kind: Kind, detail: str) -> None:
        self._differences.append(Difference(path, kind, detail))

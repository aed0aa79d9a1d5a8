"""Which notebook a path means, and where each notebook lay in which sessions: told by the vault's own records.

Git's guesses by similarity play no part. A notebook is its object id; its *stays* are the repository paths it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from nbvault.errors import ConfigurationError
from nbvault.gitstore.meta import read_renames
from nbvault.gitstore.unread import UnreadStones
from nbvault.gitstore.vault import Vault
from nbvault.inventory import Rows
from nbvault.model import Rename, Row, Tombstone
from nbvault.paths import workspace_path
from nbvault.recovery.names import near, spellings


@dataclass(frozen=True, slots=True)
class Stay:
    """A notebook at one path, from the session `since` on.

    `until` is the session in which it had left; empty for a living notebook's last stay. `deleted` says that it left by
    being deleted. Of a notebook that was deleted and came back, `until` is the session of its return if nothing else
    took its path: when it was deleted is then told by the commits.
    """

    object_id: int
    path: str
    repo_path: str
    since: str
    until: str = ""
    deleted: bool = False

    def covers(self, session: str) -> bool:
        """Whether the notebook was there when this session ended."""
        return self.since <= session and (not self.until or session < self.until)


@dataclass(frozen=True, slots=True)
class Found:
    """The notebook that a path means: a living one, a deleted one, or one that has moved on from there."""

    object_id: int
    path: str
    row: Row | None = None
    stone: Tombstone | None = None

    @property
    def present_path(self) -> str:
        """Its path today, or when it was deleted."""
        known = self.row or self.stone
        return known.path if known else self.path


@dataclass(frozen=True, slots=True)
class Notebooks:
    """Every notebook that the vault has ever known, living and deleted.

    Rows whose file is missing in the vault are among the living: their history is still there.
    """

    root: str
    rows: Mapping[int, Row]
    stones: Mapping[int, Tombstone]
    renames: Mapping[int, tuple[Rename, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, vault: Vault) -> Notebooks:
        """From the vault's inventory and its record of renames.

        Raises:
            ConfigurationError: nothing has been backed up yet.
            VaultError: the record of renames is damaged.
        """
        meta = vault.meta
        if not meta.content:
            raise ConfigurationError("The vault holds no backup yet.", hint="Run `nbvault sync` first.")
        renames: dict[int, tuple[Rename, ...]] = {}
        for rename in read_renames(meta, blobs=vault.blobs):
            renames[rename.object_id] = (*renames.get(rename.object_id, ()), rename)
        damaged = {row.object_id: row for row in vault.damaged}
        rows = {**meta.rows, **damaged} if damaged else meta.rows
        return cls(vault.root, rows, meta.tombstones, renames)

    def find(self, path: str) -> Found:
        """The notebook that a person means by a path.

        It is the one that lives there; if none does, the one that was deleted there last; else the one that was there
        last before it moved on.

        Args:
            path: A workspace path, also with ``/Workspace`` in front or a slash at the end, or relative to the root.

        Raises:
            ConfigurationError: no notebook was ever there; names near ones.
        """
        found = self.get(path)
        if found is None:
            hint = self._hint(spellings(self.root, path))
            raise ConfigurationError(f"The vault has never had a notebook {path!r}.", hint=hint)
        return found

    def get(self, path: str) -> Found | None:
        """As `find`; None where no notebook was ever there."""
        spelt = spellings(self.root, path)
        return next((found for each in spelt if (found := self._at(each))), None)

    def stays(self, object_id: int) -> list[Stay]:
        """Where a notebook was, oldest first."""
        own = self._recorded(object_id)
        others = [stay for stay in self._all_at({s.repo_path for s in own}) if stay.object_id != object_id]
        return [*(_cut_short(stay, others) for stay in own[:-1]), own[-1]]

    def paths(self) -> set[str]:
        """The workspace paths of all living and deleted notebooks."""
        return {row.path for row in self.rows.values()} | {stone.path for stone in self.stones.values()}

    def is_ours(self, repo_path: str) -> bool:
        """Whether any notebook ever had this repository path."""
        return next(self._all_at({repo_path}), None) is not None

    def knows(self, repo_path: str) -> bool:
        """Whether the last repository path of a living or a deleted notebook is this one."""
        for path in _decoded(self.root, {repo_path}):
            if any(row.repo_path == repo_path for row in self.rows_at(path)):
                return True
            if any(stone.repo_path == repo_path for stone in self._stones_at(path)):
                return True
        return False

    def _at(self, path: str) -> Found | None:
        return self._living(path) or self._deleted(path) or self._moved_on(path)

    def _living(self, path: str) -> Found | None:
        return next((Found(row.object_id, path, row=row) for row in self.rows_at(path)), None)

    def _deleted(self, path: str) -> Found | None:
        last = max(self._stones_at(path), key=lambda stone: (stone.session, stone.since), default=None)
        return Found(last.object_id, path, stone=last) if last else None

    def _moved_on(self, path: str) -> Found | None:
        left = [r for moves in self.renames.values() for r in moves if r.old_path == path]
        last = max(left, key=lambda rename: rename.session, default=None)
        if last is None:
            return None
        return Found(last.object_id, path, self.rows.get(last.object_id), self.stones.get(last.object_id))

    def _hint(self, wanted: Iterable[str]) -> str:
        paths = self.paths()
        below = next((path for path in wanted if any(known.startswith(path + "/") for known in paths)), "")
        if below:
            return f"{below} is a folder: name a notebook in it."
        names = near(next(iter(wanted), ""), paths)
        return f"Near names: {', '.join(names)}." if names else "Check the spelling; capitals matter."

    def _recorded(self, object_id: int) -> list[Stay]:
        stays = [
            Stay(object_id, r.old_path, r.old_repo_path, r.old_since, until=r.session)
            for r in self.renames.get(object_id, ())
        ]
        if row := self.rows.get(object_id):
            return [*stays, _of_row(row)]
        stone = self.stones.get(object_id)
        return [*stays, _of_stone(stone)] if stone else stays

    def _all_at(self, repo_paths: set[str]) -> Iterator[Stay]:
        """Every stay of any notebook at one of these repository paths."""
        for path in _decoded(self.root, repo_paths):
            yield from (_of_row(row) for row in self.rows_at(path) if row.repo_path in repo_paths)
            yield from (_of_stone(stone) for stone in self._stones_at(path) if stone.repo_path in repo_paths)
        for r in self._moves_from(repo_paths):
            yield Stay(r.object_id, r.old_path, r.old_repo_path, r.old_since, until=r.session)

    def _moves_from(self, repo_paths: set[str]) -> Iterable[Rename]:
        return (r for moves in self.renames.values() for r in moves if r.old_repo_path in repo_paths)

    def rows_at(self, path: str) -> list[Row]:
        """The notebooks that live at a workspace path: one, as a rule."""
        if isinstance(self.rows, Rows):
            return self.rows.at_path(path)
        return [row for row in self.rows.values() if row.path == path]

    def _stones_at(self, path: str) -> list[Tombstone]:
        if isinstance(self.stones, UnreadStones):
            return self.stones.at_path(path)
        return [stone for stone in self.stones.values() if stone.path == path]


def _decoded(root: str, repo_paths: Iterable[str]) -> set[str]:
    """The workspace paths for which these stand; what nbvault never writes stands for none."""
    found = set()
    for repo_path in repo_paths:
        with suppress(ValueError):
            found.add(workspace_path(root, repo_path))
    return found


def _of_row(row: Row) -> Stay:
    return Stay(row.object_id, row.path, row.repo_path, row.since)


def _of_stone(stone: Tombstone) -> Stay:
    return Stay(stone.object_id, stone.path, stone.repo_path, stone.since, until=stone.session, deleted=True)


def _cut_short(stay: Stay, others: Iterable[Stay]) -> Stay:
    """A stay that ended before the next began, since another notebook took its place: it was deleted then."""
    taken = [s.since for s in others if s.repo_path == stay.repo_path and stay.since < s.since < stay.until]
    return replace(stay, until=min(taken), deleted=True) if taken else stay

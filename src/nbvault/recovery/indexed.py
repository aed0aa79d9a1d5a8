"""The notebooks of a vault for whoever asks about many of them: found by their path at once, not row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nbvault.gitstore.vault import Vault
from nbvault.model import Rename, Row, Tombstone
from nbvault.recovery.notebooks import Found, Notebooks


@dataclass(frozen=True, slots=True)
class IndexedNotebooks(Notebooks):
    """The same answers as `Notebooks`, in microseconds; made once for each state of the vault."""

    by_path: dict[str, int] = field(default_factory=dict, repr=False)
    gone_from: dict[str, list[Tombstone]] = field(default_factory=dict, repr=False)
    left: dict[str, list[Rename]] = field(default_factory=dict, repr=False)
    left_file: dict[str, list[Rename]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, vault: Vault) -> IndexedNotebooks:
        """As `Notebooks.of`."""
        plain = Notebooks.of(vault)
        found = cls(plain.root, plain.rows, plain.stones, plain.renames)
        for row in plain.rows.values():
            found.by_path[row.path] = row.object_id
        for stone in plain.stones.values():
            found.gone_from.setdefault(stone.path, []).append(stone)
        for moves in plain.renames.values():
            for rename in moves:
                found.left.setdefault(rename.old_path, []).append(rename)
                found.left_file.setdefault(rename.old_repo_path, []).append(rename)
        return found

    def rows_at(self, path: str) -> list[Row]:
        object_id = self.by_path.get(path)
        return [] if object_id is None else [self.rows[object_id]]

    def _stones_at(self, path: str) -> list[Tombstone]:
        return self.gone_from.get(path, [])

    def _moved_on(self, path: str) -> Found | None:
        last = max(self.left.get(path, ()), key=lambda rename: rename.session, default=None)
        if last is None:
            return None
        return Found(last.object_id, path, self.rows.get(last.object_id), self.stones.get(last.object_id))

    def _moves_from(self, repo_paths: set[str]) -> Iterable[Rename]:
        return (rename for path in repo_paths for rename in self.left_file.get(path, ()))

    def _hint(self, wanted: Iterable[str]) -> str:  # noqa: ARG002 - near names would tell of notebooks that not everybody may see
        return "Check the spelling; capitals matter."

    def owner_at(self, path: str, session: str) -> int:
        """The id of the notebook that was at a workspace path when a session had ended; 0 if nobody tells."""
        ids = [self.by_path[path]] if path in self.by_path else []
        ids += [stone.object_id for stone in self.gone_from.get(path, ())]
        ids += [rename.object_id for rename in self.left.get(path, ())]
        stays = (stay for object_id in ids for stay in self.stays(object_id))
        return next((stay.object_id for stay in stays if stay.path == path and stay.covers(session)), 0)

    def present_path(self, object_id: int) -> str:
        """Where a notebook is, or was last; empty for one that is not known."""
        known = self.rows.get(object_id) or self.stones.get(object_id)
        return known.path if known else ""

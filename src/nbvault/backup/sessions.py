"""The sessions that the vault remembers, and the names of new ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.vault import Vault
from nbvault.model import Growth


def growth_of(record: Record) -> Growth | None:
    """What a session's record says that it added; None where it does not say."""
    found = record.get("growth")
    return Growth(*(found[name] for name in Growth._fields)) if found else None


@dataclass(frozen=True, slots=True)
class SessionHistory:
    """What earlier sessions left: the newest name, the day of the last slice, and who left no record of an end.

    Also the day of the last session that came to its end, the folders that it could not read, and the last count of
    what the repository holds.
    """

    last: str = ""
    last_slice: int | None = None
    recorded: Collection[str] = field(default_factory=frozenset)
    unrecorded: str = ""
    last_look: int | None = None
    unreadable: frozenset[str] = frozenset()
    growth: Growth | None = None

    @classmethod
    def read(cls, vault: Vault) -> SessionHistory:
        """From the newest records of the vault: two months of them are enough for what is asked here."""
        records: list[Record] = read_records(vault.meta, "sessions", blobs=vault.blobs, months=2)
        names = [str(record["session"]) for record in records]
        slices = [int(record["slice"]) for record in records if record.get("slice") is not None]
        ended = next((record for record in reversed(records) if record.get("look") is not None), None)
        # What an earlier epoch held is in another repository.
        counted = [record for record in records if str(record["session"]) > vault.meta.lineage.after]
        unrecorded = vault.meta.session if vault.meta.kind in ("checkpoint", "content") else ""
        return cls(
            last=max([*names, vault.meta.session], default=""),
            last_slice=max(slices, default=None),
            recorded=frozenset(names),
            unrecorded="" if unrecorded in names else unrecorded,
            # What was held must be held again, or it would be forgotten where it waits.
            last_look=int(ended["look"]) if ended and not ended.get("held_deletions") else None,
            unreadable=frozenset(map(str, ended.get("unreadable_folders", ()))) if ended else frozenset(),
            growth=next((found for record in reversed(counted) if (found := growth_of(record))), None),
        )

    def unfinished(self, holder_of_lease: str) -> list[str]:
        """The sessions that died: the one that left its lease, and the one that left a checkpoint."""
        candidates = dict.fromkeys([holder_of_lease, self.unrecorded])
        return [name for name in candidates if name and name not in self.recorded]

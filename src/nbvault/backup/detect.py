"""What changed: each listed object against its row, and each row that was not seen against the folders that were read.

Pure: everything here is a function of values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from nbvault.model import NOTEBOOK, REPO, ListedObject, Row, Tombstone


class Action(Enum):
    """What is to be done with a listed object."""

    UNCHANGED = "unchanged"
    EXPORT = "export"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Distrust:
    """Which rows are exported whatever the listed times say."""

    everything: bool = False
    recheck_days: int = 30
    recheck_day: int | None = None
    failed_before: frozenset[int] = frozenset()
    weekly: frozenset[str] = frozenset()

    def of(self, listed: ListedObject) -> bool:
        """Whether this notebook's times are not to be trusted today.

        In a folder that is listed `weekly`, today's slice is that of the seven last days.
        """
        if self.everything or listed.object_id in self.failed_before:
            return True
        days = 7 if self.weekly and parent_of(listed.path) in self.weekly else 1
        return self.in_slice(listed.object_id, days=days)

    def in_slice(self, object_id: int, *, days: int = 1) -> bool:
        """Whether it is this notebook's day to be exported by itself, or was in the last ``days``."""
        day = self.recheck_day
        return day is not None and (day - object_id) % self.recheck_days < days


def decide(
    listed: ListedObject, row: Row | None, tombstone: Tombstone | None, distrust: Distrust
) -> tuple[Action, str]:
    """What to do with one object of a listing, and why where it is not backed up."""
    if listed.kind != NOTEBOOK:
        return Action.SKIP, why_skipped(listed.kind)
    if listed.language is None:
        return Action.FAIL, "its language is unknown to this version of nbvault"
    if row is None:
        return Action.EXPORT, ("deleted before, back again" if tombstone else "new")
    if times_differ(listed, row) or row.language != listed.language or distrust.of(listed):
        return Action.EXPORT, "changed, or not trusted"
    if row.path != listed.path:
        # Times do not tell: an export names a path, and what moved may have changed places with another in between.
        return Action.EXPORT, "moved"
    return Action.UNCHANGED, ""


def times_differ(listed: ListedObject, row: Row) -> bool:
    """Whether either listed time differs from the row's, or the workspace gave none."""
    return (
        not listed.modified_at_ms
        or listed.modified_at_ms != row.modified_at_ms
        or listed.interactive_at_ms != row.interactive_at_ms
    )


def why_skipped(kind: str) -> str:
    """Why objects of a kind are not backed up."""
    if kind == REPO:
        return "a Git folder: it has a history of its own"
    return f"objects of type {kind or 'unknown'} are not backed up"


class Folder(Enum):
    """What a session knows of a folder."""

    READ = "read"
    UNREADABLE = "unreadable"
    GONE = "gone"
    OPAQUE = "opaque"
    RESTING = "resting"


class Fate(Enum):
    """What the listings say of a row whose notebook was not seen."""

    ABSENT = "absent from its folder"
    FOLDER_VANISHED = "its folder is no longer shown"
    UNREADABLE = "a folder on its way could not be read"
    OPAQUE = "a folder on its way is now a Git folder"
    OUT_OF_SCOPE = "out of scope"
    ARCHIVED = "a folder on its way is frozen and was not listed today"


@dataclass(frozen=True, slots=True)
class Missing:
    """A row that was not seen, what that means, and the folder whose complete listing says so."""

    row: Row
    fate: Fate
    witness: str
    vanished: str = ""


def find_missing(
    rows: Iterable[Row],
    seen: Container[int],
    folders: Mapping[str, Folder],
    *,
    root: str,
    in_scope: Callable[[str], bool],
) -> list[Missing]:
    """Every row whose id was not seen, with its fate; `ABSENT` and `FOLDER_VANISHED` are candidates for deletion."""
    return [
        fate_of(row, folders, root=root) if in_scope(row.path) else Missing(row, Fate.OUT_OF_SCOPE, "")
        for row in rows
        if row.object_id not in seen
    ]


def fate_of(row: Row, folders: Mapping[str, Folder], *, root: str) -> Missing:
    """Walks up from the notebook's folder to the nearest folder that this session knows."""
    folder, vanished = parent_of(row.path), ""
    while True:
        state = folders.get(folder)
        if state is Folder.READ:
            fate = Fate.FOLDER_VANISHED if vanished else Fate.ABSENT
            return Missing(row, fate, folder, vanished)
        if state is Folder.UNREADABLE:
            return Missing(row, Fate.UNREADABLE, folder)
        if state is Folder.OPAQUE:
            return Missing(row, Fate.OPAQUE, folder)
        if state is Folder.RESTING:
            return Missing(row, Fate.ARCHIVED, folder)
        if folder in {root, "/"}:
            return Missing(row, Fate.UNREADABLE, folder)
        vanished, folder = folder, parent_of(folder)


def parent_of(path: str) -> str:
    """The folder that holds the object at ``path``."""
    return path.rsplit("/", 1)[0] or "/"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which candidates are deleted, and which are held and why."""

    deleted: tuple[Row, ...] = ()
    held: tuple[Row, ...] = ()
    reasons: tuple[str, ...] = ()

    def with_deleted(self, rows: Iterable[Row]) -> Verdict:
        """The same, with rows that are deleted whatever was judged; they are no longer held."""
        more = {row.object_id: row for row in rows}
        deleted = {row.object_id: row for row in self.deleted} | more
        held = tuple(row for row in self.held if row.object_id not in more)
        return Verdict(tuple(deleted.values()), held, self.reasons if held else ())


def judge_deletions(
    candidates: Collection[Missing],
    *,
    root: str,
    vault_size: int,
    deletion_limit: float,
    trusted: bool,
    accepted: Collection[int] = (),
    replaced: Collection[int] = (),
    root_is_empty: bool = False,
) -> Verdict:
    """Apply the rule of held deletions (docs/design.md, rule 3 and "Proof of deletions").

    Args:
        candidates: Rows proven absent from complete listings.
        vault_size: How many living notebooks the vault has.
        deletion_limit: The share of the vault above which all deletions are held; at least 50 are let through.
        trusted: Whether a folder that vanished whole is believed: the identity is an administrator, who sees all, or
            ``sync.deletions`` is ``trust``.
        accepted: Ids that an administrator has accepted as deleted.
        replaced: Ids whose path now holds another notebook: nothing disappears with them.
    """
    free = [m for m in candidates if m.row.object_id in accepted or m.row.object_id in replaced]
    judged = [m for m in candidates if m.row.object_id not in accepted and m.row.object_id not in replaced]
    reasons = _reasons_to_hold_all(judged, root, vault_size, deletion_limit, root_is_empty=root_is_empty)
    if reasons:
        held = judged
    else:
        held = [m for m in judged if m.fate is Fate.FOLDER_VANISHED and not trusted]
        reasons = (
            ["a folder vanished and this identity is no workspace admin, so it may only be hidden"] if held else []
        )
    kept = {m.row.object_id for m in held}
    deleted = [m.row for m in (*free, *judged) if m.row.object_id not in kept]
    return Verdict(tuple(deleted), tuple(m.row for m in held), tuple(reasons))


def _reasons_to_hold_all(
    judged: Collection[Missing], root: str, vault_size: int, deletion_limit: float, *, root_is_empty: bool
) -> list[str]:
    if not judged:
        return []
    reasons = []
    limit = max(deletion_limit * vault_size, 50)
    if len(judged) > limit:
        reasons.append(f"{len(judged):,} deletions are more than the limit of {limit:,.0f}")
    if root_is_empty:
        reasons.append(f"the root {root} is empty")
    tops = sorted({m.vanished for m in judged if m.vanished and parent_of(m.vanished) == root})
    reasons += [f"the top folder {top} is gone" for top in tops]
    return reasons

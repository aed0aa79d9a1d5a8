"""Closed engagements: folders that are frozen are listed once a week, spread over its days. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from nbvault.backup.detect import parent_of
from nbvault.backup.scope import Glob
from nbvault.backup.sessions import SessionHistory
from nbvault.gitstore.meta import Meta
from nbvault.model import Row

WEEK = 7


@dataclass(frozen=True, slots=True)
class Looks:
    """What a session looks at: `due` frozen folders are listed whatever leads to them, `resting` ones are not listed.

    Only folders in which the vault knows notebooks rest; what is new is looked at when it is seen.
    """

    due: frozenset[str] = field(default_factory=frozenset)
    resting: frozenset[str] = field(default_factory=frozenset)


class Freezer:
    """Which folders the patterns freeze: those that match one, and all that is below them.

    The root itself is never frozen.
    """

    def __init__(self, patterns: Iterable[str], *, root: str) -> None:
        self._globs = [Glob.parse(pattern) for pattern in patterns]
        self._known = {root: False, "/": False}

    def holds(self, folder: str) -> bool:
        """Whether this folder is frozen."""
        if folder not in self._known:
            above = self.holds(parent_of(folder))
            self._known[folder] = above or any(glob.matches(folder) for glob in self._globs)
        return self._known[folder]

    def notebooks(self, rows: Iterable[Row]) -> list[Row]:
        """The notebooks in frozen folders, at any depth."""
        return [row for row in rows if self.holds(parent_of(row.path))]


def looks(
    rows: Iterable[Row],
    patterns: Sequence[str],
    *,
    root: str,
    today: int,
    last: int | None,
    again: Collection[str] = (),
) -> Looks:
    """Divide the frozen folders that the vault knows into those that are due and those that rest.

    Each has its day of the week; due are those whose day came since the last session that looked, today included.

    Args:
        today: The day of this session, in days since 1970 UTC.
        last: The day of the last session that came to its end; None if that is not known. One in the future says
            that a clock was wrong, and nothing else.
        again: Folders to look at whatever the day.
    """
    if not patterns:
        return Looks()
    freezer = Freezer(patterns, root=root)
    frozen = {folder for row in rows for folder in _folders_above(row.path, root) if freezer.holds(folder)}
    if last is None or last > today:
        return Looks(due=frozenset(frozen))
    days = {day % WEEK for day in range(max(last + 1, today - WEEK + 1), today + 1)}
    due = {folder for folder in frozen if day_of(folder) in days or folder in again}
    return Looks(frozenset(due), frozenset(frozen - due))


def looks_of(meta: Meta, history: SessionHistory, *, today: int, everything: bool) -> Looks:
    """What this session looks at, by what the vault says is frozen; ``everything`` lets no folder rest."""
    patterns = [frozen.pattern for frozen in meta.frozen]
    last = None if everything else history.last_look
    return looks(meta.rows.values(), patterns, root=meta.root, today=today, last=last, again=history.unreadable)


def day_of(folder: str) -> int:
    """The day of the week (days since 1970, modulo 7) on which a frozen folder is listed."""
    return crc32(folder.encode("utf-8", "surrogatepass")) % WEEK


def _folders_above(path: str, root: str) -> Sequence[str]:
    found = []
    folder = parent_of(path)
    while folder not in (root, "/"):
        found.append(folder)
        folder = parent_of(folder)
    return found

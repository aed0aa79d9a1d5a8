"""What is gone: every deleted notebook, when, by whom, and its last good version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nbvault.clock import iso
from nbvault.gitstore.reader import LogEntry
from nbvault.gitstore.vault import Vault
from nbvault.model import UNKNOWN, Person, Tombstone
from nbvault.recovery.history import session_of
from nbvault.recovery.notebooks import Notebooks
from nbvault.recovery.places import within

# Git skips commits by their changed-path filters only where few paths are asked for.
_FEW = 40


@dataclass(frozen=True, slots=True)
class Gone:
    """A notebook that was deleted.

    `at` is when the session began that found it gone, `by` is unknown unless the workspace told. The last good version
    is `blob`, saved by `commit` (empty if the vault's history does not tell), at `path`.
    """

    path: str
    object_id: int
    session: str
    at: datetime | None
    by: Person
    repo_path: str
    blob: str
    commit: str
    saved_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """As ``history --deleted --json`` prints it."""
        return {
            "path": self.path,
            "object_id": self.object_id,
            "session": self.session,
            "at": iso(self.at) if self.at else None,
            "by": self.by.name,
            "by_email": self.by.email,
            "last": {
                "commit": self.commit or None,
                "at": iso(self.saved_at) if self.saved_at else None,
                "blob": self.blob,
                "repo_path": self.repo_path,
            },
        }


def bygone(vault: Vault, place: str = "") -> list[Gone]:
    """The deleted notebooks of a place (`places.within`), those that went last first; one that came back is not gone.

    Raises:
        ConfigurationError: nothing was backed up yet.
        RemoteUnreachable: the history is not here, and the remote does not answer.
    """
    notebooks = Notebooks.of(vault)
    is_meant = within(notebooks.root, place)
    stones = [stone for stone in notebooks.stones.values() if is_meant(stone.path)]
    if not stones:
        return []
    traces = {stone.object_id: _Trace(stone) for stone in stones}
    _follow(vault, traces.values())
    found = sorted(traces.values(), key=lambda trace: trace.stone.path)
    return [trace.told() for trace in sorted(found, key=lambda trace: trace.stone.session, reverse=True)]


@dataclass(slots=True)
class _Trace:
    """What the history tells of one deleted notebook: who removed it, and its last good version."""

    stone: Tombstone
    session: LogEntry | None = None
    removal: LogEntry | None = None
    last: LogEntry | None = None

    def see(self, entry: LogEntry, status: str) -> None:
        """A commit that touched its path; the newest comes first."""
        session = session_of(entry)
        if session == self.stone.session and status == "D":
            self.removal = self.removal or entry
        elif self.stone.since <= session < self.stone.session and status != "D":
            self.last = self.last or entry

    def told(self) -> Gone:
        stone, seen = self.stone, self.removal or self.session
        by = self.removal.commit.author if self.removal else UNKNOWN
        at, saved_at = (entry.commit.committed_at if entry else None for entry in (seen, self.last))
        commit = self.last.sha if self.last else ""
        return Gone(stone.path, stone.object_id, stone.session, at, by, stone.repo_path, stone.blob, commit, saved_at)


def _follow(vault: Vault, traces: Iterable[_Trace]) -> None:
    """Walk the history once, newest first, until every trace has its last good version."""
    at_path: dict[str, list[_Trace]] = {}
    in_session: dict[str, list[_Trace]] = {}
    for trace in traces:
        at_path.setdefault(trace.stone.repo_path, []).append(trace)
        in_session.setdefault(trace.stone.session, []).append(trace)
    paths = list(at_path) if len(at_path) <= _FEW else []
    left = sum(map(len, at_path.values()))
    for entry in vault.past.content_log(paths=paths, changes=True):
        for trace in in_session.pop(session_of(entry), ()):
            trace.session = entry
        for status, path in entry.changes:
            for trace in at_path.get(path, ()):
                before = trace.last
                trace.see(entry, status)
                left -= before is None and trace.last is not None
        if not left:
            return

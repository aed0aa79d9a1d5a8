"""The versions of one notebook, across its renames, its deletion and its return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from nbvault.clock import iso
from nbvault.gitstore.authors import Authors
from nbvault.gitstore.reader import LogEntry
from nbvault.gitstore.vault import Vault
from nbvault.model import UNKNOWN, Person
from nbvault.recovery.notebooks import Notebooks, Stay

SESSION = "Nbvault-Session"


class Change(str, Enum):
    """What a session found of a notebook, against its version before."""

    ADDED = "added"
    MODIFIED = "modified"
    RENAMED = "renamed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a notebook's history.

    `path` is its workspace path in this version; for a deletion, its last one. `author` is who signed the commit on
    ``backup/daily``, or whom the vault names since; in a first backup that is nbvault. `at` is when the session began.
    """

    commit: str
    at: datetime
    author: Person
    change: Change
    path: str
    session: str

    def as_json(self) -> dict[str, Any]:
        """The version as ``history --json`` prints it."""
        return {
            "commit": self.commit,
            "at": iso(self.at),
            "author": self.author.name,
            "author_email": self.author.email,
            "change": self.change.value,
            "path": self.path,
            "session": self.session,
        }


def history(vault: Vault, path: str, *, notebooks: Notebooks | None = None) -> list[Version]:
    """Every version of the notebook that ``path`` means, newest first.

    Follows the renames that sessions recorded, never Git's similarity. A return after a deletion is ``added`` at the
    same path and ``renamed`` at another; a change of language is ``modified``. Fetches the history's commits and trees
    once if they are not here, never a blob. What was in an earlier epoch that cannot be had (`vault.past.gaps`) is left
    out.

    Raises:
        ConfigurationError: no notebook was ever at that path, or nothing was backed up yet.
        RemoteUnreachable: the history is not here, and the remote does not answer.
    """
    known = notebooks or Notebooks.of(vault)
    stays = known.stays(known.find(path).object_id)
    reader = _Commits(vault, stays[0].since)
    found: list[Version] = []
    before: Stay | None = None
    gone = False
    for stay in stays:
        versions = list(_versions(reader, stay, _arrival(before, stay, gone=gone)))
        gone = bool(versions) and versions[-1].change is Change.DELETED
        before = stay
        found += versions
    told = [version for version in reversed(found) if version.session > vault.past.told_since]
    if all(version.author != UNKNOWN for version in told):
        return told
    authors = Authors.of(vault)
    return [_named(version, authors) for version in told]


def _named(version: Version, authors: Authors) -> Version:
    """With its author, where that became known after its commit."""
    if version.author != UNKNOWN:
        return version
    known = authors.of_change(version.session, version.change.value, version.path)
    return replace(version, author=known) if known else version


def _arrival(before: Stay | None, stay: Stay, *, gone: bool) -> Change:
    if before is None:
        return Change.ADDED
    if before.path != stay.path:
        return Change.RENAMED
    return Change.ADDED if gone else Change.MODIFIED


@dataclass(slots=True)
class _Commits:
    """The content commits, oldest first, that touched a path: one walk for each path.

    Git skips commits by their changed-path filters only where it is asked for a single path.
    """

    vault: Vault
    back_to: str
    _known: dict[str, list[LogEntry]] = field(default_factory=dict)
    _all: list[LogEntry] = field(default_factory=list)

    def touching(self, repo_path: str) -> list[LogEntry]:
        if repo_path not in self._known:
            self._known[repo_path] = self._walk([repo_path])
        return self._known[repo_path]

    def of_session(self, session: str) -> LogEntry | None:
        """The last content commit of a session or, if it made none, the last one before it; None if no commit tells."""
        self._all = self._all or self._walk([])
        older = [entry for entry in self._all if session_of(entry) <= session]
        return next(iter([*older[-1:], *self._all]), None)

    def _walk(self, paths: Sequence[str]) -> list[LogEntry]:
        entries = self.vault.past.content_log(paths=paths, back_to=self.back_to)
        return [entry for entry in entries if session_of(entry)][::-1]


def session_of(entry: LogEntry) -> str:
    """The session that made a commit; empty for people's commits."""
    return entry.commit.trailers.get(SESSION, [""])[-1]


def _versions(commits: _Commits, stay: Stay, arrival: Change) -> Iterator[Version]:
    """What happened in one stay, oldest first: the arrival, changes, and the deletion that may have ended it."""
    during = [entry for entry in commits.touching(stay.repo_path) if _concerns(stay, session_of(entry))]
    # In its first session the path may have been cleared of what was there before.
    first = next((e for e in during if session_of(e) == stay.since and not _removes(e)), None)
    yield from _version(commits, stay, arrival, first, stay.since)
    start = during.index(first) + 1 if first else 0
    for entry in during[start:]:
        session = session_of(entry)
        if _removes(entry) and stay.since < session < stay.until:
            yield from _version(commits, stay, Change.DELETED, entry, session)
            return
        if not _removes(entry) and (stay.covers(session) or session == stay.since):
            yield from _version(commits, stay, Change.MODIFIED, entry, session)
    if stay.deleted:
        last = next((e for e in during[start:] if session_of(e) == stay.until), None)
        yield from _version(commits, stay, Change.DELETED, last, stay.until)


def _concerns(stay: Stay, session: str) -> bool:
    return stay.since <= session and (not stay.until or session <= stay.until)


def _removes(entry: LogEntry) -> bool:
    return any(change.status == "D" for change in entry.changes)


def _version(commits: _Commits, stay: Stay, change: Change, entry: LogEntry | None, session: str) -> Iterator[Version]:
    """A version by its commit; where the tree did not change (the same bytes came to a path), by its session's last.

    None where no commit tells: it was in an epoch that cannot be had.
    """
    told = entry or commits.of_session(session)
    if told is None:
        return
    commit = told.commit
    # Whoever put another notebook in a deleted one's place is not known to have deleted it.
    replaced = change is Change.DELETED and entry is not None and not _removes(entry)
    author = commit.author if entry and not replaced else UNKNOWN
    yield Version(commit.sha, commit.committed_at, author, change, stay.path, session)

"""The changes of a period as a stream, newest first: from commits, and from the moves and deletions that were recorded.

One walk along the content commits, with the trees of the period only; Git's guesses by similarity play no part. What is
in memory at a time is one commit, or one session where notebooks moved or were deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import chain, groupby
from typing import Any, NamedTuple

from nbvault.clock import iso
from nbvault.errors import ConfigurationError
from nbvault.gitstore.authors import Authors
from nbvault.gitstore.meta import read_records, read_renames
from nbvault.gitstore.reader import Commit, TreeDifference, blob_log
from nbvault.gitstore.vault import Vault
from nbvault.ids import moment, stamp
from nbvault.model import UNKNOWN, Person, Rename, Tombstone
from nbvault.paths import IPYNB_EXTENSION, extension_of, workspace_path
from nbvault.recovery.contents import language_of
from nbvault.recovery.history import SESSION, Change
from nbvault.recovery.places import within
from nbvault.reporting.query import Query

Correction = Callable[["NotebookChange"], Person | None]
"""Who made a change, where that became known only after its commit; None where the commit has it right."""


@dataclass(frozen=True, slots=True)
class NotebookChange:
    """What one session found of one notebook.

    `at` is when the session began, to the second; `old_path` is empty unless it was renamed. A blob is empty where
    there is none on that side, or where the vault's history does not tell it.
    """

    at: datetime
    session: str
    commit: str
    change: Change
    path: str
    old_path: str
    repo_path: str
    author: Person
    old_repo_path: str = ""
    old_blob: str = ""
    new_blob: str = ""

    @property
    def language(self) -> str:
        """The language that its file names; ``IPYNB`` for a notebook in that format."""
        return language_at(self.repo_path)

    @property
    def folder(self) -> str:
        """The workspace folder that it is in."""
        return self.path.rpartition("/")[0] or "/"

    def as_json(self) -> dict[str, Any]:
        """As the JSON report shows it."""
        return {
            "at": iso(self.at),
            "change": self.change.value,
            "path": self.path,
            "old_path": self.old_path or None,
            "language": self.language,
            "author": self.author.name,
            "author_email": self.author.email,
            "session": self.session,
            "commit": self.commit,
            "old_blob": self.old_blob or None,
            "new_blob": self.new_blob or None,
        }


def changes(vault: Vault, query: Query, *, corrected: Correction | None = None) -> Iterator[NotebookChange]:
    """The changes that a query means, newest session first, by path within a commit.

    Fetches the commits and trees of the history once if they are not here, never a blob. What was in an earlier epoch
    that cannot be had (`vault.past.gaps`) is left out.

    Args:
        corrected: Who made a change, where the commit does not know; otherwise what the vault was told since
            (`gitstore.authors.Authors`).

    Raises:
        ConfigurationError: nothing was backed up yet, or there is no such session.
        RemoteUnreachable: the history is not here, and the remote does not answer.
    """
    if not vault.meta.content:
        raise ConfigurationError("The vault holds no backup yet.", hint="Run `nbvault sync` first.")
    _refuse_unknown_session(vault, query.session)
    is_meant = within(vault.root, query.place)
    corrected = corrected or _named_since(vault)
    for change in _told(vault, query):
        if not query.wants_session(change.session):
            continue
        author = corrected(change) or change.author
        told = change if author == change.author else replace(change, author=author)
        here = is_meant(told.path) or (bool(told.old_path) and is_meant(told.old_path))
        if here and query.wants_author(author) and query.wants_language(told.language):
            yield told


def _named_since(vault: Vault) -> Correction:
    authors = Authors.of(vault)

    def corrected(change: NotebookChange) -> Person | None:
        if change.author != UNKNOWN:
            return None
        return authors.of_change(change.session, change.change.value, change.path)

    return corrected


def language_at(repo_path: str) -> str:
    """The language of a file of the vault, ``IPYNB`` for that format."""
    return _language_by(extension_of(repo_path))


@cache
def _language_by(extension: str) -> str:
    language = language_of(extension)
    return language.value if language else "IPYNB" if extension == IPYNB_EXTENSION else ""


class _File(NamedTuple):
    """A file that a session set or removed, and the commit that did."""

    path: str
    old: str
    new: str
    commit: Commit


@dataclass(slots=True)
class _Records:
    """What the vault recorded of each session: who moved, who was deleted, and at which paths another one arrived."""

    renames: dict[str, list[Rename]] = field(default_factory=dict)
    stones: dict[str, list[Tombstone]] = field(default_factory=dict)
    arrivals: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, vault: Vault) -> _Records:
        found = cls()
        for rename in read_renames(vault.meta, blobs=vault.blobs):
            found.renames.setdefault(rename.session, []).append(rename)
            found._arrived(rename.old_since, rename.old_repo_path)
        for stone in vault.meta.tombstones.values():
            found.stones.setdefault(stone.session, []).append(stone)
            found._arrived(stone.since, stone.repo_path)
        left = {rename.old_repo_path for renames in found.renames.values() for rename in renames}
        for row in vault.meta.rows.at_repo_paths(left):
            found._arrived(row.since, row.repo_path)
        return found

    def _arrived(self, session: str, repo_path: str) -> None:
        self.arrivals.setdefault(session, set()).add(repo_path)

    def sessions(self) -> set[str]:
        return {*self.renames, *self.stones}

    def knows(self, session: str) -> bool:
        return session in self.renames or session in self.stones


def _told(vault: Vault, query: Query) -> Iterator[NotebookChange]:
    known = _Records.of(vault)
    waiting = sorted((session for session in known.sessions() if in_period(session, query)), reverse=True)
    with closing(_commits(vault, query)) as commits:
        for session, group in groupby(commits, key=lambda pair: session_of(pair[0])):
            newest, found = next(group)
            while waiting and waiting[0] >= session:
                if (silent := waiting.pop(0)) != session:
                    yield from _without_commit(vault, silent, known)
            if known.knows(session):
                whole = [*_files(newest, found), *(file for pair in group for file in _files(*pair))]
                yield from _Session(vault.root, session, newest, known).told(whole)
                continue
            for commit, more in chain([(newest, found)], group):
                yield from _Session(vault.root, session, commit, known).told(_files(commit, more))
    for silent in waiting:
        yield from _without_commit(vault, silent, known)


def _without_commit(vault: Vault, session: str, known: _Records) -> Iterator[NotebookChange]:
    """A session in which nothing happened but that the same bytes came to other paths; nothing for one with commits."""
    git, tip = vault.git, vault.meta.content
    if session <= vault.past.told_since or next(blob_log(git, tip, saying=f"{SESSION}: {session}"), None):
        return
    # The commit that was there when it ran.
    if before := next(blob_log(git, tip, until=began(session)), None):
        yield from _Session(vault.root, session, before[0], known).told([])


def _commits(vault: Vault, query: Query) -> Generator[tuple[Commit, tuple[TreeDifference, ...]], None, None]:
    """The content commits of sessions in the period, newest first, each with its files."""
    saying = f"{SESSION}: {query.session}" if query.session else ""
    start = query.session or (stamp(query.since) if query.since else "")
    for tip, begins in vault.past.contents(back_to=start):
        walk = blob_log(vault.git, tip, exclude=begins, since=query.since, until=query.until, saying=saying)
        with closing(walk):
            for commit, found in walk:
                # A merge takes up what people pushed; what is not a session's is people's own.
                if len(commit.parents) < 2 and session_of(commit) > vault.past.told_since:
                    yield commit, found


def session_of(commit: Commit) -> str:
    """The session that made a commit; empty for people's commits."""
    return commit.trailers.get(SESSION, [""])[-1]


def began(session: str) -> datetime:
    """When a session began, by its name."""
    return moment(session)


def in_period(session: str, query: Query) -> bool:
    """Whether a session is in the period of a query, or is the one that it names."""
    at = began(session)
    if query.session:
        return session == query.session
    return (not query.since or at >= query.since) and (not query.until or at <= query.until)


def _files(commit: Commit, found: Iterable[TreeDifference]) -> Iterator[_File]:
    for path, old, new in found:
        if extension_of(path):
            yield _File(path, old, new, commit)


@dataclass(slots=True)
class _Session:
    """The changes of one session, or of one commit of it, put together from its files and the records."""

    root: str
    name: str
    newest: Commit
    known: _Records
    _in: dict[str, Rename] = field(init=False)
    _out: dict[str, Rename] = field(init=False)
    _stones: dict[str, Tombstone] = field(init=False)
    _arrived: set[str] = field(init=False)

    def __post_init__(self) -> None:
        moves = self.known.renames.get(self.name, [])
        self._in = {move.new_repo_path: move for move in moves}
        self._arrived = self.known.arrivals.get(self.name, set())
        # What came back to the path where it was deleted did not leave it in this session.
        self._out = {move.old_repo_path: move for move in moves if move.old_repo_path != move.new_repo_path}
        self._stones = {stone.repo_path: stone for stone in self.known.stones.get(self.name, [])}

    def told(self, files: Iterable[_File]) -> Iterator[NotebookChange]:
        if not (self._in or self._stones or self._arrived):
            for file in files:
                yield from self._plain(file)
            return
        by_path: dict[str, _File] = {}
        for file in files:
            # The newest commit comes first: it has the last word, an older one the first.
            later = by_path.get(file.path)
            by_path[file.path] = later._replace(old=file.old) if later else file
        for path in sorted(by_path.keys() | self._in.keys() | self._stones.keys()):
            yield from self._at(path, by_path)

    def _plain(self, file: _File) -> Iterator[NotebookChange]:
        change = Change.DELETED if not file.new else Change.MODIFIED if file.old else Change.ADDED
        try:
            path = workspace_path(self.root, file.path)
        except ValueError:
            return
        yield self._change(change, path, file)

    def _at(self, path: str, files: dict[str, _File]) -> Iterator[NotebookChange]:
        """What became of the notebook that left a path, or was deleted there, and of the one that is there now."""
        file, move, stone = files.get(path), self._in.get(path), self._stones.get(path)
        if stone:
            # Whoever put another notebook in its place is not known to have deleted it.
            author = file.commit.author if file and not file.new else UNKNOWN
            gone = _File(path, stone.blob, "", file.commit if file else self.newest)
            yield replace(self._change(Change.DELETED, stone.path, gone), author=author)
        if move:
            yield self._moved(move, file, files.get(move.old_repo_path))
        elif file and file.new and (stone or path in self._out):
            yield from self._plain(file._replace(old=""))
        elif file and file.old and file.new and path in self._arrived:
            # The tombstone of who was there is gone, for it came back later.
            yield from (replace(each, author=UNKNOWN) for each in self._plain(file._replace(new="")))
            yield from self._plain(file._replace(old=""))
        elif file and not stone and path not in self._out:
            yield from self._plain(file)
        elif stone and not file:
            # Another notebook with the same bytes took its place.
            there = self._change(Change.ADDED, stone.path, _File(path, "", stone.blob, self.newest))
            yield replace(there, author=UNKNOWN)

    def _moved(self, move: Rename, file: _File | None, left: _File | None) -> NotebookChange:
        """A rename; at the same workspace path, a change of language or a return."""
        old = left.old if left and move.old_repo_path != move.new_repo_path else ""
        stayed = Change.MODIFIED if old else Change.ADDED
        change = stayed if move.old_path == move.new_path else Change.RENAMED
        new = file.new if file else ""
        told = self._change(change, move.new_path, _File(move.new_repo_path, old, new, self._commit_of(file)))
        old_path = move.old_path if change is Change.RENAMED else ""
        return replace(
            told,
            old_path=old_path,
            old_repo_path=move.old_repo_path if old else "",
            author=told.author if file else UNKNOWN,
        )

    def _commit_of(self, file: _File | None) -> Commit:
        return file.commit if file else self.newest

    def _change(self, change: Change, path: str, file: _File) -> NotebookChange:
        commit = file.commit
        # A commit that tells of another session's moves has that session's time only in its name.
        at = commit.committed_at if session_of(commit) == self.name else began(self.name)
        old_at = file.path if file.old else ""
        return NotebookChange(
            at, self.name, commit.sha, change, path, "", file.path, commit.author, old_at, file.old, file.new
        )


def _refuse_unknown_session(vault: Vault, session: str) -> None:
    if not session:
        return
    known = [str(record["session"]) for record in read_records(vault.meta, "sessions", blobs=vault.blobs)]
    if session not in known:
        raise ConfigurationError(
            f"The vault knows no session {session!r}.",
            hint=f"The last ones are {', '.join(known[-3:])}." if known else "Run `nbvault sync` first.",
        )

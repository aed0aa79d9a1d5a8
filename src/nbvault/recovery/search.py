"""Where a text stands: in the notebooks as of a moment, or in every version that any of them ever had."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from nbvault.clock import iso
from nbvault.errors import GitError
from nbvault.gitstore.reader import Commit, blob_log, files_with, ls_tree
from nbvault.gitstore.unread import UnreadRows
from nbvault.gitstore.vault import Vault
from nbvault.model import NotebookFormat
from nbvault.paths import extension_of, workspace_path
from nbvault.recovery.contents import format_of
from nbvault.recovery.history import SESSION
from nbvault.recovery.moments import moment
from nbvault.recovery.needle import Hit, Needle
from nbvault.recovery.notebooks import Notebooks
from nbvault.recovery.places import files_of, ours_among, path_of, within

# One process of git reads so many blobs, sorted by base name for that is how they are packed; several read at once.
_CHUNK = 1000
_READERS = min(os.cpu_count() or 1, 8)
# The first versions are searched at once, then as many as a fetch of missing blobs is worth.
_FIRST_BATCH = 200
_BATCH = 20_000

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A session, by its commit and when it began; `session` is empty for a commit of people's."""

    commit: str
    session: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """As ``search --json`` prints it."""
        return {"commit": self.commit, "session": self.session, "at": iso(self.at)}


@dataclass(frozen=True, slots=True)
class Match:
    """A line of a notebook in which the text was found.

    `since` is the session that saved this content at this path, and `until` the one that replaced or removed it: None
    while it is there. Both are None where only one moment was searched.
    """

    path: str
    hit: Hit
    blob: str
    since: Sighting | None = None
    until: Sighting | None = None

    def as_json(self) -> dict[str, Any]:
        """As ``search --json`` prints it."""
        found: dict[str, Any] = {"path": self.path, **self.hit._asdict(), "blob": self.blob}
        if self.since:
            found |= {"since": self.since.as_json(), "until": self.until.as_json() if self.until else None}
        return found


def search(
    vault: Vault, needle: Needle, *, place: str = "", at: str = "", progress: Progress = lambda _done: None
) -> list[Match]:
    """Every line with it in the notebooks as of a moment, sorted by path.

    Args:
        place: As `places.within` takes it; empty for everything.
        at: As `moment` takes it; empty for the last protected version.
        progress: Told after each part how many notebooks have been searched.

    Raises:
        ConfigurationError: no such moment, or no backup yet.
        VaultError, RemoteUnreachable: blobs are missing, here and there.
    """
    notebooks = Notebooks.of(vault)
    commit = moment(vault, at).commit if at else vault.meta.content
    is_meant = within(notebooks.root, place)
    if not place:
        files, meant = _of_everything(vault, commit, needle, notebooks)
    else:
        files = _files(vault, commit)
        ours = files_of(notebooks) & files.keys()
        meant = {file for file in ours if is_meant(workspace_path(notebooks.root, file))}
        if 4 * len(meant) > len(files):
            meant &= _sieved(vault, commit, needle, files)
    vault.blobs.ensure(files[file] for file in meant)
    found: dict[_Blob, list[str]] = {}
    for file in sorted(meant, key=lambda file: file.rpartition("/")[2]):
        found.setdefault(_Blob(files[file], extension_of(file)), []).append(workspace_path(notebooks.root, file))
    with _searched(vault, needle, progress) as searched:
        hits = dict(zip(found, searched(list(found)), strict=True))
    places = sorted((path, blob) for blob, paths in found.items() if hits[blob] for path in paths)
    return [Match(path, hit, blob.oid) for path, blob in places for hit in hits[blob]]


def _files(vault: Vault, commit: str) -> dict[str, str]:
    return {entry.path: entry.oid for entry in ls_tree(vault.git, commit) if entry.kind == "blob"}


def _of_everything(
    vault: Vault, commit: str, needle: Needle, notebooks: Notebooks
) -> tuple[Mapping[str, str], set[str]]:
    """All files, and those of notebooks that may have it: git looks into them while the rest is read here."""
    with ThreadPoolExecutor(1, thread_name_prefix="nbvault-sieve") as beside:
        holding = beside.submit(_holding, vault, commit, needle) if _can_be_sieved(needle) else None
        files = _files(vault, commit)
        if isinstance(notebooks.rows, UnreadRows):
            notebooks.rows.expect_many()
        try:
            found = holding.result() if holding else None
        except GitError:
            # A file that is not here: with all of them fetched it is asked again.
            found = None
    candidates = _may_have(needle, files, found) if found is not None else _sieved(vault, commit, needle, files)
    return files, ours_among(notebooks, candidates)


def _sieved(vault: Vault, commit: str, needle: Needle, files: Mapping[str, str]) -> Set[str]:
    """Those of the files that may have it. Git reads a whole tree several times faster than we could."""
    if not _can_be_sieved(needle):
        return files.keys()
    vault.blobs.ensure(files.values())
    return _may_have(needle, files, _holding(vault, commit, needle))


def _can_be_sieved(needle: Needle) -> bool:
    return bool(needle.quick) and b"\0" not in needle.quick


def _holding(vault: Vault, commit: str, needle: Needle) -> set[str]:
    return files_with(vault.git, commit, needle.quick, ignore_case=needle.fold)


def _may_have(needle: Needle, files: Mapping[str, str], holding: set[str]) -> Set[str]:
    """Of the files those that hold its bytes, and those that may spell it in other bytes."""
    if needle.quick_in_json == needle.quick:
        return holding & files.keys()
    return {f for f in files if f in holding or format_of(extension_of(f)) is NotebookFormat.IPYNB}


def search_all(
    vault: Vault, needle: Needle, *, place: str = "", progress: Progress = lambda _done: None
) -> Iterator[Match]:
    """Every line with it in every version that any notebook ever had, the newest versions first, as they are found.

    Each content is read once, however many notebooks had it; it is told for each of them and each time. Missing blobs
    are fetched in batches.

    Raises:
        ConfigurationError: no backup yet.
        VaultError, RemoteUnreachable: blobs or the history are missing, here and there.
    """
    notebooks = Notebooks.of(vault)
    is_meant = within(notebooks.root, place)
    lives = (life for life in _lives(vault, notebooks) if is_meant(life.path))
    known: dict[_Blob, Sequence[Hit]] = {}
    with _searched(vault, needle, progress) as searched:
        for batch in _batches(lives):
            new = list(dict.fromkeys(life.blob for life in batch if life.blob not in known))
            vault.blobs.ensure(blob.oid for blob in new)
            results = searched(new)
            waiting = iter(new)
            for life in batch:
                while life.blob not in known:
                    known[next(waiting)] = next(results)
                hits = known[life.blob]
                yield from (Match(life.path, hit, life.blob.oid, life.since, life.until) for hit in hits)


class _Blob(NamedTuple):
    oid: str
    extension: str


class _Life(NamedTuple):
    """A content at a path, from the session that saved it to the one that replaced or removed it."""

    path: str
    blob: _Blob
    since: Sighting
    until: Sighting | None


def _lives(vault: Vault, notebooks: Notebooks) -> Iterator[_Life]:
    """Every content that a notebook ever had, the newest first."""
    path_at = path_of(notebooks)
    ended: dict[str, Sighting] = {}
    stretches = vault.past.contents()
    for commit, changes in (each for tip, begins in stretches for each in blob_log(vault.git, tip, exclude=begins)):
        seen = _sighting(commit)
        for repo_path, _, new in changes:
            path = path_at(repo_path)
            if path and new:
                yield _Life(path, _Blob(new, extension_of(repo_path)), seen, ended.get(repo_path))
            ended[repo_path] = seen


def _sighting(commit: Commit) -> Sighting:
    return Sighting(commit.sha, commit.trailers.get(SESSION, [""])[-1], commit.committed_at)


def _batches(lives: Iterator[_Life]) -> Iterator[list[_Life]]:
    size, batch = _FIRST_BATCH, list[_Life]()
    for life in lives:
        batch.append(life)
        if len(batch) >= size:
            yield batch
            size, batch = min(size * 4, _BATCH), []
    yield batch


@contextmanager
def _searched(
    vault: Vault, needle: Needle, progress: Progress
) -> Iterator[Callable[[Sequence[_Blob]], Iterator[Sequence[Hit]]]]:
    """What gives the hits of each blob, in order, by several readers at once; leaving ends them."""
    done = 0

    def look(chunk: Sequence[_Blob]) -> list[Sequence[Hit]]:
        data = vault.blobs.read([blob.oid for blob in chunk])
        return [needle.hits(content, blob.extension) for blob, (_, content) in zip(chunk, data, strict=True)]

    def searched(blobs: Sequence[_Blob]) -> Iterator[Sequence[Hit]]:
        nonlocal done
        size = min(_CHUNK, -(-len(blobs) // _READERS) or 1)
        for hits in pool.map(look, (blobs[start : start + size] for start in range(0, len(blobs), size))):
            yield from hits
            done += len(hits)
            progress(done)

    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="nbvault-search")
    try:
        yield searched
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

"""Where a text stands: in the notebooks as of a moment, or in every version that any of them ever had."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

from nbvault.clock import iso
from nbvault.errors import GitError
from nbvault.gitstore.grep import files_with
from nbvault.gitstore.reader import Commit, blob_log, ls_tree
from nbvault.gitstore.vault import Vault
from nbvault.paths import IPYNB_EXTENSION, extension_of, workspace_path
from nbvault.recovery.history import SESSION
from nbvault.recovery.moments import moment
from nbvault.recovery.needle import Hit, Needle
from nbvault.recovery.notebooks import Notebooks
from nbvault.recovery.places import files_of, ours, within

# One process of git reads so many blobs, sorted by base name for that is how they are packed; several read at once.
_CHUNK = 500
_READERS = min(os.cpu_count() or 1, 8)
# The first versions are searched at once, then as many as a fetch of missing blobs is worth.
_FIRST_BATCH = 200
_BATCH = 20_000

Progress = Callable[[int], None]
# The blob of every file, and whether a file is meant.
_Tree = tuple[Mapping[str, str], Callable[[str], bool]]


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
    if not place and _can_be_sieved(needle):
        return _sieved(vault, commit, needle, lambda: (_files(vault, commit), ours(notebooks)), progress=progress)
    files, is_meant = _files(vault, commit), within(notebooks.root, place)
    meant = {file for file in files_of(notebooks) & files.keys() if is_meant(workspace_path(notebooks.root, file))}
    if place and not meant:
        vault.say(f"No notebook of that moment is meant by {place}.")
    if 4 * len(meant) > len(files) and _can_be_sieved(needle):
        return _sieved(vault, commit, needle, lambda: (files, meant.__contains__), progress=progress)
    return _matches(vault, needle, files, _as_packed(meant), progress=progress)


def _files(vault: Vault, commit: str) -> dict[str, str]:
    return {entry.path: entry.oid for entry in ls_tree(vault.git, commit) if entry.kind == "blob"}


def _can_be_sieved(needle: Needle) -> bool:
    """Whether git can tell the files that may have it: it reads a whole tree several times faster than we could."""
    return bool(needle.quick) and b"\0" not in needle.quick


def _sieved(vault: Vault, commit: str, needle: Needle, tree: Callable[[], _Tree], *, progress: Progress) -> list[Match]:
    try:
        return _as_git_finds(vault, commit, needle, tree, progress=progress)
    except GitError:
        # A file that is not here, and git grep fetches none.
        vault.blobs.ensure(_files(vault, commit).values())
        return _as_git_finds(vault, commit, needle, tree, progress=progress)


def _as_git_finds(
    vault: Vault, commit: str, needle: Needle, tree: Callable[[], _Tree], *, progress: Progress
) -> list[Match]:
    """Git looks into the files while the tree is read here; what it names is read while it looks on."""
    with files_with(vault.git, commit, needle.quick, ignore_case=needle.fold) as holding:
        files, is_meant = tree()
        odd = set()
        if needle.quick_in_json != needle.quick:
            # A document may spell it in other bytes.
            odd = {file for file in files if extension_of(file) == IPYNB_EXTENSION and is_meant(file)}
        found = (file for file in holding if file in files and file not in odd and is_meant(file))
        return _matches(vault, needle, files, chain(_as_packed(odd), found), progress=progress)


def _as_packed(files: Iterable[str]) -> list[str]:
    return sorted(files, key=lambda file: file.rpartition("/")[2])


def _matches(
    vault: Vault, needle: Needle, files: Mapping[str, str], candidates: Iterable[str], *, progress: Progress
) -> list[Match]:
    """The lines with it in these of the files, sorted by path; each content is read once."""
    places: dict[_Blob, list[str]] = {}

    def chunks() -> Iterator[list[_Blob]]:
        waiting = iter(candidates)
        while piece := list(islice(waiting, _CHUNK)):
            known = len(places)
            for file in piece:
                blob = _Blob(files[file], extension_of(file))
                places.setdefault(blob, []).append(workspace_path(vault.root, file))
            yield list(islice(places, known, None))

    with _searched(vault, needle, progress) as searched:
        found = list(searched(chunks()))
    in_order = sorted((path, place) for place, paths in enumerate(places.values()) for path in paths)
    oids = [blob.oid for blob in places]
    return [Match(path, hit, oids[place]) for path, place in in_order for hit in found[place]]


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
    # Asked only about what has the text: the first match does not wait for the inventory to be read.
    is_ours = lru_cache(maxsize=None)(ours(notebooks, many=False))
    lives, nothing = (life for life in _lives(vault) if is_meant(life.path)), True
    known: dict[_Blob, Sequence[Hit]] = {}
    with _searched(vault, needle, progress) as searched:
        for batch in _batches(lives):
            new = list(dict.fromkeys(life.blob for life in batch if life.blob not in known))
            vault.blobs.ensure(blob.oid for blob in new)
            size = min(_CHUNK, -(-len(new) // _READERS) or 1)
            results = searched(new[start : start + size] for start in range(0, len(new), size))
            waiting = iter(new)
            for life in batch:
                nothing = False
                while life.blob not in known:
                    known[next(waiting)] = next(results)
                hits = known[life.blob]
                if hits and is_ours(life.file):
                    yield from (Match(life.path, hit, life.blob.oid, life.since, life.until) for hit in hits)
    if place and nothing:
        vault.say(f"No notebook that ever was is meant by {place}.")


class _Blob(NamedTuple):
    oid: str
    extension: str


class _Life(NamedTuple):
    """A content at a path, from the session that saved it to the one that replaced or removed it."""

    file: str
    path: str
    blob: _Blob
    since: Sighting
    until: Sighting | None


def _lives(vault: Vault) -> Iterator[_Life]:
    """Every content that a file with a notebook's name ever had, the newest first."""
    ended: dict[str, Sighting] = {}
    stretches = vault.past.contents()
    for commit, changes in (each for tip, begins in stretches for each in blob_log(vault.git, tip, exclude=begins)):
        seen = _sighting(commit)
        for file, _, new in changes:
            # People's own file has a name that stands for no notebook, or is none by what the inventory says.
            with suppress(ValueError):
                if new:
                    path, blob = workspace_path(vault.root, file), _Blob(new, extension_of(file))
                    yield _Life(file, path, blob, seen, ended.get(file))
            ended[file] = seen


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
) -> Iterator[Callable[[Iterable[Sequence[_Blob]]], Iterator[Sequence[Hit]]]]:
    """What gives the hits of each blob, in order, by several readers at once; leaving ends them.

    Chunks are taken as fast as they come.
    """
    done = 0

    def look(chunk: Sequence[_Blob]) -> list[Sequence[Hit]]:
        data = vault.blobs.read([blob.oid for blob in chunk])
        return [needle.hits(content, blob.extension) for blob, (_, content) in zip(chunk, data, strict=True)]

    def searched(chunks: Iterable[Sequence[_Blob]]) -> Iterator[Sequence[Hit]]:
        nonlocal done
        for hits in pool.map(look, chunks):
            # Told first: whoever has what they asked for does not come back for the rest.
            done += len(hits)
            progress(done)
            yield from hits

    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="nbvault-search")
    try:
        yield searched
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

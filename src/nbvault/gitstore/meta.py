"""The meta branch: what the vault knows of every notebook and every session, read and written as one value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from nbvault.errors import ConfigurationError, VaultError
from nbvault.gitstore import records
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.epochs import (
    EPOCHS,
    SUCCESSOR,
    Force,
    Lineage,
    Successor,
    dump,
    load_lineage,
    load_successor,
)
from nbvault.gitstore.reader import EMPTY_TREE, Commit, commit_info, ls_tree
from nbvault.gitstore.runner import Git
from nbvault.gitstore.unread import Lines, UnreadRows, UnreadStones
from nbvault.gitstore.writer import FastImport
from nbvault.inventory import Rows
from nbvault.model import NBVAULT, FileChange, Frozen, Person, Problem, Rename, Row, Tombstone

BRANCH = "refs/heads/nbvault/meta"
FORMAT = 1
BASE = "inventory/base.jsonl"
# Of a vault that follows another or is followed by one: programs that know no epochs must not write to it.
FORMAT_WITH_EPOCHS = 2
# Reading very many small files costs more than writing one large one again.
COMPACT_AFTER_DELTAS = 64
# The inventory of some 200,000 notebooks. Azure Repos takes files of at most 100 MB.
PART_BYTES = 48 * 1024 * 1024
Record = Mapping[str, Any]
_ARCHIVE = "archive.jsonl"
_KIND = "Nbvault-Meta"
_SMALL = ("format.json", "problems.jsonl", _ARCHIVE, EPOCHS, SUCCESSOR)


@dataclass(slots=True)
class Meta:
    """The meta branch at one commit. `tip` and `content` are empty in a vault that holds nothing yet.

    `kind` is what the tip is: ``checkpoint`` in a session that has not ended, ``content`` before its pushes were
    confirmed, ``end`` or ``note`` after it; `session` is the one that wrote it. `touched` says that this value is not,
    or may by now not be, all of what is at its tip.
    """

    root: str
    format: int = FORMAT
    created: str = ""
    compacted: str = ""
    tip: str = ""
    content: str = ""
    kind: str = ""
    session: str = ""
    rows: Rows = field(default_factory=Rows)
    tombstones: MutableMapping[int, Tombstone] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    lineage: Lineage = field(default_factory=Lineage)
    successor: Successor | None = None
    files: dict[str, str] = field(default_factory=dict)
    touched: bool = True

    @property
    def deltas(self) -> list[str]:
        return sorted(path for path in self.files if path.startswith("inventory/delta-"))

    def apply(self, rows: Iterable[Row], tombstones: Iterable[Tombstone]) -> None:
        """Enter rows and tombstones; a row ends its tombstone and the other way round."""
        self.touched = True
        for stone in tombstones:
            self.rows.pop(stone.object_id, None)
            self.tombstones[stone.object_id] = stone
        for row in rows:
            self.tombstones.pop(row.object_id, None)
            self.rows[row.object_id] = row


def read_meta(git: Git, tip: str, *, root: str, blobs: BlobReader, unread: bool = False) -> Meta:
    """The meta branch at commit ``tip``, which must be here with its trees; its blobs are fetched in one batch.

    Args:
        unread: Leave rows and tombstones unread until they are asked for; then damage is found only then.

    Raises:
        ConfigurationError: the vault belongs to another root, or was written by a newer nbvault.
        VaultError: a file is damaged.
    """
    info = _last_of_ours(git, tip)
    files = {entry.path: entry.oid for entry in ls_tree(git, tip)}
    meta = Meta(root, tip=tip, content=_content_parent(info.parents, info.trailers), files=files)
    inventory = [path for path in (BASE, *meta.deltas) if path in files]
    small = [path for path in _SMALL if path in files]
    blobs.ensure(files[path] for path in (*inventory, *small))
    content = dict(blobs.read(files[path] for path in small))
    meta.kind = info.trailers.get(_KIND, [""])[-1]
    meta.session = info.trailers.get("Nbvault-Session", [""])[-1]
    _read_format(meta, content.get(files.get("format.json", ""), b""))
    if unread:
        found = zip(inventory, (data for _, data in blobs.read(files[path] for path in inventory)), strict=True)
        lines = Lines(root, list(found), lambda whole: _read_whole(root, whole))
        meta.rows, meta.tombstones = UnreadRows(lines), UnreadStones(lines)
    else:
        for place, pieces in groupby(blobs.lines(files[path] for path in inventory), key=itemgetter(0)):
            _read_inventory(meta, records.load_lines((line for _, line in pieces), name=inventory[place]))
    problems = content.get(files.get("problems.jsonl", ""), b"")
    meta.problems = tuple(records.load_problem(item) for item in records.load_lines(problems, name="problems.jsonl"))
    frozen = content.get(files.get(_ARCHIVE, ""), b"")
    meta.frozen = tuple(records.load_frozen(item) for item in records.load_lines(frozen, name=_ARCHIVE))
    if EPOCHS in files:
        meta.lineage = load_lineage(content[files[EPOCHS]])
    if SUCCESSOR in files:
        meta.successor = load_successor(content[files[SUCCESSOR]])
    meta.touched = False
    return meta


def read_lightly(git: Git, tip: str, *, root: str, blobs: BlobReader) -> Meta:
    """The meta branch at ``tip`` without its inventory and its problems: enough for records, and for what is frozen.

    Raises:
        VaultError, GitError: it is damaged, or not here.
    """
    files = {entry.path: entry.oid for entry in ls_tree(git, tip)}
    meta = Meta(root, tip=tip, files=files)
    if oid := files.get(_ARCHIVE):
        lines = records.load_lines(dict(blobs.read([oid]))[oid], name=_ARCHIVE)
        meta.frozen = tuple(map(records.load_frozen, lines))
    return meta


def check_root(meta: Meta, *, blobs: BlobReader) -> None:
    """See that the vault is of the root of `meta`, and of a format that is known here.

    Raises:
        ConfigurationError: it is not.
        VaultError: it does not say.
    """
    oid = meta.files.get("format.json")
    _read_format(meta, dict(blobs.read([oid]))[oid] if oid else b"")


def read_epochs(git: Git, tip: str) -> tuple[Lineage, Successor | None]:
    """What commit ``tip`` of the meta branch says of epochs, as far as it is here; asks no remote."""
    files = {entry.path: entry.oid for entry in ls_tree(git, tip) if entry.path in (EPOCHS, SUCCESSOR)}
    here = {path: oid for path, oid in files.items() if not missing_objects(git, [oid])}
    content = dict(BlobReader(git).read(here.values()))
    lineage = load_lineage(content[here[EPOCHS]]) if EPOCHS in here else Lineage()
    return lineage, load_successor(content[here[SUCCESSOR]]) if SUCCESSOR in here else None


def is_ours(git: Git, tip: str) -> bool:
    """Whether a commit of the meta branch was made by nbvault, and says what content it describes."""
    return _KIND in commit_info(git, tip).trailers


def _last_of_ours(git: Git, tip: str) -> Commit:
    """The newest commit that nbvault made; what somebody put on top describes no content."""
    info = commit_info(git, tip)
    while _KIND not in info.trailers and info.parents:
        info = commit_info(git, info.parents[0])
    return info


def _content_parent(parents: Sequence[str], trailers: Mapping[str, Sequence[str]]) -> str:
    described = trailers.get("Nbvault-Content", [""])[-1]
    if described and described not in parents:
        raise VaultError("The tip of nbvault/meta names a content commit that is not its parent.")
    return described


def _read_format(meta: Meta, data: bytes) -> None:
    try:
        found = json.loads(data)
        version, root = int(found["format"]), str(found["root"])
    except (ValueError, KeyError, TypeError) as error:
        raise VaultError("The vault's format.json is missing or damaged.") from error
    if version > FORMAT_WITH_EPOCHS:
        raise ConfigurationError(
            f"The vault has format {version}; this nbvault knows formats up to {FORMAT_WITH_EPOCHS}.",
            hint="Install a newer nbvault.",
        )
    if root != meta.root:
        raise ConfigurationError(
            f"The vault backs up {root}, but the configuration says workspace.root = {meta.root}.",
            hint="Another root is another vault: use another repository, or set the root back.",
        )
    meta.format = version
    meta.created, meta.compacted = str(found.get("created", "")), str(found.get("compacted", ""))


def _read_whole(root: str, files: Iterable[tuple[str, bytes]]) -> tuple[Rows, MutableMapping[int, Tombstone]]:
    meta = Meta(root)
    for name, data in files:
        _read_inventory(meta, records.load_lines(data, name=name))
    return meta.rows, meta.tombstones


def _read_inventory(meta: Meta, lines: Iterable[Record]) -> None:
    try:
        for item in lines:
            if "gone" in item:
                meta.apply((), [records.load_tombstone(item)])
            else:
                meta.apply([records.load_row(item, meta.root)], ())
    except (KeyError, TypeError, ValueError) as error:
        raise VaultError(f"The vault's inventory is damaged: a line lacks or misspells {error}.") from error


class MetaDraft:
    """The next commit on the meta branch, in the making; nothing is written before `commit`."""

    def __init__(self, meta: Meta, *, session: str, at: datetime) -> None:
        meta.touched = True
        self._meta = meta
        self._session = session
        self._at = at
        self._files: dict[str, bytes] = {}
        self._appended: dict[str, list[Record]] = {}
        self._removed: set[str] = set()
        self._compact = False

    def inventory(self, rows: Sequence[Row], tombstones: Sequence[Tombstone], renames: Sequence[Rename]) -> None:
        """Rows and tombstones that `Meta.apply` has been told of, as a delta or, where it is due, with all others."""
        if rows or tombstones:
            items = [records.dump_row(row, self._meta.root) for row in rows]
            items += [records.dump_tombstone(stone) for stone in tombstones]
            last = int(self._meta.deltas[-1][16:24]) if self._meta.deltas else 0
            self._files[_delta(last + 1)] = records.dump_lines(items)
        if renames:
            self._appended["renames.jsonl"] = [records.dump_rename(rename) for rename in renames]

    def compact_if_due(self, *, at_once: bool = False) -> None:
        """Write the whole inventory anew, in the first session of a month or where there are many deltas."""
        month = f"{self._at:%Y-%m}"
        if at_once or self._meta.compacted != month or len(self._meta.deltas) > COMPACT_AFTER_DELTAS:
            self._meta.compacted = month
            self._compact = True

    def problems(self, problems: Sequence[Problem]) -> None:
        if tuple(problems) != self._meta.problems:
            self._meta.problems = tuple(problems)
            self._files["problems.jsonl"] = records.dump_lines(map(records.dump_problem, problems))

    def freeze(self, frozen: Sequence[Frozen]) -> None:
        """The patterns of frozen folders from now on."""
        self._meta.frozen = tuple(frozen)
        self._files[_ARCHIVE] = records.dump_lines(map(records.dump_frozen, frozen))

    def held(self, rows: Sequence[Row]) -> None:
        """What this session held back from deletion."""
        lines = ({"id": row.object_id, "path": row.path} for row in rows)
        self._files[f"held/{self._session}.jsonl"] = records.dump_lines(lines)

    def record(self, kind: str, items: Iterable[Record]) -> None:
        """Append to this month's records of a kind: ``sessions``, ``audit``, ``drills``."""
        if found := list(items):
            self._appended.setdefault(record_path(self._meta.files, kind, self._at), []).extend(found)

    def end_epoch(self, successor: Successor) -> None:
        """Say who goes on; from then on no session may write here."""
        self._meta.format, self._meta.successor = FORMAT_WITH_EPOCHS, successor
        self._files[SUCCESSOR] = dump(successor)
        self._files["format.json"] = self._format()

    def commit(
        self,
        stream: FastImport,
        *,
        content: str,
        kind: str,
        blobs: BlobReader,
        sha_of: Callable[[str], str] = lambda mark: mark,
        committer: Person = NBVAULT,
        ref: str = BRANCH,
    ) -> str:
        """Write the commit into the stream and return its mark.

        Args:
            content: The commit on ``backup/daily`` that the rows describe, as sha or mark; empty before there is one.
            sha_of: Turns a mark into a sha, for the trailer.
            ref: The local ref that moves.
        """
        changes = self._changes(stream, blobs)
        sha = sha_of(content) if content else ""
        mark = stream.commit(
            ref,
            parents=[parent for parent in (self._meta.tip, content) if parent],
            author=committer,
            committer=committer,
            authored_at=self._at,
            committed_at=self._at,
            message=message(kind, self._session, sha),
            changes=changes,
            # The first meta commit must not begin with the tree of its content parent.
            tree=None if self._meta.tip else EMPTY_TREE,
        )
        self._meta.content, self._meta.kind, self._meta.session = sha, kind, self._session
        return mark

    def _changes(self, stream: FastImport, blobs: BlobReader) -> list[FileChange]:
        if not self._meta.tip or self._compact:
            self._files["format.json"] = self._format()
        whole: list[str] = []
        if self._compact:
            self._forget_deltas()
            whole = self._write_whole(stream)
        if self._meta.lineage.state is Force.READY:
            # Whoever writes has seen that the epoch before names this one.
            self._meta.lineage = replace(self._meta.lineage, state=Force.BEGUN)
            self._files[EPOCHS] = dump(self._meta.lineage)
        for path, items in self._appended.items():
            self._files[path] = self._old(path, blobs) + records.dump_lines(items)
        for path, data in self._files.items():
            self._meta.files[path] = stream.blob(data, path)
        for path in self._removed:
            self._meta.files.pop(path, None)
        return [
            *(FileChange(path) for path in sorted(self._removed)),
            *(FileChange(path, self._meta.files[path]) for path in (*self._files, *whole)),
        ]

    def _write_whole(self, stream: FastImport) -> list[str]:
        """All rows and tombstones, in parts: the base, and deltas of it, as every version of nbvault reads them."""
        paths: list[str] = []
        for part in _parts(self._inventory_lines(), PART_BYTES):
            path = _delta(len(paths)) if paths else BASE
            self._meta.files[path] = stream.long_blob(part)
            self._removed.discard(path)
            paths.append(path)
        return paths

    def _forget_deltas(self) -> None:
        self._removed = set(self._meta.deltas)
        for path in [path for path in self._files if path.startswith("inventory/delta-")]:
            del self._files[path]

    def _inventory_lines(self) -> Iterator[bytes]:
        for row in self._meta.rows.values():
            yield records.dump_lines([records.dump_row(row, self._meta.root)])
        for _, stone in sorted(self._meta.tombstones.items()):
            yield records.dump_lines([records.dump_tombstone(stone)])

    def _format(self) -> bytes:
        meta = self._meta
        meta.created = meta.created or f"{self._at:%Y-%m-%dT%H:%M:%SZ}"
        found = {"format": meta.format, "root": meta.root, "created": meta.created, "compacted": meta.compacted}
        return json.dumps(found, indent=1).encode() + b"\n"

    def _old(self, path: str, blobs: BlobReader) -> bytes:
        oid = self._meta.files.get(path)
        return dict(blobs.read([oid]))[oid] if oid else b""


def _delta(number: int) -> str:
    return f"inventory/delta-{number:08d}.jsonl"


def _parts(lines: Iterator[bytes], size_bytes: int) -> Iterator[Iterator[bytes]]:
    """Lines in parts of about that size, each to be used up before the next; one empty part where there are none."""
    for first in chain((b"",), lines):
        yield _part(first, lines, size_bytes)


def _part(first: bytes, lines: Iterator[bytes], size_bytes: int) -> Iterator[bytes]:
    yield first
    size = len(first)
    while size < size_bytes and (line := next(lines, b"")):
        yield line
        size += len(line)


def record_path(files: Iterable[str], kind: str, at: datetime) -> str:
    """The month's file for records of a kind; never an older one than there is, whatever the clock says.

    So the lines of all months, one after another, stand in the order in which they were written.
    """
    return max([f"records/{kind}-{at:%Y-%m}.jsonl", *(path for path in files if path.startswith(f"records/{kind}-"))])


def message(kind: str, session: str, content: str) -> str:
    """What a commit of the meta branch says of itself."""
    trailers = [f"Nbvault-Session: {session}", f"{_KIND}: {kind}"]
    trailers += [f"Nbvault-Content: {content}"] if content else []
    return f"{kind} {session}\n\n" + "\n".join(trailers) + "\n"


def read_records(meta: Meta, kind: str, *, blobs: BlobReader, months: int | None = None) -> list[Record]:
    """The records of a kind, oldest first; of the newest ``months`` files only, where that is given."""
    paths = sorted(path for path in meta.files if path.startswith(f"records/{kind}-"))
    chosen = paths[-months:] if months else paths
    content = dict(blobs.read([meta.files[path] for path in chosen]))
    return [item for path in chosen for item in records.load_lines(content[meta.files[path]], name=path)]


def read_renames(meta: Meta, *, blobs: BlobReader) -> list[Rename]:
    """Every rename ever recorded, oldest first."""
    oid = meta.files.get("renames.jsonl")
    data = dict(blobs.read([oid]))[oid] if oid else b""
    return [records.load_rename(item) for item in records.load_lines(data, name="renames.jsonl")]


def read_held(meta: Meta, session: str, *, blobs: BlobReader) -> frozenset[int]:
    """The ids that a session held; ``last`` is the newest session that held some.

    Raises:
        ConfigurationError: no such session held anything.
    """
    sessions = sorted(path[5:-6] for path in meta.files if path.startswith("held/"))
    chosen = (sessions[-1] if sessions else "") if session == "last" else session
    if chosen not in sessions:
        known = f" Sessions that held some: {', '.join(sessions[-5:])}." if sessions else " No session held any."
        raise ConfigurationError(f"No deletions were held in session {session!r}.{known}")
    oid = meta.files[f"held/{chosen}.jsonl"]
    lines = records.load_lines(dict(blobs.read([oid]))[oid], name=f"held/{chosen}.jsonl")
    return frozenset(int(item["id"]) for item in lines)

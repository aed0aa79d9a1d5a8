"""Writing into the vault: one `git fast-import` stream, in which nothing is destroyed by accident.

No ref moves before `FastImport.checkpoint` or the regular end of the ``with`` block; a stream that breaks off leaves
every ref where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, NoReturn

from nbvault.errors import GitError, VaultError
from nbvault.gitstore.blobs import missing_objects
from nbvault.gitstore.runner import Git, LongProcess, encode
from nbvault.model import FileChange, Person

BUFFER_BYTES = 96 * 1024 * 1024
# For very many blobs at once, by zlib's levels (git's own choice is 6). Measured on files of Python's library, 89 MB:
# 4.6 s of CPU and 22.0 MB at 6, 3.4 s and 25.0 MB at 2, 3.4 s and 25.9 MB at 1; on generated notebooks 2.4 s and
# 7.3 MB, 1.9 s and 8.0 MB, 1.8 s and 8.3 MB.
QUICK_COMPRESSION = 2
_PIECE_BYTES = 1024 * 1024

_FORBIDDEN_IN_IDENTITY = str.maketrans("", "", "<>\n\r\0")
_ESCAPES = {ord("\\"): b"\\\\", ord('"'): b'\\"', ord("\n"): b"\\n"}


def blob_id(data: bytes) -> str:
    """Git's name for these bytes as a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def check_paths(changes: Iterable[FileChange], *, existing: Collection[str] = ()) -> None:
    """Prove that the changes destroy nothing that they do not name.

    fast-import takes a file away without a word when a folder comes to its place, and the other way round.

    Args:
        existing: The paths of the tree that the changes apply to, where the caller has them at hand.

    Raises:
        VaultError: two changes name one path, a file is to lie below a file, or a path is not one that Git can hold.
    """
    named = list(changes)
    paths = {change.path for change in named}
    if len(paths) != len(named):
        raise VaultError(f"A tree change names a path twice: {_first_twice(named)!r}.")
    for path in paths:
        _check_path(path)
    removed = {change.path for change in named if not change.blob}
    _check_prefixes(removed)
    _check_prefixes((paths - removed).union(path for path in existing if path not in removed))


def _first_twice(changes: Iterable[FileChange]) -> str:
    paths = sorted(change.path for change in changes)
    return next(path for path, other in pairwise(paths) if path == other)


def _check_path(path: str) -> None:
    parts = path.split("/")
    bad = any(part in ("", ".", "..") or part.casefold() == ".git" for part in parts)
    if bad or "\0" in path:
        raise VaultError(f"Not a path that Git can hold: {path!r}.")


def _check_prefixes(files: Collection[str]) -> None:
    for path in files:
        position = path.find("/")
        while position >= 0:
            if path[:position] in files:
                raise VaultError(f"{path[:position]!r} cannot be a file and the folder of {path!r}.")
            position = path.find("/", position + 1)


def quoted(path: str) -> bytes:
    """A path as fast-import reads it: as it is, or C-quoted where a quote, a backslash or a line end is in it."""
    data = encode(path)
    if not any(byte in _ESCAPES for byte in data):
        return data
    return b'"' + b"".join(_ESCAPES.get(byte, bytes((byte,))) for byte in data) + b'"'


def _likeness(item: tuple[str, tuple[str, bytes]]) -> tuple[str, int]:
    """Where a blob stands among the others: near those of its name, and there near those of its size, largest first.

    fast-import tries each blob against the one before it only. Measured on 10,000 generated notebooks, 165 MB: by name
    6.6 s of CPU and 33 MB, by name and size 3.6 s and 12 MB, and 2.5 s and 9 MB where 96 MB are sorted at once, which
    is a batch of 5,000, instead of 32. Git orders its own search for deltas in the same way.
    """
    _, (name, data) = item
    return name, -len(data)


def identity(person: Person) -> bytes:
    """A person as Git writes one: without ``<``, ``>``, line ends and NUL; ``unknown`` where nothing is left."""
    name, email = (part.translate(_FORBIDDEN_IN_IDENTITY).strip() or "unknown" for part in person)
    return f"{name} <{email}>".encode("utf-8", "replace")


def _moment(at: datetime) -> bytes:
    offset = int((at.utcoffset() or at - at).total_seconds() // 60)
    sign = "-" if offset < 0 else "+"
    return f"{max(int(at.timestamp()), 0)} {sign}{abs(offset) // 60:02d}{abs(offset) % 60:02d}".encode()


class FastImport:
    """A stream of blobs and commits into one repository; use it as a context manager, from one thread at a time.

    Leaving the block normally makes everything permanent and moves the refs; leaving it by an exception kills the
    process and moves none.

    Args:
        fetch_missing: Gets blobs that commits name but this partial clone does not have, all in one call;
            without it such a commit is refused.
        buffer_bytes: How much is collected to be sorted by name: near-duplicates become neighbours, and deltas.
        quick: A seventh more bytes for a quarter less CPU.
    """

    def __init__(
        self,
        git: Git,
        *,
        fetch_missing: Callable[[list[str]], None] | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        quick: bool = False,
    ) -> None:
        self._git = git
        self._configured = ("-c", f"pack.compression={QUICK_COMPRESSION}") if quick else ()
        self._fetch_missing = fetch_missing
        self._buffer_bytes = buffer_bytes
        self._buffer: dict[str, tuple[str, bytes]] = {}
        self._buffered = 0
        self._present: set[bytes] = set()
        self._refs: set[str] = set()
        self._marks = 0
        self._exit = ExitStack()
        self._process: LongProcess | None = None

    def __enter__(self) -> FastImport:
        options = ("--quiet", "--done", "--depth=10", "--date-format=raw")
        self._process = self._exit.enter_context(self._git.spawn(*self._configured, "fast-import", *options))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exit:
            if error is None:
                self._finish()
        self._process = None

    @property
    def pid(self) -> int:
        """The process id of `git fast-import`."""
        return self._running().pid

    @property
    def held_bytes(self) -> int:
        """How much was stored and is not with fast-import yet; may be asked from another thread."""
        return self._buffered

    def blob(self, data: bytes, name: str = "", *, oid: str = "") -> str:
        """Store bytes and return their object id; the same bytes are written once.

        Args:
            name: A path; only its last part is used, to sort by.
            oid: Their id, where the caller has made it by `blob_id` already.
        """
        oid = oid or blob_id(data)
        if oid not in self._buffer and bytes.fromhex(oid) not in self._present:
            self._buffer[oid] = (name.rpartition("/")[2], data)
            self._buffered += len(data)
            if self._buffered >= self._buffer_bytes:
                self.flush()
        return oid

    def flush(self) -> None:
        """Send what is held, sorted: for a moment in which nothing more is to come soon."""
        waiting = sorted(self._buffer.items(), key=_likeness, reverse=True)
        self._buffer.clear()
        while waiting:
            # Each is let go as it is written, so that what arrives meanwhile takes its place in memory.
            oid, (_, data) = waiting.pop()
            self._write(b"blob\ndata %d\n" % len(data))
            self._write(data)
            self._write(b"\n")
            self._present.add(bytes.fromhex(oid))
            self._buffered -= len(data)

    def long_blob(self, pieces: Iterable[bytes]) -> str:
        """Store what may be too long to be held in memory, and return its object id; it passes through a file.

        Raises:
            GitError: that file cannot be written, or fast-import has ended.
        """
        self.flush()
        try:
            with TemporaryFile(dir=self._git.repo) as file:
                file.writelines(pieces)
                return self._copy(file)
        except OSError as error:
            raise GitError(f"A file beside {self._git.repo} cannot be written: {error.strerror or error}.") from error

    def _copy(self, file: IO[bytes]) -> str:
        size = file.tell()
        file.seek(0)
        digest = hashlib.sha1(b"blob %d\0" % size)
        self._write(b"blob\ndata %d\n" % size)
        while data := file.read(_PIECE_BYTES):
            digest.update(data)
            self._write(data)
        self._write(b"\n")
        self._present.add(digest.digest())
        return digest.hexdigest()

    def commit(
        self,
        ref: str,
        *,
        parents: Sequence[str],
        author: Person,
        committer: Person,
        authored_at: datetime,
        committed_at: datetime,
        message: str,
        changes: Iterable[FileChange],
        tree: str | None = None,
    ) -> str:
        """Write a commit and return its mark, which may be a parent of later commits of this stream.

        Args:
            parents: Commits, as shas or as marks of this stream.
            authored_at: When the author wrote it, aware.
            tree: The tree to start from; else that of the first parent; else none.
            changes: All removals are applied first, then all blobs.

        Raises:
            VaultError: the changes would destroy a path silently, or name a blob that is nowhere.
            GitError: fast-import has ended.
        """
        wanted = list(changes)
        check_paths(wanted)
        self.flush()
        self._need([change.blob for change in wanted if change.blob])
        self._marks += 1
        lines = self._head(ref, parents)
        lines.append(b"author %b %b" % (identity(author), _moment(authored_at)))
        lines.append(b"committer %b %b" % (identity(committer), _moment(committed_at)))
        text = message.replace("\0", "").encode("utf-8", "replace")
        lines += [b"data %d" % len(text), text]
        lines += [b"%b %b" % (b"merge" if place else b"from", p.encode()) for place, p in enumerate(parents)]
        lines += [b'M 040000 %b ""' % tree.encode()] if tree else []
        lines += [b"D " + quoted(change.path) for change in wanted if not change.blob]
        lines += [b"M 100644 %b %b" % (c.blob.encode(), quoted(c.path)) for c in wanted if c.blob]
        self._write(b"\n".join([*lines, b"", b""]))
        return f":{self._marks}"

    def sha_of(self, mark: str) -> str:
        """The sha of a commit of this stream; a sha is returned as it is.

        Raises:
            GitError: fast-import has ended, or knows no such mark.
        """
        if not mark.startswith(":"):
            return mark
        return self._ask(b"get-mark %b\n" % mark.encode())

    def checkpoint(self) -> None:
        """Make everything so far permanent: blobs and commits are readable by others, refs have moved."""
        self.flush()
        self._ask(b"checkpoint\nprogress checkpoint\n")
        self._present.clear()

    def _head(self, ref: str, parents: Sequence[str]) -> list[bytes]:
        # A commit without parents on a ref that this stream has moved would else continue that ref.
        start = [b"reset %b\n" % ref.encode()] if not parents and ref in self._refs else []
        self._refs.add(ref)
        return [*start, b"commit " + ref.encode(), b"mark :%d" % self._marks]

    def _need(self, oids: Sequence[str]) -> None:
        """See that every blob is here before fast-import looks for it: it would fetch them one by one."""
        unknown = [oid for oid in dict.fromkeys(oids) if bytes.fromhex(oid) not in self._present]
        missing = missing_objects(self._git, unknown)
        if missing and self._fetch_missing:
            self._fetch_missing(missing)
            missing = missing_objects(self._git, missing)
        if missing:
            raise VaultError(f"A commit names {len(missing)} blobs that are not here, the first is {missing[0]}.")
        self._present.update(map(bytes.fromhex, unknown))

    def _finish(self) -> None:
        self.flush()
        self._write(b"done\n")
        process = self._running()
        try:
            process.stdin.flush()
        except BrokenPipeError:
            self._broken()
        process.finish()

    def _ask(self, question: bytes) -> str:
        process = self._running()
        self._write(question)
        try:
            process.stdin.flush()
        except BrokenPipeError:
            self._broken()
        answer = process.stdout.readline()
        if not answer:
            self._broken()
        return answer.decode().strip()

    def _write(self, data: bytes) -> None:
        try:
            self._running().stdin.write(data)
        except BrokenPipeError:
            self._broken()

    def _broken(self) -> NoReturn:
        raise self._running().error() from None

    def _running(self) -> LongProcess:
        if self._process is None:
            raise GitError("The import stream is not open.")
        return self._process

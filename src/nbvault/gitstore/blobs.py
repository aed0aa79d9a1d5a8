"""Reading objects of the vault in bulk: which are here, how large they are, and their bytes, proven by their ids."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1
from typing import IO

from nbvault.errors import VaultError
from nbvault.gitstore.runner import Git, LongProcess, encode
from nbvault.gitstore.standing import Standing

# So many blobs are asked for one by one where a git stands by; a process of their own is quicker for more.
_ONE_BY_ONE = 100
_CHUNK_BYTES = 256 * 1024


def missing_objects(git: Git, oids: Iterable[str]) -> list[str]:
    """Those of the objects that are not in the local repository, in their order; asks no remote."""
    wanted = list(dict.fromkeys(oids))
    if not wanted:
        return []
    names = "".join(f"{oid}\n" for oid in wanted).encode()
    done = git.offline().run("cat-file", "--batch-check=%(objectname)", "--buffer", stdin=names)
    return [line.split()[0] for line in done.stdout.decode().splitlines() if line.endswith(" missing")]


def blob_sizes(git: Git, oids: Iterable[str]) -> dict[str, int]:
    """The size in bytes of each blob that is here; those that are not are left out, and never fetched."""
    names = "".join(f"{oid}\n" for oid in oids).encode()
    asked = ("cat-file", "--buffer", "--batch-check=%(objectname) %(objectsize)")
    lines = git.offline().run(*asked, stdin=names).stdout.decode().splitlines()
    return {oid: int(size) for oid, _, size in (line.partition(" ") for line in lines) if size.isdigit()}


class BlobReader:
    """Reads blobs in bulk through one process.

    Args:
        fetch_missing: Gets what this partial clone lacks, all in one call; without it a missing blob is an error.
        standing: Is asked for a few.
    """

    def __init__(
        self,
        git: Git,
        fetch_missing: Callable[[list[str]], None] | None = None,
        *,
        standing: Standing | None = None,
    ) -> None:
        self._git = git
        self._fetch_missing = fetch_missing
        self._standing = standing

    def ensure(self, oids: Iterable[str]) -> None:
        """See that all these are here.

        Raises:
            VaultError: one is missing here and at the remote.
        """
        missing = missing_objects(self._git, oids)
        if missing and self._fetch_missing:
            self._fetch_missing(missing)
            missing = missing_objects(self._git, missing)
        if missing:
            raise VaultError(
                f"{len(missing)} objects are missing in the vault, the first is {missing[0]}.",
                hint="Run `nbvault verify --full`; another clone of the vault may still have them.",
            )

    def read(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each object id with its bytes, in the order asked for (sorted by base name of their paths is fastest).

        Raises:
            VaultError: an object is missing for good, is no blob, or its bytes are not what its id says.
        """
        wanted = list(oids)
        if not wanted:
            return
        if self._standing is not None and len(wanted) <= _ONE_BY_ONE:
            yield from self._one_by_one(self._standing, wanted)
            return
        with self._asked(wanted) as process:
            for oid in wanted:
                yield oid, _read_blob(process, oid)

    def _one_by_one(self, standing: Standing, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for place, oid in enumerate(wanted):
            data = standing.read(oid)
            if data is None:
                # Whatever else is not here comes along.
                self.ensure(wanted[place:])
                data = standing.read(oid)
            if data is None:
                said = "missing"
                raise VaultError(f"Object {oid} is no readable blob: git says {said!r}.")
            yield oid, data

    def lines(self, oids: Iterable[str]) -> Iterator[tuple[int, bytes]]:
        """Each line of each object, with the object's place among those asked for; only a piece is in memory at a time.

        Raises:
            VaultError: as `read`, for a damaged object after its last line: believe nothing before the end.
        """
        wanted = list(oids)
        if not wanted:
            return
        with self._asked(wanted) as process:
            for place, oid in enumerate(wanted):
                for line in _blob_lines(process, oid):
                    yield place, line

    @contextmanager
    def _asked(self, wanted: Sequence[str]) -> Iterator[LongProcess]:
        """A process that gives these objects one after another; whoever leaves early ends it."""
        self.ensure(wanted)
        with self._git.offline().spawn("cat-file", "--batch", "--buffer") as process:
            feeder = threading.Thread(target=_feed, args=(process.stdin, wanted), daemon=True)
            feeder.start()
            try:
                yield process
                feeder.join()
                process.finish()
            finally:
                process.kill()
                feeder.join()


def _feed(pipe: IO[bytes], oids: Iterable[str]) -> None:
    # The reader has left, or git has died: whoever reads the output finds out.
    with suppress(OSError, ValueError):
        for oid in oids:
            pipe.write(encode(oid) + b"\n")
        pipe.close()


def _read_blob(process: LongProcess, oid: str) -> bytes:
    return b"".join(_blob_pieces(process, oid, _blob_size(process, oid)))


def _blob_lines(process: LongProcess, oid: str) -> Iterator[bytes]:
    rest = b""
    for data in _blob_pieces(process, oid, _blob_size(process, oid), at_once=_CHUNK_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _blob_size(process: LongProcess, oid: str) -> int:
    head = process.stdout.readline().decode().split()
    if not head:
        raise process.error()
    if len(head) != 3 or head[1] != "blob":
        raise VaultError(f"Object {oid} is no readable blob: git says {' '.join(head)!r}.")
    return int(head[2])


def _blob_pieces(process: LongProcess, oid: str, size: int, *, at_once: int | None = None) -> Iterator[bytes]:
    """The bytes of a blob, whole or in pieces; the error of a damaged one comes after the last."""
    digest, left = sha1(b"blob %d\0" % size), size
    while left:
        data = process.stdout.read(min(left, at_once or left))
        if not data:
            raise process.error()
        digest.update(data)
        left -= len(data)
        yield data
    if process.stdout.read(1) != b"\n":
        raise process.error()
    if digest.hexdigest() != oid:
        raise VaultError(f"Blob {oid} is damaged: its bytes are not what its id says.")

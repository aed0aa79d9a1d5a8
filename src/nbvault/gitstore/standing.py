"""A git that stays: for who asks little and often, so that no answer has to wait for a process to start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha1
from typing import NamedTuple

from nbvault.errors import VaultError
from nbvault.gitstore.runner import Git, LongProcess, decode, encode

_ID_BYTES = 20
# More of the memory that a process has mapped and cached is given back by starting it anew.
_ANSWERS = 20_000


class _Object(NamedTuple):
    kind: str
    oid: str
    data: bytes


class Standing:
    """Answers from what is in the local repository; asks no remote. For any number of threads, one after the other.

    What is fetched meanwhile is found. A process that died is started anew by the next question. The first question
    starts it.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._process: LongProcess | None = None
        self._answers = 0

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def read(self, oid: str) -> bytes | None:
        """The bytes of a blob; None where it is not here.

        Raises:
            VaultError: it is no blob, or its bytes are not what its id says.
            GitError: git cannot read it.
        """
        found = self._ask(oid)
        if found is None:
            return None
        if found.kind != "blob":
            raise VaultError(f"Object {oid} is no readable blob: git says {found.kind!r}.")
        if sha1(b"blob %d\0" % len(found.data) + found.data).hexdigest() != oid:
            raise VaultError(f"Blob {oid} is damaged: its bytes are not what its id says.")
        return found.data

    def blob_at(self, commit: str, path: str) -> str | None:
        """The blob at a path of a commit, which may be a blob that is not here; empty where that folder has none.

        None where this cannot tell: the commit or the folder is not here, or the folder's name cannot be asked for.

        Raises:
            GitError: git cannot read the folder.
        """
        folder, _, name = path.rpartition("/")
        if "\n" in folder:
            return None
        found = self._ask(f"{commit}:{folder}")
        if found is None or found.kind != "tree":
            return None
        wanted = encode(name)
        return next((oid for entry, oid, is_blob in _entries(found.data) if is_blob and entry == wanted), "")

    def _ask(self, name: str) -> _Object | None:
        with self._lock:
            try:
                return self._answer(name)
            except BaseException:
                # What is left of its answer would be taken for the next one.
                self._end()
                raise

    def _answer(self, name: str) -> _Object | None:
        process = self._running()
        process.stdin.write(encode(name) + b"\n")
        process.stdin.flush()
        head = process.stdout.readline()
        if not head.endswith(b"\n"):
            raise process.error()
        if head.endswith((b" missing\n", b" ambiguous\n")):
            return None
        oid, kind, size = decode(head).split()
        data = process.stdout.read(int(size))
        if process.stdout.read(1) != b"\n":
            raise process.error()
        return _Object(kind, oid, data)

    def _running(self) -> LongProcess:
        self._answers += 1
        if self._process is not None and (self._process.ended or self._answers > _ANSWERS):
            self._end()
        if self._process is None:
            self._process = self._stack.enter_context(self._git.offline().spawn("cat-file", "--batch"))
            self._answers = 0
        return self._process

    def _end(self) -> None:
        self._process = None
        self._stack.close()


def _entries(tree: bytes) -> Iterator[tuple[bytes, str, bool]]:
    """The names in a tree as git stores it, each with its object and whether that is a file."""
    at = 0
    while at < len(tree):
        space = tree.index(b" ", at)
        end = tree.index(b"\0", space)
        is_blob = tree[at : at + 3] in (b"100", b"120")
        yield tree[space + 1 : end], tree[end + 1 : end + 1 + _ID_BYTES].hex(), is_blob
        at = end + 1 + _ID_BYTES

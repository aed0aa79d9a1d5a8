"""Keeping the local repository healthy: what a killed process left behind, its size, its packs, and who may use it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import ConfigurationError, GitError, LockedError
from nbvault.gitstore.runner import Git, decode, inherited

_STALE = (
    "objects/pack/tmp_*",
    "objects/pack/.tmp-*",
    "objects/??/tmp_obj_*",
    "objects/tmp_objdir-*",
    "objects/incoming-*",
    "objects/info/**/*.lock",
    "fast_import_crash_*",
    "refs/**/*.lock",
    "*.lock",
)
# What nothing but a fetch of refs makes; every one is made in its turn.
_FETCH_LOCKS = ("shallow.lock", "refs/remotes/**/*.lock", "refs/epochs/**/*.lock")
# What only another path, or another right, helps against.
_NO_PLACE = {
    getattr(errno, name)
    for name in ("EACCES", "EEXIST", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENOTDIR", "EPERM", "EROFS")
}
_OLD = timedelta(days=1)
_KEEPERS = (b"fast-import", b"fetch-pack", b"receive-pack")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was removed: paths relative to the repository, and their size."""

    paths: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RepositorySize:
    """How large the local repository is; `objects` counts packed and loose ones."""

    packs: int
    pack_bytes: int
    objects: int
    loose_objects: int


def clean_leftovers(git: Git) -> Leftovers:
    """Remove what killed git processes left in the repository.

    Only for who holds the `ProcessLock` of this repository: a lock or a half-written pack of a living process looks
    the same.
    """
    found = sorted({*_stale(git.repo), *_keeps(git.repo)})
    size = sum(_size(path) for path in found)
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return Leftovers(tuple(str(path.relative_to(git.repo)) for path in found), size)


def remove_old_leftovers(git: Git, *, now: datetime) -> int:
    """Remove packs that a killed git began to receive more than a day ago; returns how many.

    For who does not hold the `ProcessLock`: a living git writes to its pack all the time.
    """
    before_s = (now - _OLD).timestamp()
    found = [path for path in (git.repo / "objects" / "pack").glob("tmp_*") if path.is_file()]
    old = [path for path in found if path.stat().st_mtime < before_s]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _stale(repo: Path) -> Iterator[Path]:
    for pattern in _STALE:
        yield from repo.glob(pattern)
    # A power cut leaves loose objects without a byte; git takes them for present and fails for ever.
    yield from (path for path in repo.glob("objects/??/*") if path.is_file() and not path.stat().st_size)


def _keeps(repo: Path) -> Iterable[Path]:
    """A pack that a person has marked to be kept says something else in its ``.keep``."""
    return (path for path in repo.glob("objects/pack/*.keep") if path.read_bytes().startswith(_KEEPERS))


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(_size(child) for child in path.iterdir())
    return path.lstat().st_size


def sizes(git: Git) -> RepositorySize:
    """The size of the local repository, as git counts it."""
    lines = (line.partition(": ") for line in git.text("count-objects", "-v").splitlines())
    counted = {name: int(value) for name, _, value in lines if value.isdigit()}
    loose = counted.get("count", 0)
    packs, packed = counted.get("packs", 0), counted.get("in-pack", 0)
    return RepositorySize(packs, counted.get("size-pack", 0) * 1024, packed + loose, loose)


def is_partial(git: Git) -> bool:
    """Whether objects may be missing here because the remote has them."""
    return any(git.repo.glob("objects/pack/*.promisor"))


def write_commit_graph(git: Git, *, budget_s: float | None = None) -> bool:
    """Write the index with which `history` skips commits that did not touch a path.

    Returns False where git writes none: in a shallow clone, or without commits.

    Raises:
        GitError: git failed, or took longer than that many seconds.
    """
    git.run("commit-graph", "write", "--reachable", "--changed-paths", "--no-progress", timeout_s=budget_s)
    return any((git.repo / "objects" / "info").glob("commit-graph*"))


def check_objects(git: Git, *, contents: bool) -> str:
    """What `git fsck` finds wrong in the local repository; empty where all is well.

    What only the remote of a partial clone has is not missing, and is not fetched.

    Args:
        contents: Read every object here, instead of seeing only that each is there.
    """
    how = "--full" if contents else "--connectivity-only"
    where = git if is_partial(git) else git.offline()
    done = where.run("fsck", how, "--no-dangling", "--no-progress", ok=range(-64, 256))
    lines = [line for line in [*decode(done.stdout).splitlines(), *done.stderr.splitlines()] if line.strip()]
    return "; ".join(lines[:5]) or f"git fsck ended with {done.returncode}" if done.returncode else ""


class ProcessLock:
    """The right of one process to use a local repository; the kernel gives it back when the process dies.

    Args:
        path: The lock file; it stays when the lock is given back.
    """

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._file = -1

    def acquire(self) -> None:
        """Take the lock, or fail at once.

        Raises:
            LockedError: another process has it; names the process and since when.
            ConfigurationError: no folder can be, or be written to, where the repository is to be.
            GitError: its disk is full.
        """
        file = _lock_file(self._path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 4096)
            os.close(file)
            raise LockedError(
                f"Another process uses the local repository{_told(holder)} (lock file {self._path}).",
                hint="Wait until it ends, or give this one its own vault.path.",
            ) from None
        try:
            os.truncate(file, 0)
            os.pwrite(file, json.dumps({"pid": os.getpid(), "since": iso(self._clock.now())}).encode(), 0)
        except OSError as error:
            os.close(file)
            raise _unwritten(self._path.parent, error) from error
        self._file = file

    def is_held(self) -> bool:
        """Whether some process has the lock. It is not taken for that, unless a killed process left its name in it."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            if not os.read(file, 1):
                return False
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        if self._file >= 0:
            os.truncate(self._file, 0)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> ProcessLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock_file(path: Path) -> int:
    """The open file of a lock beside the local repository."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unwritten(path.parent, error) from error


def _unwritten(folder: Path, error: OSError) -> ConfigurationError | GitError:
    if error.errno not in _NO_PLACE:
        return GitError(f"{folder} cannot be written: {error.strerror}.", hint="Free some space on that disk.")
    told = f"{folder} cannot hold the local repository: {error.strerror}."
    hint = "Check vault.path: what is above it must be folders, and this account must be allowed to write there."
    return ConfigurationError(told, hint=hint)


def _told(holder: bytes) -> str:
    try:
        found = json.loads(holder)
        return f": process {int(found['pid'])}, since {found['since']}"
    except (ValueError, KeyError, TypeError):
        return ""


@contextmanager
def fetch_turn(repo: Path) -> Iterator[None]:
    """Wait until no other process fetches refs into this repository, and hold them off meanwhile.

    Two at once would meet at git's own locks, and one would fail: a reader must not make a running sync fail. So
    whoever has the turn knows that the locks of a fetch that are there are those of a killed one, and removes them.
    The turn lasts while a git command that was begun in it runs, even if this process is killed.

    Raises:
        ConfigurationError, GitError: nothing can be written beside the repository.
    """
    file = _lock_file(repo.with_name(f"{repo.name}.fetch.lock"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        for pattern in _FETCH_LOCKS:
            for path in repo.glob(pattern):
                path.unlink(missing_ok=True)
        with inherited(file):
            yield
    finally:
        # Not by closing alone: a helper of git that outlives it would keep the turn.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)

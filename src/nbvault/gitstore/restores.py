"""The branch on which restores say what they are about to do, keep what they overwrite, and say what they did.

Append-only and without a lease: every restore has a folder of its own, and whoever loses a race writes again on top. It
lives in a small repository of its own inside the local one, so a sync that runs meanwhile is not touched.
"""

from __future__ import annotations

import fcntl
import os
import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nbvault.clock import Clock, SystemClock
from nbvault.errors import GitError, LockedError, NbvaultError, RemoteUnreachable
from nbvault.gitstore.ahead import Greeting, greeting
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.cache import open_cache, opened_as_it_is
from nbvault.gitstore.publish import RemoteMoved, push
from nbvault.gitstore.reader import commit_info, entries_at, ls_tree
from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.repack import merge_packs
from nbvault.gitstore.runner import Git, decode
from nbvault.gitstore.upkeep import clean_leftovers, fetch_turn
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport, blob_id
from nbvault.model import NBVAULT, FileChange

BRANCH = "refs/heads/nbvault/restores"
RECEIPT = "receipt.json"

_FOLDER = "restores"
_WORK = "refs/work/"
_ATTEMPTS = 30
_PATHS_A_COMMAND = 500
_REPACK_ABOVE_PACKS = 30


class RestoreBranch:
    """The branch as this process sees it. Not for two threads at once, but for the blobs.

    `tip` is the remote's commit on which this process builds; empty while there is none.
    """

    def __init__(self, git: Git, remote: Remote, *, clock: Clock | None = None) -> None:
        self._git = git
        self._remote = remote
        self._clock = clock or SystemClock()
        self._ref = _WORK + secrets.token_hex(6)
        self._kept: str | None = ""
        self._greeted: Greeting | None = None
        self._greetings = ExitStack()
        self.tip = ""

    @property
    def blobs(self) -> BlobReader:
        """Reads what restores have saved; fetches what is not here."""
        return BlobReader(self._git, self._remote.fetch_objects)

    def of_epoch(self, remote: Remote) -> RestoreBranch:
        """The branch of an earlier epoch, as its remote has it now; for reading.

        Raises:
            AuthenticationError, RemoteUnreachable, GitError: it cannot be had.
        """
        branch = RestoreBranch(self._git, remote.seen_from(self._git), clock=self._clock)
        branch.see(remote.ls_remote().get(BRANCH, ""))
        return branch

    def see(self, tip: str) -> None:
        """Take the remote's tip as `ls_remote` told it, and fetch its trees if they are not here.

        Raises:
            AuthenticationError, RemoteUnreachable, GitError: as `Remote.fetch`.
        """
        if tip and missing_objects(self._git, [tip]):
            self._fetch()
        else:
            self.tip = tip
            self._keep(tip)

    def ids(self) -> list[str]:
        """Every restore that is on the branch, oldest first; those that two began in one second in any order."""
        return sorted(name.rpartition("/")[2] for name in self._names([_FOLDER + "/"])) if self.tip else []

    def open_ids(self) -> list[str]:
        """Those that have no receipt."""
        wanted = {f"{_FOLDER}/{each}/{RECEIPT}": each for each in self.ids()}
        paths = list(wanted)
        for start in range(0, len(paths), _PATHS_A_COMMAND):
            for path in self._names(paths[start : start + _PATHS_A_COMMAND]):
                del wanted[path]
        return list(wanted.values())

    def files(self, restore: str) -> dict[str, str]:
        """The blob of every file of one restore, by its path in the restore's folder; empty if there is no such one."""
        if restore not in self.ids():
            return {}
        below = f"{_FOLDER}/{restore}/"
        return {entry.path.removeprefix(below): entry.oid for entry in ls_tree(self._git, self.tip, below.rstrip("/"))}

    def records_of(self, restores: Sequence[str]) -> dict[str, dict[str, str]]:
        """What `files` says of each of many restores, but for the pre-images: those may be thousands.

        Those that are not on the branch are left out.
        """
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(restores), _PATHS_A_COMMAND):
            folders = [f"{_FOLDER}/{each}/" for each in restores[start : start + _PATHS_A_COMMAND]]
            for entry in entries_at(self._git, self.tip, folders) if self.tip else ():
                _, restore, name = entry.path.split("/", 2)
                if entry.kind == "blob":
                    found.setdefault(restore, {})[name] = entry.oid
        return found

    def read(self, oids: Sequence[str]) -> dict[str, bytes]:
        """Blobs by their ids; for the small files, all in memory."""
        return dict(self.blobs.read(dict.fromkeys(oids)))

    def append(
        self,
        restore: str,
        files: Mapping[str, bytes],
        *,
        subject: str,
        receipt: str = "",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Write files into a restore's folder, push, and return when the remote has confirmed them.

        It confirms by accepting the push; pre-images it must show as well, for on them a notebook may be overwritten.

        Args:
            files: By their path in the folder; one that is there is replaced.
            receipt: The blob of the receipt that the restore has, as far as the caller knows.
            check: Called when others have pushed meanwhile, before writing on top of theirs; may raise.

        Raises:
            LockedError: another process has closed this restore.
            PushRefused, AuthenticationError, RemoteUnreachable, GitError: nothing is confirmed.
        """
        own = {receipt, blob_id(files[RECEIPT]) if RECEIPT in files else receipt}
        for _ in range(_ATTEMPTS):
            commit = self._commit(restore, files, subject)
            try:
                self._push(PushRef(commit, BRANCH))
            except RemoteMoved:
                self._clock.wait(random.random() / 5)  # noqa: S311 - spreads those who race
                self._fetch()
                self._refuse_if_closed(restore, own)
                check()
            else:
                self.tip = commit
                if RECEIPT not in files:
                    self._confirm(restore)
                return
        raise RemoteUnreachable(f"Others pushed to nbvault/restores {_ATTEMPTS} times in a row.", hint="Run again.")

    def greet(self) -> None:
        """Ask the remote now what the next push must know; returns at once. For who will push soon."""
        if self._remote.is_web and self._greeted is None:
            # A push says in words what is wrong.
            with suppress(NbvaultError):
                self._greeted = self._greetings.enter_context(greeting(self._remote, self._git))

    def close(self) -> None:
        """Let go of what has been greeted."""
        self._greeted = None
        self._greetings.close()

    def stop(self) -> None:
        """End every git command of this branch; nothing more can be written by this process."""
        self._git.stop()

    def _push(self, item: PushRef) -> None:
        greeted, self._greeted = self._greeted, None
        taken = greeted is not None and greeted.push(item)
        self._greetings.close()
        if not taken:
            push(self._remote, [item])

    def _commit(self, restore: str, files: Mapping[str, bytes], subject: str) -> str:
        self._keep(self.tip)
        now = self._clock.now()
        earliest = commit_info(self._git, self.tip).committed_at if self.tip else now
        # Until it is known what became of it.
        self._kept = None
        with FastImport(self._git) as stream:
            changes = [FileChange(f"{_FOLDER}/{restore}/{path}", stream.blob(data)) for path, data in files.items()]
            mark = stream.commit(
                self._ref,
                parents=[self.tip] if self.tip else [],
                author=NBVAULT,
                committer=NBVAULT,
                authored_at=now,
                committed_at=max(now, earliest),
                message=f"Restore {restore}: {subject}\n\nNbvault-Restore: {restore}\n",
                changes=changes,
            )
            commit = stream.sha_of(mark)
        self._kept = commit
        return commit

    def _confirm(self, restore: str) -> None:
        """Believe the push only when the remote shows it, or others' commits on top that still hold our folder."""
        found = self._remote.ls_remote().get(BRANCH, "")
        if found == self.tip:
            return
        ours = self._tree(restore)
        if found:
            self._fetch()
        if not found or self._tree(restore) != ours:
            raise RemoteUnreachable("The remote accepted the push to nbvault/restores but does not show it.")

    def _fetch(self) -> None:
        with fetch_turn(self._git.repo):
            self._remote.fetch([f"+{BRANCH}:{self._ref}"], depth=1)
        self.tip = self._kept = self._git.text("rev-parse", self._ref)

    def _keep(self, tip: str) -> None:
        """Let this process's ref say on what it builds, so that fast-import can go on from there."""
        if tip != self._kept:
            self._git.run("update-ref", *([self._ref, tip] if tip else ["-d", self._ref]))
            self._kept = tip

    def _refuse_if_closed(self, restore: str, own: set[str]) -> None:
        found = self.files(restore).get(RECEIPT, "")
        if found not in own:
            raise LockedError(
                f"Restore {restore} was closed by somebody else meanwhile.",
                hint=f"`nbvault undo {restore}` takes back what it has done.",
            )

    def _tree(self, restore: str) -> str:
        return self._git.offline().text("rev-parse", f"{self.tip}:{_FOLDER}/{restore}")

    def _names(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths that the tip has; of a path with a slash at its end, what is in that folder."""
        done = self._git.offline().run("ls-tree", "-z", "--full-tree", "--name-only", self.tip, "--", *paths)
        return [name for name in decode(done.stdout).split("\0") if name]


@contextmanager
def opened_restores(vault: Vault, *, clock: Clock | None = None, reading: bool = False) -> Iterator[RestoreBranch]:
    """The branch of an open vault, as of the vault's last look at the remote.

    Args:
        reading: For who reads only, and often: the repository is taken as it is, unless there is none.

    Raises:
        ConfigurationError, AuthenticationError, RemoteUnreachable, GitError: it cannot be had.
    """
    with unseen_restores(vault, clock=clock, reading=reading) as branch:
        branch.see(vault.refs.get(BRANCH, ""))
        yield branch


@contextmanager
def unseen_restores(vault: Vault, *, clock: Clock | None = None, reading: bool = False) -> Iterator[RestoreBranch]:
    """The branch of an open vault, which may not have looked at the remote yet: `RestoreBranch.see` must come next.

    Args:
        reading: As `opened_restores` has it.

    Raises:
        ConfigurationError, GitError: its repository cannot be made.
    """
    folder = vault.git.repo / _FOLDER
    folder.mkdir(exist_ok=True)
    path, environment = folder / "cache.git", vault.git.base_environment
    there = opened_as_it_is(path, url=vault.remote.url, base_environment=environment) if reading else None
    with _in_use(folder / "in-use", alone=None if there else lambda: _tidy(Git(path, environment))):
        if there is None:
            with fetch_turn(path):
                there = open_cache(path, url=vault.remote.url, base_environment=environment, clock=clock).git
        branch = RestoreBranch(there, vault.remote.seen_from(there), clock=clock)
        try:
            yield branch
        finally:
            branch.close()


@contextmanager
def _in_use(path: Path, *, alone: Callable[[], None] | None) -> Iterator[None]:
    """Hold a share of the local repository; ``alone`` is called first if nobody else has one."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if alone is not None:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone()
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


def _tidy(git: Git) -> None:
    """Remove what killed processes left, and put many small packs together; the newest tip is kept."""
    if not (git.repo / "objects").is_dir():
        return
    clean_leftovers(git)
    # A damaged repository is set aside when it is opened.
    with suppress(GitError):
        merge_packs(git, above=_REPACK_ABOVE_PACKS)
        refs = git.text("for-each-ref", "--sort=-committerdate", "--format=%(refname)", _WORK).splitlines()
        for ref in refs[1:]:
            git.run("update-ref", "-d", ref)

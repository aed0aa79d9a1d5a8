"""The lease: one writer at a time, by a chain of child commits on a branch of the remote.

Taking, renewing and releasing are plain pushes of a child of the tip, so a race has one winner. The lease is advice;
the fence is that content branches only ever move forward.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from nbvault.clock import Clock, iso
from nbvault.errors import GitError, LockedError, VaultError
from nbvault.gitstore.reader import EMPTY_TREE, commit_info
from nbvault.gitstore.remote import PushRef, PushState, Remote
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import fetch_turn
from nbvault.model import NBVAULT

BRANCH = "refs/heads/nbvault/lease"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may hold the lease, in enough detail to tell whether it still lives.

    Args:
        machine: Host, boot and process namespace; process ids mean something only within one.
        started: When the process started, in the kernel's own words; process ids are used again.
        repository: The local repository.
        job: The id of the scheduled job, where there is one: its next run takes over at once.
    """

    machine: str
    pid: int
    started: str
    repository: str
    job: str = ""


class Sightings(Protocol):
    """Where it is remembered when a tip of the lease was first seen, across processes."""

    def sighting(self, tip: str, now: datetime) -> datetime:
        """The first time this tip was seen; ``now`` if it is new."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit of the chain."""

    action: str
    session: str
    holder: Holder
    at: str


class Lease:
    """The right to write to the vault, while it is held.

    Args:
        is_alive: Whether that holder's process runs on this machine; None where this machine cannot tell.
        say: Told what is waited for, in words.
    """

    def __init__(
        self,
        git: Git,
        remote: Remote,
        holder: Holder,
        *,
        session: str,
        clock: Clock,
        stale_s: float,
        sightings: Sightings,
        is_alive: Callable[[Holder], bool | None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._git = git
        self._remote = remote
        self._holder = holder
        self._session = session
        self._clock = clock
        self._stale_s = stale_s
        self._sightings = sightings
        self._is_alive = is_alive
        self._say = say
        self._tip = ""
        # A renewal may still be on its way when the session ends: the release must be its child.
        self._one_at_a_time = threading.Lock()
        self.lost = False
        self.left_behind = ""

    @property
    def renew_every_s(self) -> float:
        """Often enough that a live session never looks stale."""
        return min(120.0, self._stale_s / 4)

    def acquire(self) -> None:
        """Take the lease; may watch another's for up to ``stale_s``.

        `left_behind` then names the session that died with it, if one did.

        Raises:
            LockedError: another session holds it and lives.
        """
        tip = self._remote.ls_remote().get(BRANCH, "")
        entry = self._read(tip) if tip else None
        if entry is not None and entry.action != "release":
            self._wait_until_dead(tip, entry)
            self.left_behind = entry.session
        if not self._push("take", parent=tip):
            raise LockedError("Another session took the lease at the same moment.", hint="Run again later.")

    def renew(self) -> None:
        """Show that this session lives. `lost` is set if another has taken over."""
        with self._one_at_a_time:
            if self._tip and not self._push("renew", parent=self._tip):
                self.lost = True

    def release(self) -> None:
        """Give the lease back; a failure is left for the next session to find."""
        with self._one_at_a_time:
            if self._tip and not self.lost:
                self._push("release", parent=self._tip)
                self._tip = ""

    def _wait_until_dead(self, tip: str, entry: Entry) -> None:
        if entry.holder.job and entry.holder.job == self._holder.job:
            return
        if entry.holder == self._holder:
            # This process has the lock of the local repository: its earlier session is over and could not say so.
            return
        alive = self._is_alive(entry.holder)
        if alive:
            raise LockedError(f"Session {entry.session} is running on this machine (process {entry.holder.pid}).")
        if alive is None:
            self._watch(tip, entry)

    def _watch(self, tip: str, entry: Entry) -> None:
        """Only a tip that stands still for ``stale_s`` by our own clock is a dead one."""
        since = self._sightings.sighting(tip, self._clock.now())
        self._say(
            f"Session {entry.session} on {entry.holder.machine.split()[0]} holds the lease; watching whether it lives "
            f"(at most {self._stale_s:.0f} s)."
        )
        while (self._clock.now() - since).total_seconds() < self._stale_s:
            self._clock.wait(min(5.0, max(self._stale_s / 20, 0.05)))
            if self._remote.ls_remote().get(BRANCH, "") != tip:
                raise LockedError(
                    f"Session {entry.session} on {entry.holder.machine.split()[0]} holds the lease and lives.",
                    hint="Run again when it has ended.",
                )

    def _push(self, action: str, *, parent: str) -> bool:
        commit = self._write(Entry(action, self._session, self._holder, iso(self._clock.now())), parent)
        result = self._remote.push([PushRef(commit, BRANCH)])[BRANCH]
        if result.state is PushState.MOVED:
            return False
        if result.state is PushState.REFUSED:
            raise GitError(
                f"The remote refuses the branch nbvault/lease: {result.reason}.",
                hint="The backup identity needs the right to create and push branches (Contribute, Create branch).",
            )
        self._tip = commit
        return True

    def _write(self, entry: Entry, parent: str) -> str:
        """A loose commit object and no ref: the remote's branch is the only one that counts."""
        self._git.run("hash-object", "-t", "tree", "-w", "--stdin", stdin=b"")
        who = f"{NBVAULT.name} <{NBVAULT.email}> {int(self._clock.now().timestamp())} +0000"
        lines = [f"tree {EMPTY_TREE}", *([f"parent {parent}"] if parent else []), f"author {who}", f"committer {who}"]
        message = f"{entry.action} {entry.session}\n\n{json.dumps(asdict(entry), sort_keys=True)}\n"
        text = "\n".join(lines) + "\n\n" + message
        return (
            self._git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()).stdout.decode().strip()
        )

    def _read(self, tip: str) -> Entry:
        # A depth would make a whole local repository a shallow one, which could not fill an emptied remote again.
        with fetch_turn(self._git.repo):
            shallow = (self._git.repo / "shallow").exists()
            self._remote.fetch([f"+{tip}:{BRANCH}"], depth=1 if shallow else None)
        return parse_entry(commit_info(self._git, tip).body)


def parse_entry(body: str) -> Entry:
    """What a lease commit says.

    Raises:
        VaultError: it was not written by nbvault.
    """
    try:
        found: dict[str, Any] = json.loads(body.strip().splitlines()[-1])
        return Entry(found["action"], found["session"], Holder(**found["holder"]), found["at"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise VaultError("The tip of nbvault/lease was not written by nbvault.", hint="Delete that branch.") from error

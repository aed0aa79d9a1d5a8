"""A workspace that is restored: its vault, what it held, and the records of restores as plain git sees them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from nbvault.auth import AuthenticationManager
from nbvault.backup.engine import SyncOptions
from nbvault.gitstore.process import is_alive, this_process
from nbvault.gitstore.restores import opened_restores
from nbvault.opening import opened_vault
from nbvault.recovery.plan import Overwrite
from nbvault.recovery.receipt import Receipt, Result
from nbvault.recovery.restorer import Request, Restorer
from nbvault.wiring import run_sync
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import ClientOptions
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD, ROOT, Desk

RESTORES = "nbvault/restores"


class Held(NamedTuple):
    """A notebook as the workspace holds it; the text without the newline at its end, which no import brings back."""

    text: str
    language: str
    format: str


Holding = dict[str, Held]


def holding(emulator: Emulator, path: str = "/") -> Holding:
    """Every notebook of the workspace, by path."""
    found = emulator.world(path, content=True)
    return {each["path"]: Held(each["content"].removesuffix("\n"), each["language"], each["format"]) for each in found}


@dataclass
class RestoreDesk(Desk):
    """A desk at which notebooks are also restored."""

    @contextmanager
    def restorer(self, *, want_tree: bool = False) -> Iterator[Restorer]:
        """As the commands open it, with this desk's clock."""
        settings = self.settings

        def connect() -> WorkspaceClient:
            return WorkspaceClient(
                AuthenticationManager(settings), options=ClientOptions.of(settings), clock=self.clock
            )

        with opened_vault(settings, want_tree=want_tree, clock=self.clock) as vault:
            vault.refresh()
            with opened_restores(vault, clock=self.clock) as branch:
                holder = this_process(settings.vault.path)
                yield Restorer(vault, branch, connect, self.clock, holder, is_alive)

    def restore(self, *paths: str, overwrite: str = "changed", **asked: Any) -> Receipt:
        """Plan and apply at once."""
        with self.restorer() as restorer:
            return restorer.apply(restorer.plan(Request(paths, overwrite=Overwrite(overwrite), **asked)))

    def plan(self, *paths: str, overwrite: str = "changed", **asked: Any) -> dict[str, str]:
        """The action for each target."""
        with self.restorer() as restorer:
            entries = restorer.plan(Request(paths, overwrite=Overwrite(overwrite), **asked)).entries
            return {entry.target: entry.action.value for entry in entries}

    def undo(self, restore: str | Receipt, *, forced: bool = False) -> Receipt:
        name = restore if isinstance(restore, str) else restore.intent.restore
        with self.restorer() as restorer:
            return restorer.apply(restorer.undo(name, forced=forced))

    def resume(self, restore: str) -> Receipt:
        with self.restorer() as restorer:
            return restorer.apply(restorer.resume(restore))

    def sync_now(self) -> str:
        """A session at the desk's present time, whatever it must count."""
        self.clock.wait(60)
        report = run_sync(self.settings, SyncOptions(), _Nobody(), clock=self.clock)
        assert report.status.value == "complete", report
        return report.session

    def holding(self, path: str = "/") -> Holding:
        return holding(self.emulator, path)

    def on_branch(self, path: str) -> bytes:
        """A file of the restores branch on the server, read with plain git."""
        return _git(self.emulator.git_dir / "vault.git", "show", f"{RESTORES}:restores/{path}")

    def files_on_branch(self) -> list[str]:
        """The names of all files of the restores branch on the server."""
        server = self.emulator.git_dir / "vault.git"
        if not _git(server, "for-each-ref", f"refs/heads/{RESTORES}"):
            return []
        return _git(server, "ls-tree", "-r", "--name-only", RESTORES).decode().splitlines()

    def receipt(self, restore: str) -> dict[str, Any]:
        """The receipt that the server has."""
        found: dict[str, Any] = json.loads(self.on_branch(f"{restore}/receipt.json"))
        return found

    def open_restores(self) -> list[str]:
        """Those without a receipt on the server."""
        names = {path.split("/")[1] for path in self.files_on_branch()}
        return sorted(name for name in names if f"restores/{name}/receipt.json" not in self.files_on_branch())


class _Nobody:
    """A screen that shows nothing."""

    def began(self, session: str, started_at: datetime) -> None:
        pass

    def watch(self, survey: Any) -> None:
        pass

    def stage(self, text: str) -> None:
        pass


class HeldBack:
    """The desk's clock for tests in which a retry must not take real time."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return self._inner.now() + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return self._inner.monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        self.ahead_s += seconds
        await asyncio.sleep(0)

    def wait(self, seconds: float) -> None:
        self.ahead_s += seconds


def check_against_world(receipt: dict[str, Any], *, before: Holding, wanted: Holding, now: Holding) -> None:
    """Every entry of a receipt says what is true of the workspace.

    Args:
        before: What the workspace held when the restore began.
        wanted: What each target was to hold.
        now: What it holds after the restore.
    """
    for entry in receipt["entries"]:
        target, result = entry["target"], Result(entry["result"])
        there = now.get(target)
        if result is Result.RESTORED:
            assert there is not None, entry
            assert there.text == wanted[target].text, entry
        elif result in (Result.FAILED, Result.NOT_DONE, Result.KEPT, Result.CLASH, Result.BLOCKED):
            assert there == before.get(target), entry
        elif result in (Result.DELETED, Result.REMOVED):
            assert there is None, entry
        elif result is Result.IDENTICAL:
            assert there == before.get(target), entry
        elif result is Result.UNCLEAR:
            assert there is None or there in (before.get(target), wanted[target]), entry
    named = {entry["target"] for entry in receipt["entries"]}
    assert {p: h for p, h in now.items() if p not in named} == {p: h for p, h in before.items() if p not in named}


def source(text: str) -> str:
    """A notebook's source in Python."""
    return f"{HEAD}{text}"


def path_of(name: str) -> str:
    """A path below the root."""
    return f"{ROOT}/{name}"


def _git(repository: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout

"""A workspace that misbehaves, its vault, and syncs between them: what tests of whole sessions begin with."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.model import SessionReport, State
from nbvault.monitoring.wording import is_success
from nbvault.paths import workspace_path
from nbvault.settings import Settings, load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

ROOT = "/Clients"
OWN_FILES = {".gitattributes", ".gitignore", "README.md"}


FIRST_DAY = datetime(2026, 11, 21, 2, 0, tzinfo=timezone.utc)
DAY_S = 86_400.0


def source(text: str) -> str:
    """A notebook's text."""
    return f"# Databricks notebook source\n{text}"


class HastyClock:
    """Some night in the future, moved on by what threads wait for and by hand; nobody blocks, tasks really sleep."""

    def __init__(self, start: datetime = FIRST_DAY) -> None:
        self._start = start - timedelta(seconds=time.monotonic())
        self._ahead_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def wait(self, seconds: float) -> None:
        with self._lock:
            self._ahead_s += seconds


@dataclass
class Silent:
    """A screen that keeps what it is told."""

    stages: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)

    def began(self, session: str, started_at: datetime) -> None:  # noqa: ARG002
        self.sessions.append(session)

    def watch(self, survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        self.stages.append(text)


def assert_no_false_success(report: SessionReport) -> None:
    """Nobody is told of a success over a session that left something out, or was not confirmed."""
    open_ = [each for each in report.problems if each.state is State.FAILED and not each.acknowledged_by]
    left_out = (len(open_), len(report.unreadable_folders), report.counts.held_deletions, report.error)
    if left_out != (0, 0, 0, "") or not report.pushed:
        assert not is_success(report), report


class Place:
    """One emulator and one machine that backs it up, in a folder of its own."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder
        self.clock = HastyClock()
        self.screen = Silent()
        self.remote = emulator.git_url
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
            "WORKSPACE_TOKEN": emulator.workspace_token,
            "GIT_TOKEN": emulator.git_token,
        }

    def by_path(self) -> Place:
        """The same with a remote that is a folder: half the processes, for tests that are not about the server."""
        self.remote = str(self.server)
        return self

    @property
    def local(self) -> Path:
        """The local repository."""
        return self.folder / "vault.git"

    @property
    def server(self) -> Path:
        """The repository that plays the remote."""
        return self.emulator.git_dir / "vault.git"

    def settings(self, changes: Mapping[str, Any] | None = None) -> Settings:
        """Checked settings; changes are named ``section.key``."""
        values: dict[str, Any] = {
            "workspace.host": self.emulator.workspace_url,
            "workspace.token": "env:WORKSPACE_TOKEN",
            "workspace.root": ROOT,
            "workspace.retry_s": 0.4,
            "vault.remote": self.remote,
            "vault.path": str(self.local),
            "vault.token": "env:GIT_TOKEN",
            "state.url": f"sqlite:///{self.folder / 'state.db'}",
            **(changes or {}),
        }
        variables = {f"NBVAULT_{name.replace('.', '__').upper()}": str(value) for name, value in values.items()}
        return load_settings(environment={**self.environment, **variables}, cwd=self.folder)

    def sync(self, *, changes: Mapping[str, Any] | None = None, **options: Any) -> SessionReport:
        """One session, from settings to report; its numbers add up, whatever became of it."""
        report = run_sync(self.settings(changes), SyncOptions(**options), self.screen, clock=self.clock)
        assert report.counts.add_up(), report.counts
        assert_no_false_success(report)
        return report

    def git(self, *args: str, repo: Path | None = None, stdin: str = "", more: Mapping[str, str] | None = None) -> str:
        """Ask the remote's repository (or another) directly."""
        done = subprocess.run(
            ["git", f"--git-dir={repo or self.server}", *args],
            input=stdin,
            env={**os.environ, **(more or {})},
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.strip()

    def tip(self, branch: str) -> str:
        """The commit of a branch of the remote; empty if there is none."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def message(self, branch: str) -> str:
        """The whole message of the last commit of a branch of the remote."""
        return self.git("log", "-1", "--format=%B", f"refs/heads/{branch}")

    def files(self, branch: str = "main") -> dict[str, str]:
        """Blob id by path of every file of a branch of the remote."""
        if not self.tip(branch):
            return {}
        # Not --format: that quotes names even under -z.
        listed = (line.partition("\t") for line in self.git("ls-tree", "-r", "-z", branch).split("\0") if line)
        return {path: head.split()[2] for head, _, path in listed}

    def saved(self, *beside: str) -> dict[str, str]:
        """SHA-256 by workspace path of every notebook on the remote's `main`, but for people's own files."""
        files = {path: oid for path, oid in self.files().items() if path not in {*OWN_FILES, *beside}}
        return {workspace_path(ROOT, path): digest for path, digest in self._digests(files).items()}

    def world(self) -> dict[str, str]:
        """SHA-256 by workspace path of every notebook in the workspace."""
        return {each["path"]: each["sha256"] for each in self.emulator.world(ROOT)}

    def assert_whole(self, report: SessionReport) -> None:
        """The session is complete, confirmed, and the vault equals the workspace."""
        assert (report.status.value, report.exit_code, report.error) == ("complete", 0, ""), report
        assert report.pushed
        assert report.head == self.tip("main")
        assert report.unreadable_folders == ()
        assert report.counts.failed == 0
        assert self.saved() == self.world()

    def assert_nothing_claimed(self, report: SessionReport) -> None:
        """A failed session says that nothing was protected, and nothing counted."""
        assert report.status.value == "failed", report
        assert (report.pushed, report.head, report.tag, report.counts.listed) == (False, None, None, 0), report
        assert report.error
        assert "Traceback" not in report.error

    def rows(self) -> list[dict[str, Any]]:
        """The inventory's living rows, read as its format says."""
        files = [path for path in sorted(self.files("nbvault/meta")) if path.startswith("inventory/")]
        found: dict[int, dict[str, Any]] = {}
        for path in files:
            for line in self.git("show", f"nbvault/meta:{path}").splitlines():
                found[json.loads(line)["id"]] = json.loads(line)
        return [row for row in found.values() if "gone" not in row]

    def held(self, session: str) -> list[str]:
        """The paths that a session held, as the vault remembers them."""
        lines = self.git("show", f"nbvault/meta:held/{session}.jsonl").splitlines()
        return [json.loads(line)["path"] for line in lines]

    def acknowledge(self, path: str) -> None:
        """An administrator accepts a problem: a note on the meta branch, as `nbvault problems acknowledge` makes."""
        lines = [json.loads(line) for line in self.git("show", "nbvault/meta:problems.jsonl").splitlines()]
        accepted = [line | ({"ack": "ann@example.com"} if line["path"] == path else {}) for line in lines]
        self.add_note("problems.jsonl", "".join(json.dumps(line) + "\n" for line in accepted), append=False)

    def add_note(self, path: str, text: str, *, append: bool = True) -> None:
        """Another nbvault commits one file to the meta branch, at the end of what is there or in its place."""
        tip = self.tip("nbvault/meta")
        old = self.git("show", f"{tip}:{path}") + "\n" if append and path in self.files("nbvault/meta") else ""
        trailers = self.git("log", "-1", "--format=%(trailers)", tip).replace("Nbvault-Meta: end", "Nbvault-Meta: note")
        content = self.git("rev-parse", f"{tip}^2")
        self.commit("nbvault/meta", {path: old + text}, message=f"note\n\n{trailers}\n", also=content)

    def empty_the_remote(self) -> None:
        """Somebody deletes every branch and tag."""
        for ref in self.git("for-each-ref", "--format=%(refname)").splitlines():
            self.git("update-ref", "-d", ref)

    def another_machine(self, folder: Path) -> Place:
        """Another nbvault for the same vault, with nothing of its own yet."""
        folder.mkdir(parents=True)
        other = Place(self.emulator, folder)
        other.clock, other.remote = self.clock, self.remote
        return other

    def commit(self, branch: str, files: Mapping[str, str], *, message: str = "By hand", also: str = "") -> str:
        """Somebody else commits to a branch of the remote; an empty text removes a file."""
        tip, index = self.tip(branch), {"GIT_INDEX_FILE": str(self.folder / "hand.index")}
        self.git("read-tree", tip or "--empty", more=index)
        for path, text in files.items():
            blob = self.git("hash-object", "-w", "--stdin", stdin=text)
            mode = "100644" if text else "0"
            self.git("update-index", "--index-info", stdin=f"{mode} {blob}\t{path}\n", more=index)
        tree = self.git("write-tree", more=index)
        parents = [word for parent in (tip, also) if parent for word in ("-p", parent)]
        who = {f"GIT_{role}_{key}": "pat" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        commit = self.git("commit-tree", tree, *parents, "-F", "-", stdin=message, more=who)
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def _digests(self, files: Mapping[str, str]) -> dict[str, str]:
        feed = "".join(f"{oid}\n" for oid in files.values()).encode()
        command = ["git", f"--git-dir={self.server}", "cat-file", "--batch"]
        data = subprocess.run(command, input=feed, capture_output=True, check=True).stdout
        found, position = {}, 0
        for path in files:
            end = data.index(b"\n", position)
            size = int(data[position:end].split()[2])
            found[path] = hashlib.sha256(data[end + 1 : end + 1 + size]).hexdigest()
            position = end + 2 + size
        return found


@dataclass(frozen=True)
class Template:
    """A world of 80 notebooks and the places of nbvault a day after its first sync, to be copied."""

    folder: Path
    ended: datetime
    world: Mapping[str, Any]

    @classmethod
    def make(cls, folder: Path) -> Template:
        """Back up the world once."""
        world = {"notebooks": 80, "years": 2, "engagements": 3}
        with Emulator(**world, git_dir=folder / "git") as emulator:
            place = Place(emulator, folder / "machine")
            place.folder.mkdir(parents=True)
            place.assert_whole(place.sync())
        return cls(folder, place.clock.now(), world)

    @contextmanager
    def copy(self, folder: Path) -> Iterator[Place]:
        """An emulator of the same world, whose vault and whose machine are as after that sync."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, symlinks=True)
        with Emulator(**self.world, git_dir=folder / "git") as emulator:
            place = Place(emulator, folder / "machine")
            # However long that sync took, it lies a day back and more.
            place.clock.wait((self.ended - place.clock.now()).total_seconds() + DAY_S)
            yield place

"""A small workspace, its vault, and a diary of what the workspace held at each session."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.clock import iso
from nbvault.model import SessionReport
from nbvault.opening import read_vault
from nbvault.recovery.history import Version, history
from nbvault.recovery.versions import Source, show
from nbvault.settings import Settings, load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

ROOT = "/Clients"
HEAD = "# Databricks notebook source\n"
ANN, BOB, ZOE = "ann@clients.example", "bob.builder@clients.example", "zoë@clients.example"


class SteppingClock:
    """The real time, moved on by what threads wait for and by hand."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self._ahead_s)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def wait(self, seconds: float) -> None:
        with self._lock:
            self._ahead_s += seconds


class Silent:
    """A screen that shows nothing."""

    def began(self, session: str, started_at: datetime) -> None:
        pass

    def watch(self, survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        pass


@dataclass(frozen=True)
class Day:
    """A session, and the SHA-256 of what every notebook held when it ran, by path."""

    report: SessionReport
    sums: dict[str, str]

    @property
    def at(self) -> str:
        """A time after its scan began and before the next session, as ISO 8601."""
        return iso(self.report.started_at + timedelta(hours=1))


@dataclass
class Desk:
    """One workspace and the machine that backs it up, a session a day."""

    emulator: Emulator
    folder: Path
    diary: list[Day] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    clock: Any = field(default_factory=SteppingClock)
    remote: str = ""

    @property
    def local(self) -> Path:
        return self.folder / "vault.git"

    @property
    def settings(self) -> Settings:
        return load_settings(environment=self.environment(), cwd=self.folder)

    def environment(self) -> dict[str, str]:
        """Everything that a command needs to know, as variables."""
        return {
            # With PYTHONPATH, a second work tree runs its own code.
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "PYTHONPATH") if name in os.environ},
            "WS": self.emulator.workspace_token,
            "GT": self.emulator.git_token,
            "NBVAULT_WORKSPACE__HOST": self.emulator.workspace_url,
            "NBVAULT_WORKSPACE__TOKEN": "env:WS",
            "NBVAULT_WORKSPACE__RETRY_S": "0.3",
            "NBVAULT_VAULT__REMOTE": self.remote or self.emulator.git_url,
            "NBVAULT_VAULT__TOKEN": "env:GT",
        }

    def write(self, path: str, text: str, editor: str = ANN, **more: Any) -> None:
        """Somebody creates a notebook, or edits the one that is there."""
        there = {each["path"] for each in self.emulator.world(ROOT)}
        change = self.emulator.edit if ROOT + path in there else self.emulator.create
        change(ROOT + path, HEAD + text, editor=editor, **more)

    def move(self, start: str, to: str) -> None:
        self.emulator.move(ROOT + start, ROOT + to)

    def delete(self, path: str) -> None:
        self.emulator.delete(ROOT + path)

    def sync(self) -> str:
        """A day passes and a session runs; returns its id."""
        self.clock.wait(86400)
        sums = {each["path"]: each["sha256"] for each in self.emulator.world(ROOT)}
        report = run_sync(self.settings, SyncOptions(), Silent(), clock=self.clock)
        assert (report.status.value, report.pushed) == ("complete", True), report
        self.diary.append(Day(report, sums))
        return report.session

    def history(self, path: str) -> list[Version]:
        with read_vault(self.settings, warn=self.warnings.append, clock=self.clock) as vault:
            return history(vault, path)

    def show(self, path: str, at: str = "") -> Source:
        with read_vault(self.settings, warn=self.warnings.append, clock=self.clock) as vault:
            return show(vault, path, at=at)

    def story(self, path: str) -> list[tuple[str, str, str]]:
        """A notebook's history as change, path below the root, and number of the session (from 1), newest first."""
        numbers = {day.report.session: f"{number}" for number, day in enumerate(self.diary, 1)}
        return [(v.change.value, v.path.removeprefix(ROOT), numbers[v.session]) for v in self.history(path)]

    def lose_this_machine(self) -> None:
        """The local repository and the state store are gone."""
        shutil.rmtree(self.local)
        for file in self.folder.glob("nbvault.db*"):
            file.unlink()

"""The world of the page's load test: many notebooks, and 400 sessions by 50 editors. Made once, kept on disk.

A first session backs the world up as of long ago. The sessions after it are written into the vault in the very form in
which nbvault writes them (content, conclusion, tag, record); the last one is a real one again, and so proves that
nbvault takes this past for its own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.aging import Earlier
from benchmarks.beginning import Quiet
from benchmarks.harness import Day, emulator, people_work
from benchmarks.reports import Past
from nbvault.backup.surroundings import SyncOptions
from nbvault.clock import iso
from nbvault.gitstore.conclude import DAILY, MAIN, Summary
from nbvault.gitstore.meta import BRANCH, MetaDraft, Record, read_records
from nbvault.gitstore.remote import PushRef
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.model import NBVAULT, Counts, Growth, Status
from nbvault.opening import opened_vault
from nbvault.settings import load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

EDITED = 400
"""So many notebooks that were edited in the real session are named to the people of the test."""
_MADE = "made.json"


@dataclass(frozen=True, slots=True)
class World:
    """A world on disk: the workspace, the Git server's repository, the vault of the machine that backs up."""

    folder: Path
    notebooks: int
    sessions: int
    changes: int

    @property
    def facts(self) -> dict[str, Any]:
        """What was noted when it was made: ``port``, and ``paths``, notebooks that were edited in the last session."""
        found: dict[str, Any] = json.loads((self.folder / _MADE).read_text("utf-8"))
        return found

    def make(self) -> None:
        """Make it, where it is not there yet, in three steps: one that was not ended is done again."""
        steps = (self._back_up, self._age, self._end)
        done = self.facts.get("steps", 0) if (self.folder / _MADE).exists() else 0
        if not done:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._note(port=_free_port(), steps=0)
        if done == len(steps):
            return
        with self.running(self.folder) as running:
            environment = variables(self.folder, running)
            for number, step in enumerate(steps[done:], done + 1):
                step(running, environment)
                self._note(steps=number)

    def _back_up(self, _running: Emulator, environment: Mapping[str, str]) -> None:
        """The first session, as long ago as the history is to be."""
        with _settings(environment) as settings:
            report = run_sync(settings, SyncOptions(), Quiet(), clock=Earlier(self.sessions))
        if report.exit_code:
            sys.exit(f"the first session ended as {report.status.value}: {report.error}")

    def _age(self, running: Emulator, environment: Mapping[str, str]) -> None:
        """The sessions since, and what they moved."""
        moved = _aged(environment, self.sessions - 2, self.changes)
        running.batch([{"op": "move", "from": old, "to": new} for old, new in moved])

    def _end(self, running: Emulator, environment: Mapping[str, str]) -> None:
        """A day of people's work, and a real session."""
        people_work(running, Day.busy(self.notebooks), seed=7)
        command = [sys.executable, "-m", "nbvault.cli.main"]
        subprocess.run([*command, "sync"], env=environment, check=True)
        subprocess.run([*command, "state", "rebuild"], env=environment, check=True)
        asked = [*command, "changes", "--session", "last", "--details", "0", "--json"]
        told = json.loads(subprocess.run(asked, env=environment, check=True, stdout=subprocess.PIPE).stdout)
        edited = sorted(each["path"] for each in told["changes"] if each["change"] == "modified")
        self._note(paths=random.Random(1).sample(edited, min(EDITED, len(edited))))

    def _note(self, **facts: Any) -> None:
        known = self.facts if (self.folder / _MADE).exists() else {}
        (self.folder / _MADE).write_text(json.dumps({**known, **facts}), encoding="utf-8")

    def copy_to(self, folder: Path) -> None:
        """A copy: whatever a test does to it, the next one begins with the same."""
        shutil.copytree(self.folder / "data", folder / "data", symlinks=True)
        shutil.copy(self.folder / "nbvault.db", folder)

    def running(self, folder: Path, *, latency_ms: int = 0) -> Emulator:
        """A copy of it, to be started."""
        return emulator(self.notebooks, data=folder / "data", port=self.facts["port"], latency_ms=latency_ms)


def variables(folder: Path, running: Emulator) -> dict[str, str]:
    """The environment of every command of nbvault."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("NBVAULT_")}
    return {
        **own,
        "WS": running.workspace_token,
        "GT": running.git_token,
        "NBVAULT_WORKSPACE__HOST": running.workspace_url,
        "NBVAULT_WORKSPACE__TOKEN": "env:WS",
        "NBVAULT_VAULT__REMOTE": running.git_url,
        "NBVAULT_VAULT__TOKEN": "env:GT",
        "NBVAULT_VAULT__PATH": str(folder / "vault.git"),
        "NBVAULT_STATE__URL": f"sqlite:///{folder / 'nbvault.db'}",
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _settings(environment: Mapping[str, str]) -> Iterator[Any]:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield load_settings(environment=environment)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _aged(environment: Mapping[str, str], sessions: int, changes: int) -> list[tuple[str, str]]:
    """Write sessions, a day apart until yesterday; returns where the notebooks that they renamed were and are."""
    with _settings(environment) as settings, opened_vault(settings, writing=True) as vault:
        vault.refresh()
        first = {row.object_id: row.path for row in vault.meta.rows.values()}
        past = Concluded(vault, random.Random(sessions))
        for number in range(sessions):
            past.day(datetime.now(timezone.utc) - timedelta(days=sessions - number), changes)
            if number % 50 == 49:
                print(f"{number + 1} sessions written", file=sys.stderr, flush=True)
        past.push()
        return [
            (first[row.object_id], row.path) for row in vault.meta.rows.values() if first[row.object_id] != row.path
        ]


class Concluded(Past):
    """A past with conclusions on main, their tags, and the records of its sessions."""

    def __init__(self, vault: Vault, chance: random.Random) -> None:
        super().__init__(vault, chance)
        self._main = vault.main
        self._first = read_records(vault.meta, "sessions", blobs=vault.blobs)[-1]
        self._conclusions: list[tuple[datetime, str]] = []
        self._records: list[tuple[datetime, Record]] = []
        self._objects = len(vault.blob_at)

    def day(self, at: datetime, changes: int) -> None:
        """A session and its conclusion."""
        session, found = f"{at:%Y%m%dT%H%M%SZ}-bench0", self.session(at, changes)
        saved = sum(bool(change.blob) for change in found)
        listed = len(self._rows)
        counts = Counts(listed=listed, saved=saved, unchanged=listed - saved, modified=saved)
        self._main = self.stream.commit(
            MAIN,
            parents=[self._main, self.content],
            author=NBVAULT,
            committer=NBVAULT,
            authored_at=at,
            committed_at=at,
            message=Summary(session, at, Status.COMPLETE, counts).text(),
            changes=found,
        )
        self._conclusions.append((at, self._main))
        self._objects += 4 * saved
        self._records.append((at, self._record(session, at, counts)))

    def _record(self, session: str, at: datetime, counts: Counts) -> Record:
        lasts_s = self._chance.uniform(40, 90)
        growth = Growth(4 * counts.saved, 2000 * counts.saved, self._objects, 500 * self._objects)
        told = {name: getattr(counts, name) for name in ("listed", "saved", "unchanged", "added", "modified")}
        return {
            **self._first,
            **told,
            "session": session,
            "started_at": iso(at),
            "ended_at": iso(at + timedelta(seconds=lasts_s)),
            "duration_s": round(lasts_s, 3),
            "bytes_exported": 15_000 * counts.saved,
            "growth": growth._asdict(),
            "look": at.toordinal(),
        }

    def push(self) -> None:
        """Write the records month by month, then the inventory; push it all."""
        shas = [self.stream.sha_of(mark) for _, mark in self._conclusions]
        self.written()
        for _, month in groupby(self._records, key=lambda pair: f"{pair[0]:%Y-%m}"):
            days = list(month)
            last, record = days[-1]
            draft = MetaDraft(self._vault.meta, session=str(record["session"]), at=last)
            draft.record("sessions", [each for _, each in days])
            self._commit_meta(draft)
        self._commit_meta(self.ended(self._records[-1][0]))
        refs = [PushRef(self.meta, BRANCH), PushRef(self.content, DAILY), PushRef(shas[-1], MAIN)]
        tags = zip(self._conclusions, shas, strict=True)
        refs += [PushRef(sha, f"refs/tags/backup/{at:%Y%m%dT%H%M%SZ}") for (at, _), sha in tags]
        for start in range(0, len(refs), 50):
            self._vault.remote.push(refs[start : start + 50])

    def _commit_meta(self, draft: MetaDraft) -> None:
        vault = self._vault
        with FastImport(vault.git) as stream:
            mark = draft.commit(stream, content=self.content, kind="end", blobs=vault.blobs)
            self.meta = vault.meta.tip = stream.sha_of(mark)

"""No stage of a session waits for another without need."""

from __future__ import annotations

import asyncio
from collections import Counter

from nbvault.backup.detect import Distrust
from nbvault.backup.ledger import Ledger, Outcome
from nbvault.backup.plan import contested_names
from nbvault.backup.scope import Scope
from nbvault.backup.survey import Knowledge, Survey
from nbvault.model import Language, ListedObject, NotebookFormat, Row, State

ROOT = "/Clients"
FOLDER = f"{ROOT}/f"
GONE = Row(7, f"{FOLDER}/gone", "f/gone.py", Language.PYTHON, 1, 1, "", NotebookFormat.SOURCE, "s1")


class Waiting:
    """A workspace whose second listings wait until git has been given what was exported.

    Not the emulator: it cannot wait for what this program does inside.
    """

    def __init__(self) -> None:
        self.given = asyncio.Event()
        self.lists = Counter[str]()

    async def list_folder(self, path: str) -> list[ListedObject]:
        self.lists[path] += 1
        if self.lists[path] > 1:
            await self.given.wait()
        if path == ROOT:
            return [ListedObject(1, "DIRECTORY", FOLDER)]
        return [ListedObject(2, "NOTEBOOK", f"{FOLDER}/new", Language.PYTHON, 5, 5)]

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        assert form is NotebookFormat.SOURCE
        return f"# Databricks notebook source\nprint({path!r})\n".encode()

    async def export_folder(self, path: str) -> bytes:
        raise AssertionError(path)

    async def inspect(self, path: str) -> tuple[ListedObject, NotebookFormat | None]:
        raise AssertionError(path)


class Keeper:
    """Keeps what is exported, and lets the workspace go on once it is told that nothing more comes for now."""

    def __init__(self, workspace: Waiting) -> None:
        self._workspace = workspace
        self.kept: list[str] = []

    async def keep(self, outcome: Outcome, data: bytes) -> None:
        assert data
        outcome.state = State.SAVED
        self.kept.append(outcome.listed.path)

    async def recall(self, outcome: Outcome) -> bool:
        return outcome.blob == "recalled"

    async def idle(self) -> None:
        assert self.kept == [f"{FOLDER}/new"]
        self._workspace.given.set()


async def test_git_has_what_was_exported_while_deletions_are_proven() -> None:
    """What is held to be sorted is given to git before the folders are listed again, not after."""
    workspace, rows = Waiting(), {GONE.object_id: GONE}
    survey = Survey(
        workspace,
        Knowledge(rows, {}),
        Keeper(workspace),
        Ledger(rows),
        root=ROOT,
        scope=Scope(),
        distrust=Distrust(),
        contested=contested_names,
    )
    findings = await asyncio.wait_for(survey.run(), timeout=60)
    assert [missing.row for missing in findings.candidates] == [GONE]
    assert workspace.lists == {ROOT: 2, FOLDER: 2}

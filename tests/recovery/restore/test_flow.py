"""The whole of it: weeks of edits, a wrecked workspace, everything back as of a day, and the wreck back again."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from nbvault.recovery.plan import Action
from nbvault_emulator.testing import Emulator
from recovery.places import ANN, BOB, ROOT, ZOE
from recovery.restore.desk import Holding, RestoreDesk, check_against_world, source

SEED = int(os.environ.get("NBVAULT_TEST_SEED", "1"))
_LANGUAGES = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}


def _edits(desk: RestoreDesk, draw: random.Random) -> None:
    """A day's work: edits, new notebooks, moves, deletions, another language."""
    notebooks = sorted(desk.holding(ROOT))
    for path in draw.sample(notebooks, 8):
        desk.emulator.edit(path, source(f"{draw.random()}\n"), editor=draw.choice([ANN, BOB, ZOE]))
    gone, moved, changed = draw.sample(notebooks, 3)
    desk.emulator.delete(gone)
    desk.emulator.move(moved, f"{ROOT}/moved {draw.random()}/it's")
    for number in range(3):
        desk.emulator.create(f"{ROOT}/new/{draw.random()} {number}", source("new"))
    language = draw.choice(list(_LANGUAGES))
    text = f"{_LANGUAGES[language]} Databricks notebook source\n{draw.random()}"
    desk.emulator.edit(changed, text, language=language)


def _wreck(desk: RestoreDesk, draw: random.Random) -> None:
    """Somebody deletes folders, overwrites, moves, puts other things in the place of notebooks' folders."""
    folders = sorted({path.rpartition("/")[0] for path in desk.holding(ROOT)} - {ROOT})
    for folder in draw.sample(folders, 3):
        desk.emulator.delete(folder)
    notebooks = sorted(desk.holding(ROOT))
    draw.shuffle(notebooks)
    for path in notebooks[:20]:
        desk.emulator.edit(path, source("wrecked\n"))
    for path in notebooks[20:30]:
        desk.emulator.move(path, f"/Shared/stolen{path}")
    for path in notebooks[30:35]:
        desk.emulator.delete(path)
    for path in notebooks[35:40]:
        desk.emulator.delete(path)
        desk.emulator.create(path, "-- Databricks notebook source\nselect 1", language="SQL")


@pytest.mark.parametrize(
    ("seed", "days_of_work"),
    [(SEED, 5), *(pytest.param(SEED + n, 21, marks=pytest.mark.campaign) for n in range(1, 4))],
)
def test_everything_comes_back_as_of_a_day_and_the_wreck_too(tmp_path: Path, seed: int, days_of_work: int) -> None:
    """Every notebook of that day is as it was, by a receipt on the remote; undo gives the very wreck back."""
    draw = random.Random(seed)
    with Emulator(notebooks=90, seed=seed) as emulator:
        desk = RestoreDesk(emulator, tmp_path)
        days: list[tuple[str, Holding]] = []
        for _ in range(days_of_work):
            days.append((desk.sync(), desk.holding()))
            _edits(desk, draw)
        desk.sync()
        _wreck(desk, draw)
        wreck = desk.holding()
        session, then = draw.choice(days)
        tag = next(day.report.tag for day in desk.diary if day.report.session == session)

        receipt = desk.restore(ROOT, at=tag)

        now = desk.holding()
        assert (receipt.exit_code, receipt.status.value, receipt.error) == (0, "complete", "")
        assert {path: now.get(path) for path in then} == then
        kept = desk.receipt(receipt.intent.restore)
        assert kept == receipt.as_json()
        assert len(kept["entries"]) == len(then)
        check_against_world(kept, before=wreck, wanted=then, now=now)

        undone = desk.undo(receipt)
        assert (undone.exit_code, undone.error) == (0, "")
        assert desk.holding() == wreck
        folders = {each["path"] for each in emulator.world("/", everything=True) if each["object_type"] == "DIRECTORY"}
        assert folders >= {path.rpartition("/")[0] for path in wreck}

        redone = desk.undo(undone)
        assert redone.exit_code == 0
        again = desk.holding()
        assert {path: again.get(path) for path in then} == then


def test_a_restored_workspace_adds_nothing_to_the_vault(desk: RestoreDesk) -> None:
    """Backup, deletion, restore, backup: the tree is the one that it was, for every language."""
    for language, comment in _LANGUAGES.items():
        text = f"{comment} Databricks notebook source\n{comment} {language}"
        desk.emulator.create(f"{ROOT}/l/{language}", text, language=language)
    desk.emulator.create(f"{ROOT}/l/document", source("x = 1"), format="IPYNB")
    desk.sync()
    before = desk.holding(f"{ROOT}/l")
    desk.emulator.delete(f"{ROOT}/l")
    assert desk.restore(f"{ROOT}/l").exit_code == 0
    after = desk.holding(f"{ROOT}/l")
    assert {path: held[:2] for path, held in after.items()} == {path: held[:2] for path, held in before.items()}
    desk.sync()
    assert desk.diary[-1].report.counts.modified == 0
    shas = {desk.show(path).blob for path in before}
    assert shas == {desk.show(path, at=desk.diary[1].report.tag).blob for path in before}


def test_a_language_comes_back_though_the_text_is_the_same(desk: RestoreDesk) -> None:
    """Python and R begin alike: what was made a notebook of R is one of Python again, and of R by an undo."""
    path, text = f"{ROOT}/q", source("# MAGIC %sql\n# MAGIC select 1")
    desk.emulator.create(path, text)
    desk.sync()
    desk.emulator.edit(path, text, language="R")
    desk.sync()
    before = desk.holding(path)
    (entry,) = (receipt := desk.restore(path, at=desk.diary[-2].at)).intent.entries
    assert (receipt.exit_code, entry.action, desk.holding(path)[path].language) == (0, Action.REPLACE, "PYTHON")
    again = desk.restore(path, at=desk.diary[-2].at)
    assert (again.exit_code, again.counts()["identical"]) == (0, 1)
    assert desk.undo(receipt).exit_code == 0
    assert desk.holding(path) == before


class _NativeDesk(RestoreDesk):
    """A desk at which notebooks are kept in the format that they have in the workspace."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "NBVAULT_EXPORT__FORMAT": "native"}


def test_documents_come_back_as_documents(tmp_path: Path) -> None:
    """Native format, backup, deletion, restore, backup: IPYNB with its outputs, and the vault is as before."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "é"]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 3,
            "source": ["print(1)"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}],
        },
    ]
    document = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": source("keep")}]) as emulator:
        desk = _NativeDesk(emulator, tmp_path)
        emulator.create(f"{ROOT}/l/document", document, format="IPYNB")
        emulator.create(f"{ROOT}/l/plain", source("x"))
        desk.sync()
        before, saved = desk.holding(), {path: desk.show(path) for path in desk.holding()}
        emulator.delete(f"{ROOT}/l")
        receipt = desk.restore(f"{ROOT}/l")
        assert (receipt.exit_code, receipt.counts()) == (0, {"entries": 2, "restored": 2})
        assert desk.holding() == before
        assert desk.holding()[f"{ROOT}/l/document"].format == "IPYNB"
        desk.sync()
        assert desk.diary[-1].report.counts.modified == 0
        assert {path: (desk.show(path).blob, desk.show(path).repo_path) for path in saved} == {
            path: (then.blob, then.repo_path) for path, then in saved.items()
        }

"""What a session may cost at most, in counts and memory: a gross regression fails here, without any clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.harness import WORKSPACE, Machine, emulator
from benchmarks.meter import is_measurable

from nbvault_emulator.testing import Emulator

pytestmark = pytest.mark.skipif(not is_measurable(), reason="memory is read from Linux's /proc")

NOTEBOOKS = 2000
EDITORS = 20
EACH = 5
# The records, the inventory, the lease, the conclusion, and the trees that hold them.
OWN_OBJECTS = 40
# The interpreter with what it imports takes 50 MB of it, and git 13.
FIRST_MB, LATER_MB = 140, 95
# Ids are never so near each other that one is due: the daily slice is not what is counted here.
NO_SLICE = {"sync": {"recheck_days": 1_000_000_000}}


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with emulator(NOTEBOOKS) as made:
        yield made


def folders_of(world: Emulator) -> int:
    """The root and every folder below it."""
    return 1 + sum(each["object_type"] == "DIRECTORY" for each in world.world(WORKSPACE, everything=True, brief=True))


def by_engagement(world: Emulator) -> list[list[str]]:
    """The notebooks of each engagement, by path."""
    found: dict[str, list[str]] = {}
    for each in world.world(WORKSPACE, brief=True):
        found.setdefault(each["path"].rpartition("/")[0], []).append(each["path"])
    return [sorted(paths) for _, paths in sorted(found.items())]


def test_what_sessions_cost(running: Emulator, tmp_path: Path) -> None:
    """One listing a folder, one export a change, one commit an editor, few objects and little memory."""
    machine, folders = Machine(tmp_path / "a", running, NO_SLICE), folders_of(running)

    first = machine.sync("first sync", NOTEBOOKS).figures
    assert counts(first) == {"lists": folders, "exports": NOTEBOOKS, "saved": NOTEBOOKS, "throttled": 0}
    assert first["commits"] <= 3
    assert first["objects"] <= NOTEBOOKS + folders + OWN_OBJECTS
    assert first["peak_all_mb"] < FIRST_MB

    quiet = machine.sync("nothing changed", NOTEBOOKS).figures
    assert counts(quiet) == {"lists": folders, "exports": 0, "saved": 0, "throttled": 0}
    assert quiet["commits"] == 0
    assert quiet["objects"] <= OWN_OBJECTS
    assert quiet["workspace_mb"] < NOTEBOOKS * 400 / 1e6
    assert quiet["git_up_mb"] + quiet["git_down_mb"] < 0.1
    assert quiet["peak_all_mb"] < LATER_MB

    running.batch(edits_by_owners(running, seed=1))
    day = machine.sync("a day of edits", NOTEBOOKS).figures
    changes = EDITORS * EACH
    assert counts(day) == {"lists": folders, "exports": changes, "saved": changes, "throttled": 0}
    # A commit for each editor, and the conclusion.
    assert day["commits"] == EDITORS + 1
    # The file, its two folders, their year and the root; and the commit itself.
    assert day["objects"] <= EDITORS * (EACH + 4 + 1) + OWN_OBJECTS
    assert day["peak_all_mb"] < LATER_MB

    running.batch(moves_and_deletions(running))
    moved = machine.sync("moves and deletions", NOTEBOOKS).figures
    assert moved["exports"] == EACH
    assert moved["lists"] <= 2 * folders
    assert moved["commits"] <= 3
    assert moved["objects"] <= 2 * EACH * 4 + OWN_OBJECTS

    running.batch(edits_by_owners(running, seed=2))
    fresh = Machine(tmp_path / "b", running, NO_SLICE).sync("a day of edits, new machine", NOTEBOOKS).figures
    assert counts(fresh) == {"lists": folders, "exports": changes, "saved": changes, "throttled": 0}
    # The inventory and the trees, no notebook.
    assert fresh["git_down_mb"] < NOTEBOOKS * 400 / 1e6
    assert fresh["peak_all_mb"] < LATER_MB


def counts(figures: Any) -> dict[str, float]:
    """The figures that are known exactly."""
    return {name: figures[name] for name in ("lists", "exports", "saved", "throttled")}


def edits_by_owners(world: Emulator, *, seed: int) -> list[dict[str, Any]]:
    """Each editor changes some notebooks of one engagement, which is theirs alone."""
    chooser = random.Random(seed)
    engagements = by_engagement(world)[:EDITORS]
    return [
        {
            "op": "edit",
            "path": path,
            "editor": f"editor{number}@clients.example",
            "content": f"# Databricks notebook source\nprint({chooser.random()})",
        }
        for number, paths in enumerate(engagements)
        for path in paths[:EACH]
    ]


def moves_and_deletions(world: Emulator) -> list[dict[str, Any]]:
    """Some notebooks renamed in their folders, and some others gone."""
    engagements = by_engagement(world)
    moves = [{"op": "move", "from": paths[-1], "to": f"{paths[-1]} (old)"} for paths in engagements[:EACH]]
    return moves + [{"op": "delete", "path": paths[-2]} for paths in engagements[:EACH]]

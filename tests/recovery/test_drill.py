"""A drill proves that notebooks come back, leaves nothing behind, and is remembered."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from nbvault.administration import look_at, rebuild_state
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.gitstore.meta import read_records
from nbvault.opening import read_vault
from nbvault.proof import connected, run_drill
from nbvault.recovery.drill import Drill, Rehearsal, Tried, Verdict, contents, draw
from recovery.places import ROOT, Desk


@pytest.fixture
def saved(desk: Desk) -> Desk:
    """Notebooks of every language, two of them with one name, and something else in the scratch folder's place."""
    desk.write("/a/one", "print(1)")
    desk.write("/b/one", "print(2)\n\n")
    desk.write("/b/q", "select 1", language="SQL")
    desk.sync()
    desk.emulator.create("/Shared/mine", "# Databricks notebook source\nmine")
    return desk


def drill(desk: Desk, **options: Any) -> Drill:
    asked = {"sample": 10, "to": "/Shared/nbvault-drill", "seed": 1, "by": "dana", **options}
    return run_drill(desk.settings, warn=desk.warnings.append, clock=desk.clock, **asked)


def everything(desk: Desk) -> set[str]:
    return {each["path"] for each in desk.emulator.world(everything=True)}


def test_what_is_in_the_vault_comes_back_and_nothing_stays(saved: Desk) -> None:
    """Every living notebook identical; the workspace afterwards is what it was; the vault and `status` know of it."""
    before = everything(saved)
    found = drill(saved)
    assert (found.exit_code, found.count(Verdict.IDENTICAL), found.recorded) == (0, 4, True)
    assert everything(saved) == before
    with read_vault(saved.settings, warn=saved.warnings.append, clock=saved.clock) as vault:
        (line,) = read_records(vault.meta, "drills", blobs=vault.blobs)
        (event,) = [each for each in read_records(vault.meta, "audit", blobs=vault.blobs) if each["action"] == "drill"]
    assert (line["drill"], line["identical"], line["seed"], line["by"]) == (found.drill, 4, 1, "dana")
    assert (event["actor"], event["result"], event["object"]) == ("dana", "ok", found.scratch)
    health = look_at(saved.settings)
    assert health.proven is not None
    assert health.proven.detail == "4 of 4 notebooks came back as they were"
    saved.sync()
    saved.lose_this_machine()
    rebuild_state(saved.settings)
    again = look_at(saved.settings).proven
    assert again is not None
    assert again[1:] == health.proven[1:]


def test_the_same_seed_draws_the_same(saved: Desk) -> None:
    """A lot can be drawn again, and another seed draws another."""
    draws = [tuple(each.path for each in drill(saved, sample=2, seed=seed).tried) for seed in (1, 1, 2, 3, 4)]
    assert draws[0] == draws[1]
    assert len(set(draws)) > 1
    assert {len(each) for each in draws} == {2}


@pytest.mark.parametrize("to", [ROOT, f"{ROOT}/drill", f"/Workspace{ROOT}/drill/", "/", "Shared", "/Shared/mine"])
def test_a_place_where_no_drill_may_be_is_refused(saved: Desk, to: str) -> None:
    """Inside the backed-up root, no path at all, or a notebook: refused before anything is written."""
    before = everything(saved)
    with pytest.raises(ConfigurationError):
        drill(saved, to=to)
    assert everything(saved) == before


def test_what_cannot_be_tried_ends_with_3_and_is_no_proof(saved: Desk) -> None:
    """A refused import is told by path; the others are tried; the scratch folder goes; `proven` stays what it was."""
    good = drill(saved)
    saved.emulator.faults(
        {"kind": "status", "status": 403, "match": {"endpoint": "import", "path": "/Shared/**/b/one"}}
    )
    found = drill(saved)
    assert [(each.path, each.verdict) for each in found.tried if each.verdict is not Verdict.IDENTICAL] == [
        (f"{ROOT}/b/one", Verdict.FAILED)
    ]
    assert (found.exit_code, found.count(Verdict.IDENTICAL)) == (3, 3)
    assert not any("drill" in path for path in everything(saved))
    health = look_at(saved.settings)
    assert health.drill is not None
    assert health.proven is not None
    assert (health.drill.result, health.proven.object) == ("partial", good.scratch)


def test_what_comes_back_differently_or_is_lost_ends_with_8(saved: Desk) -> None:
    """A notebook that reads back otherwise, and one whose bytes the vault does not have, are told apart."""
    scratch = "/Shared/drills/known"
    change = {"op": "edit", "path": f"{scratch}/a/one", "content": "# Databricks notebook source\nother"}
    saved.emulator.faults({"kind": "do", "do": change, "when": "before", "match": {"endpoint": "export"}})
    saved.emulator.create(f"{scratch}-not/a/one")
    with read_vault(saved.settings, warn=saved.warnings.append, clock=saved.clock) as vault:
        items = sorted(draw(vault, sample=9, seed=1))
        items[1] = items[1]._replace(blob="0" * 40)
        data = contents(vault.blobs, items)

    async def rehearse() -> list[Tried]:
        async with connected(saved.settings, clock=saved.clock) as workspace:
            return await Rehearsal(workspace, scratch=scratch, root=ROOT).run(items[:2], data)

    tried = asyncio.run(rehearse())
    assert [each.verdict for each in tried] == [Verdict.DIFFERS, Verdict.MISSING]
    assert f"{scratch}-not/a/one" in everything(saved)
    assert not any(path.startswith(f"{scratch}/") for path in everything(saved))
    found = Drill("d", saved.clock.now(), "dana", 1, "c", scratch, tuple(tried))
    assert (found.exit_code, [each["result"] for each in found.as_json()["problems"]]) == (8, ["differs", "missing"])


def test_a_scratch_folder_that_cannot_be_removed_is_named(saved: Desk) -> None:
    """Where the deletion is refused, the folder is told and recorded, and the drill is not well."""
    saved.emulator.faults({"kind": "status", "status": 403, "match": {"endpoint": "delete"}})
    found = drill(saved)
    assert (found.exit_code, found.count(Verdict.IDENTICAL)) == (3, 4)
    assert found.scratch in found.left_behind


def test_a_drill_that_breaks_off_cleans_up(saved: Desk) -> None:
    """When the token is refused in the middle, the drill ends with that error, and the scratch folder is gone."""
    before = everything(saved)
    fault = {"kind": "status", "status": 401, "match": {"endpoint": "export"}}
    saved.emulator.faults(fault)
    with pytest.raises(NbvaultError):
        drill(saved)
    assert everything(saved) == before


def test_a_stopped_drill_cleans_up(saved: Desk) -> None:
    """SIGTERM in the middle of a drill ends it with 9, and its scratch folder is gone."""
    before = everything(saved)
    saved.emulator.faults({"kind": "latency", "ms": 15000, "match": {"endpoint": "export"}})
    command = [sys.executable, "-m", "nbvault.cli.main", "drill"]
    process = subprocess.Popen(command, env=saved.environment(), cwd=saved.folder, stderr=subprocess.PIPE)
    give_up = time.monotonic() + 20
    while len(everything(saved)) < len(before) + 6 and time.monotonic() < give_up:
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 9
    assert everything(saved) == before

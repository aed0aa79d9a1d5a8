"""Whatever fails in the middle: the receipt says what is true of the workspace, and an undo leads back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nbvault_emulator.testing import Emulator
from recovery.places import ROOT
from recovery.restore.desk import Holding, RestoreDesk, check_against_world, source

NOTEBOOKS = [f"{ROOT}/n/{number}" for number in range(8)]
SQL = "-- Databricks notebook source\nselect 1"


@pytest.fixture(scope="module")
def wrecked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RestoreDesk, Holding]]:
    """Eight notebooks and what they were; each test wrecks them anew: edited, deleted, of another language."""
    with Emulator(world=[{"path": path, "content": source(f"right {path}")} for path in NOTEBOOKS]) as emulator:
        desk = RestoreDesk(emulator, tmp_path_factory.mktemp("desk"))
        desk.sync()
        yield desk, desk.holding()


def wreck(desk: RestoreDesk) -> Holding:
    """The first four are edited, two are deleted, two are written anew in SQL."""
    desk.emulator.faults()
    there = desk.holding()
    for number, path in enumerate(NOTEBOOKS):
        if path in there:
            desk.emulator.delete(path)
        if number < 4:
            desk.emulator.create(path, source(f"wrecked {path}"))
        elif number >= 6:
            desk.emulator.create(path, SQL, language="SQL")
    return desk.holding()


def check(desk: RestoreDesk, wanted: Holding, before: Holding, *faults: Mapping[str, Any]) -> dict[str, Any]:
    """Restore under faults, compare receipt and world, and undo it without them."""
    desk.emulator.faults(*faults)
    receipt = desk.restore(ROOT)
    desk.emulator.faults()
    now = desk.holding()
    found = receipt.as_json()
    check_against_world(found, before=before, wanted=wanted, now=now)
    assert sum(count for name, count in found["counts"].items() if name != "entries") == len(NOTEBOOKS)
    assert found == desk.receipt(receipt.intent.restore)
    desk.undo(receipt)
    assert desk.holding() == before
    return found


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_refused_import_is_one_notebooks_failure(wrecked: tuple[RestoreDesk, Holding], nth: int) -> None:
    """Each import in turn is refused: that one is as it was before, with the reason; all others are restored."""
    desk, wanted = wrecked
    fault = {"kind": "status", "status": 403, "message": "No.", "match": {"endpoint": "import", "nth": nth}}
    found = check(desk, wanted, wreck(desk), fault)
    assert found["counts"] == {"entries": 8, "restored": 7, "failed": 1}
    assert (found["exit_code"], found["status"]) == (3, "partial")
    assert all("No." in each["reason"] for each in found["entries"] if each["result"] == "failed")


@pytest.mark.parametrize("when", ["before", "mid-body"])
@pytest.mark.parametrize("nth", [1, 3, 5, 8])
def test_a_lost_answer_is_found_out(wrecked: tuple[RestoreDesk, Holding], nth: int, when: str) -> None:
    """Whether the import was done before the connection broke or not: in the end it is done, once, and proven."""
    desk, wanted = wrecked
    fault = {"kind": "drop", "when": when, "match": {"endpoint": "import", "nth": nth}}
    found = check(desk, wanted, wreck(desk), fault)
    assert (found["exit_code"], found["counts"]) == (0, {"entries": 8, "restored": 8})
    assert all(each["verified"] for each in found["entries"])


@pytest.mark.parametrize("path", NOTEBOOKS[::2])
def test_a_workspace_that_fails_on_one_notebook(wrecked: tuple[RestoreDesk, Holding], path: str) -> None:
    """Errors on the workspace's side, try after try, are read back before they are believed: nothing was done."""
    desk, wanted = wrecked
    fault = {"kind": "status", "status": 500, "match": {"endpoint": "import", "path": path}}
    found = check(desk, wanted, wreck(desk), fault)
    # One of another language was deleted first; it could not be put back, but it is saved.
    result = "removed" if path == NOTEBOOKS[6] else "failed"
    assert [each["target"] for each in found["entries"] if each["result"] == result] == [path]


@pytest.mark.parametrize("path", [NOTEBOOKS[0], NOTEBOOKS[4], NOTEBOOKS[6]])
def test_every_answer_lost_after_the_deed(wrecked: tuple[RestoreDesk, Holding], path: str) -> None:
    """An import that is carried out but never answered for is restored, by reading it back."""
    desk, wanted = wrecked
    fault = {"kind": "drop", "when": "mid-body", "match": {"endpoint": "import", "path": path}}
    found = check(desk, wanted, wreck(desk), fault)
    assert found["counts"]["restored"] == 8


@pytest.mark.parametrize("path", [NOTEBOOKS[0], NOTEBOOKS[4], NOTEBOOKS[6]])
def test_what_reads_back_differently_is_told(wrecked: tuple[RestoreDesk, Holding], path: str) -> None:
    """Somebody writes between import and reading back: it differs, exit code 8, and an undo leaves it alone."""
    desk, wanted = wrecked
    before = wreck(desk)
    edit = {"op": "edit", "path": path, "content": source("quicker"), "editor": "eve@clients.example"}
    desk.emulator.faults({"kind": "do", "when": "after", "do": edit, "match": {"endpoint": "import", "path": path}})
    receipt = desk.restore(ROOT)
    assert (receipt.exit_code, receipt.counts()["differs"]) == (8, 1)
    desk.emulator.faults()
    check_against_world(receipt.as_json(), before=before, wanted=wanted, now=desk.holding())


def test_permission_lost_halfway(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """From the third import on everything is forbidden: what was done stays and is told, the rest is untouched."""
    desk, wanted = wrecked
    before = wreck(desk)
    forbid = {"op": "faults", "faults": [{"kind": "forbid", "path": ROOT}]}
    fault = {"kind": "do", "do": forbid, "match": {"endpoint": "import", "nth": 3}}
    found = check(desk, wanted, before, fault)
    assert found["exit_code"] == 3
    assert found["counts"]["failed"] >= 4


@pytest.mark.parametrize("endpoint", ["import", "export"])
def test_the_token_expires_halfway(wrecked: tuple[RestoreDesk, Holding], endpoint: str) -> None:
    """Exit code 6, an interrupted receipt that is true, and the resumed restore finishes the work."""
    desk, wanted = wrecked
    before = wreck(desk)
    desk.emulator.faults({"kind": "token-expired", "after": 4, "match": {"endpoint": endpoint}})
    receipt = desk.restore(ROOT)
    desk.emulator.faults()
    assert (receipt.exit_code, receipt.status.value) == (6, "interrupted")
    assert "credentials" in receipt.error
    check_against_world(receipt.as_json(), before=before, wanted=wanted, now=desk.holding())
    resumed = desk.resume(receipt.intent.restore)
    assert (resumed.exit_code, desk.holding()) == (0, wanted)
    desk.undo(resumed)
    assert desk.holding() == before


@pytest.mark.parametrize("endpoint", ["import", "export", "*"])
def test_the_workspace_goes_away_halfway(wrecked: tuple[RestoreDesk, Holding], endpoint: str) -> None:
    """No answer any more: interrupted, the receipt is true where it can say, and the resumed restore finishes."""
    desk, wanted = wrecked
    before = wreck(desk)
    workspace = ["list", "get-status", "export", "import", "mkdirs", "delete", "scim"]
    match = {"endpoint": workspace if endpoint == "*" else endpoint, "after": 5}
    desk.emulator.faults({"kind": "drop", "when": "before", "match": match})
    receipt = desk.restore(ROOT)
    desk.emulator.faults()
    now = desk.holding()
    assert receipt.exit_code in (3, 9), receipt
    check_against_world(receipt.as_json(), before=before, wanted=wanted, now=now)
    assert desk.receipt(receipt.intent.restore)["counts"] == receipt.counts()
    resumed = desk.resume(receipt.intent.restore)
    assert (resumed.exit_code, desk.holding()) == (0, wanted)


def test_a_replaced_notebook_is_put_back_when_the_new_one_is_refused(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """The old one was deleted, the new one is refused: the old one is there again, and the receipt says so."""
    desk, _ = wrecked
    before = wreck(desk)
    match = {"endpoint": "import", "path": NOTEBOOKS[6], "nth": 1}
    desk.emulator.faults({"kind": "status", "status": 400, "message": "Bad name.", "match": match})
    receipt = desk.restore(NOTEBOOKS[6])
    entry = receipt.as_json()["entries"][0]
    assert (entry["action"], entry["result"]) == ("replace", "failed")
    assert "put back" in entry["reason"]
    assert desk.holding() == before


def test_a_replaced_notebook_that_cannot_even_be_put_back_is_saved(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """Both are refused: the result is `removed`, and undo brings the old one back from the vault."""
    desk, _ = wrecked
    before = wreck(desk)
    match = {"endpoint": "import", "path": NOTEBOOKS[6]}
    desk.emulator.faults({"kind": "status", "status": 400, "message": "Bad name.", "match": match})
    receipt = desk.restore(NOTEBOOKS[6])
    desk.emulator.faults()
    assert (receipt.counts().get("removed"), receipt.exit_code) == (1, 3)
    assert NOTEBOOKS[6] not in desk.holding()
    assert desk.undo(receipt).exit_code == 0
    assert desk.holding() == before


def test_nothing_is_overwritten_that_the_remote_has_not_confirmed(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """A remote that takes no pre-images lets nothing happen in the workspace."""
    desk, _ = wrecked
    before = wreck(desk)
    desk.emulator.faults({"kind": "push-rejected", "refs": "refs/heads/nbvault/restores", "message": "TF402455: No."})
    with pytest.raises(Exception, match="TF402455"):
        desk.restore(ROOT)
    desk.emulator.faults()
    assert desk.holding() == before


def test_the_remote_goes_away_after_the_intent(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """The receipt cannot be written: that is said, the restore is open, and resuming it finishes and records it."""
    desk, wanted = wrecked
    before = wreck(desk)
    gone = {"op": "faults", "faults": [{"kind": "push-rejected", "refs": "refs/heads/nbvault/restores"}]}
    desk.emulator.faults({"kind": "do", "do": gone, "match": {"endpoint": "import", "nth": 1}})
    receipt = desk.restore(ROOT)
    desk.emulator.faults()
    assert not receipt.recorded
    assert (receipt.exit_code, "--resume" in receipt.error) == (1, True)
    check_against_world(receipt.as_json(), before=before, wanted=wanted, now=desk.holding())
    assert desk.open_restores() == [receipt.intent.restore]
    # This process is the holder and lives; another one resumes.
    with desk.restorer() as restorer:
        restorer.is_alive = lambda _holder: False
        resumed = restorer.apply(restorer.resume(receipt.intent.restore))
    assert (resumed.exit_code, resumed.recorded, desk.holding()) == (0, True, wanted)
    assert desk.open_restores() == []
    desk.undo(resumed)
    assert desk.holding() == before


@pytest.mark.campaign
def test_two_hundred_notebooks_with_a_fault_at_each_import_in_turn(tmp_path: Path) -> None:
    """Refused, lost before or lost after the deed: receipt and workspace agree every time, and the undo leads back."""
    paths = [f"{ROOT}/n/{number:03}" for number in range(200)]
    kinds = ({"kind": "status", "status": 403}, {"kind": "drop"}, {"kind": "drop", "when": "mid-body"})
    with Emulator(world=[{"path": path, "content": source(f"right {path}")} for path in paths]) as emulator:
        desk = RestoreDesk(emulator, tmp_path)
        desk.sync()
        wanted = desk.holding()
        for number, path in enumerate(paths):
            change = emulator.delete if number % 3 == 0 else lambda at: emulator.edit(at, source("wrecked"))
            change(path)
        before = desk.holding()
        for nth in range(1, 201):
            emulator.faults({**kinds[nth % 3], "match": {"endpoint": "import", "nth": nth}})
            receipt = desk.restore(ROOT)
            emulator.faults()
            check_against_world(receipt.as_json(), before=before, wanted=wanted, now=desk.holding())
            assert receipt.counts().get("failed", 0) == (nth % 3 == 0), nth
            assert desk.undo(receipt).exit_code == 0
            assert desk.holding() == before

"""The original replaced by its Git folder, and back: at no moment is the only copy of anything lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.workspace import ObjectType

from conversion_places import ROOT, TARGET, Desk, Object, everything, sdk_of, small_world, some, source
from nbvault.errors import ConfigurationError, NbvaultError, VerificationError
from nbvault_emulator.testing import Emulator

EDITED = f"{ROOT}/2024/ENG-0/n0"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A small workspace, backed up and converted beside the original."""
    with Emulator(world=small_world()) as emulator:
        desk = Desk(tmp_path / "machine", emulator, {"max_in_flight": 1})
        desk.convert()
        yield desk


def grant(desk: Desk, path: str, group: str, level: PermissionLevel = PermissionLevel.CAN_EDIT) -> None:
    """Give a group a permission on a folder, a notebook or a Git folder."""
    sdk = sdk_of(desk.emulator)
    entry = sdk.workspace.get_status(path)
    kinds = {ObjectType.DIRECTORY: "directories", ObjectType.NOTEBOOK: "notebooks", ObjectType.REPO: "repos"}
    wanted = AccessControlRequest(group_name=group, permission_level=level)
    sdk.permissions.update(kinds[entry.object_type], str(entry.object_id), access_control_list=[wanted])


def granted(desk: Desk, path: str) -> dict[str, str]:
    """What is granted on an object itself."""
    sdk = sdk_of(desk.emulator)
    entry = sdk.workspace.get_status(path)
    kinds = {ObjectType.DIRECTORY: "directories", ObjectType.NOTEBOOK: "notebooks", ObjectType.REPO: "repos"}
    found = sdk.permissions.get(kinds[entry.object_type], str(entry.object_id)).access_control_list or []
    return {
        str(each.group_name): str(one.permission_level.value)
        for each in found
        for one in each.all_permissions or []
        if not one.inherited and one.permission_level
    }


def notebooks(desk: Desk, path: str = ROOT) -> list[Object]:
    return [each for each in everything(desk.emulator, path) if each.kind == "NOTEBOOK"]


def test_replaced_and_back(desk: Desk) -> None:
    """The Git folder stands at the original path, with its notebooks and permissions; taken back, the original does."""
    grant(desk, ROOT, "team")
    grant(desk, f"{ROOT}/2024/empty", "readers", PermissionLevel.CAN_READ)
    grant(desk, EDITED, "owners")
    before = [each for each in everything(desk.emulator) if not each.path.startswith(TARGET)]
    texts = notebooks(desk)
    report = desk.convert(replace=True, accept_changes=True)
    assert (report.status, report.exit_code, [each.view.path for each in report.folders]) == ("replaced", 0, [ROOT])
    assert sdk_of(desk.emulator).workspace.get_status(ROOT).object_type is ObjectType.REPO
    assert notebooks(desk) == texts
    assert not any(each.path.startswith(TARGET) for each in everything(desk.emulator))
    assert granted(desk, ROOT) == {"team": "CAN_EDIT"}
    with pytest.raises(ConfigurationError, match="replaced by a Git folder already"):
        desk.convert()
    assert desk.roll_back().status == "rolled back"
    assert desk.left() == (before, [])
    back = {path: granted(desk, path) for path in (ROOT, f"{ROOT}/2024/empty", EDITED, f"{ROOT}/2024")}
    assert list(back.values()) == [{"team": "CAN_EDIT"}, {"readers": "CAN_READ"}, {"owners": "CAN_EDIT"}, {}]
    synced = desk.machine.sync()
    assert (synced.exit_code, synced.counts.held_deletions) == (0, 0)


def test_what_would_be_lost_or_changed_is_refused(desk: Desk) -> None:
    """A file, a folder with its own permissions, a name that changes, several Git folders: nothing is deleted."""
    desk.emulator.create(f"{ROOT}/data.csv", "a,b", object_type="FILE")
    before = everything(desk.emulator)
    with pytest.raises(VerificationError, match=r"data.csv is a FILE"):
        desk.convert(replace=True)
    assert everything(desk.emulator) == before
    desk.emulator.delete(f"{ROOT}/data.csv")
    desk.emulator.create(f"{ROOT}/at 09:00", source("x"))
    grant(desk, f"{ROOT}/2024", "readers")
    before = everything(desk.emulator, ROOT)
    with pytest.raises(ConfigurationError, match=r"at 09:00 would be called .*2024 has permissions of its own"):
        desk.convert(replace=True)
    assert everything(desk.emulator, ROOT) == before
    desk.roll_back()
    desk.convert(max_files=9)
    with pytest.raises(ConfigurationError, match="needs 2 Git folders"):
        desk.convert(replace=True, accept_changes=True)
    assert everything(desk.emulator, ROOT) == before


def edit(path: str, text: str = "mine") -> dict[str, Any]:
    return {"op": "edit", "path": path, "content": source(text)}


MOMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("while it is compared first", {"endpoint": "export", "path": EDITED, "nth": 1}, "edit"),
    ("before the second comparison", {"endpoint": "export", "path": EDITED, "nth": 2}, "edit"),
    ("right before it is deleted", {"endpoint": "get-status", "path": EDITED}, "edit"),
    ("while others are deleted", {"endpoint": "delete", "path": f"{ROOT}/top"}, "edit"),
    ("a new one in a folder", {"endpoint": "delete", "path": f"{ROOT}/top"}, "create"),
    ("a new one at the very end", {"endpoint": "delete", "path": ROOT}, "create at the top"),
]


@pytest.mark.parametrize(("_name", "match", "what"), some(MOMENTS, 2), ids=[name for name, _, _ in MOMENTS])
def test_somebody_works_there_meanwhile(desk: Desk, _name: str, match: dict[str, Any], what: str) -> None:
    """An edit at any moment stops it: the edit stays, and everything else is as it was."""
    made = {"create": f"{ROOT}/2025/ENG-1/mine", "create at the top": f"{ROOT}/mine"}
    path = made.get(what, EDITED)
    do = {"op": "create", "path": path, "content": source("mine")} if what in made else edit(path)
    before = {each.path: each for each in everything(desk.emulator, ROOT)}
    desk.emulator.faults({"kind": "do", "do": do, "match": {**match, "times": 1}})
    with pytest.raises(NbvaultError):
        desk.convert(replace=True)
    desk.emulator.faults()
    after = {each.path: each for each in everything(desk.emulator, ROOT)}
    mine = Object(path, "NOTEBOOK", "PYTHON", source("mine"))
    assert after[path].content == mine.content
    del after[path]
    before.pop(path, None)
    assert after == before
    assert desk.stage() == "converted"


STEPS: list[tuple[str, dict[str, Any]]] = [
    ("the first deletion", {"kind": "status", "status": 403, "match": {"endpoint": "delete", "nth": 1}}),
    ("a later deletion", {"kind": "status", "status": 403, "match": {"endpoint": "delete", "nth": 5}}),
    (
        "a folder",
        {"kind": "status", "status": 403, "match": {"endpoint": "delete", "path": f"{ROOT}/2024", "times": 1}},
    ),
    ("the root", {"kind": "status", "status": 403, "match": {"endpoint": "delete", "path": ROOT, "times": 1}}),
    (
        "the Git folder",
        {"kind": "status", "status": 400, "match": {"endpoint": "repos-create", "path": ROOT, "times": 1}},
    ),
    (
        "its comparison",
        {"kind": "status", "status": 403, "match": {"endpoint": "export", "path": f"{ROOT}/top", "nth": 3}},
    ),
    ("its permissions", {"kind": "status", "status": 403, "match": {"endpoint": "permissions-set", "times": 1}}),
]


@pytest.mark.parametrize(("_name", "fault"), some(STEPS, 4), ids=[name for name, _ in STEPS])
def test_what_fails_brings_the_original_back(desk: Desk, _name: str, fault: dict[str, Any]) -> None:
    """Whatever step fails, the original stands again, the Git folder beside it stays, and it can be tried again."""
    grant(desk, ROOT, "team")
    before = desk.left()
    desk.emulator.faults(fault)
    with pytest.raises(NbvaultError):
        desk.convert(replace=True)
    desk.emulator.faults()
    assert desk.left() == before
    assert granted(desk, ROOT) == {"team": "CAN_EDIT"}
    assert desk.stage() == "converted"


@pytest.mark.campaign
def test_answers_that_are_lost_do_not_matter(desk: Desk) -> None:
    """Deletions and imports that were carried out although their answer was lost count as what they are."""
    before = desk.left()
    desk.emulator.faults(
        {"kind": "drop", "when": "mid-body", "match": {"endpoint": "delete", "nth": [2, 5]}},
        {"kind": "lost-answer", "match": {"endpoint": "repos-create", "path": ROOT, "nth": 1}},
        {"kind": "drop", "when": "mid-body", "match": {"endpoint": "import", "nth": [1, 4]}},
        {"kind": "drop", "when": "mid-body", "match": {"endpoint": "repos-delete", "nth": 1}},
    )
    assert desk.convert(replace=True).status == "replaced"
    desk.roll_back()
    after, credentials = desk.left()
    assert (after, credentials) == ([each for each in before[0] if not each.path.startswith(TARGET)], [])


@pytest.mark.campaign
def test_work_in_the_replaced_folder_stops_the_way_back(desk: Desk) -> None:
    """What people have edited since is not removed: the rollback names it, and goes on when it is discarded."""
    desk.convert(replace=True)
    before = {each.path: each.content for each in notebooks(desk)}
    desk.emulator.edit(EDITED, source("mine"))
    with pytest.raises(VerificationError, match="n0"):
        desk.roll_back()
    assert {each.path: each.content for each in notebooks(desk)} == before | {EDITED: source("mine")}
    desk.emulator.edit(EDITED, before[EDITED])
    desk.roll_back()
    assert {each.path: each.content for each in notebooks(desk)} == before
    assert sdk_of(desk.emulator).workspace.get_status(ROOT).object_type is ObjectType.DIRECTORY

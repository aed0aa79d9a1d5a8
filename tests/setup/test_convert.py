"""Git folders beside the original: they show the vault, and whatever happens, what was there before is there again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.service.workspace import ObjectType

from conversion_places import ROOT, TARGET, Desk, Object, everything, sdk_of, small_world, some, source
from flow.places import refs_of, server_of
from nbvault.errors import ConfigurationError, NbvaultError, VerificationError
from nbvault.setup.report import ConvertOptions
from nbvault_emulator.testing import Emulator


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A small workspace that was never backed up."""
    with Emulator(world=small_world()) as emulator:
        yield Desk(tmp_path / "machine", emulator)


def shown_below(desk: Desk, path: str) -> dict[str, str]:
    """What a folder shows: each notebook's path below it, and its text."""
    start = path + "/"
    found = everything(desk.emulator, path)
    return {each.path.removeprefix(start): each.content for each in found if each.kind == "NOTEBOOK"}


def test_one_git_folder_shows_everything(desk: Desk) -> None:
    """Every notebook and subfolder of the original is in the Git folder, the same; the original is not touched."""
    original = everything(desk.emulator, ROOT)
    report = desk.convert()
    assert (report.exit_code, report.status, report.not_shown, report.renamed) == (0, "converted", (), ())
    (folder,) = report.folders
    assert (folder.view.path, folder.same, folder.head) == (
        TARGET,
        8,
        refs_of(server_of(desk.emulator))["refs/heads/main"],
    )
    assert shown_below(desk, TARGET) == shown_below(desk, ROOT)
    assert everything(desk.emulator, ROOT) == original
    assert sdk_of(desk.emulator).workspace.get_status(TARGET).object_type is ObjectType.REPO


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    """Neither workspace nor remote nor credentials, whether there is a vault or not; it says what would be made."""
    for planned_files in (8, 11):
        before, refs = desk.left(), refs_of(server_of(desk.emulator))
        desk.emulator.reset_requests()
        report = desk.conversions.plan(ConvertOptions())
        asked = desk.emulator.requests()
        assert [(each.view.path, each.load.files) for each in report.planned] == [(TARGET, planned_files)]
        assert (desk.left(), refs_of(server_of(desk.emulator))) == (before, refs)
        assert not {"import", "mkdirs", "delete", "repos-create", "credentials-create", "git-push-pack"} & asked.keys()
        desk.machine.sync()


def test_limits_make_several_sparse_folders(desk: Desk) -> None:
    """A year each, a year that is too large by its engagements; together they show everything; rolled back all go."""
    desk.machine.sync()
    before = desk.left()
    report = desk.convert(max_files=9)
    paths = [each.view.path for each in report.folders]
    assert paths == [f"{TARGET}/2024", f"{TARGET}/2025"]
    report = desk.conversions.plan(ConvertOptions(max_files=6))
    assert len(report.warnings) == 2
    together: dict[str, str] = {}
    for path in paths:
        together |= shown_below(desk, path)
    assert together == shown_below(desk, ROOT)
    assert desk.roll_back().status == "rolled back"
    assert desk.left() == before
    finer = desk.convert(max_files=6)
    assert [each.view.folder for each in finer.folders] == [
        "2024/ENG-0",
        "2024/ENG-1",
        "2024/ENG-2",
        "2025/ENG-0",
        "2025/ENG-1",
        "2025/ENG-2",
    ]
    desk.roll_back()
    assert desk.left() == before


def test_converted_again_it_is_brought_up_to_date(desk: Desk) -> None:
    """Edits, and a year that is new, are shown after the next conversion; what is new is not taken from elsewhere."""
    desk.convert(max_files=9)
    desk.emulator.edit(f"{ROOT}/2024/ENG-0/n0", source("edited"))
    desk.emulator.create(f"{ROOT}/2026/ENG-9/fresh", source("fresh"))
    report = desk.convert()
    assert [each.view.path for each in report.folders] == [f"{TARGET}/2024", f"{TARGET}/2025", f"{TARGET}/2026"]
    assert shown_below(desk, f"{TARGET}/2024")["2024/ENG-0/n0"] == source("edited")
    assert shown_below(desk, f"{TARGET}/2026")["2026/ENG-9/fresh"] == source("fresh")


def test_a_thousand_folders(tmp_path: Path) -> None:
    """A workspace of a thousand folders is converted: each is there, with its notebook."""
    world = [
        {"path": f"{ROOT}/{2020 + number % 5}/ENG-{number:04}/n", "content": source(f"x = {number}")}
        for number in range(1000)
    ]
    with Emulator(world=world) as emulator:
        desk = Desk(tmp_path / "machine", emulator)
        report = desk.convert()
        assert (report.exit_code, sum(each.same for each in report.folders)) == (0, 1000)
        folders = {each.path.removeprefix(TARGET) for each in everything(emulator, TARGET) if each.kind == "DIRECTORY"}
        assert folders == {
            each.path.removeprefix(ROOT) for each in everything(emulator, ROOT) if each.kind == "DIRECTORY"
        }
        assert len(folders) == 1005


STEPS: list[tuple[str, dict[str, Any]]] = [
    ("the credential is refused", {"kind": "status", "status": 403, "match": {"endpoint": "credentials-create"}}),
    ("the folder cannot be made", {"kind": "status", "status": 403, "match": {"endpoint": "mkdirs"}}),
    ("the first Git folder is refused", {"kind": "status", "status": 400, "match": {"endpoint": "repos-create"}}),
    ("the second is refused", {"kind": "status", "status": 400, "match": {"endpoint": "repos-create", "nth": [2, 3]}}),
    ("the second is too large", {"kind": "repo-limit", "files": 6, "match": {"path": f"{TARGET}/2024"}}),
    ("always incomplete", {"kind": "repo-incomplete", "share": 0.3}),
    (
        "no export of what it shows",
        {"kind": "status", "status": 403, "match": {"endpoint": "export", "path": f"{TARGET}/2025/**"}},
    ),
    (
        "no more records can be pushed",
        {
            "kind": "do",
            "when": "after",
            "do": {"op": "faults", "faults": [{"kind": "push-rejected", "refs": "refs/heads/nbvault/meta"}]},
            "match": {"endpoint": "repos-create", "nth": 1},
        },
    ),
]


@pytest.mark.parametrize(("_name", "fault"), some(STEPS, 3), ids=[name for name, _ in STEPS])
def test_what_fails_is_taken_back(desk: Desk, _name: str, fault: dict[str, Any]) -> None:
    """Whatever step fails, the workspace is what it was; afterwards it can be converted."""
    desk.machine.sync()
    before = desk.left()
    once = fault["match"].get("endpoint") == "export" if "match" in fault else False
    desk.emulator.faults({**fault, "match": {**fault["match"], "times": 1}} if once else fault)
    with pytest.raises(NbvaultError):
        desk.convert(max_files=9)
    desk.emulator.faults()
    if desk.stage() not in ("", "rolled back"):
        desk.roll_back()
    assert desk.left() == before
    assert desk.convert(max_files=9).exit_code == 0


@pytest.mark.parametrize(
    "fault",
    some(
        [
            {"kind": "repo-incomplete", "share": 0.5, "match": {"nth": 1}},
            {"kind": "lost-answer", "match": {"endpoint": "repos-create", "nth": 1}},
            {"kind": "drop", "when": "mid-body", "match": {"endpoint": "repos-create", "nth": 1}},
            {"kind": "lost-answer", "match": {"endpoint": "credentials-create", "nth": 1}},
            {"kind": "status", "status": 503, "match": {"endpoint": "repos", "times": 2}},
        ],
        0,
    ),
    ids=lambda fault: f"{fault['kind']}-{fault['match'].get('endpoint', 'create')}",
)
def test_what_passes_is_overcome(desk: Desk, fault: dict[str, Any]) -> None:
    """A clone that ends halfway is made again; an answer that was lost is found out; a short outage is waited for."""
    desk.machine.sync()
    before = desk.left()
    desk.emulator.faults(fault)
    assert desk.convert().exit_code == 0
    assert shown_below(desk, TARGET) == shown_below(desk, ROOT)
    desk.roll_back()
    assert desk.left() == before


def test_work_in_a_git_folder_is_never_removed(desk: Desk) -> None:
    """An edit, a new notebook, or a thing in the folder above stops the rollback by name; without them it goes on."""
    before = desk.left()
    desk.convert(max_files=9)
    edited = f"{TARGET}/2024/2024/ENG-0/n0"
    old = next(each.content for each in everything(desk.emulator) if each.path == edited)
    desk.emulator.edit(edited, source("mine"))
    with pytest.raises(VerificationError, match=r"2024/ENG-0/n0 \(differs\)"):
        desk.roll_back()
    with pytest.raises(ConfigurationError, match="being taken back"):
        desk.convert()
    desk.emulator.edit(edited, old)
    desk.emulator.create(f"{TARGET}/2024/mine", source("mine"))
    desk.emulator.create(f"{TARGET}/beside", source("mine"))
    with pytest.raises(VerificationError, match="2024/mine"):
        desk.roll_back()
    desk.emulator.delete(f"{TARGET}/2024/mine")
    assert desk.roll_back().status == "rolled back"
    kept = [Object(TARGET, "DIRECTORY", "", ""), Object(f"{TARGET}/beside", "NOTEBOOK", "PYTHON", source("mine"))]
    assert desk.left() == (sorted([*before[0], *kept]), before[1])


@pytest.mark.campaign
def test_work_stops_an_update_too(desk: Desk) -> None:
    """A pull over somebody's changes is not tried; the work stays, and so does what was converted before."""
    desk.convert()
    desk.emulator.edit(f"{TARGET}/top", source("mine"))
    desk.emulator.edit(f"{ROOT}/top", source("new"))
    with pytest.raises(VerificationError, match="top"):
        desk.convert()
    assert shown_below(desk, TARGET)["top"] == source("mine")
    assert desk.stage() == "converted"


@pytest.mark.campaign
def test_a_credential_that_was_there_is_used_and_stays(desk: Desk) -> None:
    """The identity's own credential is neither replaced nor removed."""
    sdk = sdk_of(desk.emulator)
    sdk.git_credentials.create("azureDevOpsServices", personal_access_token=desk.emulator.git_token, name="dana's")
    assert desk.convert().exit_code == 0
    desk.roll_back()
    assert [each.name for each in sdk.git_credentials.list()] == ["dana's"]


def test_another_machine_goes_on_and_every_step_is_recorded(desk: Desk, tmp_path: Path) -> None:
    """Records and audit trail on the remote name each step, and no secret; another machine can roll back."""
    before = desk.left()
    desk.convert()
    events = [json.loads(line)["event"] for line in desk.records("conversions").splitlines()]
    assert events == ["began", "credential", "created", "compared"]
    audit = [json.loads(line) for line in desk.records("audit").splitlines()]
    steps = [(each["action"], each["actor"], each["result"]) for each in audit if each["action"].startswith("convert")]
    assert steps == [(f"convert: {event}", "dana", "ok") for event in events]
    assert desk.emulator.git_token not in desk.records("conversions") + desk.records("audit")
    other = Desk(tmp_path / "other", desk.emulator)
    other.roll_back()
    assert desk.left() == before
    with pytest.raises(ConfigurationError, match="rolled back already"):
        desk.roll_back()


def test_what_cannot_be_converted_is_refused(desk: Desk) -> None:
    """A place that is taken, inside, or without parent; a repository without https: said before anything is done."""
    for to, said in (("/Shared", "there already"), (f"{ROOT}/git", "not beside"), ("/no/where", "no folder in which")):
        with pytest.raises(ConfigurationError, match=said):
            desk.convert(to=to)
    local = Desk(desk.folder, desk.emulator)
    text = local.machine.config.read_text()
    local.machine.config.write_text(text.replace(desk.emulator.git_url, str(server_of(desk.emulator))))
    with pytest.raises(ConfigurationError, match="https"):
        local.convert()
    desk.machine.config.write_text(text)
    with pytest.raises(ConfigurationError, match="Nothing was converted"):
        desk.roll_back()
    assert desk.stage() == ""


def test_what_is_not_shown_is_said(desk: Desk) -> None:
    """Kinds that are not backed up, names that are spelled otherwise, and text without a header are reported."""
    desk.emulator.create(f"{ROOT}/data.csv", "a,b", object_type="FILE")
    desk.emulator.create(f"{ROOT}/2024/at 09:00", source("x"))
    desk.emulator.create(f"{ROOT}/bare", "print(1)")
    report = desk.convert()
    assert [path for path, _ in report.not_shown] == [f"{ROOT}/data.csv"]
    assert report.renamed == ((f"{ROOT}/2024/at 09:00", f"{TARGET}/2024/at 09%3A00"),)
    assert (report.exit_code, report.folders[0].as_file, report.folders[0].same) == (3, (f"{TARGET}/bare.py",), 9)

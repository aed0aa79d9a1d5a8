"""`export.bulk`: folders exported whole give the vault that single exports give, or are not used."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fault_places import FIRST_DAY, HastyClock
from flow.odd_world import HEADERS, LANGUAGES, NAMES, sources
from flow.places import (
    Machine,
    Quiet,
    blobs_of,
    check_tree,
    empty_the_server,
    git,
    inventory_ids,
    server_of,
    tree_of,
    world_of,
)
from nbvault.backup.bulk import day_of
from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.trust import ONE_IN, place
from nbvault.diagnosis import run_doctor
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

# Four at a time, each in a folder of its own: five in a row that are of no use end the trying.
SHAPES = (
    ("flat", "full-path", "shallow", "no-extension"),
    ("upper-extension", "wrong-extension", "underscores", "files"),
    ("duplicate", "extra", "missing"),
    ("truncated", "bad-crc", "not-a-zip", "documents"),
)
HARMLESS = {"shallow", "missing", "documents"}
WHERE_IT_HURTS = {"underscores": "/Clients/odd", "files": "/Clients/plain0", "documents": "/Clients/lab"}
SIZES = ("size-exceeds", "notebook-size", "file-size", "max-notebook-size", "max-read-size", "error-info", "in-200")
FAILURES = (
    ({"kind": "status", "status": 403}, {"kind": "status", "status": 500}, {"kind": "empty-body"}),
    ({"kind": "nonsense"}, {"kind": "drop", "when": "mid-body"}),
    ({"kind": "status", "status": 429, "times": 3},),
)
FOLDERS = 5


def world() -> list[dict[str, Any]]:
    """Folders of plain names, one of every odd name, one whose names clash, one with a folder and files in it."""
    draw = random.Random(5)
    made = [_notebook(f"plain{n % FOLDERS}/step{n:02d}", LANGUAGES[n % 4], draw) for n in range(FOLDERS * 6)]
    clean = [name for name in NAMES[::2] if not name.lower().endswith((".py", ".sql", ".ipynb", ".x", ".txt"))]
    made += [_notebook(f"odd/{name}", LANGUAGES[n % 4], draw) for n, name in enumerate(clean)]
    made += [_notebook(f"clash/{name}", "PYTHON", draw) for name in ("x", "x.py", "x.py.py", "y", "z", "a")]
    made += [_notebook(f"above/{name}", "SQL", draw) for name in ("a", "b", "c", "d", "e")]
    made += [_notebook(f"above/below/{name}", "R", draw) for name in ("a", "b", "c", "d", "e")]
    made += [_notebook(f"lab/{name}", "SCALA", draw) | {"format": "IPYNB"} for name in ("a", "b", "c", "d")]
    made += [_notebook(f"lab/{name}", "SQL", draw) for name in ("e", "f", "g")]
    for path in ("plain0/data.csv", "odd/readme.txt", "files/only"):
        made.append({"path": f"/Clients/{path}", "object_type": "FILE", "content": "a,b"})
    contents = {language: list(islice(sources(language), 14)) for language in LANGUAGES}
    for number, one in enumerate(made):
        if one.get("object_type") is None and one.get("format") is None and number % 3:
            text = contents[one["language"]][number % 14]
            one["content_base64"] = base64.b64encode(text).decode()
            del one["content"]
    return made


def _notebook(path: str, language: str, draw: random.Random) -> dict[str, Any]:
    content = HEADERS[language] + f"print({draw.random()})"
    return {"path": f"/Clients/{path}", "language": language, "content": content}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path, dict[str, str]]]:
    """The world; a copy of its Git server after the probe and before any session; and the tree of single exports."""
    folder = tmp_path_factory.mktemp("bulk")
    with Emulator(world=world(), git_dir=folder / "git") as running:
        assert probe(machine_of(folder / "prober", running))["result"] == "ok"
        proven = folder / "proven.git"
        git(server_of(running), "clone", "--mirror", "--quiet", str(server_of(running)), str(proven))
        singles = machine_of(folder / "singles", running, bulk="off")
        assert singles.sync().requests.export_folder == 0
        yield running, proven, tree_of(server_of(running))


@pytest.fixture
def proven(workspace: tuple[Emulator, Path, dict[str, str]], tmp_path: Path) -> Iterator[Machine]:
    """A machine with `export.bulk = "on"`, whose vault holds nothing but the proof."""
    emulator, pristine, _ = workspace
    empty_the_server(emulator, pristine)
    yield machine_of(tmp_path / "machine", emulator)
    emulator.faults()


@pytest.fixture
def alone(workspace: tuple[Emulator, Path, dict[str, str]]) -> dict[str, str]:
    """The tree of single exports."""
    return workspace[2]


def machine_of(folder: Path, emulator: Emulator, *, bulk: str = "on", **sync_keys: Any) -> Machine:
    machine = Machine(folder, emulator, sync_keys=sync_keys)
    # A remote that is a folder: half the processes, for tests that are not about the server.
    text = machine.config.read_text().replace(emulator.git_url, str(server_of(emulator)))
    machine.config.write_text(f'{text}[export]\nbulk = "{bulk}"\n')
    return machine


def probe(machine: Machine) -> dict[str, Any]:
    """What `nbvault doctor --probe` has recorded in the vault."""
    run_doctor(machine.settings, probe=True, by="ann", warn=lambda _: None)
    return records(machine.emulator, "probes")[-1]


def records(emulator: Emulator, kind: str) -> list[dict[str, Any]]:
    tree = tree_of(server_of(emulator), "nbvault/meta")
    blobs = blobs_of(server_of(emulator), tree.values())
    paths = sorted(path for path in tree if path.startswith(f"records/{kind}-"))
    return [json.loads(line) for path in paths for line in blobs[tree[path]].splitlines()]


def rows(emulator: Emulator) -> list[dict[str, Any]]:
    tree = tree_of(server_of(emulator), "nbvault/meta")
    blobs = blobs_of(server_of(emulator), tree.values())
    paths = sorted(path for path in tree if path.startswith("inventory/"))
    found = [json.loads(line) for path in paths for line in blobs[tree[path]].splitlines()]
    return list({row["id"]: row for row in found}.values())


def drawn_today(emulator: Emulator, folder: str) -> str:
    """The notebook of a folder that is nearest to being compared with its own export today."""
    day = int(time.time()) // 86_400
    found = emulator.world(f"/Clients/{folder}")
    return min(found, key=lambda each: place(each["object_id"], day))["path"]


# --- as it should be -----------------------------------------------------------------------------------------------


def test_the_tree_is_that_of_single_exports(proven: Machine, alone: dict[str, str]) -> None:
    """Folders, odd names, several languages and formats: byte for byte the same tree, with a tenth of the requests."""
    report = proven.sync()
    assert (report.exit_code, report.notes) == (0, ()), report
    check_tree(proven.emulator)
    assert tree_of(server_of(proven.emulator)) == alone
    # Leaf folders without clashes: plain, odd, lab, below.
    assert report.requests.export_folder == FOLDERS + 3
    assert report.requests.export < 30 < len(alone), report.requests
    assert proven.sync().counts.saved == 0


def test_few_changes_are_exported_one_by_one_and_many_at_once(proven: Machine, alone: dict[str, str]) -> None:
    """A quarter of a folder, and four notebooks at least, are worth an archive; less is not."""
    emulator, before = proven.emulator, world_of(proven.emulator)
    proven.sync()
    try:
        for number, changed in ((0, 3), (1, 4)):
            paths = sorted(seen.path for seen in before.values() if f"/plain{number}/" in seen.path)
            for path in paths[:changed]:
                emulator.edit(path, f"# Databricks notebook source\n# {changed}", "ann@example.com")
        report = proven.sync()
        assert (report.counts.modified, report.requests.export_folder) == (7, 1), report
        check_tree(emulator)
    finally:
        put_back(emulator, alone)


def put_back(emulator: Emulator, alone: dict[str, str]) -> None:
    """The workspace as it was, so that other tests find the tree they know."""
    for one in world():
        if one.get("object_type") is None and "/plain" in one["path"]:
            content = one["content"] if "content" in one else base64.b64decode(one["content_base64"])
            emulator.edit(one["path"], content)


def test_a_full_sync_takes_archives(proven: Machine) -> None:
    """`--full` looks at every byte, by archives where they are proven."""
    proven.sync()
    report = proven.sync(full=True)
    assert (report.counts.saved, report.requests.export_folder) == (0, FOLDERS + 3)


# --- what is not proven --------------------------------------------------------------------------------------------


def test_nothing_is_taken_before_it_is_proven(workspace: Any, tmp_path: Path) -> None:
    """`on` without a probe: single exports, and a note that says what to do; nothing is refused."""
    with Emulator(world=world()[:40]) as emulator:
        machine = machine_of(tmp_path / "machine", emulator)
        report = machine.sync()
        assert (report.exit_code, report.requests.export_folder) == (0, 0)
        assert any("doctor --probe" in note for note in report.notes), report.notes
        check_tree(emulator)


def test_the_proof_of_another_workspace_is_none(proven: Machine) -> None:
    """The same vault, another address of the workspace: to be proven anew."""
    text = proven.config.read_text()
    proven.config.write_text(text.replace("http://127.0.0.1", "http://localhost"))
    report = proven.sync()
    assert (report.exit_code, report.requests.export_folder) == (0, 0)
    assert any("localhost" in note for note in report.notes), report.notes


def test_with_native_formats_archives_are_not_used(proven: Machine) -> None:
    """Archives have SOURCE only: with `export.format = "native"` a note says that they are not used."""
    proven.config.write_text(proven.config.read_text() + 'format = "native"\n')
    report = proven.sync()
    assert (report.exit_code, report.requests.export_folder) == (0, 0)
    assert any("native" in note for note in report.notes), report.notes


def test_a_probe_that_fails_is_remembered(proven: Machine, alone: dict[str, str]) -> None:
    """A workspace whose archives have other bytes: recorded, and single exports from then on; a later proof counts."""
    proven.emulator.faults({"kind": "archive", "shape": "swapped", "entry": "**"})
    record = probe(proven)
    assert (record["result"], record["by"]) == ("failed", "ann")
    assert "other bytes" in record["reason"]
    assert records(proven.emulator, "audit")[-1]["result"] == "failed"
    report = proven.sync()
    assert (report.requests.export_folder, tree_of(server_of(proven.emulator))) == (0, alone)
    proven.emulator.faults()
    assert probe(proven)["result"] == "ok"
    assert proven.sync(full=True).requests.export_folder == FOLDERS + 3


def test_probing_during_syncs(workspace: Any, tmp_path: Path) -> None:
    """`probe`: every session compares some archives with single exports and uses none; `on` then takes them."""
    with Emulator(world=world()) as emulator:
        machine = machine_of(tmp_path / "machine", emulator, bulk="probe")
        first = machine.sync()
        assert 0 < first.requests.export_folder <= 4
        assert any("probed" in note and "proof enough" in note for note in first.notes), first.notes
        (record,) = records(emulator, "probes")
        assert (record["result"], record["session"], record["deeper"]) == ("ok", first.session, True)
        machine.config.write_text(machine.config.read_text().replace('bulk = "probe"', 'bulk = "on"'))
        assert machine.sync(full=True).requests.export_folder == FOLDERS + 3
        check_tree(emulator)


def test_the_probe_tells_what_it_saw(proven: Machine) -> None:
    """Names, subfolders, the size limit, and what may not be read are in the record."""
    limit = {"kind": "oversize", "shape": "error-info", "match": {"endpoint": "export-folder", "path": "**/odd"}}
    hidden = {"kind": "forbid", "path": "/Clients/lab/a"}
    flat = {"kind": "archive", "shape": "flat"}
    proven.emulator.faults(limit, hidden, flat)
    record = probe(proven)
    assert (record["result"], record["layout"], record["deeper"], record["unreadable"]) == ("ok", "flat", True, 1)
    assert "Size exceeds 10485760 bytes" in record["too_large"][0]


# --- a workspace that misbehaves -----------------------------------------------------------------------------------


def in_folders(*faults: dict[str, Any]) -> list[dict[str, Any]]:
    """Each fault for the archive of another folder: the one where it hurts, or the next."""
    plain = iter(
        [
            *(f"/Clients/plain{number}" for number in range(1, FOLDERS)),
            "/Clients/odd",
            "/Clients/lab",
            "/Clients/above/below",
        ]
    )
    paths = [WHERE_IT_HURTS.get(fault.get("shape", "")) or next(plain) for fault in faults]
    return [
        {**fault, "match": {"endpoint": "export-folder", "path": path}}
        for fault, path in zip(faults, paths, strict=True)
    ]


@pytest.mark.parametrize("shapes", SHAPES, ids="/".join)
def test_every_other_layout_ends_in_the_same_tree(
    proven: Machine, alone: dict[str, str], shapes: tuple[str, ...]
) -> None:
    """Whatever some archives look like after the probe, the vault is that of single exports; the others are used."""
    proven.emulator.faults(*in_folders(*({"kind": "archive", "shape": shape} for shape in shapes)))
    report = proven.sync()
    assert (report.exit_code, tree_of(server_of(proven.emulator))) == (0, alone), report
    useless = len(set(shapes) - HARMLESS)
    assert report.requests.export_folder == FOLDERS + 3
    assert [f"of {useless:,} folders" in note for note in report.notes] == [True], report.notes


def test_a_layout_that_is_another_everywhere(proven: Machine, alone: dict[str, str]) -> None:
    """Names without the folder in front, where the probe saw it: given up after a few, the tree is right."""
    proven.emulator.faults({"kind": "archive", "shape": "flat"})
    report = proven.sync()
    assert (report.exit_code, tree_of(server_of(proven.emulator))) == (0, alone), report
    assert any("given up" in note for note in report.notes), report.notes


def test_archives_over_the_limit(proven: Machine, alone: dict[str, str]) -> None:
    """Refused for their size in whichever words: these folders are exported notebook by notebook, the others not."""
    proven.emulator.faults(*in_folders(*({"kind": "oversize", "shape": shape} for shape in SIZES)))
    report = proven.sync()
    assert (report.exit_code, tree_of(server_of(proven.emulator))) == (0, alone), report
    # What comes under 200 is asked for once more, so that content and error are kept apart.
    assert report.requests.export_folder == FOLDERS + 3 + 1
    assert not any("given up" in note for note in report.notes), report.notes


@pytest.mark.parametrize("faults", FAILURES, ids=["refused", "broken", "throttled"])
def test_folder_exports_that_fail(proven: Machine, alone: dict[str, str], faults: tuple[dict[str, Any], ...]) -> None:
    """Refused, broken, cut off: single exports; throttled: tried again."""
    proven.emulator.faults(*in_folders(*faults))
    report = proven.sync()
    assert (report.exit_code, tree_of(server_of(proven.emulator))) == (0, alone), report


def test_what_may_not_be_read_is_no_fault_of_the_archive(proven: Machine) -> None:
    """A notebook that is listed and refused is not in the archive: it alone fails."""
    proven.emulator.faults({"kind": "forbid", "path": "/Clients/plain1/step06"})
    report = proven.sync()
    assert (report.exit_code, report.counts.failed) == (3, 1)
    assert report.requests.export_folder == FOLDERS + 3


def test_archives_that_begin_to_lie_are_found_out(proven: Machine, alone: dict[str, str]) -> None:
    """After the proof, archives with other bytes: everything is exported singly, recorded, and not tried again."""
    proven.emulator.faults({"kind": "archive", "shape": "wrong-bytes", "entry": "**"})
    report = proven.sync()
    assert (report.exit_code, tree_of(server_of(proven.emulator))) == (0, alone), report
    assert report.requests.export >= len(world_of(proven.emulator))
    assert any("not used any more" in note for note in report.notes), report.notes
    record = records(proven.emulator, "probes")[-1]
    assert (record["result"], record["session"]) == ("distrusted", report.session)
    assert [e["result"] for e in records(proven.emulator, "audit") if e["action"] == "folder export"][
        -1
    ] == "distrusted"
    proven.emulator.faults()
    again = proven.sync(full=True)
    assert (again.requests.export_folder, again.counts.saved) == (0, 0)
    assert any("found wrong" in note for note in again.notes), again.notes


@pytest.mark.parametrize("batch_size", [5, 5000])
def test_what_was_committed_before_a_lie_was_found_is_put_right(
    workspace: Any, alone: dict[str, str], tmp_path: Path, batch_size: int
) -> None:
    """Once the last archive differs, what batches had committed from the others is exported again, and then claimed."""
    emulator, pristine, _ = workspace
    empty_the_server(emulator, pristine)
    machine = machine_of(tmp_path / "machine", emulator, batch_size=batch_size, push_every=5)
    lied = emulator.world("/Clients/odd")[0]
    # A day on which this notebook is one of those that are compared, in an archive that comes after the others.
    days = (FIRST_DAY + timedelta(days=number) for number in range(ONE_IN))
    day = next(day for day in days if place(lied["object_id"], day_of(day)) == 0)
    about = {"endpoint": "export-folder", "path": "/Clients/odd"}
    emulator.faults(
        {"kind": "latency", "ms": 1500, "match": about},
        {"kind": "archive", "shape": "wrong-bytes", "entry": "**", "match": about},
    )
    report = run_sync(machine.settings(), SyncOptions(), Quiet(), clock=HastyClock(day))
    emulator.faults()
    assert (report.exit_code, tree_of(server_of(emulator))) == (0, alone), report
    assert lied["path"] in report.notes[0]
    assert report.requests.export >= len(world_of(emulator))
    assert report.commits > (10 if batch_size == 5 else 0)
    assert [row["path"] for row in rows(emulator) if not row["mod"]] == []


def test_a_session_that_dies_has_claimed_nothing_of_its_archives(
    workspace: Any, alone: dict[str, str], tmp_path: Path
) -> None:
    """What a broken-off session committed from archives has no times in its rows, so the next one exports it again."""
    emulator, pristine, _ = workspace
    empty_the_server(emulator, pristine)
    machine = machine_of(tmp_path / "machine", emulator, batch_size=5, push_every=5)
    emulator.faults({"kind": "token-expired", "match": {"endpoint": "export-folder"}, "after": 6})
    broken = machine.sync()
    emulator.faults()
    kept = [row for row in rows(emulator) if "gone" not in row]
    assert broken.exit_code == 6
    assert len(kept) > 8
    assert sum(row["mod"] == 0 == row["imod"] for row in kept) > 8
    resumed = machine_of(tmp_path / "another", emulator).sync()
    assert (resumed.exit_code, resumed.resumed) == (0, True), resumed
    assert tree_of(server_of(emulator)) == alone
    assert inventory_ids(server_of(emulator), "nbvault/meta") == set(world_of(emulator))
    assert all(row["mod"] for row in rows(emulator))


def test_an_edit_between_archive_and_export_is_no_lie(proven: Machine) -> None:
    """A notebook that is edited just after its folder's archive was made: the trust stays, the new text is saved."""
    emulator = proven.emulator
    first = drawn_today(emulator, "odd")
    text = "# Databricks notebook source\n# edited in between"
    edit = {"op": "edit", "path": first, "content": text, "editor": "ann@example.com"}
    only = [{"kind": "hole", "path": f"/Clients/{name}", "admin": True} for name in ("lab", "above", "clash", "files")]
    only += [{"kind": "hole", "path": f"/Clients/plain{n}", "admin": True} for n in range(FOLDERS)]
    before = emulator.world(first, content=True)[0]["content"]
    emulator.faults(
        *only, {"kind": "do", "do": edit, "when": "after", "match": {"endpoint": "export-folder", "nth": 1}}
    )
    try:
        report = proven.sync()
        assert (report.exit_code, report.notes) == (0, ()), report
        assert report.requests.export_folder == 2
        blobs = blobs_of(server_of(emulator), tree_of(server_of(emulator)).values())
        assert text.encode() in blobs.values()
    finally:
        emulator.faults()
        emulator.edit(first, before)

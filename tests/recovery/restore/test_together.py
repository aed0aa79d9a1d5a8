"""Restores that meet others: another restore, a sync, people who edit, and their own death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbvault.backup.engine import SyncOptions
from nbvault.errors import ConfigurationError, LockedError
from nbvault.gitstore.restores import RECEIPT
from nbvault.recovery import carry
from nbvault.recovery.receipt import Receipt
from nbvault.recovery.restorer import Request
from nbvault.wiring import run_sync
from recovery.places import ROOT, Silent
from recovery.restore.desk import RestoreDesk, check_against_world, path_of, source

DRIVER = Path(__file__).with_name("driver.py")
FOLDER = path_of("f")


def wreck(desk: RestoreDesk) -> None:
    for name in "abc":
        desk.emulator.edit(path_of(f"f/{name}"), source(f"wrecked {name}"))


@contextmanager
def spawned(desk: RestoreDesk, path: str) -> Iterator[subprocess.Popen[str]]:
    """A restore in a process of its own."""
    command = [sys.executable, str(DRIVER), str(desk.folder), path]
    environment = {**desk.environment(), "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_killed_restore_is_open_until_it_is_resumed(desk: RestoreDesk) -> None:
    """Killed in the middle, it leaves no receipt and blocks its notebooks; it can be resumed, and then undone."""
    names = [path_of(f"many/{number:02}") for number in range(40)]
    for name in names:
        desk.emulator.create(name, source(f"first {name}"))
    desk.sync()
    wanted = desk.holding()
    for number, name in enumerate(names):
        desk.emulator.edit(name, source("wrecked")) if number % 4 else desk.emulator.delete(name)
    before = desk.holding()
    desk.emulator.faults({"kind": "latency", "ms": 200, "match": {"endpoint": "import", "after": 6}})
    with spawned(desk, path_of("many")) as process:
        assert process.stdout is not None
        restore = process.stdout.readline().strip()
        assert process.stdout.readline() == "done\n"
        process.kill()
    desk.emulator.faults()

    assert desk.open_restores() == [restore]
    with pytest.raises(LockedError, match=restore):
        desk.restore(path_of("many"))
    with pytest.raises(LockedError, match=restore):
        desk.plan(names[1])
    assert desk.restore(path_of("f")).exit_code == 0
    with pytest.raises(ConfigurationError, match="not ended"):
        desk.undo(restore)

    resumed = desk.resume(restore)
    assert (resumed.exit_code, desk.holding()) == (0, wanted)
    check_against_world(resumed.as_json(), before=before, wanted=wanted, now=desk.holding())
    assert desk.open_restores() == []
    assert desk.undo(resumed).exit_code == 0
    assert desk.holding() == before


def test_what_a_killed_restore_wrote_and_somebody_edited_is_not_forgotten(desk: RestoreDesk) -> None:
    """Resumed, it leaves the edit alone; so does the undo, and says so, and can bring back what was there first."""
    wreck(desk)
    desk.emulator.delete(path_of("f/b"))
    before = desk.holding()
    desk.emulator.faults({"kind": "hang", "seconds": 60, "match": {"endpoint": "import", "nth": 3}})
    with spawned(desk, FOLDER) as process:
        assert process.stdout is not None
        restore = process.stdout.readline().strip()
        assert [process.stdout.readline() for _ in range(2)] == ["done\n"] * 2
        process.kill()
    desk.emulator.faults()
    written = [name for name in "abc" if desk.holding().get(path_of(f"f/{name}")) != before.get(path_of(f"f/{name}"))]
    assert len(written) == 2
    for name in written:
        desk.emulator.edit(path_of(f"f/{name}"), source(f"edited {name}"))
    edited = desk.holding()

    resumed = desk.resume(restore)
    results = {each["target"][-1]: each["result"] for each in resumed.as_json()["entries"]}
    assert (results, resumed.exit_code) == ({name: "moved" if name in written else "restored" for name in "abc"}, 3)
    undone = desk.undo(restore)
    assert (undone.exit_code, undone.counts()["changed since"]) == (3, 2)
    assert {name: desk.holding()[path_of(f"f/{name}")] for name in written} == {
        name: edited[path_of(f"f/{name}")] for name in written
    }
    assert desk.undo(restore, forced=True).exit_code == 0
    assert desk.holding() == before


def test_a_killed_restore_can_be_abandoned_and_still_be_undone(desk: RestoreDesk) -> None:
    """Abandoned, it blocks nobody; what it did is taken back by its pre-images, what it did not do is left alone."""
    wreck(desk)
    before = desk.holding()
    desk.emulator.faults({"kind": "hang", "seconds": 60, "match": {"endpoint": "import", "nth": [2, 3]}})
    with spawned(desk, FOLDER) as process:
        assert process.stdout is not None
        restore = process.stdout.readline().strip()
        assert process.stdout.readline() == "done\n"
        process.kill()
    desk.emulator.faults()
    with desk.restorer() as restorer:
        assert restorer.abandon(restore).status.value == "abandoned"
    assert desk.open_restores() == []
    assert desk.holding() != before
    undone = desk.undo(restore)
    assert (undone.exit_code, desk.holding()) == (0, before)
    with desk.restorer() as restorer, pytest.raises(ConfigurationError, match="not open"):
        restorer.abandon(restore)


def test_a_signal_ends_a_restore_in_order(desk: RestoreDesk) -> None:
    """SIGTERM: exit code 9, a receipt that is true, and the rest is done by resuming it."""
    wreck(desk)
    before = desk.holding()
    desk.emulator.faults({"kind": "latency", "ms": 900, "match": {"endpoint": "get-status", "nth": [2, 3]}})
    with spawned(desk, FOLDER) as process:
        assert process.stdout is not None
        restore = process.stdout.readline().strip()
        assert process.stdout.readline() == "done\n"
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
    desk.emulator.faults()
    found = desk.receipt(restore)
    first = {path: source(f"first {path[-1]}") for path in before if path.startswith(FOLDER)}
    wanted = {path: held._replace(text=first.get(path, held.text)) for path, held in before.items()}
    check_against_world(found, before=before, wanted=wanted, now=desk.holding())
    assert (code, found["exit_code"], found["status"]) == (9, 9, "interrupted")
    assert found["counts"] == {"entries": 3, "restored": 1, "not done": 2}
    assert desk.resume(restore).exit_code == 0
    assert desk.holding() == wanted


def test_what_a_signal_cut_short_says_so(desk: RestoreDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what was under way does not end in time after SIGTERM, the receipt names the signal, and no time limit."""
    wreck(desk)
    monkeypatch.setattr(carry, "FINISH_S", 0.0)
    monkeypatch.setattr(carry, "_stop_if", lambda *_: None)
    desk.emulator.faults({"kind": "latency", "ms": 900, "match": {"endpoint": "import", "nth": [2, 3]}})
    with desk.restorer() as restorer:
        restorer.done = lambda: os.kill(os.getpid(), signal.SIGTERM)
        receipt = restorer.apply(restorer.plan(Request((FOLDER,))))
    told = [receipt.error, *(outcome.reason for outcome in receipt.outcomes.values())]
    assert (receipt.status.value, "Asked to stop; /Clients/f/" in told[0]) == ("interrupted", True), told
    assert not [each for each in told if "time limit" in each]


def test_two_people_restore_one_folder_at_once(desk: RestoreDesk) -> None:
    """Both planned before either began: one goes on, the other is told who has it in hand, and nothing is mixed up."""
    for name in "abc":
        desk.emulator.edit(path_of(f"f/{name}"), source(f"second {name}"))
    desk.sync()
    wreck(desk)
    before = desk.holding()
    told: list[LockedError] = []
    with desk.restorer() as first, desk.restorer() as second:
        tags = [str(day.report.tag) for day in desk.diary]
        plans = first.plan(Request((FOLDER,), at=tags[0])), second.plan(Request((FOLDER,), at=tags[1]))

        def try_second() -> None:
            try:
                second.apply(plans[1])
            except LockedError as error:
                told.append(error)

        def meanwhile() -> None:
            if not told:
                # Two event loops cannot run in one thread.
                thread = threading.Thread(target=try_second)
                thread.start()
                thread.join()

        first.done = meanwhile
        receipt = first.apply(plans[0])
    assert plans[0].intent.restore in told[0].message
    assert plans[0].intent.by in told[0].message
    assert receipt.exit_code == 0
    assert desk.open_restores() == []
    assert {path.split("/")[1] for path in desk.files_on_branch()} == {receipt.intent.restore}
    assert desk.undo(receipt).exit_code == 0
    assert desk.holding() == before


def test_restores_of_different_folders_run_side_by_side(desk: RestoreDesk) -> None:
    """Both lose races for the branch and write again on top; both receipts are there, and both folders are right."""
    for number in range(30):
        desk.emulator.create(path_of(f"{'xy'[number % 2]}/{number}"), source(f"first {number}"))
    desk.sync()
    wanted = desk.holding()
    for name in wanted:
        desk.emulator.edit(name, source("wrecked"))
    found: list[Receipt] = []
    threads = [threading.Thread(target=lambda p=p: found.append(desk.restore(path_of(p)))) for p in ("x", "y", "f")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [receipt.exit_code for receipt in found] == [0, 0, 0]
    now = desk.holding()
    assert {path: now[path] for path in wanted if path != path_of("keep")} == {
        path: held for path, held in wanted.items() if path != path_of("keep")
    }
    for receipt in found:
        assert desk.receipt(receipt.intent.restore) == receipt.as_json()


def test_a_restore_during_a_sync_harms_neither(desk: RestoreDesk) -> None:
    """A sync runs over the whole time: it ends well, the restore too, and the next sync finds the restored state."""
    for number in range(60):
        desk.emulator.create(path_of(f"more/{number}"), source(f"first {number}"))
    desk.sync()
    wanted = desk.holding()
    for name in wanted:
        desk.emulator.edit(name, source(f"wrecked {name}"))
    desk.emulator.faults({"kind": "latency", "ms": 20, "match": {"endpoint": "export"}})
    syncing: list[int] = []
    session = threading.Thread(
        target=lambda: syncing.append(
            run_sync(desk.settings, SyncOptions(full=True), Silent(), clock=desk.clock).exit_code
        )
    )
    session.start()
    receipts = [desk.restore(ROOT, at=str(desk.diary[1].report.tag)) for _ in range(2)]
    session.join()
    desk.emulator.faults()
    assert [receipt.exit_code for receipt in receipts] == [0, 0]
    assert syncing == [0]
    assert desk.holding() == wanted
    desk.sync()
    for path in list(wanted)[:5]:
        assert desk.show(path).data.decode().removesuffix("\n") == wanted[path].text


def test_a_notebook_that_is_edited_after_the_plan_is_saved_again(desk: RestoreDesk) -> None:
    """What is overwritten is the edit that came after the plan; it is saved as such, and undo brings it back."""
    wreck(desk)
    with desk.restorer() as restorer:
        prepared = restorer.plan(Request((FOLDER,)))
        desk.emulator.edit(path_of("f/a"), source("edited after the plan"))
        desk.emulator.delete(path_of("f/b"))
        before = desk.holding()
        receipt = restorer.apply(prepared)
    results = {each["target"][-1]: each["result"] for each in receipt.as_json()["entries"]}
    assert (results, receipt.exit_code) == ({"a": "restored", "b": "moved", "c": "restored"}, 3)
    desk.undo(receipt)
    assert desk.holding() == before


def test_a_notebook_that_is_edited_between_saving_and_import(desk: RestoreDesk) -> None:
    """An edit after the pre-image was taken is seen at the last look: it is saved, too, before it is overwritten."""
    wreck(desk)
    path = path_of("f/a")
    edit = {"op": "edit", "path": path, "content": source("just now")}
    desk.emulator.faults({"kind": "do", "do": edit, "match": {"endpoint": "get-status", "path": path, "nth": 1}})
    receipt = desk.restore(FOLDER)
    assert receipt.exit_code == 0
    undone = desk.undo(receipt)
    assert undone.exit_code == 0
    assert desk.holding()[path].text == source("just now")


def test_a_notebook_that_never_keeps_still_is_left_alone(desk: RestoreDesk) -> None:
    """It changes at every look: after three pre-images it has moved, and the last edit stands."""
    wreck(desk)
    path = path_of("f/a")
    edit = {"op": "edit", "path": path, "content": source("again")}
    desk.emulator.faults({"kind": "do", "do": edit, "match": {"endpoint": "get-status", "path": path}})
    receipt = desk.restore(FOLDER)
    assert (receipt.counts(), receipt.exit_code) == ({"entries": 3, "moved": 1, "restored": 2}, 3)
    assert desk.holding()[path].text == source("again")


def test_what_appears_after_the_plan_is_not_overwritten(desk: RestoreDesk) -> None:
    """Where nothing was, somebody has put a notebook since: it stays, and an undo does not touch it."""
    desk.emulator.delete(path_of("f/a"))
    with desk.restorer() as restorer:
        prepared = restorer.plan(Request((FOLDER,)))
        desk.emulator.create(path_of("f/a"), source("somebody else's"))
        receipt = restorer.apply(prepared)
    assert (receipt.counts()["moved"], receipt.exit_code) == (1, 3)
    desk.undo(receipt)
    assert desk.holding()[path_of("f/a")].text == source("somebody else's")


def test_a_notebook_without_times_is_compared_by_its_bytes(desk: RestoreDesk) -> None:
    """Where the workspace tells no times, an edit after the pre-image is still seen."""
    wreck(desk)
    path = path_of("f/a")
    times = {"kind": "times", "path": f"{ROOT}/**", "modified_at": "zero", "modified_at_interactive": "missing"}
    edit = {"op": "edit", "path": path, "content": source("just now")}
    match = {"endpoint": "get-status", "path": path, "nth": 1}
    desk.emulator.faults(times, {"kind": "do", "do": edit, "match": match})
    receipt = desk.restore(path)
    desk.emulator.faults()
    assert receipt.exit_code == 0
    desk.undo(receipt)
    assert desk.holding()[path].text == source("just now")


def test_a_greeting_that_others_have_overtaken(desk: RestoreDesk) -> None:
    """Who greeted the server before somebody else pushed writes on top of theirs: nothing is lost."""
    with desk.restorer() as one, desk.restorer() as two:
        one.branch.greet()
        two.branch.append("B", {"intent.jsonl": b"{}"}, subject="intent")
        checked: list[str] = []
        one.branch.append(
            "A", {"intent.jsonl": b"{}"}, subject="intent", check=lambda: checked.extend(one.branch.ids())
        )
        one.branch.greet()
        one.branch.append("A", {RECEIPT: b"{}"}, subject="complete")
    assert checked == ["B"]
    files = [f"restores/{name}" for name in ("A/intent.jsonl", "A/receipt.json", "B/intent.jsonl")]
    assert desk.files_on_branch() == files
    assert desk.open_restores() == ["B"]

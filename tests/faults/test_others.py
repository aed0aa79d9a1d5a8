"""Other people and other nbvaults: who commits to the vault beside us, and who deletes what is in it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from fault_places import Place, source
from nbvault.opening import read_vault

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
EDITED = f"{FOLDER}/00_ingest_ledger"
FILE = "2024/ENG-1001/NOTEBOOKS/00_ingest_ledger.py"
OTHER = "2024/ENG-1001/NOTEBOOKS/01_clean_ledger.py"


def work(place: Place) -> None:
    """What people did since the last backup."""
    place.emulator.edit(EDITED, source("edited"))
    place.emulator.create(f"{FOLDER}/new", source("new"))
    place.emulator.delete(f"{FOLDER}/05_aggregate_ledger")


def test_a_person_changes_our_files_on_main(place: Place) -> None:
    """Set back and told as drift; where the workspace changed it too, as a conflict; both stay in history."""
    work(place)
    theirs = place.commit("main", {FILE: "a person's\n", OTHER: "a person's, too\n", "notes.md": "hi\n"})
    report = place.sync()
    assert report.exit_code == 0, report
    assert (report.counts.drift, report.counts.conflicts) == (2, 1)
    assert place.saved("notes.md") == place.world()
    assert "notes.md" in place.files()
    assert theirs in place.git("rev-list", "main").split()
    again = place.sync()
    assert (again.counts.drift, again.commits) == (0, 0)


def test_a_person_removes_and_adds_notebooks_by_hand(place: Place) -> None:
    """What people remove comes back; what they add beside ours stays and is no notebook of ours."""
    place.commit("main", {FILE: "", "2024/ENG-1001/NOTEBOOKS/by hand.py": "x\n"})
    report = place.sync()
    assert (report.exit_code, report.counts.drift) == (0, 1), report
    assert place.saved("2024/ENG-1001/NOTEBOOKS/by hand.py") == place.world()


def test_a_persons_file_where_a_notebook_comes(place: Place) -> None:
    """A notebook's file takes the place; what a person had there is drift and stays in history."""
    theirs = place.commit(
        "main", {"2024/ENG-1001/NOTEBOOKS/new.py": "x\n", "2025/extra": "a file where a folder comes\n"}
    )
    work(place)
    place.emulator.create("/Clients/2025/extra/inside", source("inside"))
    report = place.sync()
    assert report.exit_code == 0, report
    assert place.saved() == place.world()
    assert theirs in place.git("rev-list", "main").split()


def test_a_new_machine_after_people_pushed_to_main(place: Place) -> None:
    """Where the last conclusion is just beyond what a new machine fetches, it fetches more."""
    place.commit("main", {"notes.md": "hi\n"})
    place.commit("main", {"notes.md": "hi again\n", FILE: "a person's\n"})
    shutil.rmtree(place.local)
    work(place)
    report = place.sync()
    assert (report.exit_code, report.counts.drift, report.counts.saved) == (0, 1, 2), report
    assert place.saved("notes.md") == place.world()


def test_a_note_of_another_nbvault_meanwhile(place: Place) -> None:
    """Somebody acknowledges a problem while we scan: read anew, judged anew, and complete."""
    work(place)
    done: list[str] = []

    def acknowledged(text: str) -> None:
        if text == "Committing" and not done:
            place.add_note("records/audit-2026-11.jsonl", '{"at": "2026-11-22T02:00:00Z", "action": "by another"}\n')
            done.append(text)

    place.screen.stage = acknowledged  # type: ignore[method-assign]
    place.assert_whole(place.sync())
    assert done
    assert "by another" in place.git("show", "nbvault/meta:records/audit-2026-11.jsonl")


def test_another_machine_backs_up_meanwhile(place: Place, tmp_path: Path) -> None:
    """It took over our lease and finished first: our work is judged anew on top of its, and there is one truth."""
    work(place)
    other = place.another_machine(tmp_path / "other")
    reports: list[Any] = []

    def overtaken(text: str) -> None:
        if text == "Committing" and not reports:
            place.git("update-ref", "-d", "refs/heads/nbvault/lease")
            thread = threading.Thread(target=lambda: reports.append(other.sync()))
            thread.start()
            thread.join()

    place.screen.stage = overtaken  # type: ignore[method-assign]
    report = place.sync()
    other.assert_whole(reports[0])
    assert place.saved() == place.world()
    assert report.exit_code in (0, 5), report
    place.git("update-ref", "-d", "refs/heads/nbvault/lease")
    after = place.sync()
    assert after.counts.saved == 0
    place.assert_whole(after)


def test_an_emptied_remote_is_filled_again(place: Place) -> None:
    """Somebody made the repository anew: the local one, which is whole, fills it, history included."""
    work(place)
    old = place.tip("main")
    place.empty_the_remote()
    report = place.sync()
    place.assert_whole(report)
    assert old in place.git("rev-list", "--all").split()
    assert report.counts.added == 1


def test_an_emptied_remote_and_a_new_machine_is_a_first_sync(place: Place) -> None:
    """Nothing is left to build on: everything is saved anew."""
    place.empty_the_remote()
    shutil.rmtree(place.local)
    report = place.sync()
    assert report.counts.added == 80
    place.assert_whole(report)


@pytest.mark.parametrize("branch", ["main", "backup/daily", "nbvault/meta", "nbvault/lease"])
def test_a_branch_that_somebody_deleted(place: Place, branch: str) -> None:
    """Each single branch of the remote can be made again, and the vault is right afterwards."""
    work(place)
    old = place.tip("main")
    place.git("update-ref", "-d", f"refs/heads/{branch}")
    report = place.sync()
    place.assert_whole(report)
    assert old in place.git("rev-list", "main").split()
    place.assert_whole(place.sync())


@pytest.mark.parametrize("new_machine", [False, True])
def test_a_person_commits_on_top_of_our_records(new_machine: bool, place: Place) -> None:
    """What somebody puts on top of nbvault/meta hides nothing: the vault is read, and the next session goes on."""
    theirs = [place.commit("nbvault/meta", {"NOTE.md": f"{number}\n"}) for number in range(2)]
    if new_machine:
        shutil.rmtree(place.local)
    with read_vault(place.settings(), warn=lambda _: None, want_tree=False) as vault:
        assert len(vault.meta.rows) == 80
        assert vault.meta.content == place.tip("backup/daily")
    work(place)
    report = place.sync()
    assert (report.counts.added, report.counts.modified, report.counts.deleted) == (1, 1, 1), report
    assert (report.resumed, report.notes) == (False, ())
    place.assert_whole(report)
    assert theirs[-1] in place.git("rev-list", "nbvault/meta").split()


@pytest.mark.parametrize("changed", [False, True])
def test_lost_records_are_lost_once(changed: bool, place: Place) -> None:
    """Where no machine knows nbvault/meta any more all is saved anew; the session after that is an ordinary one."""
    place.git("update-ref", "-d", "refs/heads/nbvault/meta")
    shutil.rmtree(place.local)
    if changed:
        work(place)
    report = place.sync()
    assert (report.exit_code, report.counts.added) == (0, 80)
    assert any("its branch nbvault/meta is gone" in note for note in report.notes)
    after = place.sync()
    assert (after.exit_code, after.resumed, after.notes, after.commits) == (0, False, (), 0), after
    assert after.counts.unchanged == 80


@pytest.mark.parametrize("lost", [("nbvault/meta",), ("main", "backup/daily", "nbvault/meta")])
def test_who_does_not_have_all_of_a_lost_branch_begins_anew(
    lost: tuple[str, ...], place: Place, tmp_path: Path
) -> None:
    """A machine that never fetched what others wrote in between cannot push it again: it says so, and saves all."""
    other = place.another_machine(tmp_path / "other")
    for number in range(3):
        place.emulator.create(f"{FOLDER}/of another {number}", source(str(number)))
        assert other.sync().exit_code == 0
    assert place.sync().exit_code == 0
    for branch in lost:
        place.git("update-ref", "-d", f"refs/heads/{branch}")
    report = place.sync()
    assert (report.exit_code, report.counts.added) == (0, 83), report
    for each in (other, place):
        again = each.sync()
        assert (again.exit_code, again.counts.added, again.counts.unchanged) == (0, 0, 83), again
        each.assert_whole(again)


def test_an_empty_workspace_is_no_alarm(fresh: Place) -> None:
    """Sessions that have nothing to save, and the one that then saves the first, say nothing of lost records."""
    for path in list(fresh.world()):
        fresh.emulator.delete(path)
    assert [(fresh.sync().exit_code, fresh.sync().notes) for _ in range(2)] == [(0, ())] * 2
    fresh.emulator.create("/Clients/2024/first", source("first"))
    report = fresh.sync()
    assert (report.exit_code, report.counts.added, report.notes) == (0, 1, ())


def test_a_vault_of_another_root_is_refused(place: Place) -> None:
    """Another root is another vault: exit 7, and nothing is written."""
    tip = place.tip("main")
    report = place.sync(changes={"workspace.root": "/Clients/2024"})
    place.assert_nothing_claimed(report)
    assert report.exit_code == 7
    assert "/Clients/2024" in report.error
    assert place.tip("main") == tip


def test_a_vault_of_a_newer_format_is_refused(place: Place) -> None:
    """A newer nbvault wrote it: exit 7, and nothing is written."""
    place.add_note("format.json", '{"format": 3, "root": "/Clients"}\n', append=False)
    tip = place.tip("nbvault/meta")
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert report.exit_code == 7
    assert "format 3" in report.error
    assert place.tip("nbvault/meta") == tip

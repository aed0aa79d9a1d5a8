"""Held deletions: what is held, what is let through, and what is never a deletion at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_places import Place, source
from nbvault_emulator.testing import Emulator

TOP = "/Clients/2024"
FOLDER = "/Clients/2025/ENG-1004/NOTEBOOKS"
EDITED = f"{FOLDER}/00_ingest_ledger"


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Place]:
    """70 small notebooks in one folder and 10 in another, saved."""
    world = [{"path": f"/Clients/big/many/n{number:03}", "content": source(str(number))} for number in range(70)]
    world += [{"path": f"/Clients/big/few/n{number:03}", "content": source(str(number))} for number in range(10)]
    world += [{"path": "/Clients/rest/one", "content": source("one")}]
    with Emulator(world=world) as emulator:
        (tmp_path / "machine").mkdir()
        place = Place(emulator, tmp_path / "machine")
        place.assert_whole(place.sync())
        yield place


def drop(place: Place, first: int, last: int) -> None:
    """Delete some of the many."""
    place.emulator.batch(
        [{"op": "delete", "path": f"/Clients/big/many/n{number:03}"} for number in range(first, last)],
    )


def test_fifty_deletions_are_let_through(large: Place) -> None:
    """The floor of the limit: fifty, however small the vault."""
    drop(large, 0, 50)
    report = large.sync()
    assert report.counts.deleted == 50
    large.assert_whole(report)


def test_more_than_the_limit_is_held_and_the_rest_is_saved(large: Place) -> None:
    """51 deletions: none is done, exit 4, edits are saved; every later session says the same until it is decided."""
    before = large.saved()
    drop(large, 0, 51)
    large.emulator.edit("/Clients/rest/one", source("edited"))
    report = large.sync()
    assert (report.exit_code, report.status.value) == (4, "partial")
    assert (report.counts.held_deletions, report.counts.deleted, report.counts.modified) == (51, 0, 1)
    assert any("51 deletions" in note for note in report.notes)
    assert large.saved() == before | large.world()
    again = large.sync()
    assert (again.exit_code, again.counts.held_deletions, again.commits) == (4, 51, 0)


@pytest.mark.parametrize("which", ["last", "by name"])
def test_accepting_lets_through_that_set_and_no_more(large: Place, which: str) -> None:
    """What was deleted after the hold is judged on its own: here it is few, so it goes, too; but not as accepted."""
    drop(large, 0, 51)
    held = large.sync()
    drop(large, 51, 52)
    report = large.sync(accept_deletions="last" if which == "last" else held.session)
    assert report.counts.deleted == 52
    large.assert_whole(report)


def test_a_later_flood_is_not_accepted_with_an_earlier_one(large: Place) -> None:
    """Held are 55; then a top folder goes as well. Accepted are the 55 only, the top folder is held in its turn."""
    drop(large, 0, 55)
    held = large.sync()
    assert held.counts.held_deletions == 55
    large.emulator.delete("/Clients/rest")
    report = large.sync(accept_deletions=held.session)
    assert (report.exit_code, report.counts.deleted, report.counts.held_deletions) == (4, 55, 1), report
    assert set(large.saved()) == {*large.world(), "/Clients/rest/one"}
    last = large.sync(accept_deletions="last")
    assert (last.exit_code, last.counts.deleted) == (0, 1)
    large.assert_whole(last)


def test_accepted_notebooks_that_came_back_are_not_deleted(large: Place) -> None:
    """What is there again is there, whatever was accepted."""
    large.emulator.faults({"kind": "hole", "path": "/Clients/big/many"})
    held = large.sync()
    assert (held.exit_code, held.counts.held_deletions) == (4, 70)
    large.emulator.faults()
    report = large.sync(accept_deletions="last")
    assert report.counts.deleted == 0
    large.assert_whole(report)


def test_accepting_what_nobody_held_is_wrong_usage(large: Place) -> None:
    """Exit 7, and the message tells the sessions that held some."""
    for name in ("last", "20260101T000000Z-abcdef"):
        report = large.sync(accept_deletions=name)
        large.assert_nothing_claimed(report)
        assert report.exit_code == 7
        assert "held" in report.error


def test_an_empty_root_is_held(place: Place) -> None:
    """Nothing at all is left: exit 4, everything stays; accepted, it goes."""
    before = place.saved()
    for year in ("2024", "2025"):
        place.emulator.delete(f"/Clients/{year}")
    report = place.sync()
    assert (report.exit_code, report.counts.held_deletions, report.counts.listed) == (4, 80, 0)
    assert any("is empty" in note for note in report.notes)
    assert place.saved() == before
    accepted = place.sync(accept_deletions="last")
    assert (accepted.exit_code, accepted.counts.deleted) == (0, 80)
    place.assert_whole(accepted)
    place.emulator.create(EDITED, source("a new start"))
    place.assert_whole(place.sync())


def test_a_root_that_is_gone_is_a_wrong_configuration(place: Place) -> None:
    """Exit 7, and nothing is deleted."""
    before = place.saved()
    place.emulator.move("/Clients", "/Customers")
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert report.exit_code == 7
    assert place.saved() == before


def test_a_root_that_is_a_notebook_is_a_wrong_configuration(fresh: Place) -> None:
    """Exit 7, and no vault is made of it: with the right root the next session is a first one."""
    root = fresh.emulator.world("/")[0]["path"]
    report = fresh.sync(changes={"workspace.root": root})
    assert (report.exit_code, "is no folder but a NOTEBOOK" in report.error) == (7, True), report
    assert fresh.tip("main") == fresh.tip("nbvault/meta") == ""
    assert fresh.sync().exit_code == 0


def test_a_top_folder_that_is_gone_is_held(place: Place) -> None:
    """The rest of the day is saved; a single deletion elsewhere is held with it."""
    before = place.saved()
    place.emulator.delete(TOP)
    place.emulator.delete(f"{FOLDER}/01_clean_ledger")
    place.emulator.edit(EDITED, source("edited"))
    inside = sum(path.startswith(TOP + "/") for path in before)
    report = place.sync()
    assert (report.exit_code, report.counts.held_deletions, report.counts.deleted) == (4, inside + 1, 0)
    assert report.counts.modified == 1
    assert place.saved() == before | place.world()
    place.assert_whole(place.sync(accept_deletions="last"))


def test_a_top_folder_that_moved_is_renamed(place: Place) -> None:
    """Every id is seen elsewhere, so nothing is deleted and nothing held."""
    inside = sum(path.startswith(TOP + "/") for path in place.world())
    place.emulator.move(TOP, "/Clients/old/2024")
    report = place.sync()
    assert report.counts.renamed == inside
    place.assert_whole(report)


@pytest.mark.parametrize(
    "scope", [{"workspace.exclude": TOP}, {"workspace.include": "/Clients/2025"}, {"workspace.exclude": f"{FOLDER}/0*"}]
)
def test_a_change_of_scope_never_deletes(place: Place, scope: dict[str, str]) -> None:
    """What falls out of scope stays and is counted so; back in scope it is unchanged."""
    before = place.saved()
    report = place.sync(changes=scope)
    assert (report.exit_code, report.counts.deleted, report.counts.held_deletions) == (0, 0, 0), report
    assert report.counts.out_of_scope > 0
    assert place.saved() == before
    back = place.sync()
    assert back.counts.unchanged == 80
    place.assert_whole(back)


def test_what_is_deleted_out_of_scope_stays_until_it_is_in_scope_again(place: Place) -> None:
    """Nobody looked, so nobody knows."""
    before = place.saved()
    place.emulator.delete(f"{TOP}/ENG-1001/NOTEBOOKS")
    assert place.sync(changes={"workspace.exclude": TOP}).exit_code == 0
    assert place.saved() == before
    place.assert_whole(place.sync())


def test_a_replaced_notebook_keeps_its_path(place: Place) -> None:
    """Deleted and created anew, as deployments do: one added and one deleted, and the path lives on."""
    place.emulator.batch(
        [{"op": "delete", "path": EDITED}, {"op": "create", "path": EDITED, "content": source("deployed")}],
    )
    report = place.sync()
    assert (report.counts.added, report.counts.deleted, report.counts.modified) == (1, 1, 0)
    place.assert_whole(report)


def test_any_number_of_replacements_is_no_flood(large: Place) -> None:
    """70 notebooks deployed anew are no held deletions."""
    paths = [path for path in large.world() if path.startswith("/Clients/big/many")]
    large.emulator.batch([{"op": "delete", "path": path} for path in paths])
    large.emulator.batch([{"op": "create", "path": path, "content": source("deployed")} for path in paths])
    report = large.sync()
    assert (report.counts.added, report.counts.deleted) == (70, 70)
    large.assert_whole(report)


def test_a_replacement_that_cannot_be_exported_keeps_the_old_content(place: Place) -> None:
    """The old content stays until the new one is saved."""
    before = place.saved()
    place.emulator.batch(
        [{"op": "delete", "path": EDITED}, {"op": "create", "path": EDITED, "content": source("deployed")}],
    )
    place.emulator.faults({"kind": "status", "status": 500, "match": {"endpoint": "export", "path": EDITED}})
    report = place.sync()
    assert (report.exit_code, report.counts.failed) == (3, 1), report
    assert place.saved() == before
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_two_notebooks_that_change_places(place: Place) -> None:
    """Each keeps its id, so both are renamed."""
    other = f"{FOLDER}/01_clean_ledger"
    moves = [(EDITED, f"{FOLDER}/between"), (other, EDITED), (f"{FOLDER}/between", other)]
    place.emulator.batch([{"op": "move", "from": start, "to": end} for start, end in moves])
    report = place.sync()
    assert (report.counts.renamed, report.counts.deleted, report.counts.added) == (2, 0, 0)
    place.assert_whole(report)


def test_a_folder_that_becomes_a_notebook_and_back(place: Place) -> None:
    """A file where a folder was, and a folder where a file was."""
    place.emulator.delete(FOLDER)
    place.emulator.create(FOLDER, source("a notebook now"))
    place.assert_whole(place.sync())
    place.emulator.delete(FOLDER)
    place.emulator.create(EDITED, source("a folder again"))
    place.assert_whole(place.sync())

"""Frozen folders: listed once a week, never deleted unseen, and right when notebooks move in and out of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_places import DAY_S, Place, source
from nbvault.archiving import freeze, thaw
from nbvault.backup.freezing import WEEK, day_of, looks
from nbvault.model import Language, NotebookFormat, Row, SessionReport
from nbvault_emulator.testing import Emulator

OLD = [f"/Clients/2020/ENG-{number}/NOTEBOOKS" for number in range(6)]
OPEN = "/Clients/2026/ENG-9/NOTEBOOKS"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Six closed engagements of two notebooks each and an open one, saved; the closed ones are frozen."""
    paths = [f"{folder}/{name}" for folder in [*OLD, OPEN] for name in ("etl", "report")]
    with Emulator(world=[{"path": path, "content": source(path)} for path in paths]) as emulator:
        (tmp_path / "machine").mkdir()
        made = Place(emulator, tmp_path / "machine").by_path()
        made.assert_whole(made.sync())
        freeze(made.settings(), "/Clients/2020", by="ann", say=print, clock=made.clock)
        yield made


def day(place: Place, folder: str) -> None:
    """Go on to the next day on which this folder is listed."""
    place.clock.wait(DAY_S)
    while (int(place.clock.now().timestamp()) // int(DAY_S)) % WEEK != day_of(folder):
        place.sync()
        place.clock.wait(DAY_S)


def rest(place: Place, *folders: str) -> None:
    """Go on to a day on which none of these folders is listed, whose eve had a session."""
    for _ in range(WEEK):
        place.clock.wait(DAY_S)
        today = (int(place.clock.now().timestamp()) // int(DAY_S)) % WEEK
        if today not in {day_of(folder) for folder in folders}:
            return
        place.sync()
    raise AssertionError("these folders leave no day of the week")


def lineage(*folders: str) -> list[str]:
    """The folders and those above them that are frozen."""
    return [*folders, *(folder.removesuffix("/NOTEBOOKS") for folder in folders), "/Clients/2020"]


def whole(place: Place, report: SessionReport) -> None:
    """The vault is the workspace again, and the session has nothing to complain of."""
    assert (report.status.value, place.saved()) == ("complete", place.world())


def test_a_week_lists_every_frozen_folder_once_and_sees_what_is_new(place: Place) -> None:
    """Seven sessions, a day apart: each frozen folder is listed in one of them, the open ones in all.

    An edit is seen within the week, and what the vault has nothing of, when it is seen; both without a deletion.
    """
    place.emulator.edit(f"{OLD[0]}/etl", source("edited after all"))
    place.emulator.create("/Clients/2020/ENG-new/NOTEBOOKS/etl", source("late"))
    reports = [place.sync()]
    for _ in range(WEEK):
        place.clock.wait(DAY_S)
        reports.append(place.sync())
    frozen, new, everyday = 1 + 2 * len(OLD), 2, 4
    lists = [report.requests.list for report in reports]
    assert lists[0] == everyday
    assert frozen + WEEK * everyday <= sum(lists[1:]) <= frozen + 2 * new + WEEK * everyday
    assert (sum(r.counts.added for r in reports), sum(r.counts.modified for r in reports)) == (1, 1)
    assert all(r.status.value == "complete" and 14 <= r.counts.listed + r.counts.archived <= 15 for r in reports)
    assert place.saved() == place.world()


def test_a_second_session_of_a_day_lists_none_and_full_lists_all(place: Place) -> None:
    """The day's folders were listed once; ``--full`` distrusts everything."""
    place.clock.wait(DAY_S)
    place.sync()
    assert (place.sync().counts.archived, place.sync(full=True).counts.archived) == (12, 0)


def test_days_without_a_session_are_made_up_for(place: Place) -> None:
    """After a week without a session all are due."""
    place.clock.wait(8 * DAY_S)
    assert place.sync().counts.archived == 0


def test_what_is_gone_is_kept_until_it_is_proven(place: Place) -> None:
    """A folder that was not listed proves nothing: its rows are carried, counted as archived, and judged in their turn.

    A whole engagement is judged when its parent shows that it is gone, and what moved between frozen folders is moved,
    whichever of the two is listed first.
    """
    rest(place, *lineage(OLD[1]))
    place.emulator.delete(f"{OLD[1]}/etl")
    report = place.sync()
    assert (report.counts.deleted, f"{OLD[1]}/etl" in place.saved()) == (0, True)
    place.emulator.delete("/Clients/2020/ENG-2")
    place.emulator.move(f"{OLD[0]}/etl", f"{OLD[5]}/moved")
    reports = []
    for _ in range(WEEK):
        place.clock.wait(DAY_S)
        reports.append(place.sync())
    three = [_three(report) for report in reports]
    assert [sum(column) for column in zip(*three, strict=True)] == [1, 0, 3]
    assert {report.status.value for report in reports} == {"complete"}
    assert place.saved() == place.world()


def test_a_move_out_of_a_frozen_folder_is_a_rename(place: Place) -> None:
    """Its id is seen elsewhere; the old folder need not be listed for that, and is right when it is."""
    rest(place, *lineage(OLD[3]))
    place.emulator.move(f"{OLD[3]}/etl", f"{OPEN}/reopened")
    report = place.sync()
    assert (report.counts.renamed, report.counts.deleted, report.counts.added) == (1, 0, 0)
    whole(place, report)
    report = place.sync(full=True)
    assert (report.counts.saved, report.counts.deleted) == (0, 0)


def test_a_move_into_a_frozen_folder_is_a_rename_at_once(place: Place) -> None:
    """A notebook that is missing elsewhere is looked for in the frozen folders before it counts as deleted."""
    rest(place, *lineage(OLD[4]))
    place.emulator.move(f"{OPEN}/etl", f"{OLD[4]}/closed")
    report = place.sync()
    assert (report.counts.renamed, report.counts.deleted, report.counts.archived) == (1, 0, 0)
    whole(place, report)


def test_two_notebooks_and_one_place(place: Place) -> None:
    """Out of one frozen folder, its place taken by another notebook: one renamed, one added, none lost."""
    rest(place, *lineage(OLD[2]))
    place.emulator.move(f"{OLD[2]}/etl", f"{OPEN}/old_etl")
    place.emulator.create(f"{OLD[2]}/etl", source("another one"))
    assert _three(place.sync()) == (1, 0, 0)
    report = place.sync(full=True)
    assert _three(report) == (0, 1, 0)
    whole(place, report)


def _three(report: SessionReport) -> tuple[int, int, int]:
    return report.counts.renamed, report.counts.added, report.counts.deleted


def test_an_unreadable_frozen_folder_is_looked_at_again_the_next_time(place: Place) -> None:
    """It is partial, its notebooks stay, and the next session does not wait for a week."""
    day(place, OLD[0])
    place.emulator.faults({"kind": "status", "status": 403, "match": {"endpoint": "list", "path": OLD[0]}})
    report = place.sync()
    assert (report.status.value, report.unreadable_folders) == ("partial", (OLD[0],))
    place.emulator.faults()
    place.clock.wait(DAY_S)
    place.emulator.edit(f"{OLD[0]}/etl", source("meanwhile"))
    report = place.sync()
    assert (report.status.value, report.counts.modified) == ("complete", 1)


def test_the_vault_alone_is_enough(place: Place) -> None:
    """Another machine, with nothing but the remote, knows what is frozen and when it was listed."""
    place.clock.wait(DAY_S)
    expected = place.sync().counts.archived
    other = place.another_machine(place.folder.parent / "other")
    assert expected >= 0
    assert other.sync().counts.archived == 12


def test_thawed_folders_are_listed_every_day_again(place: Place) -> None:
    """``--undo`` ends it."""
    place.clock.wait(DAY_S)
    assert place.sync().counts.archived > 0
    thaw(place.settings(), "/Clients/2020", by="ann", say=print, clock=place.clock)
    assert place.sync().counts.archived == 0


def test_a_clock_that_was_wrong_makes_no_folder_wait_for_ever() -> None:
    """A last look in the future says nothing: everything is due."""
    row = Row(1, "/Clients/2020/a", "2020/a.py", Language.PYTHON, 1, 1, "", NotebookFormat.SOURCE, "")
    assert looks([row], ["/Clients/2020"], root="/Clients", today=5, last=99_999).resting == frozenset()


def test_the_days_of_the_week_share_the_work() -> None:
    """A thousand folders: no day has more than a fifth above its share."""
    days = [day_of(f"/Clients/2020/ENG-{number}/NOTEBOOKS") for number in range(1000)]
    assert max(days.count(each) for each in range(WEEK)) < 1.2 * 1000 / WEEK

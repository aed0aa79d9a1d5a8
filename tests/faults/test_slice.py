"""The daily slice: an edit that left no trace in the times is found all the same."""

from __future__ import annotations

from fault_places import DAY_S, Place, source

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
DAYS = {"sync.recheck_days": 5}


def edit_without_a_trace(place: Place, path: str) -> int:
    """New content under the old times; the id of the notebook."""
    rows = {row["path"]: row for row in place.rows()}
    row = rows[path]
    place.emulator.edit(path, source("unseen"))
    place.emulator.call("POST", "/touch", {"path": path, "modified_at": row["mod"], "interactive_at": row["imod"]})
    return int(row["id"])


def day_of(place: Place) -> int:
    """Days since 1970, UTC."""
    return int(place.clock.now().timestamp() // DAY_S)


def test_an_edit_without_a_trace_is_found_on_its_day(place: Place) -> None:
    """Not before its day of the slice, and then within recheck_days."""
    path = f"{FOLDER}/00_ingest_ledger"
    object_id = edit_without_a_trace(place, path)
    for _ in range(5):
        due = object_id % 5 == day_of(place) % 5
        report = place.sync(changes=DAYS)
        assert report.counts.modified == due, report
        assert report.requests.export == sum(row["id"] % 5 == day_of(place) % 5 for row in place.rows())
        assert report.exit_code == 0
        place.clock.wait(DAY_S)
    assert place.saved() == place.world()


def test_the_slice_is_taken_once_a_day(place: Place) -> None:
    """The second session of a day exports nothing; the first of the next day takes the next slice."""
    assert place.sync(changes=DAYS).requests.export > 0
    assert place.sync(changes=DAYS).requests.export == 0
    place.clock.wait(DAY_S)
    assert place.sync(changes=DAYS).requests.export > 0


def test_a_failed_session_has_not_done_the_slice(served: Place) -> None:
    """The next one of the day does it."""
    place = served
    place.emulator.faults({"kind": "push-rejected", "refs": "refs/heads/main"})
    edit_without_a_trace(place, f"{FOLDER}/00_ingest_ledger")
    place.emulator.edit(f"{FOLDER}/01_clean_ledger", source("edited"))
    assert place.sync(changes=DAYS).exit_code == 1
    place.emulator.faults()
    place.by_path()
    for _ in range(5):
        place.sync(changes=DAYS)
        place.clock.wait(DAY_S)
    assert place.saved() == place.world()


def test_full_distrusts_everything(place: Place) -> None:
    """--full finds it at once."""
    edit_without_a_trace(place, f"{FOLDER}/00_ingest_ledger")
    report = place.sync(full=True)
    assert (report.counts.modified, report.requests.export) == (1, 80)
    place.assert_whole(report)

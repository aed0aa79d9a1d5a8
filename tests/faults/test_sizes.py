"""Notebooks over the size limit: in every shape of refusal, over several sessions."""

from __future__ import annotations

import pytest

from fault_places import Place, source
from nbvault.model import State

FOLDER = "/Clients/2024/ENG-1002/NOTEBOOKS"
SHAPES = ["size-exceeds", "notebook-size", "file-size", "max-notebook-size", "max-read-size", "error-info", "in-200"]


def _victims(place: Place) -> list[str]:
    return sorted(path for path in place.world() if path.startswith(FOLDER))[: len(SHAPES)]


def test_every_shape_of_too_large_fails_one_notebook(place: Place) -> None:
    """Each is told as "too large", its last good version stays and is called stale; the rest is saved."""
    before, victims = place.saved(), _victims(place)
    place.emulator.batch(
        [{"op": "edit", "path": path, "content": source("grew")} for path in victims]
        + [{"op": "create", "path": f"{FOLDER}/new", "content": source("new")}]
    )
    place.emulator.faults(
        *(
            {"kind": "oversize", "shape": shape, "match": {"path": path}}
            for shape, path in zip(SHAPES, victims, strict=True)
        ),
    )
    report = place.sync()
    assert (report.exit_code, report.counts.failed) == (3, len(SHAPES)), report
    failed = [problem for problem in report.problems if problem.state is State.FAILED]
    assert [problem.path for problem in failed] == victims
    assert all("too large" in problem.reason and problem.stale for problem in failed)
    assert place.saved() == place.world() | {path: before[path] for path in victims}
    place.emulator.faults()
    after = place.sync()
    assert after.counts.saved == len(SHAPES)
    place.assert_whole(after)


def test_a_new_notebook_that_is_too_large_was_never_there(place: Place) -> None:
    """It is a failed one without a stale version, and no file stands for it."""
    place.emulator.create(f"{FOLDER}/huge", source("x"))
    place.emulator.faults({"kind": "oversize", "match": {"path": f"{FOLDER}/huge"}})
    report = place.sync()
    assert (report.exit_code, report.counts.failed, report.counts.saved) == (3, 1, 0)
    assert [problem.stale for problem in report.problems] == [False]
    assert place.saved() == {path: digest for path, digest in place.world().items() if path != f"{FOLDER}/huge"}


def test_what_failed_is_tried_again_though_nothing_changed(place: Place) -> None:
    """A failure keeps its first day, is exported again in every session, and ends when the export succeeds."""
    victim = _victims(place)[0]
    place.emulator.edit(victim, source("grew"))
    place.emulator.faults({"kind": "oversize", "match": {"path": victim}})
    first, second = place.sync(), place.sync()
    assert [p.since for p in first.problems] == [p.since for p in second.problems] == [first.session]
    assert (second.exit_code, second.counts.failed, second.requests.export) == (3, 1, 1)
    place.emulator.faults()
    third = place.sync()
    assert (third.counts.saved, third.counts.modified) == (1, 1)
    place.assert_whole(third)


def test_an_unchanged_notebook_that_fails_its_recheck_is_a_failure_too(place: Place) -> None:
    """--full looks at everything: what cannot be read any more is told, and its version stays."""
    victim = _victims(place)[0]
    place.emulator.faults({"kind": "oversize", "match": {"path": victim}})
    report = place.sync(full=True)
    assert (report.exit_code, report.counts.failed, report.counts.unchanged) == (3, 1, 79)
    assert place.saved() == place.world()


@pytest.mark.parametrize("reason", ["the same", "another"])
def test_an_accepted_problem_is_no_reason_to_be_partial(place: Place, reason: str) -> None:
    """An acknowledged failure stays counted and the session is complete, until it fails for another reason."""
    victim = _victims(place)[0]
    place.emulator.edit(victim, source("grew"))
    place.emulator.faults({"kind": "oversize", "match": {"path": victim}})
    assert place.sync().exit_code == 3
    place.acknowledge(victim)
    if reason == "another":
        place.emulator.faults({"kind": "forbid", "path": victim})
    report = place.sync()
    assert report.exit_code == (0 if reason == "the same" else 3), report
    assert report.counts.failed == 1
    assert [bool(p.acknowledged_by) for p in report.problems] == [reason == "the same"]

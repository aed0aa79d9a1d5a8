"""Every fault of the workspace, one at a time, on a day on which people worked: what is saved, kept, and said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fault_places import Place, source
from nbvault.model import SessionReport, State

CALM = "/Clients/2024/ENG-1001/NOTEBOOKS"
HIT = "/Clients/2024/ENG-1002/NOTEBOOKS"
VICTIM = f"{HIT}/00_ingest_ledger"
NEW = f"{HIT}/new"


def work(place: Place) -> None:
    """What people did since the last backup, in the folder that will be hit and in another one."""
    place.emulator.batch(
        [
            {"op": "edit", "path": VICTIM, "content": source("edited")},
            {"op": "create", "path": NEW, "content": source("new")},
            {"op": "delete", "path": f"{HIT}/01_clean_ledger"},
            {"op": "edit", "path": f"{CALM}/00_ingest_ledger", "content": source("edited, too")},
            {"op": "create", "path": f"{CALM}/new", "content": source("new, too")},
            {"op": "delete", "path": f"{CALM}/05_aggregate_ledger"},
            {"op": "move", "from": f"{CALM}/06_review_ledger", "to": f"{CALM}/06 moved"},
        ]
    )


def below(path: str, *tops: str) -> bool:
    """Whether a path is one of these or below one."""
    return any(path == top or path.startswith(top + "/") for top in tops)


@dataclass(frozen=True)
class Case:
    """A fault and what it may do: which paths stay as they were, and how that is told."""

    name: str
    faults: list[dict[str, Any]]
    exit_code: int = 0
    kept: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    reason: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def at_list(name: str, fault: dict[str, Any], **settings: Any) -> Case:
    """A fault for good at the listing of one folder."""
    faults = [{**fault, "match": {"endpoint": "list", "path": HIT}}]
    return Case(f"list of a folder: {name}", faults, 3, kept=(HIT,), unreadable=(HIT,), settings=settings)


def at_root(name: str, fault: dict[str, Any]) -> Case:
    """A fault for good at the listing of the root."""
    faults = [{**fault, "match": {"endpoint": "list", "path": "/Clients"}}]
    return Case(f"list of the root: {name}", faults, 3, kept=("/Clients",), unreadable=("/Clients",))


def at_export(name: str, fault: dict[str, Any], *, reason: str = "", **settings: Any) -> Case:
    """A fault for good at the export of one notebook."""
    faults = [{**fault, "match": {"endpoint": "export", "path": VICTIM}}]
    return Case(f"export: {name}", faults, 3, kept=(VICTIM,), failed=(VICTIM,), reason=reason, settings=settings)


def passing(name: str, *faults: dict[str, Any], **settings: Any) -> Case:
    """Faults that go by: the session must be whole."""
    return Case(f"passing: {name}", list(faults), settings=settings)


def status(code: int, **more: Any) -> dict[str, Any]:
    """An HTTP status instead of an answer."""
    return {"kind": "status", "status": code, **more}


BOTH = ["list", "export"]
ERROR = {"kind": "error-in-200"}
EMPTY = {"kind": "empty-body"}
HTML = {"kind": "nonsense", "shape": "html"}
TORN = {"kind": "nonsense", "shape": "truncated-json"}
DROP = {"kind": "drop", "when": "before"}
MID_DROP = {"kind": "drop", "when": "mid-body"}
HANG = {"kind": "hang"}
IMPATIENT = {"workspace.timeout_s": 0.3}

# Every session here costs about half a second, so what differs only in a number runs in the campaign.
CASES = [
    *(at_list(str(code), status(code)) for code in (403, 404, 503)),
    *(at_root(str(code), status(code)) for code in (403, 503)),
    *(at_export(str(code), status(code)) for code in (403, 404, 503)),
    at_list("error in a 200", ERROR),
    at_list("'not found' in a 200", {**ERROR, "error_code": "RESOURCE_DOES_NOT_EXIST"}),
    at_list("no byte", EMPTY),
    at_list("half a JSON", TORN),
    at_list("dropped in mid-body", MID_DROP),
    at_root("no byte", EMPTY),
    at_export("error in a 200", ERROR),
    at_export("no byte", EMPTY),
    at_export("HTML", HTML),
    at_export("half a JSON", TORN),
    at_export("dropped in mid-body", MID_DROP),
    at_export("429 for good", status(429)),
    at_export("hang", HANG, reason="did not answer in time", **IMPATIENT),
    Case("folder forbidden", [{"kind": "forbid", "path": HIT}], 3, (HIT,), (HIT,)),
    passing("429 with Retry-After", {**status(429, retry_after=1), "match": {"endpoint": BOTH, "times": 3}}),
    passing("429 without Retry-After", {**status(429), "match": {"endpoint": BOTH, "times": 6}}),
    passing("429 with an empty body", {**status(429, body=""), "match": {"endpoint": BOTH, "times": 6}}),
    passing("at most two at once", {"kind": "concurrency", "limit": 2}, **{"workspace.retry_s": 3}),
    passing("half a JSON twice", {**TORN, "match": {"endpoint": BOTH, "times": 2}}),
    passing("export dropped in mid-body twice", {**MID_DROP, "match": {"endpoint": "export", "times": 2}}),
    passing("hang once", {**HANG, "match": {"endpoint": BOTH, "times": 1}}, **IMPATIENT),
    passing("people cannot be looked up", {**status(500), "match": {"endpoint": "scim", "after": 1}}),
    *(
        passing(f"{key} is {how}", {"kind": "times", "path": f"{HIT}/**", key: how})
        for key, how in (("modified_at", "missing"), ("modified_at_interactive", "missing"), ("modified_at", "zero"))
    ),
]
MORE = [
    *(at_list(str(code), status(code)) for code in (400, 500, 502, 504)),
    *(at_root(str(code), status(code)) for code in (400, 500, 502, 504)),
    *(at_export(str(code), status(code)) for code in (400, 500, 502, 504)),
    at_list("HTML", HTML),
    at_list("dropped", DROP),
    at_list("429 for good", status(429)),
    at_list("hang", HANG, **IMPATIENT),
    at_root("error in a 200", ERROR),
    at_root("dropped", DROP),
    at_export("'not found' in a 200", {**ERROR, "error_code": "RESOURCE_DOES_NOT_EXIST"}),
    at_export("dropped", DROP),
    Case("notebook forbidden", [{"kind": "forbid", "path": VICTIM}], 3, (VICTIM,), failed=(VICTIM,)),
    passing("latency", {"kind": "latency", "ms": 40}),
    passing("429 at the identity", {**status(429), "match": {"endpoint": "scim", "times": 3}}),
    *(passing(f"{code} twice", {**status(code), "match": {"endpoint": BOTH, "times": 2}}) for code in (500, 503)),
    passing("error in a 200 twice", {**ERROR, "match": {"endpoint": BOTH, "times": 2}}),
    passing("no byte twice", {**EMPTY, "match": {"endpoint": BOTH, "times": 2}}),
    passing("HTML twice", {**HTML, "match": {"endpoint": BOTH, "times": 2}}),
    passing("dropped twice", {**DROP, "match": {"endpoint": BOTH, "times": 2}}),
    passing("listing dropped in mid-body twice", {**MID_DROP, "match": {"endpoint": "list", "times": 2}}),
    passing("no interactive edit", {"kind": "times", "path": f"{HIT}/**", "modified_at_interactive": "zero"}),
]  # fmt: skip


def expected(before: dict[str, str], world: dict[str, str], kept: tuple[str, ...]) -> dict[str, str]:
    """The workspace as it is, but for the kept paths, which are as they were saved before."""
    stays = {path: digest for path, digest in before.items() if below(path, *kept)}
    return stays | {path: digest for path, digest in world.items() if not below(path, *kept)}


def check_ledger(report: SessionReport, case: Case, world: dict[str, str]) -> None:
    """The numbers and the names of a session under a fault."""
    assert report.unreadable_folders == case.unreadable
    assert report.counts.listed == sum(not below(path, *case.unreadable) for path in world)
    failed = [problem for problem in report.problems if problem.state is State.FAILED]
    assert tuple(problem.path for problem in failed) == case.failed
    assert report.counts.failed == len(case.failed)
    assert all(case.reason in problem.reason and problem.stale for problem in failed), failed


@pytest.mark.parametrize(
    "case",
    [*CASES, *(pytest.param(case, marks=pytest.mark.campaign) for case in MORE)],
    ids=lambda case: case.name,
)
def test_a_fault_hurts_what_it_hits_and_nothing_else(place: Place, case: Case) -> None:
    """What a fault hits stays as it was and is named; all else is saved; the sync after it is complete and equal."""
    before = place.saved()
    work(place)
    world = place.world()
    place.emulator.faults(*case.faults)
    report = place.sync(changes=case.settings)
    assert (report.exit_code, report.status.value) == (case.exit_code, "partial" if case.exit_code else "complete"), (
        report
    )
    assert report.pushed
    assert report.head == place.tip("main")
    check_ledger(report, case, world)
    assert place.saved() == expected(before, world, case.kept)
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_a_name_with_a_slash_that_is_anothers_path(place: Place) -> None:
    """No request reaches it: it fails, in every session, and never passes for the notebook whose path it has."""
    folder, _, name = VICTIM.rpartition("/NOTEBOOKS/")
    place.emulator.create(folder, source("out of reach"), name=f"NOTEBOOKS/{name}")
    before = place.tip("main")
    for _ in range(2):
        report = place.sync()
        assert (report.exit_code, report.counts.failed, report.counts.saved, report.counts.deleted) == (3, 1, 0, 0)
        assert [each.path for each in report.problems if each.state is State.FAILED] == [VICTIM]
        assert "slash" in str(report.problems[-1].reason)
    assert place.tip("main") == before
    place.emulator.edit(VICTIM, source("edited"))
    assert place.sync().counts.modified == 1
    place.emulator.delete(VICTIM)
    report = place.sync()
    assert (report.counts.failed, report.counts.deleted) == (1, 1)
    assert VICTIM not in place.saved()


def test_a_notebook_that_is_given_a_name_with_a_slash(place: Place) -> None:
    """It fails in every session; what was saved of it stays under its old name, until another takes that."""
    late = f"{HIT}/late"
    number = place.emulator.create(late, source("first"))["object_id"]
    place.sync()
    saved = place.saved()[late]
    place.emulator.delete(late)
    place.emulator.create(HIT, source("first"), name="a/late", object_id=number)
    report = place.sync()
    assert (report.counts.failed, report.counts.deleted, place.saved()[late]) == (1, 0, saved)
    place.emulator.create(late, source("another"))
    report = place.sync()
    assert (report.counts.failed, report.counts.added, report.counts.deleted) == (1, 1, 1)
    assert place.saved()[late] == place.world()[late]
    report = place.sync()
    assert (report.counts.failed, report.counts.saved, report.counts.deleted) == (1, 0, 0)


def test_a_name_with_a_slash_that_is_given_before_the_export(place: Place) -> None:
    """What was to be exported is found again under such a name, and not mistaken for the notebook at that path."""
    other = f"{HIT}/a/late"
    place.emulator.create(other, source("another"))
    number = place.emulator.create(f"{HIT}/late", source("first"))["object_id"]
    renamed = [
        {"op": "delete", "path": f"{HIT}/late"},
        {"op": "create", "path": HIT, "name": "a/late", "object_id": number, "content": source("first")},
    ]
    match = {"endpoint": "export", "path": f"{HIT}/late", "nth": 1}
    place.emulator.faults({"kind": "do", "do": renamed, "when": "before", "match": match})
    report = place.sync()
    assert (report.exit_code, report.counts.added, report.counts.failed) == (3, 1, 1), report
    assert (place.saved()[other], f"{HIT}/late" in place.saved()) == (place.world()[other], False)

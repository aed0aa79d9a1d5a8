"""StateManager on real databases: what goes in comes out, and nothing is half written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbvault.model import Counts, Problem, SessionReport, State, Status
from nbvault.state.store import AuditEvent, SessionRow, StateManager

T0 = datetime(2026, 11, 21, 2, 0, 0, 123456, tzinfo=timezone.utc)
HOLDER = {"machine": "m1", "pid": 7}


@pytest.fixture(params=["sqlite", "postgresql", "databricks"])
def store(request: pytest.FixtureRequest) -> Iterator[StateManager]:
    with StateManager(request.getfixturevalue(f"{request.param}_url")) as opened:
        yield opened


def report(session: str, *, started_at: datetime = T0, status: Status = Status.PARTIAL) -> SessionReport:
    """The end of a session in which one notebook failed."""
    return SessionReport(
        session=session,
        status=status,
        exit_code=3,
        started_at=started_at,
        ended_at=started_at + timedelta(minutes=5),
        counts=Counts(listed=10, saved=2, added=2, unchanged=5, skipped=2, failed=1),
        unreadable_folders=("/Clients/x",),
        problems=(
            Problem(1, "/Clients/a", State.FAILED, "too large"),
            Problem(2, "/Clients/b", State.SKIPPED, "library"),
        ),
        bytes_exported=5_000_000_000,
        head="ab" * 20,
        tag="backup/20261121T020000Z",
        pushed=True,
    )


def start(store: StateManager, session: str, *, at: datetime = T0) -> None:
    store.session_started(session, workspace_path="/Clients", started_at=at, holder=HOLDER, repo_id="vault")


def event(number: int, *, at: datetime = T0) -> AuditEvent:
    return AuditEvent(at, "ann@example.com", "restore", f"/Clients/{number}", "done", "")


def test_a_session_from_start_to_end(store: StateManager) -> None:
    """What is known of a session grows from start over progress to its end, and its start is not forgotten."""
    start(store, "s1")
    store.session_progress("s1", total=10, processed=4, saved=3, failed=1, bytes_processed=99)
    store.session_checkpoint("s1", at=T0 + timedelta(seconds=9), data={"batch": 1})
    running = store.last_session()
    assert running == SessionRow(
        session="s1",
        started_at=T0,
        status=Status.RUNNING,
        workspace_path="/Clients",
        repo_id="vault",
        total=10,
        processed=4,
        successful=3,
        failed=1,
        bytes_processed=99,
        checkpoint_at=T0 + timedelta(seconds=9),
        checkpoint={"batch": 1},
        metadata={"holder": HOLDER},
    )
    assert store.running() == [running]
    store.session_ended(SessionRow.of_report(report("s1")))
    ended = store.last_session()
    assert ended is not None
    expected = SessionRow.of_report(report("s1"), workspace_path="/Clients", repo_id="vault")
    assert replace(ended, metadata={}) == replace(
        expected, metadata={}, checkpoint_at=running.checkpoint_at, checkpoint={"batch": 1}
    )
    assert ended.metadata == {"holder": HOLDER, **expected.metadata}
    assert store.running() == []


def test_the_end_of_an_unknown_session_is_kept(store: StateManager) -> None:
    """A state store lost in mid-session still gets the session's end, with its counts and errors."""
    store.session_ended(SessionRow.of_report(report("s1")))
    row = store.last_session()
    assert row == SessionRow.of_report(report("s1"))
    assert (row.total, row.processed, row.successful, row.failed, row.bytes_processed) == (10, 10, 7, 1, 5_000_000_000)
    assert [entry["path"] for entry in row.error_log] == ["/Clients/x", "/Clients/a"]
    assert row.metadata["counts"]["skipped"] == 2


def test_only_a_running_session_can_be_interrupted_or_make_progress(store: StateManager) -> None:
    """A killed session gets its end from the next one; an end that is known is never overwritten."""
    start(store, "killed")
    assert store.interrupted("killed", T0 + timedelta(hours=1))
    store.session_ended(SessionRow.of_report(report("ended")))
    assert not store.interrupted("ended", T0)
    assert not store.interrupted("never", T0)
    store.session_progress("ended", total=1, processed=1, saved=1, failed=0, bytes_processed=1)
    found = {row.session: (row.status, row.ended_at, row.total) for row in store.sessions()}
    assert found == {
        "killed": (Status.INTERRUPTED, T0 + timedelta(hours=1), 0),
        "ended": (Status.PARTIAL, T0 + timedelta(minutes=5), 10),
    }


def test_a_session_that_starts_again_is_one_session(store: StateManager) -> None:
    """Starting the same session twice neither fails nor makes a second row."""
    start(store, "s1")
    start(store, "s1", at=T0 + timedelta(minutes=1))
    assert [row.started_at for row in store.sessions()] == [T0 + timedelta(minutes=1)]


def test_sessions_come_newest_first(store: StateManager) -> None:
    """Sessions are ordered by name, which follows them whatever a clock says, and limited on request."""
    for hours, session in ((1, "b"), (2, "d"), (3, "a"), (30, "c")):
        start(store, session, at=T0 + timedelta(hours=hours))
    assert [row.session for row in store.sessions()] == ["d", "c", "b", "a"]
    assert [row.session for row in store.sessions(2)] == ["d", "c"]


def test_an_empty_store_has_nothing(store: StateManager) -> None:
    """Every question to an empty store has an empty answer."""
    assert (store.last_session(), store.sessions(), store.running(), store.problems(), store.audit()) == (
        None,
        [],
        [],
        [],
        [],
    )
    assert store.clean_up(T0) == 0


def test_times_are_utc_whatever_zone_they_come_in(store: StateManager) -> None:
    """A time in another zone is the same moment in UTC; a naive one is refused."""
    start(store, "s1", at=T0.astimezone(timezone(timedelta(hours=-11))))
    row = store.last_session()
    assert row is not None
    assert row.started_at == T0
    assert row.started_at.utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="no time zone"):
        start(store, "s2", at=T0.replace(tzinfo=None))


def test_problems_are_replaced_as_a_whole_and_in_order(store: StateManager) -> None:
    """The open problems are those of the last call; an iterable that breaks off changes nothing."""
    first = [Problem(n, f"/p/{n}", State.FAILED, "r", "s0", stale=True, acknowledged_by="ann") for n in (3, 1, 2)]
    store.replace_problems("s1", first)
    assert store.problems() == first

    def breaking() -> Iterator[Problem]:
        yield from first * 500
        raise KeyError("broken off")

    with pytest.raises(KeyError):
        store.replace_problems("s2", breaking())
    assert store.problems() == first
    store.replace_problems("s2", [Problem(2**62, "/q", State.SKIPPED, "r")])
    assert store.problems() == [Problem(2**62, "/q", State.SKIPPED, "r")]


def test_the_audit_trail_is_appended_in_order(store: StateManager) -> None:
    """Events come back in the order of recording, even if their times go back; a period and a limit select some."""
    late, early = event(1, at=T0 + timedelta(hours=1)), event(2)
    store.record_audit([late])
    store.record_audit([early, event(3)])
    assert store.audit() == [late, early, event(3)]
    assert store.audit(since=T0 + timedelta(minutes=1)) == [late]
    assert store.audit(until=T0 + timedelta(hours=1)) == [early, event(3)]
    assert store.audit(limit=1) == [event(3)]


def test_the_first_sighting_of_a_tip_counts(store: StateManager) -> None:
    """A tip seen again gives the time it was first seen, until all are forgotten."""
    assert store.sighting("aa", T0) == T0
    assert store.sighting("aa", T0 + timedelta(minutes=9)) == T0
    assert store.sighting("bb", T0 + timedelta(minutes=9)) == T0 + timedelta(minutes=9)
    store.forget_sightings()
    assert store.sighting("aa", T0 + timedelta(hours=1)) == T0 + timedelta(hours=1)


def test_cleaning_up_spares_the_trail_the_problems_and_the_last_session(store: StateManager) -> None:
    """Sessions older than 30 days go, except the last one; audit and open problems stay."""
    for name, days in (("a", 50), ("b", 40), ("c", 31)):
        start(store, name, at=T0 - timedelta(days=days))
    store.record_audit([event(1, at=T0 - timedelta(days=400))])
    store.replace_problems("c", [Problem(1, "/a", State.FAILED, "r")])
    assert store.clean_up(T0) == 2
    assert [row.session for row in store.sessions()] == ["c"]
    start(store, "d", at=T0 - timedelta(days=29))
    assert store.clean_up(T0) == 1
    assert store.clean_up(T0, keep_days=10) == 0
    assert len(store.audit()) == len(store.problems()) == len(store.sessions()) == 1


def test_rebuilding_gives_the_same_index(store: StateManager) -> None:
    """Sessions, problems and trail written back are the same; a rebuild that fails changes nothing."""
    start(store, "s1")
    store.session_ended(SessionRow.of_report(report("s1")))
    start(store, "s2", at=T0 + timedelta(days=1))
    store.replace_problems("s2", [Problem(1, "/a", State.FAILED, "r")])
    store.record_audit([event(n) for n in range(2500)])
    before = (store.sessions(), store.problems(), store.audit())
    store.rebuild(*before)
    assert (store.sessions(), store.problems(), store.audit()) == before
    with pytest.raises(AttributeError):
        store.rebuild([], [], [None])  # type: ignore[list-item]
    assert (store.sessions(), store.problems(), store.audit()) == before
    store.rebuild([], [], [])
    assert (store.sessions(), store.problems(), store.audit()) == ([], [], [])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=40) | st.text(alphabet="\\u05CD80\x00\ud800", max_size=12))
def test_any_text_comes_back(store: StateManager, text: str) -> None:
    """Names and reasons of any characters, NUL and lone surrogates too, come back from every column as they were."""
    problem = Problem(1, text, State.FAILED, text, text, acknowledged_by=text)
    store.replace_problems(text, [problem])
    store.rebuild(
        [SessionRow(text, T0, Status.FAILED, text, metadata={"m": text})], [problem], [event(1)._replace(detail=text)]
    )
    row = store.last_session()
    assert row is not None
    assert (row.session, row.workspace_path, row.metadata) == (text, text, {"m": text})
    assert store.problems() == [problem]
    assert store.audit()[0].detail == text

"""Events written by SQLite's own driver are those that the state store would have written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbvault.clock import EPOCH, SystemClock
from nbvault.state.migrations import MIGRATIONS
from nbvault.state.quick import VERSION, wait_in_sqlite
from nbvault.state.store import AuditEvent, StateManager

EAST = timezone(timedelta(hours=5))
ANY = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(["\\u0000", "\ud800", "a\0b", "\\u005C"])
MOMENTS = st.integers(0, 10**17).map(lambda us: (EPOCH + timedelta(microseconds=us)).astimezone(EAST))
EVENTS = st.lists(st.builds(AuditEvent, MOMENTS, ANY, ANY, ANY, ANY, ANY), max_size=4)
EVENT = AuditEvent(datetime(2026, 11, 21, tzinfo=timezone.utc), "ann", "search", "spark", "ok")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with StateManager(f"sqlite:///{tmp_path / 'state.db'}"):
        return tmp_path / "state.db"


def stored(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT * FROM audit_waiting ORDER BY seq").fetchall()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_both_ways_write_the_same(tmp_path_factory: pytest.TempPathFactory, events: list[AuditEvent]) -> None:
    """Any event, down to the bytes in the table, and behind those that are there."""
    both = [tmp_path_factory.mktemp("quick") / "state.db" for _ in range(2)]
    for file in both:
        with StateManager(f"sqlite:///{file}") as store:
            store.record_audit([EVENT])
    with StateManager(f"sqlite:///{both[0]}") as store:
        store.record_audit(events)
    assert wait_in_sqlite(f"sqlite:///{both[1]}", events)
    assert stored(both[1]) == stored(both[0])
    with StateManager(f"sqlite:///{both[1]}") as store:
        assert store.audit_waiting() == [EVENT, *events]


def test_the_version_is_that_of_the_migrations() -> None:
    """Whoever adds a migration sees whether the table of waiting events is still as it was."""
    assert len(MIGRATIONS) == VERSION


def test_what_it_cannot_write_is_left_to_the_state_store(file: Path, tmp_path: Path) -> None:
    """Another database, none yet, one that is damaged, and one that a newer nbvault has changed: nothing is written."""
    (tmp_path / "text").write_text("no database")
    (tmp_path / "empty").touch()
    urls = ["postgresql://h/db", f"sqlite:///{tmp_path / 'none'}", f"sqlite:///{tmp_path / 'text'}"]
    urls += [f"sqlite:///{tmp_path / 'empty'}", f"sqlite:///{file}?mode=ro"]
    assert [wait_in_sqlite(url, [EVENT]) for url in urls] == [False] * 5
    assert not (tmp_path / "none").exists()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (?, 'later', '')", [VERSION + 1])
    assert not wait_in_sqlite(f"sqlite:///{file}", [EVENT])
    assert stored(file) == []


def test_a_writer_that_holds_the_file_is_waited_for_and_then_left(file: Path) -> None:
    """Nothing is half written while another process writes."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not wait_in_sqlite(f"sqlite:///{file}", [EVENT], busy_timeout_s=0)
        other.execute("ROLLBACK")
    assert wait_in_sqlite(f"sqlite:///{file}", [EVENT, EVENT])
    with StateManager(f"sqlite:///{file}", clock=SystemClock()) as store:
        assert store.audit_waiting() == [EVENT, EVENT]

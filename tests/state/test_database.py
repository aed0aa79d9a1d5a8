"""Opening a state store: migrations, many openers at once, and databases that cannot be used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy as sa

from nbvault.clock import SystemClock
from nbvault.errors import StateError
from nbvault.state import migrations
from nbvault.state.database import Database
from nbvault.state.migrations import MIGRATIONS, Migration
from nbvault.state.schema import metadata
from nbvault.state.store import AuditEvent, StateManager

T0 = datetime(2026, 11, 21, tzinfo=timezone.utc)


def opened(url: str) -> Database:
    database = Database(url, clock=SystemClock())
    database.open()
    return database


def test_the_migrations_together_give_the_tables_of_the_schema(url: str) -> None:
    """Every table, column, type, key and nullability that the program uses is what the numbered steps made."""
    database = opened(url)
    with database.reading() as connection:
        made = sa.MetaData()
        made.reflect(connection)
        dialect = connection.dialect

        def describe(tables: sa.MetaData) -> dict[str, list[tuple[str, str, bool, bool]]]:
            return {
                table.name: [(c.name, c.type.compile(dialect), bool(c.nullable), c.primary_key) for c in table.columns]
                for table in tables.sorted_tables
            }

        assert describe(made) == describe(metadata)
    database.close()


def test_opening_again_changes_nothing(url: str) -> None:
    """A store keeps its content over closing and opening, and closing twice is no error."""
    store = StateManager(url)
    for _ in range(2):
        store.open()
        store.open()
        store.record_audit([AuditEvent(T0, "a", "b", "c", "d")])
        store.close()
        store.close()
    with store:
        assert len(store.audit()) == 2


def test_a_database_of_a_newer_program_is_refused(url: str) -> None:
    """A schema from the future is not touched, and the hint says what to install."""
    database = opened(url)
    with database.writing() as connection:
        connection.execute(metadata.tables["schema_version"].insert().values(version=99, name="future", applied_at=T0))
    database.close()
    with pytest.raises(StateError, match=rf"schema 99.*up to {len(MIGRATIONS)}\..*newer nbvault"), StateManager(url):
        pass


def test_a_step_that_fails_leaves_nothing_and_is_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration and its record are one transaction, and the step before it stays applied."""

    def half(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE half (a INTEGER)"))
        connection.execute(sa.text("no such statement"))

    def whole(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE half (a INTEGER)"))

    # The steps to come do not exist yet, so the list of them is replaced.
    monkeypatch.setattr("nbvault.state.migrations.MIGRATIONS", (*MIGRATIONS, Migration("half", half)))
    monkeypatch.setattr("nbvault.state.database.MIGRATIONS", migrations.MIGRATIONS)
    with pytest.raises(StateError), StateManager(url):
        pass
    monkeypatch.setattr("nbvault.state.migrations.MIGRATIONS", (*MIGRATIONS, Migration("whole", whole)))
    monkeypatch.setattr("nbvault.state.database.MIGRATIONS", migrations.MIGRATIONS)
    database = opened(url)
    with database.reading() as connection:
        names = connection.scalars(sa.text("SELECT name FROM schema_version ORDER BY version")).all()
        assert names == [*(step.name for step in MIGRATIONS), "whole"]
        assert sa.inspect(connection).has_table("half")
    database.close()


def test_many_may_open_a_new_database_at_once(url: str) -> None:
    """Eight openers of one new database, who write at once, neither fail nor lose anything nor migrate twice."""
    barrier = threading.Barrier(8)

    def work(number: int) -> datetime:
        barrier.wait()
        with StateManager(url) as store:
            store.record_audit([AuditEvent(T0, str(number), "b", "c", "d")] * 3)
            return store.sighting("tip", T0 + timedelta(seconds=number))

    with ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(work, range(8)))
    assert len(seen) == 1
    with StateManager(url) as store:
        actors = [entry.actor for entry in store.audit()]
    assert sorted(actors) == sorted("01234567" * 3)
    # Each batch is one transaction, so it stands together in the trail.
    assert all(actors[start] == actors[start + 2] for start in range(0, 24, 3))
    database = opened(url)
    with database.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM schema_version")) == len(MIGRATIONS)
    database.close()


def test_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Four processes that open one new SQLite file at the same time all succeed."""
    script = (
        "import sys, datetime; from nbvault.state.store import StateManager\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with StateManager(sys.argv[1]) as store: store.sighting('tip', datetime.datetime.now().astimezone())"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/state.db"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 4


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    """On SQLite the page can read while a session writes: readers see what was committed before."""
    database = opened(f"sqlite:///{tmp_path}/state.db")
    with StateManager(f"sqlite:///{tmp_path}/state.db") as store, database.writing() as connection:
        connection.execute(metadata.tables["audit_log"].delete())
        assert store.audit() == []
    database.close()


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    """Using a closed store is a StateError, not an accident."""
    with pytest.raises(StateError, match="not open"):
        StateManager(f"sqlite:///{tmp_path}/state.db").sessions()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not a url", r"no database URL.*sqlite:///"),
        ("postgresql://user:hunter2@host:port/db", r"no database URL.*sqlite:///"),
        ("oracle+nonsense://host/db", r"cannot be a 'oracle'.*begins with sqlite"),
        ("mysql+mysqldb://user:hunter2@host/db", r"driver for mysql is missing.*pip"),
        ("sqlite:////nonexistent/folder/state.db", r"unable to open.*Create the folder"),
        ("postgresql://user:hunter2@127.0.0.1:1/db", r"refused.*Check host and port"),
        ("postgresql://127.0.0.1:1/db?user=user&password=hunter2", r"refused.*Check host and port"),
    ],
)
def test_a_wrong_url_says_what_to_do_and_never_the_password(url: str, words: str) -> None:
    """Bad text, unknown kinds, missing drivers and absent servers are StateErrors with a hint and no secret."""
    with pytest.raises(StateError, match=words) as caught, StateManager(url):
        pass
    assert caught.value.hint
    assert "hunter2" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


@pytest.mark.skipif(find_spec("databricks.sqlalchemy") is not None, reason="databricks-sqlalchemy is installed")
def test_a_missing_dialect_for_databricks_names_its_package() -> None:
    """Without its extra the hint says what to install, and the token is not shown."""
    with pytest.raises(StateError, match=r"'databricks'.*pip install 'nbvault\[databricks-sql\]'") as caught:
        StateManager("databricks://token:dapi123@host/?http_path=x&catalog=c&schema=s").open()
    assert "dapi123" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """Another file named by mistake is refused and keeps its bytes."""
    file = tmp_path / "notes.txt"
    file.write_bytes(b"my notes, more than a hundred bytes of them" * 10)
    with pytest.raises(StateError, match=r"not a database.*another file"), StateManager(f"sqlite:///{file}"):
        pass
    assert file.read_bytes() == b"my notes, more than a hundred bytes of them" * 10


def test_a_read_only_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    """A new read-only file fails at opening, one with tables at the first write; both say what right is missing."""
    file = tmp_path / "state.db"
    sqlite3.connect(file).close()
    file.touch()
    read_only = f"sqlite:///file:{file}?mode=ro&uri=true"
    with pytest.raises(StateError, match=r"readonly.*right to write"), StateManager(read_only):
        pass
    with StateManager(f"sqlite:///{file}"):
        pass
    with StateManager(read_only) as store:
        assert store.sessions() == []
        with pytest.raises(StateError, match=r"could not be written.*readonly.*right to write"):
            store.forget_sightings()


def test_a_damaged_database_points_to_the_rebuild(tmp_path: Path) -> None:
    """Where SQLite finds its file damaged, the hint says that nothing is lost."""
    file = tmp_path / "state.db"
    with StateManager(f"sqlite:///{file}") as store:
        store.record_audit([AuditEvent(T0, "a", "b", "c", "d" * 100)] * 500)
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)
    with pytest.raises(StateError, match=r"malformed.*state rebuild"), StateManager(f"sqlite:///{file}") as store:
        store.audit()


def test_a_lost_postgresql_user_is_named_without_the_statement(postgres: Path) -> None:
    """An unknown database on a real server is a StateError that quotes the server, not the SQL."""
    with pytest.raises(StateError, match=r'"absent" does not exist.*Create the database') as caught:
        StateManager(f"postgresql://postgres@/absent?host={postgres}").open()
    assert "SELECT" not in str(caught.value)


def test_one_in_memory_is_the_same_for_every_thread() -> None:
    """What one thread writes, the others read, also side by side."""
    seen: list[int] = []
    with StateManager("sqlite://") as state:
        write_events(state, 1)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: write_events(state, number), range(2, 10)))
            seen += pool.map(lambda _: len(list(state.audit())), range(4))
    assert seen == [9] * 4


def write_events(state: StateManager, number: int) -> None:
    state.record_audit([AuditEvent(T0, "ann", "look", f"/{number}", "ok")])

"""Real databases for the state store: an SQLite file and, where its programs are, a PostgreSQL server of our own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from warehouse_places import Warehouse, start

_NUMBERS = itertools.count()


def _postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Path]:
    """A PostgreSQL server on a Unix socket in this folder; run by user postgres, since it refuses to be root."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server programs on this machine (Debian: apt-get install postgresql)")
    user = "postgres" if os.geteuid() == 0 else None
    # Not under tmp_path: only its owner may pass through that, and a socket's path is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="nbv-pg-") as name:
        home = Path(name)
        if user:
            shutil.chown(home, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{home}/data", *arguments]
            subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

        run("initdb", "-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
        run("pg_ctl", "-l", f"{home}/log", "-o", options, "-w", "start")
        try:
            yield home
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")


def _new_database(home: Path) -> str:
    import psycopg

    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(f"host={home} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A file that is not there yet."""
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def postgresql_url(postgres: Path) -> str:
    """An empty database of the server."""
    return f"postgresql://postgres@/{_new_database(postgres)}?host={postgres}"


@pytest.fixture
def databricks_url(lake: Lake) -> str:
    """An empty schema of the stand-in."""
    return lake.url


class Lake(NamedTuple):
    """A state store on the stand-in of a SQL warehouse."""

    url: str
    warehouse: Warehouse


@pytest.fixture
def lake(postgres: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """An empty schema of Databricks SQL, as far as that can be had on one machine."""
    return Lake(*start(f"host={postgres} user=postgres dbname={_new_database(postgres)}", monkeypatch))

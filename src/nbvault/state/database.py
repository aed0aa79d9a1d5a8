"""One SQL database: its connections, its transactions, and its errors in words that say what to do."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool, QueuePool

from nbvault.clock import Clock
from nbvault.errors import StateError
from nbvault.state.migrations import MIGRATIONS, apply_next, current_version
from nbvault.state.schema import schema_version

BUSY_TIMEOUT_S = 30
# Any number, as long as all nbvaults on one PostgreSQL database take the same.
_ADVISORY_LOCK = 0x6E627661
_REBUILT = "Nothing is lost with the state store: `nbvault state rebuild` makes it anew from the vault."
DATABRICKS_RIGHTS = (
    "Grant the identity of state.password: USE CATALOG on the catalog; USE SCHEMA, SELECT, MODIFY and (unless"
    " sql/schema.sql made the tables) CREATE TABLE on the schema; CAN USE on the warehouse."
)
_HINTS = {
    "not a database": "Name another file as state.url, or move this one away.",
    "readonly": "Give this user the right to write to the file and its folder, or name another as state.url.",
    "read-only": "Give this user the right to write, or name another database as state.url.",
    "unable to open": "Create the folder named in state.url, or give this user the right to write there.",
    "locked": "Another process has held the database for long: end it, then try again.",
    "malformed": f"Move the file away. {_REBUILT}",
    "insufficient_permissions": DATABRICKS_RIGHTS,
    "insufficient_privileges": DATABRICKS_RIGHTS,
    "permission_denied": DATABRICKS_RIGHTS,
    "does not have": DATABRICKS_RIGHTS,
    "schema_not_found": "Create the schema named in state.url, or name another; the catalog must be there too.",
    "catalog_not_found": "Create the catalog named in state.url, or name another.",
    "no_such_catalog": "Create the catalog named in state.url, or name another.",
    "concurrent": "Another nbvault wrote at the same moment: try again.",
    "access token": "Check the token that state.password refers to: it may have expired.",
    "password": "Check user and password in state.url.",
    "refused": "Check host and port in state.url, and that the server runs.",
    "resolve": "Check the host in state.url.",
    "does not exist": "Create the database, or name another as state.url.",
    "permission denied": "Give this user the right to create and write tables, or name another database as state.url.",
}
_DRIVERS = {
    "postgresql": "Install it with: pip install 'nbvault[postgres]'",
    "databricks": "Install it with: pip install 'nbvault[databricks-sql]'",
}


@dataclass(frozen=True, slots=True)
class Lake:
    """Where a state store on Databricks SQL is. `host` may have a port; `table` is one that every store has."""

    host: str
    warehouse: str
    catalog: str
    schema: str
    token: str = field(repr=False)
    table: str = schema_version.name


class Database:
    """A database named by an SQLAlchemy URL; safe to use from several threads and processes.

    Every writing transaction keeps other writers out from its start, so that what it read is still so when it writes
    (not on Databricks SQL, which has no transactions).

    Raises:
        StateError: from every method, where the database cannot be used; never with a password in it.
    """

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._clock = clock
        self._url = _parse(url)
        self._engine: sa.Engine | None = None

    @property
    def name(self) -> str:
        """The URL without its password, and without its options, which may hold one too."""
        return self._url.set(query={}).render_as_string(hide_password=True)

    def open(self) -> None:
        """Connect, and bring the tables up to date; does nothing if it is open."""
        if self._engine is None:
            self._engine = self._make_engine()
            try:
                self._migrate()
            except BaseException:
                self.close()
                raise

    def version(self) -> int:
        """How many migrations it has had; 0 if it is new or not there yet. Nothing is written, and nothing made.

        Raises:
            StateError: it cannot be used, or is of a newer nbvault.
        """
        if self._url.get_backend_name() == "sqlite" and not _is_there(self._url.database or ""):
            return 0
        self._engine = self._make_engine(only_look=True)
        try:
            with self.reading() as connection:
                return current_version(connection)
        finally:
            self.close()

    def lake(self) -> Lake | None:
        """Where it is on Databricks SQL; None if it is elsewhere, or on a cluster instead of a warehouse.

        Raises:
            StateError: the URL does not say all that is needed.
        """
        if self._url.get_backend_name() != "databricks":
            return None
        check_databricks(self._url)
        path = _WAREHOUSE.fullmatch(str(self._url.query["http_path"]))
        if path is None:
            return None
        host = f"{self._url.host}:{self._url.port}" if self._url.port else str(self._url.host)
        catalog, schema = str(self._url.query["catalog"]), str(self._url.query["schema"])
        return Lake(host, path[1], catalog, schema, str(self._url.password))

    def close(self) -> None:
        """Give all connections back; may be called twice."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database and writes nothing."""
        with self._in_our_words("read"), self._opened().connect() as connection:
            yield connection.execution_options(nbvault_reads=True)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block and rolled back on any error."""
        with self._in_our_words("written"), self._opened().begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            yield connection

    def _opened(self) -> sa.Engine:
        if self._engine is None:
            raise StateError(f"The state store {self.name} is not open.")
        return self._engine

    def _make_engine(self, *, only_look: bool = False) -> sa.Engine:
        kind = self._url.get_backend_name()
        if kind == "sqlite" and only_look:
            return sa.create_engine(
                "sqlite://", creator=lambda: _unwritten(self._url.database or ""), poolclass=NullPool
            )
        if kind == "databricks":
            check_databricks(self._url)
        pool: dict[str, Any] = {"pool_pre_ping": kind != "sqlite"}
        if kind == "sqlite" and self._url.database in (None, "", ":memory:"):
            # In memory: what one thread writes, the others read, one after the other.
            pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
            pool["connect_args"] = {"check_same_thread": False}
        try:
            engine = sa.create_engine(self._url, hide_parameters=True, **pool)
        except exc.NoSuchModuleError as error:
            hint = _DRIVERS.get(kind, "state.url begins with sqlite:///, postgresql:// or databricks://.")
            raise StateError(f"The state store cannot be a {kind!r} database here.", hint=hint) from error
        except ImportError as error:
            hint = _DRIVERS.get(kind, "Install it with pip.")
            raise StateError(f"The driver for {kind} is missing ({error.name}).", hint=hint) from error
        except exc.ArgumentError as error:
            raise StateError(
                f"The state store {self.name} cannot be opened: {error}.", hint="Check state.url."
            ) from error
        if kind == "sqlite":
            sa.event.listen(engine, "connect", _prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _migrate(self) -> None:
        with self.reading() as connection:
            version = current_version(connection)
        for _ in range(version, len(MIGRATIONS)):
            with self.writing() as connection:
                apply_next(connection, at=self._clock.now())

    @contextmanager
    def _in_our_words(self, deed: str) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            if type(error) is exc.StatementError and isinstance(error.orig, ValueError):
                # A value that never reached the database: a fault of the caller, not of the store.
                raise error.orig from error
            # str(error) would add the statement; the driver's own words are what a person can use.
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()
            raise StateError(
                f"The state store {self.name} could not be {deed}: {cause[0] if cause else type(error).__name__}.",
                hint=_hint(" ".join(cause)),
            ) from error


def _parse(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        # The text may hold a password, so neither it nor the error that quotes it is shown.
        raise StateError("state.url is no database URL.", hint='Write it as "sqlite:///nbvault.db".') from None
    drivers = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


_NAME = re.compile(r"[\w-]+")
_WAREHOUSE = re.compile(r"/?sql/1\.0/(?:warehouses|endpoints)/(\w+)")


def check_databricks(url: sa.URL) -> None:
    """That the URL says all that the dialect needs; it would else look in places that are called None.

    Raises:
        StateError: it does not, or there is no token.
    """
    form = "databricks://HOST?http_path=/sql/1.0/warehouses/ID&catalog=CATALOG&schema=SCHEMA"
    wrong = [name for name in ("catalog", "schema") if not _NAME.fullmatch(str(url.query.get(name, "")))]
    wrong += [] if url.query.get("http_path") else ["http_path"]
    if not url.host or wrong:
        what = ", ".join(wrong) or "host"
        raise StateError(f"state.url of Databricks SQL lacks a right {what}.", hint=f'Write it as "{form}".')
    if not url.password:
        hint = 'Name a token of the warehouse\'s user: state.password = "env:NAME". Without one a browser would open.'
        raise StateError("The state store on Databricks SQL has no token.", hint=hint)


def _is_there(database: str) -> bool:
    """Whether there is such a file; where there is none, it is seen to that one could be made."""
    file = Path(database).absolute()
    if database in ("", ":memory:"):
        return False
    if not file.exists():
        _check_makeable(file)
    if file.exists() and not os.access(file, os.W_OK):
        raise StateError(f"The state store {file} cannot be written.", hint=_HINTS["readonly"])
    return file.exists()


def _check_makeable(file: Path) -> None:
    try:
        # Tried, not asked for: a file system may refuse what the rights allow. It leaves nothing behind.
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise StateError(f"The state store {file} cannot be made there.", hint=_HINTS["unable to open"]) from error


def _unwritten(database: str) -> sqlite3.Connection:
    """A connection that leaves no trace: without a write-ahead log the file is whole, and no lock is needed."""
    path = Path(database).absolute()
    alone = not path.with_name(path.name + "-wal").exists()
    uri = f"{path.as_uri()}?mode=ro" + ("&immutable=1" if alone else "")
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Transactions are begun by `_begin_sqlite`; the driver would begin them late, and not at all before DDL.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # Another process is making the same switch of a new file, and it holds for all.
        if "locked" not in str(error):
            raise


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("nbvault_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _hint(cause: str) -> str:
    lowered = cause.lower()
    return next((hint for words, hint in _HINTS.items() if words in lowered), f"Check state.url. {_REBUILT}")

"""A stand-in for a SQL warehouse: the real dialect of Databricks SQL, its driver's connection played over PostgreSQL.

No warehouse can be had for tests. What is real: SQLAlchemy, the dialect, every statement's text and values. What is
played: the driver's `connect`. Each statement is recorded as it would go to the warehouse, then carried over into
PostgreSQL's SQL and run with autocommit and without keys, since a warehouse has neither transactions nor enforced keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

_MARKER = re.compile(r":`(\w+)`")
_TYPES = {"STRING": "TEXT", "TIMESTAMP": "TIMESTAMPTZ"}
LIMIT = 255
"""So many parameters a statement of Databricks SQL may have."""


class Warehouse:
    """What was sent; `dies_before` may name a text: the statement that begins with it kills the process, once."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.statements: list[str] = []
        self.dies_before = ""

    def connect(self, **given: Any) -> _Connection:
        assert (given["server_hostname"], given["access_token"]) == ("adb-1.example.net", "t0ken")
        assert (given["catalog"], given["schema"]) == ("main", "nbvault")
        return _Connection(self)


class _Connection:
    """The part of the driver's connection that SQLAlchemy uses."""

    def __init__(self, warehouse: Warehouse) -> None:
        import psycopg

        self.warehouse = warehouse
        self.real = psycopg.connect(warehouse.dsn, autocommit=True)

    def cursor(self) -> _Cursor:
        return _Cursor(self)

    def commit(self) -> None:
        """Every statement is committed already."""

    def rollback(self) -> None:
        """Nothing can be taken back."""

    def close(self) -> None:
        self.real.close()


class _Cursor:
    """A cursor that takes the text of Databricks SQL."""

    def __init__(self, connection: _Connection) -> None:
        self._warehouse = connection.warehouse
        self._real = connection.real.cursor()
        self.rowcount = -1

    @property
    def description(self) -> Any:
        return self._real.description

    def execute(self, text: str, parameters: Mapping[str, Any] | None = None) -> None:
        import psycopg
        from databricks.sql.exc import ServerOperationError

        assert len(parameters or {}) <= LIMIT
        self._warehouse.statements.append(text)
        if self._warehouse.dies_before and text.startswith(self._warehouse.dies_before):
            self._warehouse.dies_before = ""
            raise KeyboardInterrupt
        try:
            self._real.execute(in_postgresql(text), parameters)
        except psycopg.errors.UndefinedTable as error:
            raise ServerOperationError(f"[TABLE_OR_VIEW_NOT_FOUND] {error}") from error
        except psycopg.Error as error:
            raise ServerOperationError(str(error)) from error

    def executemany(self, text: str, many: Sequence[Mapping[str, Any]]) -> None:
        for parameters in many:
            self.execute(text, parameters)

    def fetchone(self) -> Any:
        return self._real.fetchone()

    def fetchall(self) -> Any:
        return self._real.fetchall()

    def fetchmany(self, size: int) -> Any:
        return self._real.fetchmany(size)

    def close(self) -> None:
        self._real.close()


def in_postgresql(text: str) -> str:
    """The same statement in PostgreSQL's words."""
    if found := re.match(r"DESCRIBE TABLE EXTENDED `main`\.`nbvault`\.`(\w+)`", text):
        return f"SELECT 'x', 'y', 'z' FROM {found[1]} LIMIT 0"  # noqa: S608 - a name of our own tables
    text = _MARKER.sub(r"%(\1)s", text).replace("`", '"')
    if text.lstrip().startswith("CREATE TABLE"):
        text = re.sub(r",\s*PRIMARY KEY \(\w+\)", "", text.partition(" USING DELTA")[0])
    for theirs, ours in _TYPES.items():
        text = re.sub(rf"\b{theirs}\b", ours, text)
    return text


def start(dsn: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Warehouse]:
    """The URL of an empty schema on the stand-in, and what is sent to it."""
    pytest.importorskip("databricks.sqlalchemy", reason="pip install -c constraints.txt -e '.[databricks-sql]'")
    from databricks import sql

    warehouse = Warehouse(dsn)
    connect: Callable[..., _Connection] = warehouse.connect
    # A mock, since nobody but Databricks has a warehouse.
    monkeypatch.setattr(sql, "connect", connect)
    where = "http_path=/sql/1.0/warehouses/abc&catalog=main&schema=nbvault"
    return f"databricks://token:t0ken@adb-1.example.net?{where}", warehouse

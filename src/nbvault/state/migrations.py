"""The way from any older state store to today's tables, step by numbered step.

A step is applied in one transaction with its record in `schema_version`. Steps that have been released are never
edited; they spell out their columns and do not look at `schema`, which is what all of them together must give. A step
must bear being run again over its own half, since Databricks SQL has no transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from nbvault.errors import StateError
from nbvault.state.put import insert
from nbvault.state.schema import schema_version

_TYPES: dict[str, type[TypeEngine[str]] | type[TypeEngine[int]] | type[TypeEngine[bool]] | sa.TIMESTAMP] = {
    "text": sa.Text,
    "int": sa.BigInteger,
    "bool": sa.Boolean,
    "time": sa.TIMESTAMP(timezone=True),
}


class Migration(NamedTuple):
    """A step, and what it does; its version is its place in `MIGRATIONS`, counted from 1."""

    name: str
    apply: Callable[[sa.Connection], None]


def current_version(connection: sa.Connection) -> int:
    """The number of steps that this database has had; 0 if it is new.

    Raises:
        StateError: it has had more than this program knows.
    """
    if not sa.inspect(connection).has_table(schema_version.name):
        return 0
    version = connection.scalar(sa.select(sa.func.max(schema_version.c.version))) or 0
    if version > len(MIGRATIONS):
        raise StateError(
            f"The state store has schema {version}; this nbvault knows schemas up to {len(MIGRATIONS)}.",
            hint="Install a newer nbvault, or name another database as state.url.",
        )
    return version


def apply_next(connection: sa.Connection, *, at: datetime) -> None:
    """Apply the first step that the database has not had, and record it; none if it has had all.

    The transaction of ``connection`` must keep other writers out.
    """
    version = current_version(connection) + 1
    if version > len(MIGRATIONS):
        return
    step = MIGRATIONS[version - 1]
    step.apply(connection)
    insert(connection, schema_version, [{"version": version, "name": step.name, "applied_at": at}])


def _create(connection: sa.Connection, name: str, columns: str) -> None:
    """Create a table from ``"name:type ..."``; `*` marks the primary key, `?` a column that may be null."""
    made = []
    for column in columns.split():
        label, kind = column.split(":")
        made.append(
            sa.Column(
                label,
                _TYPES[kind.rstrip("*?")],
                primary_key=kind.endswith("*"),
                nullable=kind.endswith("?"),
                autoincrement=False,
            )
        )
    connection.execute(sa.schema.CreateTable(sa.Table(name, sa.MetaData(), *made), if_not_exists=True))


def _first_tables(connection: sa.Connection) -> None:
    _create(connection, "schema_version", "version:int* name:text applied_at:time")
    _create(
        connection,
        "sync_sessions",
        "sync_id:text* session_id:text workspace_path:text repo_id:text start_time:time end_time:time? status:text"
        " total_files:int processed_files:int successful_files:int failed_files:int bytes_processed:int"
        " last_checkpoint:time? checkpoint_data:text? error_log:text? commit_id:text? metadata:text",
    )
    _create(
        connection,
        "problems",
        "position:int* session_id:text object_id:int path:text state:text reason:text since:text stale:bool"
        " acknowledged_by:text",
    )
    _create(connection, "audit_log", "seq:int* at:time actor:text action:text object:text result:text detail:text")
    _create(
        connection,
        "alerts",
        "alert_id:text* rule:text severity:text session_id:text message:text raised_at:time cleared_at:time?",
    )
    _create(
        connection,
        "deliveries",
        "delivery_id:text* alert_id:text channel:text attempted_at:time result:text detail:text",
    )
    _create(connection, "lease_sightings", "tip:text* first_seen:time")


def _alerts(connection: sa.Connection) -> None:
    """Nothing wrote to the two tables before: they are made anew, as a step that may run again over its half."""
    for name in ("alerts", "deliveries"):
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
    _create(
        connection,
        "alerts",
        "alert_id:text* rule:text severity:text session_id:text message:text raised_at:time told_at:time"
        " cleared_at:time?",
    )
    _create(
        connection,
        "deliveries",
        "delivery_id:text* alert_id:text channel:text kind:text message:text created_at:time attempted_at:time"
        " attempts:int result:text detail:text",
    )


_AUDIT = "seq:int* at:time actor:text action:text object:text result:text detail:text"


def _audit_trail(connection: sa.Connection) -> None:
    """The index holds from now on what the vault has, in its order: what is there waits until that is known."""
    _create(connection, "audit_waiting", _AUDIT)
    _create(connection, "audit_heads", "lines:int* digest:text commit_id:text epoch:int seen_at:time")
    names = [column.split(":")[0] for column in _AUDIT.split()]
    waiting, log = (sa.table(name, *map(sa.column, names)) for name in ("audit_waiting", "audit_log"))
    if connection.scalar(sa.select(sa.func.count()).select_from(waiting)) == 0:
        connection.execute(waiting.insert().from_select(names, sa.select(*(log.c[name] for name in names))))
    connection.execute(log.delete())


MIGRATIONS: tuple[Migration, ...] = (
    Migration("first tables", _first_tables),
    Migration("alerts and what is to be delivered", _alerts),
    Migration("audit trail", _audit_trail),
)

"""The audit trail in the state store: an index of the vault's lines, what the vault is still to be told, heads seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from nbvault.errors import StateError
from nbvault.state.schema import audit_heads, audit_log, audit_waiting
from nbvault.state.values import AuditEvent, AuditHead

_BATCH = 1000


def append(connection: sa.Connection, table: sa.Table, events: Iterable[AuditEvent]) -> None:
    """Events after those that are there."""
    last = connection.scalar(sa.select(sa.func.max(table.c.seq))) or 0
    insert(connection, table, ({"seq": seq, **event._asdict()} for seq, event in enumerate(events, last + 1)))


def events(
    connection: sa.Connection,
    table: sa.Table,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[AuditEvent]:
    """The last events of a table, in their order."""
    query = sa.select(table).order_by(table.c.seq.desc())
    if since is not None:
        query = query.where(table.c.at >= since)
    if until is not None:
        query = query.where(table.c.at < until)
    rows = connection.execute(query.limit(limit)).all()
    return [AuditEvent(*row[1:]) for row in reversed(rows)]


def index(connection: sa.Connection) -> list[tuple[int, AuditEvent]]:
    """Every row of the index, in order."""
    try:
        rows = connection.execute(sa.select(audit_log).order_by(audit_log.c.seq)).all()
    except (ValueError, TypeError) as error:
        raise StateError(f"The index of the audit trail holds a value that nbvault did not write: {error}.") from error
    return [(row[0], AuditEvent(*row[1:])) for row in rows]


def heads(connection: sa.Connection) -> list[AuditHead]:
    """Every head, by its length."""
    return [AuditHead(*row) for row in connection.execute(sa.select(audit_heads).order_by(audit_heads.c.lines))]


def settle(connection: sa.Connection, told: Sequence[AuditEvent]) -> None:
    """Forget what waited and is in the vault now."""
    waiting = connection.execute(sa.select(audit_waiting)).all()
    if not waiting:
        return
    known = {event.as_told for event in told}
    done = [{"done": row[0]} for row in waiting if AuditEvent(*row[1:]).as_told in known]
    if done:
        connection.execute(audit_waiting.delete().where(audit_waiting.c.seq == sa.bindparam("done")), done)


def follow(connection: sa.Connection, told: Sequence[AuditEvent], head: AuditHead) -> bool:
    """Add what is new; False where the rows that are there are not those up to the last head."""
    last = _seen(connection)
    count, top = connection.execute(sa.select(sa.func.count(), sa.func.max(audit_log.c.seq))).one()
    if not count == (top or 0) == last <= head.lines:
        return False
    append(connection, audit_log, told[last:])
    _remember(connection, head)
    return True


def replace(connection: sa.Connection, told: Iterable[AuditEvent], head: AuditHead | None = None) -> None:
    """The index anew; what waited stays, unless it is in the vault."""
    found = list(told)
    connection.execute(audit_log.delete())
    append(connection, audit_log, found)
    settle(connection, found)
    if head is not None:
        _remember(connection, head)


def accept(connection: sa.Connection, told: Sequence[AuditEvent], head: AuditHead) -> None:
    """The index anew, and one head alone."""
    connection.execute(audit_heads.delete())
    replace(connection, told, head)


def _seen(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(audit_heads.c.lines))) or 0


def _remember(connection: sa.Connection, head: AuditHead) -> None:
    if head.lines > _seen(connection):
        connection.execute(audit_heads.insert().values(tuple(head)))


def insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    """Rows, a thousand at a time."""
    while batch := list(islice(rows, _BATCH)):
        connection.execute(table.insert(), batch)

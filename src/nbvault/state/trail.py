"""The audit trail in the state store: an index of the vault's lines, what the vault is still to be told, heads seen."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from nbvault.errors import StateError
from nbvault.state.put import insert, merges
from nbvault.state.schema import audit_heads, audit_log, audit_waiting
from nbvault.state.values import AuditEvent, AuditHead

_BATCH = 200
# Below the number of a waiting event, where two machines may give out the same one at the same time.
_RANDOM_BITS = 20


def append(connection: sa.Connection, table: sa.Table, events: Iterable[AuditEvent]) -> None:
    """Events after those that are there."""
    last = connection.scalar(sa.select(sa.func.max(table.c.seq))) or 0
    insert(connection, table, [{"seq": seq, **event._asdict()} for seq, event in enumerate(events, last + 1)])


def wait(connection: sa.Connection, events: Iterable[AuditEvent]) -> None:
    """Events that the vault is to be told, after those that are there."""
    if not merges(connection):
        append(connection, audit_waiting, events)
        return
    # No lock keeps another machine from the same next number: a random part keeps both machines' events.
    last = (connection.scalar(sa.select(sa.func.max(audit_waiting.c.seq))) or 0) >> _RANDOM_BITS
    own = secrets.randbits(_RANDOM_BITS)
    rows = [{"seq": seq << _RANDOM_BITS | own, **event._asdict()} for seq, event in enumerate(events, last + 1)]
    insert(connection, audit_waiting, rows)


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
    done = [row[0] for row in waiting if AuditEvent(*row[1:]).as_told in known]
    for start in range(0, len(done), _BATCH):
        connection.execute(audit_waiting.delete().where(audit_waiting.c.seq.in_(done[start : start + _BATCH])))


def follow(connection: sa.Connection, told: Sequence[AuditEvent], head: AuditHead) -> bool:
    """Add what is new; False where the rows that are there are not those up to the last head."""
    last = _seen(connection)
    count, top = connection.execute(sa.select(sa.func.count(), sa.func.max(audit_log.c.seq))).one()
    if not count == (top or 0) >= last or last > head.lines or not _broken_off(connection, told, last):
        return False
    append(connection, audit_log, told[count:])
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


def _broken_off(connection: sa.Connection, told: Sequence[AuditEvent], last: int) -> bool:
    """Whether the rows after the last head, if any, are the vault's: without transactions one may die in between."""
    query = sa.select(audit_log).where(audit_log.c.seq > last).order_by(audit_log.c.seq)
    rows = connection.execute(query).all()
    return [AuditEvent(*row[1:]).as_told for row in rows] == [each.as_told for each in told[last : last + len(rows)]]


def _remember(connection: sa.Connection, head: AuditHead) -> None:
    if head.lines > _seen(connection):
        insert(connection, audit_heads, [dict(zip(audit_heads.columns.keys(), head, strict=True))])

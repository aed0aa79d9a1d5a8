"""Alerts and deliveries in the state store: what is wrong, who was told, and what still waits to be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from nbvault.state.database import Database
from nbvault.state.put import insert
from nbvault.state.schema import alerts, deliveries
from nbvault.state.values import Delivery, Incident, Result

# A process that has not said how a delivery went after so long will not.
SENDING_LASTS = timedelta(minutes=10)
_WAITING = (Result.WAITING.value, Result.SENDING.value)


class AlertBook:
    """The part of the state store that `AlertManager` writes. Each method is one transaction.

    Raises:
        StateError: from every method, where the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- alerts ---

    def open(self) -> list[Incident]:
        """What is wrong now, as far as was seen; oldest first."""
        return self._incidents(alerts.c.cleared_at.is_(None))

    def known(self) -> dict[str, Incident]:
        """Every alert that is kept, by its id."""
        return {each.alert_id: each for each in self._incidents(sa.true())}

    def recent(self, limit: int = 50) -> list[Incident]:
        """The last alerts, newest first, open or over."""
        query = sa.select(alerts).order_by(alerts.c.raised_at.desc(), alerts.c.alert_id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_to_incident(row) for row in connection.execute(query)]

    def begin(self, incident: Incident, told: Sequence[Delivery] = ()) -> bool:
        """Enter an alert and what is to be told of it.

        False, and no change, where its rule has an open one or its id is known.
        """
        taken = (alerts.c.alert_id == incident.alert_id) | (
            (alerts.c.rule == incident.rule) & alerts.c.cleared_at.is_(None)
        )
        with self._database.writing() as connection:
            if connection.execute(sa.select(alerts.c.alert_id).where(taken)).first() is not None:
                return False
            # In this order, for where there are no transactions: rather told twice than never.
            _insert(connection, told)
            insert(connection, alerts, [_incident_values(incident)])
            return True

    def change(self, incident: Incident, told: Sequence[Delivery] = ()) -> None:
        """Put an alert as it is now in the place of what was known of it.

        Where something newer is to be told of it, or it is over, what still waits to be told is told no more.
        """
        values = _incident_values(incident)
        with self._database.writing() as connection:
            if told or incident.cleared_at:
                stale = (deliveries.c.alert_id == incident.alert_id) & (deliveries.c.result == Result.WAITING.value)
                connection.execute(deliveries.update().where(stale).values(result=Result.OVERTAKEN.value))
            _insert(connection, told)
            connection.execute(alerts.update().where(alerts.c.alert_id == incident.alert_id).values(**values))

    # --- deliveries ---

    def queue(self, items: Iterable[Delivery]) -> None:
        """Enter what is to be delivered."""
        with self._database.writing() as connection:
            _insert(connection, items)

    def waiting(self) -> list[Delivery]:
        """What was not delivered yet, oldest first."""
        return self._deliveries(deliveries.c.result.in_(_WAITING))

    def of_alert(self, alert_id: str) -> list[Delivery]:
        """What was to be delivered about an alert, oldest first."""
        return self._deliveries(deliveries.c.alert_id == alert_id)

    def deliveries(self) -> list[Delivery]:
        """All that are kept, oldest first."""
        return self._deliveries(sa.true())

    def claim(self, delivery_id: str, now: datetime) -> bool:
        """Take a delivery upon oneself; False where another process has it, or it waits no more."""
        with self._database.writing() as connection:
            row = connection.execute(sa.select(deliveries).where(deliveries.c.delivery_id == delivery_id)).one_or_none()
            if row is None or row.result not in _WAITING:
                return False
            if row.result == Result.SENDING.value and abs(now - row.attempted_at) < SENDING_LASTS:
                return False
            ours = {"result": Result.SENDING.value, "attempted_at": now, "attempts": row.attempts + 1}
            as_seen = (deliveries.c.delivery_id == delivery_id) & (deliveries.c.attempts == row.attempts)
            connection.execute(deliveries.update().where(as_seen).values(**ours))
            # Where nothing keeps other writers out, the moment tells who was first.
            moment = sa.select(deliveries.c.attempted_at).where(deliveries.c.delivery_id == delivery_id)
            return bool(connection.scalar(moment) == now)

    def settle(self, delivery_id: str, result: Result, detail: str, *, at: datetime) -> None:
        """Say what became of a delivery."""
        with self._database.writing() as connection:
            _change(connection, delivery_id, result=result.value, detail=detail, attempted_at=at)

    def forget(self, before: datetime) -> None:
        """Delete alerts that were over, and deliveries that were settled, before a moment."""
        with self._database.writing() as connection:
            connection.execute(alerts.delete().where(alerts.c.cleared_at < before))
            old = (deliveries.c.attempted_at < before) & deliveries.c.result.not_in(_WAITING)
            connection.execute(deliveries.delete().where(old))

    def _incidents(self, which: sa.ColumnElement[bool]) -> list[Incident]:
        query = sa.select(alerts).where(which).order_by(alerts.c.raised_at, alerts.c.alert_id)
        with self._database.reading() as connection:
            return [_to_incident(row) for row in connection.execute(query)]

    def _deliveries(self, which: sa.ColumnElement[bool]) -> list[Delivery]:
        query = sa.select(deliveries).where(which).order_by(deliveries.c.created_at, deliveries.c.delivery_id)
        with self._database.reading() as connection:
            return [_to_delivery(row) for row in connection.execute(query)]


def _insert(connection: sa.Connection, items: Iterable[Delivery]) -> None:
    rows = [asdict(item) | {"result": item.result.value, "message": dict(item.message)} for item in items]
    insert(connection, deliveries, rows)


def _change(connection: sa.Connection, delivery_id: str, **values: Any) -> None:
    connection.execute(deliveries.update().where(deliveries.c.delivery_id == delivery_id).values(**values))


def _incident_values(incident: Incident) -> dict[str, Any]:
    values = asdict(incident)
    return {"session_id": values.pop("session"), **values}


def _to_incident(row: sa.Row[Any]) -> Incident:
    return Incident(
        alert_id=row.alert_id,
        rule=row.rule,
        severity=row.severity,
        session=row.session_id,
        message=row.message,
        raised_at=row.raised_at,
        told_at=row.told_at,
        cleared_at=row.cleared_at,
    )


def _to_delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        delivery_id=row.delivery_id,
        alert_id=row.alert_id,
        channel=row.channel,
        kind=row.kind,
        message=row.message,
        created_at=row.created_at,
        attempted_at=row.attempted_at,
        attempts=row.attempts,
        result=Result(row.result),
        detail=row.detail,
    )

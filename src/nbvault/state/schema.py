"""The tables, in types that mean the same on SQLite, PostgreSQL and Databricks SQL.

`sync_sessions` has the columns that the customer's schema gives it. No generated keys, no unique constraints and no
JSON types: Databricks SQL has none that the dialect would keep. `migrations` creates and changes the tables.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from nbvault.state.words import restored, storable


class Words(sa.types.TypeDecorator[str]):
    """Any text. NUL and lone surrogates, which databases refuse, are kept as ``\\u0000`` and come back."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return value and storable(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> str | None:
        return value and restored(value)


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value as ASCII text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware time, stored and returned in UTC to the microsecond; a naive one is refused with ValueError."""

    # DateTime would become TIMESTAMP_NTZ on Databricks, which drops the zone.
    impl = sa.TIMESTAMP(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} names no time zone")
        utc = value.astimezone(timezone.utc)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


metadata = sa.MetaData()

schema_version = sa.Table(
    "schema_version",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("applied_at", Moment, nullable=False),
)

sync_sessions = sa.Table(
    "sync_sessions",
    metadata,
    sa.Column("sync_id", Words, primary_key=True),
    sa.Column("session_id", Words, nullable=False),
    sa.Column("workspace_path", Words, nullable=False),
    sa.Column("repo_id", Words, nullable=False),
    sa.Column("start_time", Moment, nullable=False),
    sa.Column("end_time", Moment),
    sa.Column("status", Words, nullable=False),
    sa.Column("total_files", sa.BigInteger, nullable=False),
    sa.Column("processed_files", sa.BigInteger, nullable=False),
    sa.Column("successful_files", sa.BigInteger, nullable=False),
    sa.Column("failed_files", sa.BigInteger, nullable=False),
    sa.Column("bytes_processed", sa.BigInteger, nullable=False),
    sa.Column("last_checkpoint", Moment),
    sa.Column("checkpoint_data", Json),
    sa.Column("error_log", Json),
    sa.Column("commit_id", Words),
    sa.Column("metadata", Json, nullable=False),
)

problems = sa.Table(
    "problems",
    metadata,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("session_id", Words, nullable=False),
    sa.Column("object_id", sa.BigInteger, nullable=False),
    sa.Column("path", Words, nullable=False),
    sa.Column("state", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("since", Words, nullable=False),
    sa.Column("stale", sa.Boolean, nullable=False),
    sa.Column("acknowledged_by", Words, nullable=False),
)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("actor", Words, nullable=False),
    sa.Column("action", Words, nullable=False),
    sa.Column("object", Words, nullable=False),
    sa.Column("result", Words, nullable=False),
    sa.Column("detail", Words, nullable=False),
)

# What the vault has not been told yet; the next session, or note, takes it along.
audit_waiting = sa.Table(
    "audit_waiting",
    metadata,
    *(
        sa.Column(column.name, column.type, primary_key=column.primary_key, nullable=False, autoincrement=False)
        for column in audit_log.columns
    ),
)

audit_heads = sa.Table(
    "audit_heads",
    metadata,
    sa.Column("lines", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("digest", Words, nullable=False),
    sa.Column("commit_id", Words, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("alert_id", Words, primary_key=True),
    sa.Column("rule", Words, nullable=False),
    sa.Column("severity", Words, nullable=False),
    sa.Column("session_id", Words, nullable=False),
    sa.Column("message", Words, nullable=False),
    sa.Column("raised_at", Moment, nullable=False),
    sa.Column("told_at", Moment, nullable=False),
    sa.Column("cleared_at", Moment),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("delivery_id", Words, primary_key=True),
    sa.Column("alert_id", Words, nullable=False),
    sa.Column("channel", Words, nullable=False),
    sa.Column("kind", Words, nullable=False),
    sa.Column("message", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("attempted_at", Moment, nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("result", Words, nullable=False),
    sa.Column("detail", Words, nullable=False),
)

lease_sightings = sa.Table(
    "lease_sightings",
    metadata,
    sa.Column("tip", Words, primary_key=True),
    sa.Column("first_seen", Moment, nullable=False),
)

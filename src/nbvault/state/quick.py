"""Audit events into SQLite by its driver alone.

Every command that reads leaves an event behind; that need not cost it the third of a second that SQLAlchemy takes to
load. What is written is what `trail.wait` would have written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timezone
from pathlib import Path

from nbvault.state.values import AuditEvent
from nbvault.state.words import storable

# How many migrations there are, without loading them.
VERSION = 3
_SCHEME = "sqlite:///"


def wait_in_sqlite(url: str, events: Sequence[AuditEvent], *, busy_timeout_s: float = 30) -> bool:
    """Keep events until the vault has them, all or none; False where the state store must be opened for that.

    That is where it is no SQLite file, is not there yet, is of another version, or cannot be written.
    """
    path = Path(url.removeprefix(_SCHEME)).absolute()
    if not url.startswith(_SCHEME) or "?" in url or not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=busy_timeout_s)) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("SELECT max(version) FROM schema_version").fetchone()
            if found != (VERSION,):
                return False
            (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM audit_waiting").fetchone()
            rows = [(seq, *_values(event)) for seq, event in enumerate(events, last + 1)]
            connection.executemany("INSERT INTO audit_waiting VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
    except sqlite3.Error:
        return False
    return True


def _values(event: AuditEvent) -> tuple[str, ...]:
    """As the columns take them: the time in UTC without its zone, to the microsecond."""
    at = event.at.astimezone(timezone.utc).replace(tzinfo=None)
    return (at.isoformat(" ", "microseconds"), *map(storable, event[1:]))

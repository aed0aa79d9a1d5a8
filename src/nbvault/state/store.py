"""StateManager: what happened, for people and dashboards. Losing it loses nothing; the vault has what must last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from nbvault.clock import Clock, SystemClock
from nbvault.model import Problem, State, Status
from nbvault.state import trail
from nbvault.state.alert_book import AlertBook
from nbvault.state.database import Database, Lake
from nbvault.state.put import insert, put, replace
from nbvault.state.schema import audit_log, audit_waiting, lease_sightings, problems, sync_sessions
from nbvault.state.values import AuditEvent, AuditHead, SessionRow

__all__ = ["AuditEvent", "AuditHead", "SessionRow", "StateManager"]

KEEP_DAYS = 30


class StateManager:
    """The state store, named by an SQLAlchemy URL: SQLite, PostgreSQL or Databricks SQL.

    A context manager: entering opens it and brings its tables up to date. Each method is one transaction. Safe to use
    from several threads and processes.

    Raises:
        StateError: from every method, where the database cannot be opened, read or written, or is of a newer nbvault.
    """

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self._database = Database(url, clock=clock or SystemClock())
        self.alerts = AlertBook(self._database)

    def open(self) -> None:
        """Connect, and bring the tables up to date; does nothing if it is open."""
        self._database.open()

    def lake(self) -> Lake | None:
        """Where it is on Databricks SQL, see `Database.lake`; None elsewhere."""
        return self._database.lake()

    def version(self) -> int:
        """How many migrations it has had; 0 if it is new or not there yet. Nothing is written, and nothing made."""
        return self._database.version()

    def close(self) -> None:
        """Give all connections back; may be called twice."""
        self._database.close()

    def __enter__(self) -> StateManager:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- sessions ---

    def session_started(
        self,
        session: str,
        *,
        workspace_path: str,
        started_at: datetime,
        holder: Mapping[str, Any],
        repo_id: str = "",
    ) -> None:
        """Enter a running session; ``holder`` says which process it is. One that goes on after a break starts anew."""
        row = SessionRow(
            session, started_at, Status.RUNNING, workspace_path, repo_id, metadata={"holder": dict(holder)}
        )
        with self._database.writing() as connection:
            put(connection, sync_sessions, _session_values(row))

    def session_progress(
        self, session: str, *, total: int, processed: int, saved: int, failed: int, bytes_processed: int
    ) -> None:
        """How far a running session is; ``total`` is what has been listed so far."""
        self._change_running(
            session,
            total_files=total,
            processed_files=processed,
            successful_files=saved,
            failed_files=failed,
            bytes_processed=bytes_processed,
        )

    def session_checkpoint(self, session: str, *, at: datetime, data: Mapping[str, Any]) -> None:
        """Up to where a running session can be resumed; for show, since resuming reads the vault."""
        self._change_running(session, last_checkpoint=at, checkpoint_data=dict(data))

    def session_ended(self, ended: SessionRow) -> None:
        """Enter the end of a session, also of one whose start is not known here."""
        values = _session_values(ended)
        with self._database.writing() as connection:
            known = _session(connection, ended.session)
            if known is not None:
                values["metadata"] = {**known.metadata, **values["metadata"]}
                for kept in ("workspace_path", "repo_id", "last_checkpoint", "checkpoint_data"):
                    del values[kept]
            put(connection, sync_sessions, values)

    def interrupted(self, session: str, at: datetime) -> bool:
        """Enter that a session that seems to be running was cut short; False, and no change, if it is not running."""
        with self._database.writing() as connection:
            known = _session(connection, session)
            if known is None or known.status is not Status.RUNNING:
                return False
            running = _is(session) & (sync_sessions.c.status == Status.RUNNING.value)
            values = {"status": Status.INTERRUPTED.value, "end_time": at}
            connection.execute(sync_sessions.update().where(running).values(**values))
            return True

    def sessions(self, limit: int = 50) -> list[SessionRow]:
        """The last sessions, newest first."""
        return self._select_sessions(sa.select(sync_sessions).order_by(*_NEWEST_FIRST).limit(limit))

    def session(self, session: str) -> SessionRow | None:
        """A session by its name."""
        with self._database.reading() as connection:
            return _session(connection, session)

    def last_session(self) -> SessionRow | None:
        """The session that started last, however it ended."""
        return next(iter(self.sessions(limit=1)), None)

    def running(self) -> list[SessionRow]:
        """The sessions whose end is not known, newest first."""
        running = sync_sessions.c.status == Status.RUNNING.value
        return self._select_sessions(sa.select(sync_sessions).where(running).order_by(*_NEWEST_FIRST))

    # --- problems ---

    def replace_problems(self, session: str, found: Iterable[Problem]) -> None:
        """The open problems as ``session`` leaves them, in this order, instead of those that were there."""
        with self._database.writing() as connection:
            _replace_problems(connection, session, found)

    def problems(self) -> list[Problem]:
        """The open problems."""
        with self._database.reading() as connection:
            return [_to_problem(row) for row in connection.execute(sa.select(problems).order_by(problems.c.position))]

    # --- audit ---

    def record_audit(self, events: Iterable[AuditEvent]) -> None:
        """Keep events until the vault has them: all of them or none. One that it has already does no harm."""
        with self._database.writing() as connection:
            trail.wait(connection, events)

    def audit(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int | None = None
    ) -> list[AuditEvent]:
        """The audit trail as the vault has it, then what it has not yet, from ``since`` to before ``until``.

        Args:
            limit: Only the last so many of them.
        """
        with self._database.reading() as connection:
            waiting = trail.events(connection, audit_waiting, since=since, until=until, limit=limit)
            left = None if limit is None else limit - len(waiting)
            told = trail.events(connection, audit_log, since=since, until=until, limit=left) if left != 0 else []
            return told + waiting

    def audit_waiting(self) -> list[AuditEvent]:
        """What the vault has not been told yet, as far as is known here."""
        with self._database.reading() as connection:
            return trail.events(connection, audit_waiting)

    def audit_index(self) -> list[tuple[int, AuditEvent]]:
        """The index of the vault's trail as it stands, each event with its number.

        Raises:
            StateError: also where a value in it is none that nbvault wrote.
        """
        with self._database.reading() as connection:
            return trail.index(connection)

    def audit_heads(self) -> list[AuditHead]:
        """How far the vault's trail went whenever it was looked at, the shortest first."""
        with self._database.reading() as connection:
            return trail.heads(connection)

    def follow_audit(self, events: Sequence[AuditEvent], head: AuditHead) -> bool:
        """Bring the index up to what the vault has, and forget what waited for that.

        False, and nothing is added, where the index is not as it was left: `audit verify` tells, `rebuild` mends.

        Args:
            events: All that the vault has, in its order.
            head: Of all these.
        """
        with self._database.writing() as connection:
            trail.settle(connection, events)
            return trail.follow(connection, events, head)

    def accept_audit(self, events: Sequence[AuditEvent], head: AuditHead) -> None:
        """Take what the vault has for the truth from now on: index and heads are made anew."""
        with self._database.writing() as connection:
            trail.settle(connection, events)
            trail.accept(connection, events, head)

    # --- lease ---

    def sighting(self, tip: str, now: datetime) -> datetime:
        """The first time this tip of the lease was seen; ``now``, which is kept, if it is new."""
        with self._database.writing() as connection:
            first = sa.select(sa.func.min(lease_sightings.c.first_seen)).where(lease_sightings.c.tip == tip)
            seen: datetime | None = connection.scalar(first)
            if seen is None:
                insert(connection, lease_sightings, [{"tip": tip, "first_seen": now}])
            return seen or now

    def forget_sightings(self) -> None:
        """Forget every tip of the lease that was seen."""
        with self._database.writing() as connection:
            connection.execute(lease_sightings.delete())

    # --- upkeep ---

    def clean_up(self, now: datetime, keep_days: int = KEEP_DAYS) -> int:
        """Delete the sessions that started more than ``keep_days`` days ago, but never the last one; returns how many.

        The audit trail and the open problems are not touched.
        """
        with self._database.writing() as connection:
            last = connection.scalar(sa.select(sync_sessions.c.sync_id).order_by(*_NEWEST_FIRST).limit(1))
            old = (sync_sessions.c.start_time < now - timedelta(days=keep_days)) & (sync_sessions.c.sync_id != last)
            count = connection.scalar(sa.select(sa.func.count()).select_from(sync_sessions).where(old)) or 0
            connection.execute(sync_sessions.delete().where(old))
            return count

    def rebuild(
        self,
        sessions: Iterable[SessionRow],
        open_problems: Iterable[Problem],
        audit: Iterable[AuditEvent],
        *,
        head: AuditHead | None = None,
    ) -> None:
        """Empty the index of sessions, problems and audit trail, and fill it anew: all of it or no change.

        On Databricks SQL a rebuild that dies leaves what it had filled; it is run again. What the vault has not been
        told yet stays, and so do the heads that were seen; ``head`` is that of ``audit``.
        """
        # All that is given is looked at before anything is written: Databricks SQL takes nothing back.
        rows, found, told = [_session_values(row) for row in sessions], list(open_problems), list(audit)
        _ = [event.as_told for event in told]
        with self._database.writing() as connection:
            connection.execute(sync_sessions.delete())
            insert(connection, sync_sessions, rows)
            last = connection.scalar(sa.select(sync_sessions.c.session_id).order_by(*_NEWEST_FIRST).limit(1))
            _replace_problems(connection, last or "", found)
            trail.replace(connection, told, head)

    def _change_running(self, session: str, **values: Any) -> None:
        with self._database.writing() as connection:
            running = sync_sessions.c.status == Status.RUNNING.value
            connection.execute(sync_sessions.update().where(_is(session), running).values(**values))

    def _select_sessions(self, query: sa.Select[Any]) -> list[SessionRow]:
        with self._database.reading() as connection:
            return [_to_session(row) for row in connection.execute(query)]


# By name, which sorts as the sessions followed one another; a clock may have been wrong.
_NEWEST_FIRST = (sync_sessions.c.session_id.desc(),)


def _is(session: str) -> sa.ColumnElement[bool]:
    return sync_sessions.c.sync_id == session


def _session(connection: sa.Connection, session: str) -> SessionRow | None:
    row = connection.execute(sa.select(sync_sessions).where(_is(session))).one_or_none()
    return None if row is None else _to_session(row)


def _session_values(row: SessionRow) -> dict[str, Any]:
    return {
        "sync_id": row.session,
        "session_id": row.session,
        "workspace_path": row.workspace_path,
        "repo_id": row.repo_id,
        "start_time": row.started_at,
        "end_time": row.ended_at,
        "status": row.status.value,
        "total_files": row.total,
        "processed_files": row.processed,
        "successful_files": row.successful,
        "failed_files": row.failed,
        "bytes_processed": row.bytes_processed,
        "last_checkpoint": row.checkpoint_at,
        "checkpoint_data": None if row.checkpoint is None else dict(row.checkpoint),
        "error_log": [dict(entry) for entry in row.error_log],
        "commit_id": row.commit,
        "metadata": dict(row.metadata),
    }


def _to_session(row: sa.Row[Any]) -> SessionRow:
    return SessionRow(
        session=row.session_id,
        started_at=row.start_time,
        status=Status(row.status),
        workspace_path=row.workspace_path,
        repo_id=row.repo_id,
        ended_at=row.end_time,
        total=row.total_files,
        processed=row.processed_files,
        successful=row.successful_files,
        failed=row.failed_files,
        bytes_processed=row.bytes_processed,
        checkpoint_at=row.last_checkpoint,
        checkpoint=row.checkpoint_data,
        error_log=tuple(row.error_log or ()),
        commit=row.commit_id,
        metadata=row.metadata,
    )


def _replace_problems(connection: sa.Connection, session: str, found: Iterable[Problem]) -> None:
    rows = [_problem_values(problem, session, position) for position, problem in enumerate(found)]
    replace(connection, problems, rows)


def _problem_values(problem: Problem, session: str, position: int) -> dict[str, Any]:
    return {
        "position": position,
        "session_id": session,
        "object_id": problem.object_id,
        "path": problem.path,
        "state": problem.state.value,
        "reason": problem.reason,
        "since": problem.since,
        "stale": problem.stale,
        "acknowledged_by": problem.acknowledged_by,
    }


def _to_problem(row: sa.Row[Any]) -> Problem:
    return Problem(row.object_id, row.path, State(row.state), row.reason, row.since, row.stale, row.acknowledged_by)

"""Home and sessions: how the backup is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from nbvault.clock import iso
from nbvault.model import Problem, Status
from nbvault.state.store import SessionRow
from nbvault.web.refusals import NotThere
from nbvault.web.rhythm import Expected, next_session
from nbvault.web.show import page, site_of, viewer_of
from nbvault.web.viewer import Role, Viewer
from nbvault.web.watch import Seen

router = APIRouter(include_in_schema=False)
_GOOD = (Status.COMPLETE, Status.PARTIAL)


@dataclass(frozen=True, slots=True)
class Line:
    """The state of things in one line; `mood` is ``good``, ``warn`` or ``bad``."""

    mood: str
    words: str


def protection(seen: Seen) -> Line:
    """Whether the work of people is safe, in one line."""
    health = seen.health
    if health is None:
        return Line("warn", "Looking at the state of the backup …")
    if health.protected is None:
        return Line("bad", "Nothing is known to be protected yet.")
    last = next((row for row in health.sessions if row.status is not Status.RUNNING), None)
    if last is not None and last.status not in _GOOD:
        return Line("bad", f"The last session ended as {last.status.value}. What was saved before is still there.")
    if not health.remote.reachable:
        return Line("warn", "Protected as of the last session, but the Git server does not answer now.")
    if last is not None and last.status is Status.PARTIAL:
        return Line("warn", "Protected, but the last session could not save everything.")
    return Line("good", "Protected: the last session saved everything, and the Git server has it.")


def metrics(seen: Seen) -> dict[str, Any]:
    """What the charts draw: one entry a session, oldest first."""
    rows = [row for row in reversed(seen.sessions) if row.ended_at and not row.metadata.get("dry_run")]
    return {
        "at": [int(row.started_at.timestamp()) for row in rows],
        "good": [int(row.status in _GOOD) for row in rows],
        "duration_s": [_duration_s(row) for row in rows],
        "changes": [sum(counts_of(row).get(name, 0) for name in ("saved", "deleted")) for row in rows],
        "failed": [row.failed for row in rows],
        "bytes": [seen.bytes_after.get(row.session) for row in rows],
    }


def _duration_s(row: SessionRow) -> float:
    return round((row.ended_at - row.started_at).total_seconds(), 1) if row.ended_at else 0.0


def counts_of(row: SessionRow) -> Mapping[str, int]:
    """The counts of a session."""
    found: Mapping[str, int] = row.metadata.get("counts", {})
    return found


def session_json(row: SessionRow, *, words: bool) -> dict[str, Any]:
    """A session for the API; its free text is for administrators, for it may name anything."""
    found: dict[str, Any] = {
        "session": row.session,
        "status": row.status.value,
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at) if row.ended_at else None,
        "listed": row.total,
        "done": row.processed,
        "failed": row.failed,
        "commit": row.commit,
        "counts": dict(counts_of(row)),
    }
    if words:
        found |= {"errors": [dict(each) for each in row.error_log], "notes": list(row.metadata.get("notes", []))}
    return found


def expected(seen: Seen, now: datetime) -> Expected | None:
    """When the next session may be expected, by the last ones that ran for real."""
    return next_session([row.started_at for row in seen.sessions if not row.metadata.get("dry_run")], now=now)


def status_json(seen: Seen, running: Sequence[SessionRow], *, now: datetime) -> dict[str, Any]:
    """The state of things for the API."""
    following = expected(seen, now)
    line, health = protection(seen), seen.health
    protected = health.protected if health else None
    proven = health.proven if health else None
    return {
        "mood": line.mood,
        "words": line.words,
        "protected": {"commit": protected.commit, "session": protected.session} if protected else None,
        "remote_reachable": health.remote.reachable if health else None,
        "proven_restorable_at": iso(proven.at) if proven else None,
        "next_expected_at": iso(following.at) if following else None,
        "running": [session_json(row, words=False) for row in running],
    }


@router.get("/")
async def home(request: Request) -> HTMLResponse:
    """The state of things at a glance."""
    site = site_of(request)
    seen = site.watch.seen
    running = await run_in_threadpool(site.watch.running)
    rows = [row for row in seen.sessions if row.ended_at]
    good = sum(row.status in _GOOD for row in rows[:30])
    return page(
        request,
        "home.html",
        line=protection(seen),
        seen=seen,
        running=running,
        last=next(iter(rows), None),
        good=good,
        judged=len(rows[:30]),
        counts_of=counts_of,
        expected=expected(seen, site.clock.now()),
    )


@router.get("/running")
async def running(request: Request) -> HTMLResponse:
    """What runs now, as a part of the home page that renews itself."""
    found = await run_in_threadpool(site_of(request).watch.running)
    return page(request, "running.html", running=found)


@router.get("/sessions")
async def sessions(request: Request, before: str = "") -> HTMLResponse:
    """The sessions, newest first."""
    rows = [row for row in site_of(request).watch.seen.sessions if not before or row.session < before]
    return page(request, "sessions.html", rows=rows[:50], more=rows[50:51], counts_of=counts_of)


@router.get("/sessions/{session}")
async def session(request: Request, session: str) -> HTMLResponse:
    """One session: counts, problems, what it said."""
    site, viewer = site_of(request), viewer_of(request)
    row = find_session(site.watch.seen, session)
    problems = await open_problems(request, viewer) if row.session == _last(site.watch.seen) else []
    errors = await seen_errors(request, viewer, row)
    return page(request, "session.html", row=row, counts=counts_of(row), problems=problems, errors=errors)


def find_session(seen: Seen, session: str) -> SessionRow:
    """A session by its id.

    Raises:
        NotThere: it is not known.
    """
    found = next((row for row in seen.sessions if row.session == session), None)
    if found is None:
        raise NotThere(f"No session {session} is known.", hint="Sessions of the last months are kept.")
    return found


def _last(seen: Seen) -> str:
    return next((row.session for row in seen.sessions if row.ended_at), "")


async def open_problems(request: Request, viewer: Viewer) -> list[Problem]:
    """The open problems whose notebooks the viewer may see."""
    site = site_of(request)
    found = site.library.snapshot.vault.meta.problems
    seen = await site.library.seen_paths(viewer, [problem.path for problem in found])
    return [problem for problem in found if problem.path in seen]


async def seen_errors(request: Request, viewer: Viewer, row: SessionRow) -> list[Mapping[str, str]]:
    """What a session complained about, as far as the viewer may know; free text may name anything."""
    library = site_of(request).library
    seen = await library.seen_paths(viewer, [each["path"] for each in row.error_log if each.get("path")])
    everything = viewer.may(Role.ADMINISTRATOR) and viewer.sees_all
    return [each for each in row.error_log if everything or each.get("path") in seen]

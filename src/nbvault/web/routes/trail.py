"""What happened: changes of a period, alerts, the audit trail; with exports."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from nbvault.alerting import open_alerts, recent_alerts, try_channel
from nbvault.auditing import Entry, as_csv, as_json_lines, list_events
from nbvault.clock import iso
from nbvault.monitoring.audit import Filter
from nbvault.reporting.details import Detailed
from nbvault.reporting.query import Query as Wanted
from nbvault.reporting.query import time_given
from nbvault.reporting.tables import to_csv
from nbvault.reporting.walk import NotebookChange
from nbvault.web.refusals import NotAllowed, checked_place
from nbvault.web.routes.browse import Path, Text
from nbvault.web.show import page, site_of, viewer_of
from nbvault.web.viewer import Role, Viewer

router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api", tags=["nbvault"])
CHANNELS = ("email", "slack", "teams")
EVENTS = 300
Form_ = Annotated[str, Query(alias="format", max_length=10)]


async def asked(request: Request, *, since: str, until: str, author: str, place: str) -> list[NotebookChange]:
    """The changes of a period that the viewer may see, newest first; without a period, of the last week."""
    site = site_of(request)
    now = site.clock.now()
    start = since or ("" if until else iso(now - timedelta(days=7)))
    query = Wanted.of_texts(since=start, until=until, now=now, author=author, place=checked_place(place))
    return await site.library.changes(viewer_of(request), query)


@router.get("/changes")
async def changes(
    request: Request,
    *,
    since: Text = "",
    until: Text = "",
    author: Text = "",
    place: Path = "",
    form: Form_ = "",
) -> Response:
    """Who changed what: a day or a period, by person and folder, to look at or as a file."""
    found = await asked(request, since=since, until=until, author=author, place=place)
    if form == "csv":
        text = "".join(to_csv(Detailed(each) for each in found))
        return _file(text, "changes.csv", "text/csv; charset=utf-8")
    people: dict[str, int] = {}
    for each in found:
        people[each.author.name] = people.get(each.author.name, 0) + 1
    busiest = sorted(people.items(), key=lambda pair: (-pair[1], pair[0]))[:20]
    asked_for = {"since": since, "until": until, "author": author, "place": place}
    return page(request, "changes.html", changes=found[:EVENTS], total=len(found), people=busiest, asked=asked_for)


@json_router.get("/changes")
async def changes_json(
    request: Request, since: Text = "", until: Text = "", author: Text = "", place: Path = ""
) -> list[dict[str, Any]]:
    """Who changed what, newest first; without a period, in the last week. As `nbvault changes --json`."""
    found = await asked(request, since=since, until=until, author=author, place=place)
    return [each.as_json() for each in found]


def must_administer(viewer: Viewer) -> None:
    """Alerts and the audit trail name whatever they name: they are for who may see all of it.

    Raises:
        NotAllowed: this viewer may not.
    """
    if not (viewer.may(Role.ADMINISTRATOR) and viewer.sees_all):
        raise NotAllowed("This is for administrators of the workspace.", hint="Ask one of them (web.administrators).")


@router.get("/alerts")
async def alerts(request: Request, told: Text = "") -> HTMLResponse:
    """What is wrong, what was, and a way to try each channel."""
    must_administer(viewer_of(request))
    settings = site_of(request).settings
    open_now = await run_in_threadpool(open_alerts, settings)
    recent = await run_in_threadpool(recent_alerts, settings)
    return page(request, "alerts.html", open_now=open_now, recent=recent, channels=CHANNELS, told=told)


@router.post("/alerts/test")
async def test_alert(request: Request, channel: Annotated[str, Form(max_length=20)]) -> Response:
    """Send a message by one channel."""
    site, viewer = site_of(request), viewer_of(request)
    must_administer(viewer)

    def attempt() -> str:
        tested = try_channel(site.settings, channel, by=viewer.name, say=lambda _: None)
        return f"{tested.channel}: {tested.detail or ('sent' if tested.sent else 'not sent')}"

    told = await run_in_threadpool(attempt)
    return await alerts(request, told[:500])


@router.get("/audit")
async def audit(
    request: Request,
    *,
    since: Text = "",
    until: Text = "",
    actor: Text = "",
    action: Text = "",
    about: Text = "",
    form: Form_ = "",
) -> Response:
    """The audit trail: search and export."""
    found = await _events(request, since=since, until=until, wanted=Filter(actor, action, about))
    if form in ("csv", "jsonl"):
        text = "".join((as_csv if form == "csv" else as_json_lines)(found))
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        return _file(text, f"audit.{form}", kind)
    shown = list(reversed(found))[:EVENTS]
    asked_for = {"since": since, "until": until, "actor": actor, "action": action, "about": about}
    return page(request, "audit.html", entries=shown, total=len(found), asked=asked_for)


@json_router.get("/audit")
async def audit_json(
    request: Request, *, since: Text = "", until: Text = "", actor: Text = "", action: Text = "", about: Text = ""
) -> list[dict[str, Any]]:
    """The audit trail, oldest first; for administrators. As `nbvault audit list --json`."""
    found = await _events(request, since=since, until=until, wanted=Filter(actor, action, about))
    return [entry.as_json() for entry in found[-EVENTS:]]


async def _events(request: Request, *, since: str, until: str, wanted: Filter) -> list[Entry]:
    site = site_of(request)
    must_administer(viewer_of(request))
    now = site.clock.now()
    start = time_given(since, now=now, end=False) if since else None
    end = time_given(until, now=now, end=True) if until else None
    return await run_in_threadpool(lambda: list_events(site.settings, since=start, until=end, wanted=wanted))


def _file(text: str, name: str, kind: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8", "backslashreplace"), media_type=kind, headers=headers)

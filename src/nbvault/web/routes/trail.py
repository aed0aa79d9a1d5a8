"""What happened: changes of a period, alerts, the audit trail; with exports."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from nbvault.alerting import open_alerts, recent_alerts, try_channel
from nbvault.auditing import Entry, as_csv, as_json_lines, list_events
from nbvault.monitoring.audit import Filter
from nbvault.reporting.details import Detailed
from nbvault.reporting.query import Query as Wanted
from nbvault.reporting.query import time_given, week_before
from nbvault.reporting.tables import to_csv
from nbvault.web.library import MOST_CHANGES
from nbvault.web.patience import ASKING
from nbvault.web.refusals import NotAllowed, checked_place
from nbvault.web.routes.browse import Path, Text
from nbvault.web.show import is_part, page, site_of, viewer_of
from nbvault.web.viewer import Role, Viewer

router = APIRouter(include_in_schema=False)
json_router = APIRouter(prefix="/api", tags=["nbvault"])
CHANNELS = ("email", "slack", "teams")
EVENTS = 300
SHOWN = 50
MOST_TOTALS = 30
Form_ = Annotated[str, Query(alias="format", max_length=10)]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which changes somebody asks for, as texts; without a period, those of the last week."""

    since: str = ""
    until: str = ""
    author: str = ""
    place: str = ""

    def query(self, now: datetime) -> Wanted:
        """The same for the vault.

        Raises:
            ConfigurationError: a time is none, or the pattern is too wild.
        """
        since = self.since or ("" if self.until else week_before(now))
        return Wanted.of_texts(
            since=since, until=self.until, now=now, author=self.author, place=checked_place(self.place)
        )

    def as_dict(self) -> dict[str, str]:
        """The texts by their names in addresses."""
        return asdict(self)


def asked(since: Text = "", until: Text = "", author: Text = "", place: Path = "") -> Asked:
    """What the query of an address asks for."""
    return Asked(since, until, author, place)


AskedFor = Annotated[Asked, Depends(asked)]


@router.get("/changes")
async def changes(
    request: Request, wanted: AskedFor, form: Form_ = "", after: Annotated[int, Query(ge=0, le=2**31)] = 0
) -> Response:
    """Who changed what: a day or a period, by person and folder, to look at or as a file."""
    site, viewer = site_of(request), viewer_of(request)
    query = wanted.query(site.clock.now())
    if form == "csv":
        every = await site.library.changes(viewer, query)
        text = await run_in_threadpool(lambda: "".join(to_csv(Detailed(each) for each in every)))
        return _file(text, "changes.csv", "text/csv; charset=utf-8")
    found, more = await site.library.some_changes(viewer, query, after=after, most=SHOWN)
    return page(request, "changes.html", changes=found, after=after, more=more, asked=wanted.as_dict())


@router.get("/changes/totals")
async def totals(request: Request, wanted: AskedFor) -> HTMLResponse:
    """How many changes by whom and where; asked for by itself, for everything in the period must be looked at."""
    site = site_of(request)
    found = await site.library.changes(viewer_of(request), wanted.query(site.clock.now()))
    people = Counter(each.author.name for each in found)
    folders = Counter(each.path.rpartition("/")[0] for each in found)
    name = "changes_totals_part.html" if is_part(request) else "changes_totals.html"
    shown: dict[str, Any] = {"people": _most(people), "folders": _most(folders), "total": len(found)}
    return page(request, name, asked=wanted.as_dict(), most=MOST_TOTALS, looked_at=MOST_CHANGES, **shown)


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_TOTALS]


@json_router.get("/changes", responses=ASKING)
async def changes_json(
    request: Request,
    wanted: AskedFor,
    *,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> dict[str, Any]:
    """Who changed what, newest first, as `nbvault changes --json`; without a period, in the last week.

    `after` is where the next page begins, null if there is none.
    """
    site = site_of(request)
    found, more = await site.library.some_changes(
        viewer_of(request), wanted.query(site.clock.now()), after=after, most=limit
    )
    return {"changes": [each.as_json() for each in found], "after": more}


def must_administer(viewer: Viewer) -> None:
    """Alerts and the audit trail name whatever they name: they are for who may see all of it.

    Raises:
        NotAllowed: this viewer may not.
    """
    if not (viewer.may(Role.ADMINISTRATOR) and viewer.sees_all):
        raise NotAllowed("This is for administrators of the workspace.", hint="Ask one of them (web.administrators).")


@router.get("/alerts")
async def alerts(request: Request) -> HTMLResponse:
    """What is wrong, what was, and a way to try each channel."""
    return await _alerts(request, "")


async def _alerts(request: Request, told: str) -> HTMLResponse:
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
    return await _alerts(request, told[:500])


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

"""The JSON API: the same answers as the pages, from the same calls."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from nbvault.errors import ConfigurationError
from nbvault.notebook import diff, to_json
from nbvault.recovery.needle import Needle
from nbvault.recovery.plan import Overwrite
from nbvault.recovery.receipt import Receipt
from nbvault.recovery.restorer import Request as Wish
from nbvault.web import cells
from nbvault.web.catalogue import Query as Wanted
from nbvault.web.catalogue import State
from nbvault.web.deeds import Compared, Planned, Searched
from nbvault.web.library import PAGE
from nbvault.web.patience import ASKING
from nbvault.web.refusals import checked_place
from nbvault.web.routes.browse import At, Path, Text, attachment, opened
from nbvault.web.routes.restore import own_task
from nbvault.web.routes.status import find_session, metrics, open_problems, seen_errors, session_json, status_json
from nbvault.web.show import site_of, viewer_of
from nbvault.web.tasks import Task
from nbvault.web.viewer import Role

Answer = dict[str, Any]


class Failure(BaseModel):
    """What went wrong, and what to do."""

    error: str
    hint: str | None = None


_WORDS = {401: "not signed in", 403: "not allowed", 404: "not there, or not to be seen", 429: "too many requests"}
_WORDS |= {400: "wrong request", 409: "somebody else has it in hand", 422: "a value is wrong"}
_WORDS |= {502: "the workspace refuses", 503: "the workspace or the Git server does not answer"}
RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failure, "description": words} for code, words in _WORDS.items()
}
router = APIRouter(prefix="/api", tags=["nbvault"], responses=RESPONSES)
# What they answer depends on what the caller may see, and the workspace may take its time to say that.
asks = APIRouter(prefix="/api", tags=["nbvault"], responses={**RESPONSES, **ASKING})


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Restore(_Body):
    """What to restore. `to` is a folder if it ends with a slash; empty restores in place."""

    paths: list[Annotated[str, Field(max_length=4096)]] = Field(min_length=1, max_length=2000)
    at: str = Field("", max_length=100, description="A time, a commit or a tag; empty for the last protected version.")
    to: str = Field("", max_length=4096)
    overwrite: Overwrite = Overwrite.CHANGED


class Undo(_Body):
    """Which restore to take back; `forced` also takes back what somebody has changed since."""

    restore: str = Field(max_length=100)
    forced: bool = False


class Live(_Body):
    """A version to compare with the live notebook."""

    path: str = Field(max_length=4096)
    at: str = Field("", max_length=100)


class Search(_Body):
    """A text to search for."""

    text: str = Field(min_length=1, max_length=500)
    path: str = Field("", max_length=4096, description="Only here: a notebook, a folder or a glob.")
    all_versions: bool = False
    ignore_case: bool = False


@router.get("/me")
async def me(request: Request) -> Answer:
    """Who you are here, what you may do, and the token that your `POST`s need."""
    viewer = viewer_of(request)
    return {"name": viewer.name, "role": viewer.role.name.lower(), "csrf": site_of(request).seal.of(viewer)}


@router.get("/status")
async def status(request: Request) -> Answer:
    """Whether the work of people is protected, and what runs now."""
    site = site_of(request)
    running = await run_in_threadpool(site.watch.running)
    return status_json(site.watch.seen, running, now=site.clock.now())


@router.get("/metrics")
async def numbers(request: Request) -> Answer:
    """Success, duration, changes and size of each session, oldest first."""
    return metrics(site_of(request).watch.seen)


@asks.get("/notebooks")
async def notebooks(
    request: Request,
    *,
    q: Text = "",
    folder: Path = "",
    year: Text = "",
    engagement: Text = "",
    language: Text = "",
    editor: Text = "",
    state: State = State.LIVING,
    after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
    limit: Annotated[int, Query(ge=1, le=500)] = PAGE,
) -> Answer:
    """Notebooks by words in their paths and by filters; `after` is where the next page begins."""
    query = Wanted(q, folder.rstrip("/"), year, engagement, language.upper(), editor, state)
    found = await site_of(request).library.find(viewer_of(request), query, after=after, most=limit)
    return {"notebooks": [item.as_json() for item in found.items], "after": found.after}


@asks.get("/tree")
async def tree(request: Request, folder: Path = "", state: State = State.LIVING) -> Answer:
    """The folders and notebooks directly in a folder; empty for the root."""
    folders, items = await site_of(request).library.folder(viewer_of(request), folder, state=state)
    return {"folders": folders, "notebooks": [item.as_json() for item in items]}


@asks.get("/history")
async def history(request: Request, path: Path) -> list[Answer]:
    """The versions of a notebook, newest first, across renames; as `nbvault history --json`."""
    library = site_of(request).library
    found = await opened(request, path)
    return [told.as_json() for told in await library.history(viewer_of(request), found)]


@asks.get("/source")
async def source(request: Request, path: Path, at: At = "") -> Answer:
    """The source of a version as text; `GET /api/download` gives its bytes."""
    found = await opened(request, path)
    made = await site_of(request).library.source(found, at)
    text = made.data.decode("utf-8", "replace") if made.content else None
    return {"path": found.path, "version": made.label, "text": text, "large": made.is_large}


@asks.get("/download", response_class=Response)
async def download(request: Request, path: Path, at: At = "") -> Response:
    """The bytes of a version."""
    found = await opened(request, path)
    return attachment(found, await site_of(request).library.source(found, at))


@asks.get("/diff")
async def difference(
    request: Request,
    path: Path,
    old: Annotated[str, Query(alias="from", max_length=100)] = "",
    new: Annotated[str, Query(alias="to", max_length=100)] = "",
) -> list[Answer]:
    """What changed between two versions, cell by cell; as `nbvault diff --json`. Empty means the last version."""
    library = site_of(request).library
    found = await opened(request, path)
    one, other = await library.source(found, old), await library.source(found, new)
    if one.is_large or other.is_large:
        raise ConfigurationError(f"{found.path} is too large to be compared here.", hint="Download both versions.")
    after = other.content.parsed(other.data) if other.content else None
    before = cells.parsed(one.content, one.data, like=after)
    return to_json(diff(before, after or cells.parsed(None, b"", like=before)))


@asks.get("/blame")
async def blame(request: Request, path: Path, at: At = "") -> list[Answer]:
    """Who wrote each line."""
    library, viewer = site_of(request).library, viewer_of(request)
    found = await opened(request, path)
    told = await library.blame(found, at)
    seen = {each.version.commit: each.path for each in await library.history(viewer, found)}
    return [{**line.as_json(), "path": seen.get(line.version.commit) or None} for line in told.lines]


@router.post("/compare", status_code=202)
async def compare(request: Request, body: Live) -> Answer:
    """Begin to compare a version with what the workspace has now."""
    found = await opened(request, body.path)
    return site_of(request).to_do.compare_live(viewer_of(request), found, body.at).as_json()


@router.post("/search", status_code=202)
async def search(request: Request, body: Search) -> Answer:
    """Begin to search for a text, as of the last backup or in every version."""
    needle = Needle.of(body.text, regex=False, ignore_case=body.ignore_case)
    deeds = site_of(request).to_do
    task = deeds.search(
        viewer_of(request), needle, text=body.text, place=checked_place(body.path), everything=body.all_versions
    )
    return task.as_json()


@router.post("/restores", status_code=202)
async def plan(request: Request, body: Restore) -> Answer:
    """Begin to plan a restore; nothing is written before its task is applied."""
    wish = Wish(tuple(body.paths), body.at.strip(), body.to.strip(), (), body.overwrite)
    return (await site_of(request).to_do.plan(viewer_of(request), wish)).as_json()


@router.post("/undo", status_code=202)
async def undo(request: Request, body: Undo) -> Answer:
    """Begin to plan the way back of a restore."""
    return (await site_of(request).to_do.undo(viewer_of(request), body.restore, forced=body.forced)).as_json()


@router.post("/tasks/{task_id}/apply", status_code=202)
async def apply(request: Request, task_id: str) -> Answer:
    """Carry out a plan, with your own rights in the workspace."""
    found = await own_task(request, task_id)
    return site_of(request).to_do.apply(viewer_of(request), found).as_json()


@asks.get("/tasks")
async def tasks(request: Request) -> list[Answer]:
    """What you have under way, or had an hour ago, newest first."""
    site, viewer = site_of(request), viewer_of(request)
    found = site.tasks.of(viewer.name)
    seen = await site.library.may_see_each(viewer, [each.about for each in found])
    return [each.as_json() for each, is_seen in zip(found, seen, strict=True) if is_seen]


@asks.get("/tasks/{task_id}")
async def task(request: Request, task_id: str) -> Answer:
    """How far a task is, and its result: a receipt, a comparison, or what was found."""
    found = await own_task(request, task_id)
    return {**found.as_json(), "result": await _result(request, found)}


async def _result(request: Request, task: Task) -> Any:
    result = task.result
    if isinstance(result, Planned):
        return {**result.shown.as_json(), "writes": result.prepared.writes}
    if isinstance(result, Receipt):
        return result.as_json()
    if isinstance(result, Compared):
        changes = result.view.changes if result.view else ()
        told = [{"kind": each.kind, "words": each.words} for each in changes]
        return {"path": result.path, "from": result.old, "to": result.new, "cells": told}
    if isinstance(result, Searched):
        matches = await site_of(request).to_do.matches(viewer_of(request), result)
        return {"matches": [match.as_json() for match in matches], "cut": result.cut}
    return None


@asks.get("/restores")
async def restores(request: Request) -> list[Answer]:
    """Your last restores; an administrator's are everybody's."""
    found = await site_of(request).to_do.records(viewer_of(request))
    return [
        {
            "restore": record.intent.restore,
            "by": record.intent.by,
            "started_at": record.intent.started,
            "status": record.status.value if record.status else "open",
            "entries": len(record.intent.entries),
            "undo_of": record.intent.undo_of or None,
        }
        for record in found
    ]


@asks.get("/restores/{restore}")
async def receipt(request: Request, restore: str) -> Answer:
    """What a restore did."""
    record = await site_of(request).to_do.record(viewer_of(request), restore)
    entries = []
    for entry in record.intent.entries:
        outcome = record.outcomes.get(entry.number)
        told = {"result": outcome.result.value, "verified": outcome.verified} if outcome else {}
        entries.append({"path": entry.path, "target": entry.target, "action": entry.action.value, **told})
    status_ = record.status.value if record.status else "open"
    return {"restore": restore, "by": record.intent.by, "status": status_, "entries": entries}


@router.get("/sessions")
async def sessions(request: Request, limit: Annotated[int, Query(ge=1, le=400)] = 50) -> list[Answer]:
    """The last sessions, newest first."""
    rows = site_of(request).watch.seen.sessions[:limit]
    return [session_json(row, words=False) for row in rows]


@asks.get("/sessions/{session}")
async def session(request: Request, session: str) -> Answer:
    """One session, with what it complained about and the problems that are open now, as far as you may see them."""
    site, viewer = site_of(request), viewer_of(request)
    row = find_session(site.watch.seen, session)
    everything = viewer.may(Role.ADMINISTRATOR) and viewer.sees_all
    told = session_json(row, words=everything)
    problems = [
        {"path": each.path, "reason": each.reason, "since": each.since, "stale": each.stale}
        for each in await open_problems(request, viewer)
    ]
    return {**told, "errors": [dict(each) for each in await seen_errors(request, viewer, row)], "problems": problems}

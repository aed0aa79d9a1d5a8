"""Restores: choose, plan, confirm, watch, receipt, undo; and the tasks that somebody can come back to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from nbvault.errors import ConfigurationError
from nbvault.recovery.plan import Overwrite
from nbvault.recovery.receipt import Receipt
from nbvault.recovery.restorer import Request as Wish
from nbvault.web.deeds import Planned, Searched
from nbvault.web.refusals import NotThere, no_notebook
from nbvault.web.show import is_part, page, site_of, viewer_of
from nbvault.web.tasks import Task

router = APIRouter(include_in_schema=False)
SHOWN_ENTRIES = 500


@router.get("/restore")
async def form(
    request: Request,
    path: Annotated[list[str] | None, Query(max_length=4096)] = None,
    at: Annotated[str, Query(max_length=100)] = "",
) -> HTMLResponse:
    """What to restore, from when, and to where."""
    paths = [each for each in path or [] if each]
    if not paths:
        raise ConfigurationError("Nothing is chosen.", hint="Tick notebooks or a folder, then restore.")
    single = len(paths) == 1 and not await _is_folder(request, paths[0])
    for each in paths[:200]:
        await _check(request, each)
    return page(request, "restore.html", paths=paths, at=at, single=single, modes=list(Overwrite))


@router.post("/restore")
async def form_of_many(
    request: Request, path: Annotated[list[str] | None, Form(max_length=4096)] = None
) -> HTMLResponse:
    """The same for more than an address can name."""
    return await form(request, path, "")


async def _is_folder(request: Request, path: str) -> bool:
    catalogue = site_of(request).library.snapshot.catalogue
    return path.rstrip("/") == catalogue.root or catalogue.holds_folder(path)


async def _check(request: Request, path: str) -> None:
    site, viewer = site_of(request), viewer_of(request)
    if await _is_folder(request, path):
        if not await site.access.may_enter(viewer, path.rstrip("/") or "/"):
            raise no_notebook(path)
        return
    await site.library.open(viewer, path)


@router.post("/restore/plan")
async def plan(
    request: Request,
    *,
    path: Annotated[list[str], Form(max_length=4096)],
    at: Annotated[str, Form(max_length=100)] = "",
    day: Annotated[str, Form(max_length=40)] = "",
    where: Annotated[str, Form(max_length=20)] = "place",
    to: Annotated[str, Form(max_length=4096)] = "",
    overwrite: Annotated[Overwrite, Form()] = Overwrite.CHANGED,
) -> Response:
    """Begin to plan."""
    copy = where == "copy"
    if copy and not to.strip():
        raise ConfigurationError("Say where the copy is to be.", hint="Such as /Users/you@example.com/restored/")
    wish = Wish(tuple(path), (at or day).strip(), to.strip() if copy else "", (), overwrite)
    task = await site_of(request).to_do.plan(viewer_of(request), wish)
    return RedirectResponse(f"/tasks/{task.id}", 303)


@router.post("/tasks/{task_id}/apply")
async def apply(request: Request, task_id: str) -> Response:
    """Carry out a plan that somebody has looked at."""
    found = await own_task(request, task_id)
    task = site_of(request).to_do.apply(viewer_of(request), found)
    return RedirectResponse(f"/tasks/{task.id}", 303)


@router.post("/undo")
async def undo(
    request: Request, restore: Annotated[str, Form(max_length=100)], forced: Annotated[str, Form()] = ""
) -> Response:
    """Begin to plan the way back."""
    task = await site_of(request).to_do.undo(viewer_of(request), restore, forced=bool(forced))
    return RedirectResponse(f"/tasks/{task.id}", 303)


async def own_task(request: Request, task_id: str) -> Task:
    """The viewer's own task, if the viewer may still see what it names.

    Raises:
        NotThere: there is no such task.
    """
    site, viewer = site_of(request), viewer_of(request)
    found = site.tasks.find(viewer.name, task_id)
    if found is None or not await site.library.may_see_all(viewer, found.about):
        raise NotThere(
            "There is no such task of yours any more.", hint="Restores that were carried out are under Restores."
        )
    return found


@router.get("/tasks/{task_id}")
async def task(request: Request, task_id: str) -> HTMLResponse:
    """How far a task is, or what came of it."""
    found = await own_task(request, task_id)
    values: dict[str, Any] = {"task": found, "matches": [], "result": found.result, "entries": []}
    result = found.result
    if isinstance(result, Searched):
        values["matches"] = await site_of(request).to_do.matches(viewer_of(request), result)
    if isinstance(result, Planned):
        values["entries"] = entries_of(result.shown)
    if isinstance(result, Receipt):
        values["entries"] = entries_of(result)
    return page(request, "task_part.html" if is_part(request) else "task.html", **values)


def entries_of(receipt: Receipt) -> list[dict[str, Any]]:
    """The lines of a plan or receipt, those that need eyes first."""
    lines: list[dict[str, Any]] = receipt.as_json()["entries"]
    calm = {"identical", "restored", "deleted", "kept"}
    found = sorted(lines, key=lambda line: (line["result"] or line["action"]) in calm)
    return found[:SHOWN_ENTRIES]


@router.get("/tasks")
async def tasks(request: Request) -> HTMLResponse:
    """What the viewer has under way, or had an hour ago."""
    site, viewer = site_of(request), viewer_of(request)
    found = site.tasks.of(viewer.name)
    seen = await site.library.may_see_each(viewer, [each.about for each in found])
    found = [each for each, is_seen in zip(found, seen, strict=True) if is_seen]
    return page(request, "tasks.html", tasks=found)


@router.get("/restores")
async def restores(request: Request) -> HTMLResponse:
    """The receipts of restores, the viewer's own or, for an administrator, everybody's."""
    found = await site_of(request).to_do.records(viewer_of(request))
    return page(request, "restores.html", records=found)


@router.get("/restores/{restore}")
async def receipt(request: Request, restore: str) -> HTMLResponse:
    """One receipt."""
    record = await site_of(request).to_do.record(viewer_of(request), restore)
    return page(request, "record.html", record=record, outcomes=record.outcomes, shown=SHOWN_ENTRIES)

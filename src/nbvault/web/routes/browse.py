"""Notebooks: the list and tree, one with its timeline, a version, a comparison, who wrote what, searches."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from nbvault.errors import ConfigurationError
from nbvault.model import Language
from nbvault.recovery.needle import Needle
from nbvault.web import catalogue
from nbvault.web.library import Opened, Source
from nbvault.web.refusals import NotThere, checked_place
from nbvault.web.show import is_part, page, site_of, viewer_of

router = APIRouter(include_in_schema=False)
MOST_TEXT = 500

Text = Annotated[str, Query(max_length=MOST_TEXT)]
Path = Annotated[str, Query(max_length=4096)]
At = Annotated[str, Query(max_length=100)]
Number = Annotated[int, Query(ge=-1)]


@router.get("/notebooks")
async def notebooks(
    request: Request,
    *,
    q: Text = "",
    folder: Path = "",
    year: Text = "",
    engagement: Text = "",
    language: Text = "",
    editor: Text = "",
    state: catalogue.State = catalogue.State.LIVING,
    after: Number = -1,
) -> HTMLResponse:
    """Search as you type; without anything to search for, the tree."""
    query = catalogue.Query(q, folder.rstrip("/"), year, engagement, language.upper(), editor, state)
    library, viewer = site_of(request).library, viewer_of(request)
    shown: dict[str, Any] = {
        "query": query,
        "languages": [each.value for each in Language],
        "states": list(catalogue.State),
    }
    shown["root"] = library.snapshot.catalogue.root or "/"
    if query.is_empty and after < 0:
        folders, items = await library.folder(viewer, query.folder, state=state)
        name = "notebooks_tree.html" if is_part(request) else "notebooks.html"
        return page(request, name, **shown, folders=folders, items=items, after=None, tree=True)
    found = await library.find(viewer, query, after=after)
    name = "notebooks_list.html" if is_part(request) else "notebooks.html"
    return page(request, name, **shown, folders=[], items=found.items, after=found.after, tree=False)


async def opened(request: Request, path: str) -> Opened:
    """The notebook that a request means, if the viewer may see it."""
    return await site_of(request).library.open(viewer_of(request), path)


@router.get("/notebook")
async def notebook(request: Request, path: Path) -> HTMLResponse:
    """A notebook: its timeline across renames."""
    library = site_of(request).library
    found = await opened(request, path)
    versions = await library.history(viewer_of(request), found)
    library.read_ahead(found, versions)
    return page(request, "notebook.html", opened=found, versions=versions, asked=path)


@router.get("/version")
async def version(request: Request, path: Path, at: At = "") -> HTMLResponse:
    """A version to look at."""
    found = await opened(request, path)
    source, view = await site_of(request).library.view(found, at)
    return page(request, "version.html", opened=found, source=source, view=view, at=at)


@router.get("/compare")
async def compare(
    request: Request,
    path: Path,
    old: Annotated[str, Query(alias="from", max_length=100)] = "",
    new: Annotated[str, Query(alias="to", max_length=100)] = "",
) -> HTMLResponse:
    """Two versions side by side."""
    library, viewer = site_of(request).library, viewer_of(request)
    found = await opened(request, path)
    versions = await library.history(viewer, found)
    if not old and not new and len(versions) > 1:
        old, new = versions[1].version.commit, versions[0].version.commit
    one, other, view = await library.compare(found, old, new)
    values: dict[str, Any] = {"old": one, "new": other, "view": view, "ends": (old, new)}
    return page(request, "compare.html", opened=found, versions=versions, **values)


@router.get("/blame")
async def blame(request: Request, path: Path, at: At = "") -> HTMLResponse:
    """Who wrote each line."""
    found = await opened(request, path)
    told = await site_of(request).library.blame(found, at)
    return page(request, "blame.html", opened=found, blame=told, at=at)


@router.get("/download")
async def download(request: Request, path: Path, at: At = "") -> Response:
    """The bytes of a version, for the disk and not for the browser."""
    found = await opened(request, path)
    source = await site_of(request).library.source(found, at)
    return attachment(found, source)


def attachment(found: Opened, source: Source) -> Response:
    """The bytes as a file to be saved.

    Raises:
        NotThere: the notebook was not there then.
    """
    if source.content is None:
        raise NotThere(f"{found.path} was not in the vault at {source.label}.")
    name = found.path.rpartition("/")[2] + source.content.extension
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "-_. ") else "_" for each in name)
    spelled = quote(name, safe="", errors="replace")
    headers = {"content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{spelled}"}
    return Response(source.data, media_type="application/octet-stream", headers=headers)


@router.post("/compare-live")
async def compare_live(
    request: Request, path: Annotated[str, Form(max_length=4096)], at: Annotated[str, Form(max_length=100)] = ""
) -> Response:
    """Begin to compare a version with what the workspace has now."""
    found = await opened(request, path)
    task = site_of(request).to_do.compare_live(viewer_of(request), found, at)
    return RedirectResponse(f"/tasks/{task.id}", 303)


@router.get("/search")
async def search_form(request: Request, text: Text = "", place: Path = "") -> HTMLResponse:
    """Where to search for a text."""
    return page(request, "search.html", text=text, place=place)


@router.post("/search")
async def search(
    request: Request,
    text: Annotated[str, Form(max_length=MOST_TEXT)] = "",
    place: Annotated[str, Form(max_length=4096)] = "",
    everything: Annotated[str, Form()] = "",
    ignore_case: Annotated[str, Form()] = "",
) -> Response:
    """Begin to search."""
    if not text.strip():
        raise ConfigurationError("There is nothing to search for.", hint="Type a word or a line of a notebook.")
    needle = Needle.of(text, regex=False, ignore_case=bool(ignore_case))
    deeds = site_of(request).to_do
    task = deeds.search(viewer_of(request), needle, text=text, place=checked_place(place), everything=bool(everything))
    return RedirectResponse(f"/tasks/{task.id}", 303)

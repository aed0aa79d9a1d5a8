"""How values look on a page: templates, times, names, counts."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from nbvault import __version__
from nbvault.clock import iso
from nbvault.errors import NbvaultError
from nbvault.web.cells import visible
from nbvault.web.refusals import status_of
from nbvault.web.site import Site
from nbvault.web.viewer import Role, Viewer

HERE = Path(__file__).parent


def _when(moment: datetime | None) -> Markup:
    """A time that the browser tells in the reader's zone; in UTC without a script."""
    if moment is None:
        return Markup("")
    utc = moment.astimezone(timezone.utc)
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(iso(utc), utc)


def _named(text: str) -> Markup:
    """A name from the workspace: nothing in it turns, hides or is markup."""
    return Markup("<bdi>{}</bdi>").format(visible(text))


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _link(address: str, /, **query: Any) -> str:
    """An address of ours; what is empty is left out."""
    given = {name.rstrip("_"): value for name, value in query.items() if value not in ("", None, -1)}
    return address + ("?" + urlencode(given, doseq=True, errors="surrogatepass", quote_via=quote) if given else "")


def _milliseconds(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1000, timezone.utc)


def templates() -> Environment:
    """The templates; an undefined name is an error, everything is escaped."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        # They come with the package: nobody changes them while we run, so nobody looks whether they did.
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"when": _when, "named": _named, "size": _size, "visible": visible, "milliseconds": _milliseconds}
    made.globals |= {"link": _link, "version": __version__, "Role": Role}
    return made


_TEMPLATES = templates()


def site_of(request: Request) -> Site:
    """The parts of the page."""
    found: Site = request.app.state.site
    return found


def viewer_of(request: Request) -> Viewer:
    """Who asks; `Guard` has seen to it that there is somebody."""
    found: Viewer = request.scope["viewer"]
    return found


def is_part(request: Request) -> bool:
    """Whether a script asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def page(request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one, for the viewer."""
    site, viewer = site_of(request), request.scope.get("viewer")
    text = _TEMPLATES.get_template(name).render(
        viewer=viewer,
        csrf=site.seal.of(viewer) if viewer else "",
        here=request.url.path,
        notes=_notes(site) if viewer else (),
        signs_out=request.app.state.signs_out,
        **values,
    )
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)


def error_page(request: Request, error: NbvaultError) -> HTMLResponse:
    """An error in words."""
    status = status_of(error)
    signs_in = status == 401 and request.app.state.signs_out
    return page(request, "error.html", status=status, error=error, code=status, signs_in=signs_in)


def _notes(site: Site) -> tuple[str, ...]:
    try:
        return site.warm.snapshot.notes
    except NbvaultError as error:
        return (error.message,)

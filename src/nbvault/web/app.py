"""The application: routes in their order, errors in words, and the guard before all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from nbvault import __version__
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.settings import SignIn
from nbvault.web.guard import CSRF_FIELD, BodyTooLarge, Guard
from nbvault.web.patience import StillAsking
from nbvault.web.refusals import NotAllowed, NotThere, Refusal, TooFast, status_of
from nbvault.web.routes import api, browse, doors, restore, status, trail
from nbvault.web.show import HERE, error_page, is_part, page, site_of, viewer_of
from nbvault.web.site import Site, way_of

_log = logging.getLogger(__name__)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_DESCRIPTION = """
What the pages of nbvault show and do, as JSON. The caller sees what the caller may see in the workspace, and restores
with the caller's own rights. A `POST` needs the header `X-CSRF-Token` with the value that `GET /api/me` gives. What
takes long is answered with 202 and a task; `GET /api/tasks/{task}` tells how far it is, and its result.
"""


async def sealed(request: Request) -> None:
    """Every form carries the token of its viewer.

    Raises:
        NotAllowed: it does not.
    """
    if request.method in _SAFE or "viewer" not in request.scope or request.scope.get("sealed"):
        return
    form = await request.form()
    site_of(request).seal.check(viewer_of(request), str(form.get(CSRF_FIELD, "")))


def create_app(site: Site, *, hosts: frozenset[str], https: bool) -> ASGIApp:
    """The page as an ASGI application.

    Args:
        hosts: The values of ``Host`` that are answered; empty for any.
        https: Whether people come over HTTPS, if only to a proxy.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with site.opened():
            yield

    app = FastAPI(
        title="nbvault",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        dependencies=[Depends(sealed)],
    )
    way = way_of(site.settings)
    app.state.site, app.state.https, app.state.signs_out = site, https, way is SignIn.OIDC
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for router in (doors.router, status.router, browse.router, restore.router, trail.router, api.router, api.asks):
        app.include_router(router)
    app.include_router(trail.json_router, responses=api.RESPONSES)
    if way is SignIn.OIDC:
        from nbvault.web.routes import oidc

        oidc.attach(app, site)
    _words(app)
    limit = site.settings.web.requests_per_second

    async def refuse(connection: HTTPConnection, error: NbvaultError) -> ASGIApp:
        connection.scope["app"] = app
        return _answer(Request(connection.scope), error)

    return Guard(
        app,
        signs_in=site.signs_in,
        hosts=hosts,
        rate=limit,
        refuse=refuse,
        clock=site.clock,
        seal=site.seal,
        https=https,
        patience_s=site.settings.web.patience_s,
    )


def _words(app: FastAPI) -> None:
    """Whatever goes wrong is told in words."""

    @app.exception_handler(NbvaultError)
    async def expected(request: Request, error: NbvaultError) -> Response:
        return _answer(request, error)

    @app.exception_handler(BodyTooLarge)
    async def large(request: Request, _error: BodyTooLarge) -> Response:
        return _answer(request, ConfigurationError("That is more than this page takes at once."))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        where = ", ".join(str(each["loc"][-1]) for each in error.errors())
        return _answer(request, Invalid(f"Something is wrong or missing in the request: {where}."))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        kind = {404: NotThere, 405: NotAllowed}.get(error.status_code, Refusal)
        words = {404: "There is no such page.", 405: "This address does not take such a request."}
        made = kind(words.get(error.status_code, "The request cannot be understood."))
        made.status = error.status_code
        return _answer(request, made)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        _log.exception("A request failed.", exc_info=error)
        return _answer(
            request, NbvaultError("Something went wrong inside nbvault.", hint="The server's log has the details.")
        )


class Invalid(Refusal):
    """A value that is not of its kind."""

    status = 422


def _answer(request: Request, error: NbvaultError) -> Response:
    if isinstance(error, StillAsking):
        return _still_asking(request, error)
    status_code = status_of(error)
    if request.url.path.startswith("/api/"):
        made: Response = JSONResponse({"error": error.message, "hint": error.hint or None}, status_code)
    else:
        made = error_page(request, error)
    if isinstance(error, TooFast):
        made.headers["retry-after"] = str(int(error.wait_s) + 1)
    return made


def _still_asking(request: Request, error: StillAsking) -> Response:
    """How far the asking is; whoever looks comes again by itself."""
    if request.url.path.startswith("/api/"):
        told = {"asking": error.message, "done": error.done, "total": error.total}
        return JSONResponse(told, error.status, {"retry-after": "1"})
    again = str(request.url.replace(scheme="", netloc=""))
    name = "asking_part.html" if is_part(request) else "asking.html"
    target = request.headers.get("hx-target", "results")
    return page(request, name, status=error.status, error=error, again=again, target=target)

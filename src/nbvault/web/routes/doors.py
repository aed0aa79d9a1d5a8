"""Ways in: the one-time link, and a sign of life for whoever watches the process."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from nbvault.web.refusals import NotThere
from nbvault.web.show import site_of
from nbvault.web.signing import COOKIE, LocalSignIn

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> Response:
    """Whether the process answers; says nothing about the vault."""
    return PlainTextResponse("ok\n")


@router.get("/enter")
async def enter(request: Request, key: str = "") -> Response:
    """Exchange the key of the printed link for a cookie."""
    signs_in = site_of(request).signs_in
    if not isinstance(signs_in, LocalSignIn):
        raise NotThere("There is no such page.")
    answer = RedirectResponse("/", 303)
    cookie = signs_in.enter(key)
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/", secure=request.app.state.https)
    return answer

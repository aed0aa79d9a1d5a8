"""Signing in at an identity provider: authorization code with PKCE, by authlib; out again."""

from __future__ import annotations

import logging
import secrets
import time

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, FastAPI, Request
from httpx import HTTPError
from joserfc.errors import JoseError
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse, Response

from nbvault.web.refusals import CannotSay, NotSignedIn
from nbvault.web.show import site_of
from nbvault.web.signing import OidcSignIn, cookie_name
from nbvault.web.site import Site

# A token that is about to end is not worth a session.
_LEAST_S = 60.0
_UNDER_WAY_S = 600
_log = logging.getLogger(__name__)


def attach(app: FastAPI, site: Site) -> None:
    """Let people sign in by OpenID Connect.

    A sign-in under way is known by a signed cookie of ten minutes, `SameSite=Lax` since the provider sends people
    back from elsewhere; it holds no token.
    """
    section = site.settings.web
    oauth = OAuth()
    secret = section.oidc_client_secret
    provider = oauth.register(
        "provider",
        client_id=section.oidc_client_id,
        client_secret=secret.reveal() if secret else None,
        server_metadata_url=f"{section.oidc_issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": section.oidc_scope, "code_challenge_method": "S256"},
    )
    router = APIRouter(include_in_schema=False)
    https = app.state.https

    @router.get("/sign-in")
    async def sign_in(request: Request, next: str = "/") -> Response:  # noqa: A002 - its name in addresses
        """To the identity provider."""
        request.session["next"] = next if _is_ours(next) else "/"
        try:
            answer: Response = await provider.authorize_redirect(request, f"{section.address}/sign-in/back")
        except (HTTPError, OAuthError, ValueError) as error:
            _log.warning("The identity provider cannot be asked: %s", type(error).__name__)
            raise CannotSay("The identity provider does not answer.", hint="Try again in a minute.") from error
        return answer

    @router.get("/sign-in/back")
    async def back(request: Request) -> Response:
        """From the identity provider, with a code for tokens."""
        signs_in = site_of(request).signs_in
        try:
            tokens = await provider.authorize_access_token(request)
        except (OAuthError, JoseError, HTTPError, ValueError, KeyError) as error:
            _log.warning("A sign-in was refused: %s", type(error).__name__)
            raise NotSignedIn("Signing in did not work.", hint="Try again from the beginning.") from error
        token = tokens.get("access_token")
        if not token or "userinfo" not in tokens or not isinstance(signs_in, OidcSignIn):
            raise NotSignedIn("The identity provider gave no token for the workspace.", hint="See web.oidc_scope.")
        lasts_s = float(tokens.get("expires_at", time.time() + 3600)) - time.time()
        if lasts_s < _LEAST_S:
            raise NotSignedIn("The identity provider gave a token that has ended.", hint="Try again.")
        cookie = await signs_in.begin(token, lasts_s=lasts_s)
        answer = RedirectResponse(request.session.pop("next", "/"), 303)
        # Lax: the first page after the provider's own is reached from there.
        answer.set_cookie(cookie_name(secure=https), cookie, httponly=True, samesite="lax", path="/", secure=https)
        return answer

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        """End the session here."""
        site_of(request).sessions.end(request.cookies.get(cookie_name(secure=https), ""))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(cookie_name(secure=https), path="/", secure=https, httponly=True)
        return answer

    app.include_router(router)
    app.add_middleware(
        SessionMiddleware,
        secret_key=secrets.token_urlsafe(32),
        session_cookie="__Host-nbvault-sign-in" if https else "nbvault-sign-in",
        max_age=_UNDER_WAY_S,
        same_site="lax",
        https_only=https,
    )


def _is_ours(address: str) -> bool:
    """Whether an address leads to a page of ours: nobody is sent elsewhere after signing in."""
    return address.startswith("/") and not address.startswith(("//", "/\\")) and "\\" not in address

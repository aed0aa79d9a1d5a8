"""What every request passes before a route sees it: to which host, how often, by whom, and from which page."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nbvault.clock import Clock
from nbvault.errors import NbvaultError
from nbvault.web import patience
from nbvault.web.refusals import NotAllowed, TooFast
from nbvault.web.signing import SignsIn
from nbvault.web.viewer import Viewer

# Nothing inline, nothing from elsewhere, nothing that embeds us.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
OPEN = ("/static/", "/enter", "/sign-in", "/healthz")
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Of one address, which may be a proxy with everybody behind it.
_SIGN_IN_RATE = 5.0
_BURST_S = 5.0
_BUCKETS = 10_000
# Plans name paths, one a line; nothing else that is sent to us is long.
MAX_BODY_BYTES = 4 * 1024 * 1024

Refuse = Callable[[HTTPConnection, NbvaultError], Awaitable[ASGIApp]]


class Seal:
    """The token in our own forms: for this viewer, and for as long as this process lives."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, viewer: Viewer) -> str:
        """The token of a viewer."""
        return hmac.new(self._key, viewer.name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def check(self, viewer: Viewer, given: str) -> None:
        """Refuse what does not come from our own page.

        Raises:
            NotAllowed: the token is missing, or another one.
        """
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.of(viewer).encode()):
            raise NotAllowed(
                "This request does not come from a page of nbvault, or from one of before a restart.",
                hint="Reload the page and try again.",
            )


class Buckets:
    """So many requests a second for each key, and a few seconds' worth at once."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, rate: float) -> None:
        """Count a request.

        Raises:
            TooFast: there have been too many.
        """
        now_s, most = self._clock.monotonic(), max(rate * _BURST_S, 5.0)
        level, before_s = self._levels.get(key, (most, now_s))
        level = min(most, level + (now_s - before_s) * rate)
        if level < 1:
            raise TooFast(wait_s=(1 - level) / rate)
        self._levels[key] = (level - 1, now_s)
        self._levels.move_to_end(key)
        if len(self._levels) > _BUCKETS:
            self._levels.popitem(last=False)


class Guard:
    """Middleware. The viewer is in ``scope["viewer"]`` afterwards; a route that wants none is one of `OPEN`.

    Args:
        hosts: As whom we may be addressed (``Host``); empty for any, behind a proxy that sees to it.
        rate: Requests a second of one viewer; 0 for no limit.
        refuse: Makes the answer to what is refused.
        patience_s: How long a request that only looks may wait for the workspace.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        signs_in: SignsIn,
        hosts: frozenset[str],
        rate: float,
        refuse: Refuse,
        clock: Clock,
        seal: Seal,
        https: bool,
        patience_s: float,
    ) -> None:
        self._app = app
        self._signs_in = signs_in
        self._hosts = hosts
        self._rate = rate
        self._refuse = refuse
        self._buckets = Buckets(clock=clock)
        self._seal = seal
        self._https = https
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        app = self._app
        try:
            await self._check(connection, scope)
        except NbvaultError as error:
            app = await self._refuse(connection, error)
        await app(scope, _bounded(receive), self._with_headers(send, scope["path"]))

    async def _check(self, connection: HTTPConnection, scope: Scope) -> None:
        path = scope["path"]
        self._check_host(connection)
        if path.startswith("/static/") or path == "/healthz":
            return
        if path.startswith(OPEN):
            self._buckets.take(f"address {connection.client.host if connection.client else ''}", _SIGN_IN_RATE)
            return
        if scope["method"] in _SAFE:
            patience.begin(self._patience_s)
        viewer = await self._signs_in.viewer(connection)
        scope["viewer"] = viewer
        if self._rate:
            self._buckets.take(f"viewer {viewer.name}", self._rate)
        if scope["method"] not in _SAFE:
            self._check_origin(connection)
            # A form's own field is checked by `forms.read`, which every route with a form uses.
            kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
            if CSRF_HEADER in connection.headers or kind != "application/x-www-form-urlencoded":
                self._seal.check(viewer, connection.headers.get(CSRF_HEADER, ""))
                scope["sealed"] = True

    def _check_host(self, connection: HTTPConnection) -> None:
        if self._hosts and connection.headers.get("host", "").lower() not in self._hosts:
            raise NotAllowed("This page is not known by that name.", hint="Use the address that was printed.")

    def _check_origin(self, connection: HTTPConnection) -> None:
        site = connection.headers.get("sec-fetch-site", "")
        if site not in ("", "same-origin", "none"):
            raise NotAllowed("This request comes from another site.")
        origin = connection.headers.get("origin", "")
        if origin and self._hosts and urlsplit(origin).netloc.lower() not in self._hosts:
            raise NotAllowed("This request comes from another site.")

    def _with_headers(self, send: Send, path: str) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._https:
                    headers["strict-transport-security"] = "max-age=31536000"
                if not path.startswith("/static/"):
                    headers["cache-control"] = "no-store"
            await send(message)

        return sending


class BodyTooLarge(Exception):
    """More was sent than any form or question of ours holds."""


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise BodyTooLarge
        return message

    return receiving

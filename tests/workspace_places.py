"""A clock that needs no waiting, credentials that can be rotated, and a real HTTP server that answers from a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import Authenticator, ClientOptions


class FakeClock:
    """Time that passes only by sleeping; `slept` has each sleep in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._at = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 2, 0, tzinfo=timezone.utc) + timedelta(seconds=self._at - 1000.0)

    def monotonic(self) -> float:
        return self._at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._at += seconds
        await asyncio.sleep(0)

    def wait(self, seconds: float) -> None:
        self._at += seconds


@dataclass
class FakeAuth:
    """Tokens in the order in which renewals find them; the last one stays."""

    host: str
    tokens: list[str] = field(default_factory=lambda: ["token"])
    renewals: int = 0

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[0]}"}

    def renew(self) -> dict[str, str]:
        self.renewals += 1
        if len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.headers()

    def accepted(self, identity: str = "") -> None:
        """Not counted."""


@dataclass
class Script:
    """Answers as ``(status, body)`` or ``(status, body, headers)``; the last is repeated. `seen` has the requests."""

    answers: list[tuple[Any, ...]]
    seen: list[web.BaseRequest] = field(default_factory=list)
    host: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.seen.append(request)
        status, body, *rest = self.answers[min(len(self.seen), len(self.answers)) - 1]
        text = body if isinstance(body, bytes) else body.encode()
        return web.Response(status=status, body=text, headers=rest[0] if rest else {"Content-Type": "application/json"})


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """A server on a free port; gives its address."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{tail:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


@asynccontextmanager
async def scripted(answers: Iterable[tuple[Any, ...]]) -> AsyncIterator[Script]:
    """A server on a free port that gives these answers in turn."""
    script = Script(list(answers))
    async with served(script.answer) as script.host:
        yield script


def client_of(place: str | Authenticator, clock: FakeClock | None = None, **options: Any) -> WorkspaceClient:
    """A client without jitter: every wait is the longest that it may be."""
    auth = FakeAuth(place) if isinstance(place, str) else place
    return WorkspaceClient(
        auth, options=ClientOptions(**options), clock=clock or FakeClock(), random=lambda: 1.0 - 2**-53
    )

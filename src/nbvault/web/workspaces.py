"""The workspace as each person sees it: a client for each token, kept open while it is used."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, NbvaultError, WorkspaceError
from nbvault.settings import Settings
from nbvault.web.viewer import fingerprint
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import DeadlineExceeded, ServerFault, Unreachable
from nbvault.workspace.transport import Authenticator, ClientOptions

KEPT = 100
# Requests in flight: of all together, for the workspace counts them together, and of one person.
AT_ONCE = 16
EACH_AT_ONCE = 6
# Somebody waits for these answers; a restore has the patience of the settings.
LOOK_S = 5.0
SILENT_S = 5.0

T = TypeVar("T")


class Silent(WorkspaceError):
    """The workspace does not answer."""


@dataclass(frozen=True, slots=True, repr=False)
class OwnToken:
    """A person's own token, which nobody but its owner can renew."""

    host: str
    token: str

    def headers(self) -> dict[str, str]:
        """The headers for one attempt."""
        return {"Authorization": f"Bearer {self.token}"}

    def accepted(self, identity: str = "") -> None:
        """Nobody keeps account of that: the person signed in elsewhere."""

    def renew(self) -> dict[str, str]:
        """There is no other.

        Raises:
            AuthenticationError: always.
        """
        raise AuthenticationError("The workspace does not accept your token any more.", hint="Sign in again.")


@dataclass(slots=True)
class _Open:
    client: WorkspaceClient
    users: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(EACH_AT_ONCE))


class Workspaces:
    """Clients by token, for one event loop.

    Args:
        settings: They name the workspace, and have the credentials of the service itself.
    """

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._own = AuthenticationManager(settings, clock=clock)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._opening = asyncio.Lock()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._silent_until = float("-inf")

    def credentials(self, token: str) -> Authenticator:
        """Who signs in with a person's token, or with the configured credentials where it is empty.

        Raises:
            NbvaultError: it is not known which workspace is meant. May block.
        """
        return OwnToken(self._own.host, token) if token else self._own

    def client(self, token: str) -> WorkspaceClient:
        """A client with the patience of the settings, not opened yet; for an event loop of its own."""
        return WorkspaceClient(self.credentials(token), options=ClientOptions.of(self._settings), clock=self._clock)

    async def ask(self, token: str, question: Callable[[WorkspaceClient], Awaitable[T]]) -> T:
        """Ask the workspace as whoever has this token, and wait no longer than somebody at a page would.

        Only so many are asked at once, by all and by one person; waiting for one's turn does not count. Once it did
        not answer, it is left alone for some seconds: others would only wait for the same.

        Raises:
            Silent: it does not answer, or did not just now.
            NbvaultError: what it answers.
        """
        try:
            async with self._turn(token) as workspace:
                if self.is_silent:
                    raise Silent("The workspace does not answer.")
                return await asyncio.wait_for(question(workspace), LOOK_S)
        except (asyncio.TimeoutError, Unreachable, ServerFault, DeadlineExceeded) as error:
            self._silent_until = self._clock.monotonic() + SILENT_S
            raise Silent("The workspace does not answer.") from error

    @property
    def is_silent(self) -> bool:
        """Whether the workspace did not answer just now."""
        return self._clock.monotonic() < self._silent_until

    @asynccontextmanager
    async def _turn(self, token: str) -> AsyncIterator[WorkspaceClient]:
        """A client that does not wait long, as whoever has this token; empty for the service itself."""
        found = await self._get(token)
        found.users += 1
        try:
            async with found.turns, self._turns:
                yield found.client
        finally:
            found.users -= 1
            await self._close_idle()

    async def close(self) -> None:
        """Close all of them."""
        while self._open:
            _, found = self._open.popitem()
            await found.client.__aexit__(None, None, None)

    async def _get(self, token: str) -> _Open:
        key = fingerprint(token)
        async with self._opening:
            if key not in self._open:
                self._open[key] = _Open(await self._opened(token))
            self._open.move_to_end(key)
            return self._open[key]

    async def _opened(self, token: str) -> WorkspaceClient:
        settings = self._settings
        options = ClientOptions(
            max_in_flight=16, retry_s=LOOK_S, timeout_s=LOOK_S, proxy_for=settings.proxy_for, ca_file=settings.ca_file
        )
        credentials = await asyncio.to_thread(self.credentials, token)
        client = WorkspaceClient(credentials, options=options, clock=self._clock)
        try:
            return await client.__aenter__()
        except NbvaultError:
            await client.__aexit__(None, None, None)
            raise

    async def _close_idle(self) -> None:
        for key in [key for key, found in self._open.items() if not found.users][: max(len(self._open) - KEPT, 0)]:
            await self._open.pop(key).client.__aexit__(None, None, None)

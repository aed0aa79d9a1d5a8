"""Calls to Azure DevOps' REST API: signed in for each attempt, patient with its rate limit, tried again."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
from yarl import URL

import nbvault
from nbvault.azuredevops.address import RepositoryAddress
from nbvault.azuredevops.errors import AzureDevOpsError, NotThere, what_it_says
from nbvault.clock import Clock, SystemClock
from nbvault.errors import AuthenticationError, ConfigurationError

ATTEMPTS = 6
# The service asks for waits of up to half a minute; whoever is asked to wait longer is told so.
LONGEST_WAIT_S = 120.0
UNTRUSTED_HINT = (
    "If a proxy or a private CA stands between, name its certificates in network.ca_file or REQUESTS_CA_BUNDLE."
)
MAX_BYTES = 16 * 1024 * 1024
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
# 203 and redirects lead to a page where a person may sign in: that is how a token that is not taken often looks.
_SIGN_IN = frozenset({203, 301, 302, 303, 307, 308, 401})


def _no_proxy(_url: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How the service is spoken to. `ca_file` is empty where the system's certificates serve."""

    timeout_s: float = 60.0
    proxy_for: Callable[[str], str] = _no_proxy
    ca_file: str = ""
    attempts: int = ATTEMPTS


class AzureDevOpsClient:
    """One organisation, seen from one repository; an async context manager for one event loop.

    Every call raises AzureDevOpsError (NotThere for 404) for an answer that is none, AuthenticationError where the
    credentials are not taken, ConfigurationError for a certificate that is not trusted.

    Args:
        headers: The headers that sign in, asked for before each attempt; may block.
        random: A number in [0, 1) at each call; spreads retries.
    """

    def __init__(
        self,
        address: RepositoryAddress,
        headers: Callable[[], Mapping[str, str]],
        *,
        options: ClientOptions | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.address = address
        self._headers = headers
        self._options = options or ClientOptions()
        self._clock = clock or SystemClock()
        self._random = random
        self._session: aiohttp.ClientSession | None = None
        self._not_before = 0.0

    def signed_in_by(self, headers: Callable[[], Mapping[str, str]]) -> AzureDevOpsClient:
        """Another client of the same organisation, not entered yet, that signs in in another way."""
        return AzureDevOpsClient(self.address, headers, options=self._options, clock=self._clock, random=self._random)

    async def __aenter__(self) -> AzureDevOpsClient:
        trust = _trust(self._options.ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"nbvault/{nbvault.__version__}", "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=self._options.timeout_s),
            proxy=self._options.proxy_for(self.address.collection) or None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str, *, api: str, **query: str) -> dict[str, Any]:
        """The object at a URL; `api` is the version of the call, such as ``7.1``."""
        return await self._ask("GET", url, {"api-version": api, **query}, None)

    async def send(
        self, method: str, url: str, body: Mapping[str, Any] | None = None, *, api: str, **query: str
    ) -> dict[str, Any]:
        """Change something. Tried again only where the service said that it did nothing (429, 503)."""
        return await self._ask(method, url, {"api-version": api, **query}, body)

    async def _ask(
        self, method: str, url: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        for attempt in range(1, self._options.attempts + 1):
            await self._wait_for_its_limit()
            try:
                status, headers, data = await self._once(method, url, query, body)
            except AzureDevOpsError:
                if attempt == self._options.attempts or method != "GET":
                    raise
                await self._clock.sleep(self._pause(attempt))
                continue
            self._obey(headers, throttled=status in {429, 503})
            again = status in _RETRIED if method == "GET" else status in {429, 503}
            if not again or attempt == self._options.attempts:
                return _read(self.address, method, url, status, data)
            if self._not_before <= self._clock.monotonic():
                await self._clock.sleep(self._pause(attempt))
        raise AssertionError("the loop returns or raises")

    def _pause(self, attempt: int) -> float:
        return min(2.0 ** (attempt - 1), 15.0) * (0.5 + self._random())

    async def _wait_for_its_limit(self) -> None:
        wait_s = self._not_before - self._clock.monotonic()
        if wait_s > 0:
            await self._clock.sleep(wait_s)

    def _obey(self, headers: Mapping[str, str], *, throttled: bool) -> None:
        """Retry-After also comes with good answers: the service has begun to slow us down and asks for a pause."""
        wait_s = _seconds(headers.get("Retry-After", ""))
        if not wait_s and headers.get("X-RateLimit-Remaining", "") == "0":
            reset = _seconds(headers.get("X-RateLimit-Reset", ""))
            wait_s = max(reset - self._clock.now().timestamp(), 0.0)
        if wait_s > LONGEST_WAIT_S and throttled:
            raise AzureDevOpsError(
                f"Azure DevOps asks for a pause of {wait_s:.0f} s (its rate limit).",
                hint="Try again later.",
                status=429,
            )
        self._not_before = self._clock.monotonic() + min(wait_s, LONGEST_WAIT_S)

    async def _once(
        self, method: str, url: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            raise RuntimeError("an AzureDevOpsClient is used inside 'async with'")
        signed = await asyncio.to_thread(self._headers)
        target = URL(url, encoded=True).update_query(query)
        try:
            # Not followed: a redirect leads to a page for people, and our token is for this host only.
            async with self._session.request(
                method, target, json=body, headers=dict(signed), allow_redirects=False
            ) as response:
                return response.status, response.headers, await _body(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConfigurationError(
                f"The certificate of {target.host} is not trusted: {error}.",
                hint=UNTRUSTED_HINT,
            ) from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise AzureDevOpsError(
                f"Azure DevOps at {target.host} does not answer: {said}.", hint="Check the network and try again."
            ) from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole body; a read by itself may end early, and an endless one is given up."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise AzureDevOpsError(f"The answer of Azure DevOps for {response.url.path} is over {MAX_BYTES:,} bytes.")
    return bytes(body)


def _read(address: RepositoryAddress, method: str, url: str, status: int, data: bytes) -> dict[str, Any]:
    said, key = what_it_says(data) if status >= 400 else ("", "")
    if status in _SIGN_IN or (status == 200 and data.lstrip()[:1] == b"<"):
        raise AuthenticationError(
            f"Azure DevOps refuses the credentials for {address.collection}: {said or f'status {status}'}.",
            hint="Check vault.token (or the section [azure]): is it set, not expired, and of this organisation?",
        )
    if status == 404:
        raise NotThere(f"Azure DevOps: {said or f'nothing is at {url}'}", status=status, key=key)
    if status >= 400:
        raise AzureDevOpsError(
            f"Azure DevOps answers {status} to {method} {url}: {said or 'nothing more'}", status=status, key=key
        )
    try:
        found = json.loads(data) if data.strip() else {}
    except ValueError:
        raise AzureDevOpsError(f"Azure DevOps answers {method} {url} with no JSON.", status=status) from None
    return found if isinstance(found, dict) else {"value": found}


def _seconds(text: str) -> float:
    try:
        return max(float(text), 0.0)
    except ValueError:
        return 0.0


def _trust(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"The CA file {ca_file} cannot be read: {error.strerror or error}.") from error

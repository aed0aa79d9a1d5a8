"""One request to the workspace until it has a good answer or a final error: window, tokens, tries, time limit."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp import hdrs
from aiolimiter import AsyncLimiter
from yarl import URL

import nbvault
from nbvault.clock import Clock
from nbvault.errors import ConfigurationError
from nbvault.model import RequestCounts
from nbvault.settings import Settings
from nbvault.workspace.errors import (
    BadAnswer,
    DeadlineExceeded,
    RequestFailed,
    ServerFault,
    Throttled,
    TooLarge,
    Unauthorized,
    Unreachable,
    from_answer,
)
from nbvault.workspace.pace import Pace
from nbvault.workspace.patience import FIRST_CONTACT_S, Patience
from nbvault.workspace.window import AimdWindow, Outcome

T = TypeVar("T")

UNTRUSTED_HINT = (
    "If a proxy or a private CA stands between, name its certificates in network.ca_file or REQUESTS_CA_BUNDLE."
)
_REACH_HINT = "Check workspace.host, the network and the proxy settings."


class Authenticator(Protocol):
    """What requests need of authentication. `headers` and `renew` may block."""

    @property
    def host(self) -> str:
        """The workspace's address, as ``https://name``; known once `headers` has answered."""

    def headers(self) -> dict[str, str]:
        """The headers for one attempt."""

    def renew(self) -> dict[str, str]:
        """The same from a token made anew: the workspace has refused the last one."""

    def accepted(self, identity: str = "") -> None:
        """The workspace has answered a request that had them, or said whom it takes us for; called for every one."""


def _no_proxy(_url: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How the workspace is spoken to.

    The window begins at `start_in_flight`; `requests_per_second` is a fixed ceiling on top of it (0: none). `retry_s`
    is what one request's tries may take in all, about; `timeout_s` what one try may. An answer over `max_bytes` is
    `TooLarge`. `proxy_for` names the proxy for a URL, or nothing; `ca_file` is empty where the system's certificates
    serve.
    """

    max_in_flight: int = 64
    start_in_flight: int = 4
    requests_per_second: float = 0.0
    retry_s: float = 60.0
    timeout_s: float = 120.0
    max_bytes: int = 128 * 1024 * 1024
    proxy_for: Callable[[str], str] = _no_proxy
    ca_file: str = ""

    @classmethod
    def of(cls, settings: Settings) -> ClientOptions:
        """What the settings say."""
        return cls(
            max_in_flight=settings.sync.max_in_flight,
            requests_per_second=settings.workspace.requests_per_second,
            retry_s=settings.workspace.retry_s,
            timeout_s=settings.workspace.timeout_s,
            proxy_for=settings.proxy_for,
            ca_file=settings.ca_file,
        )


class Request(NamedTuple):
    """One question to the workspace. `kind` is the field of `RequestCounts` that counts it; `path` is for messages.

    An answer over `max_bytes` is `TooLarge`; 0 leaves it at what `ClientOptions` says.
    """

    kind: str
    method: str
    endpoint: str
    path: str
    query: Mapping[str, str] = {}
    payload: bytes | None = None
    raw: bool = False
    max_bytes: int = 0

    def __repr__(self) -> str:
        """Without its payload, which may hold a token."""
        return f"Request({self.method} {self.endpoint} for {self.path})"


class Transport:
    """Sends requests; an async context manager for one event loop. Cancelling a request is safe at any moment.

    Args:
        random: A number in [0, 1) at each call; spreads retries.
        deadline: The moment of ``clock.monotonic()`` after which requests raise `DeadlineExceeded`; None for never.

    `stopping`: the deadline is there because somebody asked to stop, and is no limit of the session.
    """

    def __init__(
        self,
        auth: Authenticator,
        *,
        options: ClientOptions,
        clock: Clock,
        random: Callable[[], float],
        deadline: float | None = None,
    ) -> None:
        self.stats = RequestCounts()
        self.deadline = deadline
        self.stopping = False
        self.window = AimdWindow(cap=options.max_in_flight, start=options.start_in_flight)
        self._auth = auth
        self._options = options
        self._clock = clock
        self._random = random
        self._limiter = _limiter(options.requests_per_second)
        self._patient_s, self._patient = options.timeout_s, _timeout(options.timeout_s)
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._renewals = 0
        self._renewing = asyncio.Lock()
        self._answered = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Transport:
        # The first token may cost a request, a login or a process.
        await asyncio.to_thread(self._auth.headers)
        self._session = self._open_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def host(self) -> str:
        """The workspace's address."""
        return self._auth.host

    async def ask(self, request: Request, read: Callable[[bytes], T]) -> T:
        """Send until there is a good answer, and return what ``read`` makes of its body.

        Raises:
            RequestFailed: the final answer; what ``read`` raises counts as an answer too, and is retried if it says so.
            AuthenticationError: the token was refused, and a new one too.
        """
        patience = Patience(random=self._random)
        renewed = maybe_done = False
        while True:
            renewals = self._renewals
            try:
                return await self._attempt(request, read, patience)
            except Unauthorized as error:
                error.maybe_done = maybe_done
                if renewed:
                    raise
                renewed = await self._renew(since=renewals)
            except RequestFailed as error:
                maybe_done = maybe_done or isinstance(error, (Unreachable, ServerFault, BadAnswer))
                error.maybe_done = maybe_done
                await self._pause(patience, error)

    def known_as(self, identity: str) -> None:
        """The workspace has said whom it takes us for."""
        self._auth.accepted(identity)

    async def take_turn(self) -> None:
        """Wait for the fixed ceiling as a request would, for one that is sent from elsewhere."""
        if self._limiter is not None:
            await self._limiter.acquire()

    async def _pause(self, patience: Patience, error: RequestFailed) -> None:
        """Wait as long as the error asks for; raise it if it is final."""
        unheard = isinstance(error, Unreachable) and not self._answered
        budget_s = min(self._options.retry_s, FIRST_CONTACT_S) if unheard else self._options.retry_s
        wait_s = patience.wait_after(error, budget_s=budget_s)
        if wait_s is None:
            raise error
        self._check_deadline(error.path, ahead_s=wait_s, maybe_done=error.maybe_done)
        await self._clock.sleep(wait_s)
        self.stats.retried += 1

    async def _renew(self, *, since: int) -> bool:
        """Make the token anew, unless another request has done so since; whether this one did."""
        async with self._renewing:
            if self._renewals != since:
                return False
            await asyncio.to_thread(self._auth.renew)
            self._renewals += 1
            return True

    async def _attempt(self, request: Request, read: Callable[[bytes], T], patience: Patience) -> T:
        await self._in_its_turn(request.kind)
        ticket = await self.window.acquire(retry=patience.tries > 0)
        outcome, started, pace = Outcome.NEUTRAL, self._clock.monotonic(), self._paces[request.kind]
        try:
            if self._limiter is not None:
                await self._limiter.acquire()
                started = self._clock.monotonic()
            self._check_deadline(request.path)
            result = read(await self._exchange(request))
            outcome, ended = Outcome.SUCCESS, self._clock.monotonic()
            self.stats.answered(ended - started)
            pace.let_through(ended)
            return result
        except RequestFailed as error:
            outcome = _outcome_of(error)
            if outcome is Outcome.THROTTLED and not _is_silent(error):
                pace.refused(self._clock.monotonic(), sent_at=started)
            raise
        finally:
            took_s = self._clock.monotonic() - started
            patience.spend(took_s)
            self.window.release(ticket, outcome=outcome, latency_s=took_s, kind=request.kind)

    async def _in_its_turn(self, kind: str) -> None:
        """Wait while this kind of request is paced; first come, first served."""
        pace, turn = self._paces[kind], self._turns[kind]
        if pace.rate is None and not turn.locked():
            return
        async with turn:
            while wait_s := pace.wait_s(self._clock.monotonic()):
                await self._clock.sleep(wait_s)

    def _check_deadline(self, path: str, *, ahead_s: float = 0.0, maybe_done: bool = False) -> None:
        if self.deadline is not None and self._clock.monotonic() + ahead_s >= self.deadline:
            error = DeadlineExceeded(
                f"Asked to stop; {path} was not answered in the time that was left."
                if self.stopping
                else f"The session's time limit came before {path} was answered.",
                path=path,
            )
            error.maybe_done = maybe_done
            raise error

    async def _exchange(self, request: Request) -> bytes:
        """Send once; the body of a good answer."""
        self._count(request)
        try:
            async with self._send(request) as response:
                self._answered = True
                body = await self._read(response, request)
                status, headers = response.status, response.headers
        except asyncio.TimeoutError as error:
            self.stats.timed_out += 1
            raise _silent(request.path) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise _untrusted(request.path, error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(request.path, error) from error
        if status == 429:
            self.stats.throttled += 1
        now = self._clock.now() if status >= 300 else None
        failure = from_answer(status, headers, body, path=request.path, raw=request.raw, now=now)
        if failure is not None:
            raise failure
        self._auth.accepted()
        return body

    def _count(self, request: Request) -> None:
        setattr(self.stats, request.kind, getattr(self.stats, request.kind) + 1)

    def _send(self, request: Request) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            raise RuntimeError("a Transport is used inside 'async with'")
        headers = self._auth.headers()
        if request.payload:
            headers = headers | {"Content-Type": "application/json"}
        return self._session.request(
            request.method,
            self._url(request),
            data=request.payload,
            headers=headers,
            allow_redirects=False,
            timeout=self._timeout(),
        )

    def _url(self, request: Request) -> URL:
        scheme, authority, above = _parts(self._auth.host)
        query = "&".join([f"{key}={_quoted(value)}" for key, value in request.query.items()])
        path = above + request.endpoint
        return URL.build(scheme=scheme, authority=authority, path=path, query_string=query, encoded=True)

    def _timeout(self) -> aiohttp.ClientTimeout:
        left_s = self._patient_s if self.deadline is None else self.deadline - self._clock.monotonic()
        return self._patient if left_s >= self._patient_s else _timeout(max(left_s, 0.001))

    async def _read(self, response: aiohttp.ClientResponse, request: Request) -> bytes:
        """The whole body, given up as soon as it is known to be over the limit."""
        limit = request.max_bytes or self._options.max_bytes
        told = response.content_length
        if told is not None and told <= limit and hdrs.CONTENT_ENCODING not in response.headers:
            return await response.read()
        if (told or 0) <= limit:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        response.close()
        raise TooLarge(
            f"The answer for {request.path} is over {limit:,} bytes.", path=request.path, status=response.status
        )

    def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._options.max_in_flight,
            limit_per_host=0,
            ttl_dns_cache=300,
            ssl=trust(self._auth.host, self._options),
        )
        # Not trust_env: it costs two thread hops a request, and a .netrc entry for the host makes every request fail.
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"nbvault/{nbvault.__version__}"},
            proxy=self._options.proxy_for(self._auth.host) or None,
        )


@lru_cache(maxsize=8)
def _parts(host: str) -> tuple[str, str, str]:
    """Scheme, authority and path of a workspace's address: a URL built of them takes a quarter of parsing it."""
    url = URL(host, encoded=True)
    return url.scheme, url.raw_authority, url.raw_path.rstrip("/")


def _timeout(total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, connect=10, sock_read=60)


def _quoted(value: str) -> str:
    """A value of a query; the folder of a path is quoted once for all that is in it."""
    folder, slash, name = value.rpartition("/")
    return f"{_quoted_part(folder)}%2F{quote(name, safe='', errors='surrogatepass')}" if slash else _quoted_part(value)


@lru_cache(maxsize=1024)
def _quoted_part(text: str) -> str:
    # A lone surrogate in a name cannot be sent as UTF-8; as "surrogatepass" it is the workspace that refuses it.
    return quote(text, safe="", errors="surrogatepass")


def _limiter(requests_per_second: float) -> AsyncLimiter | None:
    """A ceiling that lets a tenth of a second's worth through at once, or one request where that is less."""
    if not requests_per_second:
        return None
    burst = max(requests_per_second / 10, 1.0)
    return AsyncLimiter(burst, burst / requests_per_second)


def trust(host: str, options: ClientOptions) -> ssl.SSLContext | bool:
    if urlsplit(host).scheme != "https" or not options.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        raise ConfigurationError(f"The CA file {options.ca_file} cannot be read: {error.strerror or error}.") from error


def _outcome_of(error: RequestFailed) -> Outcome:
    pressed = _is_silent(error) or isinstance(error, Throttled) or error.status == 503
    return Outcome.THROTTLED if pressed else Outcome.NEUTRAL


def _is_silent(error: RequestFailed) -> bool:
    return isinstance(error, Unreachable) and error.timed_out


def _silent(path: str) -> Unreachable:
    error = Unreachable(f"The workspace did not answer in time for {path}.", hint=_REACH_HINT, path=path)
    error.timed_out = True
    return error


def _untrusted(path: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"The workspace's certificate is not trusted: {error}.",
        hint=UNTRUSTED_HINT,
        path=path,
        retryable=False,
    )


def _broken(path: str, error: Exception) -> Unreachable:
    said = str(error) or type(error).__name__
    return Unreachable(f"The workspace could not be reached for {path}: {said}.", hint=_REACH_HINT, path=path)

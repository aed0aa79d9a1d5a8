"""A share of the exports that is done on another machine: what it gets, what it does, what it brings back.

Everything here is pickled on its way, except `carry_out`, which runs there. Failures travel as values, so that they
mean here what they would have meant without the journey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

import nbvault
from nbvault.clock import Clock, SystemClock
from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import ListedObject, NotebookFormat, RequestCounts
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import DeadlineExceeded, Unreachable
from nbvault.workspace.transport import ClientOptions

# So many calls in a row without any answer: the rest goes back, for whoever sent them to judge.
UNREACHABLE_IN_A_ROW = 10

Value: TypeAlias = "bytes | tuple[ListedObject, NotebookFormat | None]"


class Method(Enum):
    """What is asked of the workspace; the name is that of the client's method."""

    EXPORT = "export"
    INSPECT = "inspect"


class Call(NamedTuple):
    """One question about a notebook."""

    method: Method
    path: str
    form: NotebookFormat = NotebookFormat.SOURCE


class Answer(NamedTuple):
    """What came of a call: a value, or the error that the client would have raised."""

    value: Value | None = None
    error: WorkspaceError | AuthenticationError | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """As whom calls are made, how fast, and for how long.

    `headers` are the credentials, of a short life; neither they nor the proxy (which may hold a password) are ever
    printed. `most_bytes` of answers are brought back, and what was under way by then. Times in seconds.
    """

    host: str
    headers: Mapping[str, str] = field(repr=False)
    proxy: str = field(default="", repr=False)
    ca_file: str = ""
    max_in_flight: int = 16
    start_in_flight: int = 4
    requests_per_second: float = 0.0
    retry_s: float = 60.0
    timeout_s: float = 120.0
    time_left_s: float | None = None
    most_bytes: int = 16 * 1024 * 1024
    version: str = nbvault.__version__


@dataclass(slots=True)
class Homecoming:
    """The answers by the number of their call, those not tried left out; the requests it took; the window it found."""

    answers: dict[int, Answer] = field(default_factory=dict)
    requests: RequestCounts = field(default_factory=RequestCounts)
    window: float = 0.0


def carry_out(errand: Errand, calls: Sequence[Call], *, clock: Clock | None = None) -> Homecoming:
    """Make the calls, many at once, and come home with the answers; for a thread without an event loop.

    It comes home early, and leaves the rest untried, when it carries enough bytes, when the credentials are refused or
    the time is up, and when the workspace does not answer at all.
    """
    return asyncio.run(_Porter(errand, calls, clock or SystemClock()).go())


class _Lent:
    """Credentials that somebody else renews."""

    def __init__(self, errand: Errand) -> None:
        self.host = errand.host
        self._headers = dict(errand.headers)

    def headers(self) -> dict[str, str]:
        return self._headers

    def renew(self) -> dict[str, str]:
        return self._headers

    def accepted(self, identity: str = "") -> None:
        """The driver, who made them, has told of them."""


class _Porter:
    def __init__(self, errand: Errand, calls: Sequence[Call], clock: Clock) -> None:
        self._errand = errand
        self._clock = clock
        self._todo: Iterator[tuple[int, Call]] = iter(enumerate(calls))
        self._home = Homecoming()
        self._bytes = 0
        self._unreachable = 0
        self._enough = False

    async def go(self) -> Homecoming:
        errand = self._errand
        deadline = None if errand.time_left_s is None else self._clock.monotonic() + errand.time_left_s
        options = ClientOptions(
            max_in_flight=errand.max_in_flight,
            start_in_flight=errand.start_in_flight,
            requests_per_second=errand.requests_per_second,
            retry_s=errand.retry_s,
            timeout_s=errand.timeout_s,
            proxy_for=lambda _host: errand.proxy,
            ca_file=errand.ca_file,
        )
        lent = _Lent(errand)
        async with WorkspaceClient(lent, options=options, clock=self._clock, deadline=deadline) as client:
            await asyncio.gather(*(self._work(client) for _ in range(errand.max_in_flight)))
            self._home.requests, self._home.window = client.stats, client.window.size
        return self._home

    async def _work(self, client: WorkspaceClient) -> None:
        for number, call in self._todo:
            self._home.answers[number] = answer = await answer_of(client, call)
            self._note(answer)
            if self._enough:
                return

    def _note(self, answer: Answer) -> None:
        """Whether to go on is decided after each answer."""
        self._bytes += len(answer.value) if isinstance(answer.value, bytes) else 0
        self._unreachable = self._unreachable + 1 if isinstance(answer.error, Unreachable) else 0
        ended = isinstance(answer.error, AuthenticationError | DeadlineExceeded)
        lost = self._unreachable >= UNREACHABLE_IN_A_ROW
        self._enough = self._enough or ended or lost or self._bytes >= self._errand.most_bytes


async def answer_of(client: WorkspaceClient, call: Call) -> Answer:
    """The call made by this client; its failure as a value."""
    try:
        if call.method is Method.INSPECT:
            return Answer(await client.inspect(call.path))
        return Answer(await client.export(call.path, form=call.form))
    except (WorkspaceError, AuthenticationError) as error:
        return Answer(error=error)

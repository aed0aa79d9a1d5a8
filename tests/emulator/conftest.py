"""Emulators for the tests, and a plain HTTP client that shows what is really on the wire."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from nbvault_emulator.testing import Emulator


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)


class Client:
    """Sends one request on a connection of its own."""

    def __init__(self, url: str, token: str, *, timeout: float = 20) -> None:
        parts = urlsplit(url)
        self._address = (str(parts.hostname), parts.port)
        self._timeout = timeout
        self.headers = {"Authorization": f"Bearer {token}"}

    def send(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Any request."""
        connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        try:
            connection.request(method, target, body, {**self.headers, **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    def get(self, name: str, **query: Any) -> Answer:
        """GET of a workspace endpoint."""
        return self.send("GET", f"/api/2.0/workspace/{name}?{urlencode(query)}")

    def post(self, name: str, **fields: Any) -> Answer:
        """POST of a workspace endpoint."""
        return self.send("POST", f"/api/2.0/workspace/{name}", json.dumps(fields).encode())

    def source(self, path: str) -> bytes:
        """A notebook's SOURCE form."""
        answer = self.get("export", path=path, direct_download="true")
        assert answer.status == 200, answer
        return answer.body

    def names(self, path: str) -> list[str]:
        """The names in a folder's listing."""
        answer = self.get("list", path=path)
        assert answer.status == 200, answer
        return [each["path"].rpartition("/")[2] for each in answer.json.get("objects", [])]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An empty workspace with a root folder."""
    with Emulator(notebooks=0) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator) -> Client:
    """A client with the right token."""
    return Client(emulator.workspace_url, emulator.workspace_token)


@pytest.fixture
def client_of() -> Callable[..., Client]:
    """Makes a client of an emulator that the test started itself."""
    return lambda running, **more: Client(running.workspace_url, running.workspace_token, **more)

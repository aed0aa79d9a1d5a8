"""Servers that play a mail server, Slack and Microsoft Teams, on real sockets of this machine."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tls_places import server_context


class Asked(NamedTuple):
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Loopback:
    """An HTTP server that answers what it was told to, and remembers what it was asked.

    `answers` are used up one by one as (status, headers, body); after the last of them it answers as `always` says.
    """

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    always: tuple[int, dict[str, str], str] = (200, {}, "ok")

    def url(self, path: str = "/") -> str:
        """An address of it."""
        return f"http://127.0.0.1:{self.port}{path}"

    def texts(self) -> list[str]:
        """The whole body of each request, as text."""
        return [json.dumps(each.body, ensure_ascii=False) for each in self.asked]


@contextmanager
def loopback() -> Iterator[Loopback]:
    """A server while the context lasts."""
    here = Loopback()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"null")
            with lock:
                here.asked.append(Asked(self.path, dict(self.headers), body))
                status, headers, text = here.answers.pop(0) if here.answers else here.always
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            data = text.encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Post:
    """A mail server, and what it has taken. `refused` are addresses that it takes no mail for."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    says: str = ""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's word
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Sequence[str]
    ) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.says:
            return self.says
        self.envelopes.append(envelope)
        return "250 OK"

    @property
    def mails(self) -> list[EmailMessage]:
        """What it has taken, parsed."""
        raw = (each.content for each in self.envelopes)
        return [message_from_bytes(each, policy=policy.default) for each in raw if isinstance(each, bytes)]

    def subjects(self) -> list[str]:
        """The subject of each mail."""
        return [str(mail["Subject"]) for mail in self.mails]


class _Quick(Controller):
    """Told by whoever asks at which port it is, which aiosmtpd does not say where the system chose it."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@contextmanager
def mail_server(
    *, certificate: Path | None = None, starttls: bool = False, user: str = "", password: str = ""
) -> Iterator[Post]:
    """A mail server while the context lasts: TLS from the start with a certificate, or STARTTLS; a user if it asks."""
    post = Post()
    context: ssl.SSLContext | None = server_context(certificate) if certificate else None

    def authenticated(_server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (user, password)
        return AuthResult(success=right, handled=False)

    more: dict[str, Any] = {"tls_context": context, "require_starttls": True} if starttls else {}
    if user:
        # A server that demands a user without TLS is one that aiosmtpd warns of.
        secret = context is not None
        more |= {"authenticator": authenticated, "auth_required": secret, "auth_require_tls": secret}
        more |= {} if starttls or context is None else {"auth_require_tls": False}
    controller = _Quick(
        post, hostname="127.0.0.1", port=0, ssl_context=None if starttls else context, ready_timeout=10, **more
    )
    controller.start()
    post.port = controller.port
    try:
        yield post
    finally:
        controller.stop()

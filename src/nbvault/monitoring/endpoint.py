"""The endpoint that Prometheus scrapes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from nbvault.errors import ConfigurationError, NbvaultError

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE_S = 10.0


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Endpoint:
    """Answers GET of ``/metrics`` with a text that is made for each; 503 where it cannot be made; 404 for all else.

    Args:
        address: ``HOST:PORT``, or ``PORT`` on this machine only; port 0 is any free one.

    Raises:
        ConfigurationError: the address is none, or taken.
    """

    def __init__(self, address: str, read: Callable[[], str]) -> None:
        host, _, port = address.rpartition(":")
        name = host.strip("[]")
        try:
            kind = _Server6 if ":" in name else ThreadingHTTPServer
            self._server = kind((name or "127.0.0.1", int(port)), _handler(read))
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(
                f"{address!r} is no address.", hint="It is HOST:PORT, such as 0.0.0.0:9464."
            ) from error
        except OSError as error:
            raise ConfigurationError(f"Nothing can listen on {address}: {error.strerror or error}.") from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it answers."""
        name, port = self._server.server_address[:2]
        host = f"[{name!s}]" if ":" in str(name) else str(name)
        return f"http://{host}:{port}/metrics"

    def serve(self) -> None:
        """Answer until `stop`, or until the process is ended."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`; from another thread."""
        self._server.shutdown()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.server_close()


def _handler(read: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S
        server_version = "nbvault"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            try:
                body = read().encode()
            except NbvaultError:
                self.send_error(503, "The state store cannot be read")
                return
            self.send_response(200)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it that
            """Nothing: a scrape every fifteen seconds is no news."""

    return Handler

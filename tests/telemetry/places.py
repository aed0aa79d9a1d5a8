"""Servers on loopback that take what exporters send, and decode it as the real ones do."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Collected:
    """What a server was sent: path, headers and the body, unpacked."""

    url: str = ""
    status: int = 200
    hang: threading.Event | None = None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self, path: str) -> list[bytes]:
        return [body for where, _, body in self.requests if where.startswith(path)]


@contextmanager
def collector() -> Iterator[Collected]:
    """A server that answers as a collector does, or with `status`, or not before `hang` is set."""
    found = Collected()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.requests.append((self.path, dict(self.headers), body))
            if found.hang:
                found.hang.wait(20)
            many = body.count(b"\n") + 1
            answer = json.dumps({"itemsReceived": many, "itemsAccepted": many, "errors": []}).encode()
            answer = answer if "/track" in self.path else b""
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # Who gave up waiting has gone.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        if found.hang:
            found.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()

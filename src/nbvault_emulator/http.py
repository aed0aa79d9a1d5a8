"""A small HTTP/1.1 server protocol: keep-alive, pipelining, chunks both ways, and answers that break on purpose.

It exists because the emulator must answer some thousand requests a second on one core, and must be able to misbehave
(break off, hang) where a library would not let it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote_to_bytes

from nbvault_emulator.bodies import HIGH_WATER_BYTES, MAX_HEAD_BYTES, BadRequest, BodyStream, ChunkedBody, LengthBody

MAX_BODY_BYTES = 512 * 1024 * 1024


class Request:
    """One request. `path` is decoded; `query` is raw; header names are lower case.

    `body` is whole, except where the application asked for a stream: then `stream` gives it in pieces.
    """

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query", "stream")

    def __init__(self, method: str, target: bytes, headers: dict[bytes, bytes], *, keep_alive: bool) -> None:
        raw_path, _, raw_query = target.partition(b"?")
        if b"%" in raw_path:
            raw_path = unquote_to_bytes(raw_path)
        self.method = method
        self.path = raw_path.decode("utf-8", "replace")
        self.query = raw_query.decode("ascii", "replace")
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""
        self.stream: BodyStream | None = None

    def header(self, name: bytes) -> str:
        """The value of a header (name in lower case), or an empty text."""
        return self.headers.get(name, b"").decode("latin-1")


class Response:
    """An answer: a whole body, or a stream of pieces.

    `drop` closes the connection without a word. `cut_at` announces the whole body and breaks off after so many bytes.
    """

    __slots__ = ("body", "content_type", "cut_at", "drop", "headers", "status", "stream")

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        *,
        content_type: str = "application/json; charset=utf-8",
        headers: tuple[tuple[str, str], ...] = (),
        stream: AsyncGenerator[bytes, None] | None = None,
        drop: bool = False,
        cut_at: int | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.stream = stream
        self.drop = drop
        self.cut_at = cut_at


Handler = Callable[[Request], Response | Awaitable[Response]]
WantsStream = Callable[[Request], bool]


def parse_head(head: bytes) -> Request:
    """A request from its head, without the empty line.

    Raises:
        BadRequest: it is malformed.
    """
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1.") or not parts[1].startswith(b"/"):
        raise BadRequest(400, "malformed request line")
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name[-1:].isspace():
            raise BadRequest(400, "malformed header")
        headers[name.lower()] = value.strip()
    connection = headers.get(b"connection", b"").lower()
    keep_alive = connection != b"close" if parts[2] != b"HTTP/1.0" else connection == b"keep-alive"
    return Request(parts[0].decode("latin-1"), parts[1], headers, keep_alive=keep_alive)


def body_of(request: Request) -> LengthBody | ChunkedBody | None:
    """How the request's body is delimited; None when it has none.

    Raises:
        BadRequest: its length is no number, too large, or said in two ways.
    """
    headers = request.headers
    encoding = headers.get(b"transfer-encoding")
    length = headers.get(b"content-length")
    if encoding is not None:
        if length is not None or encoding.lower() != b"chunked":
            raise BadRequest(400, "unsupported transfer encoding")
        return ChunkedBody()
    if length is None or length == b"0":
        return None
    if not length.isdigit():
        raise BadRequest(400, "malformed content length")
    return LengthBody(int(length))


class Connection(asyncio.Protocol):
    """One connection; requests on it are answered one after the other, in order."""

    def __init__(self, handler: Handler, wants_stream: WantsStream, registry: set[Connection]) -> None:
        self._handler = handler
        self._wants_stream = wants_stream
        self._registry = registry
        self._buffer = bytearray()
        self._request: Request | None = None
        self._decoder: LengthBody | ChunkedBody | None = None
        self._parts: list[bytes] = []
        self._received = 0
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._paused = False
        self._advancing = False
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's call when the connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._registry.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Asyncio's call when it is gone: what was under way for it is cancelled."""
        self._registry.discard(self)
        self._writable.set()
        if self._request is not None and self._request.stream is not None:
            self._request.stream.end(broken=self._decoder is not None)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Asyncio's call when the receiver is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Asyncio's call when the receiver caught up."""
        self._writable.set()

    def abort(self) -> None:
        """Break the connection off at once."""
        self._transport.abort()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What is under way for this connection, if it takes longer than a moment."""
        return self._task

    def data_received(self, data: bytes) -> None:
        """Asyncio's call with bytes of any cut."""
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._step():
                pass
        except BadRequest as error:
            self._refuse(error)
        finally:
            self._advancing = False

    def _step(self) -> bool:
        if self._decoder is not None and self._request is not None:
            return self._take_body(self._request, self._decoder)
        if self._busy:
            self._hold_back()
            return False
        if self._transport.is_closing():
            return False
        return self._take_head()

    def _hold_back(self) -> None:
        if len(self._buffer) > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequest(431, "request head too large")
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        self._begin(parse_head(head.lstrip(b"\r\n")))
        return True

    def _begin(self, request: Request) -> None:
        self._decoder = body_of(request)
        self._request = request
        if request.headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._wants_stream(request):
            request.stream = BodyStream(self._transport)
            if self._decoder is None:
                request.stream.end()
            self._dispatch(request)
        elif self._decoder is None:
            self._dispatch(request)

    def _take_body(self, request: Request, decoder: LengthBody | ChunkedBody) -> bool:
        piece = decoder.feed(self._buffer)
        if request.stream is not None:
            request.stream.put(piece)
        else:
            self._collect(piece)
        if not decoder.done:
            return False
        self._decoder = None
        if request.stream is not None:
            request.stream.end()
        else:
            request.body = b"".join(self._parts)
            self._parts = []
            self._received = 0
            self._dispatch(request)
        return True

    def _collect(self, piece: bytes) -> None:
        self._parts.append(piece)
        self._received += len(piece)
        if self._received > MAX_BODY_BYTES:
            raise BadRequest(413, "request body too large")

    def _dispatch(self, request: Request) -> None:
        self._busy = True
        answer = self._handler(request)
        if isinstance(answer, Response) and answer.stream is None:
            self._write_whole(request, answer)
            self._finish(request)
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer_later(request, answer))

    async def _answer_later(self, request: Request, answer: Response | Awaitable[Response]) -> None:
        written = False
        try:
            response = answer if isinstance(answer, Response) else await answer
            if response.stream is None:
                self._write_whole(request, response)
            else:
                await self._write_stream(request, response, response.stream)
            written = True
        except ConnectionError:
            return
        finally:
            self._task = None
            if not written:
                self._transport.abort()
        self._finish(request)
        self._advance()

    def _finish(self, request: Request) -> None:
        self._busy = False
        if not request.keep_alive or self._decoder is not None:
            # An answer before the end of the body: what still arrives belongs to nobody.
            request.keep_alive = False
            self._decoder = None
            self._buffer.clear()
            self._transport.close()
            return
        self._request = None
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _write_whole(self, request: Request, response: Response) -> None:
        if response.drop:
            request.keep_alive = False
            self._transport.abort()
            return
        body = response.body
        if request.method == "HEAD":
            self._transport.write(_head(request, response, f"Content-Length: {len(body)}"))
        elif response.cut_at is not None:
            self._transport.write(_head(request, response, f"Content-Length: {len(body)}") + body[: response.cut_at])
            request.keep_alive = False
        else:
            self._transport.write(_head(request, response, f"Content-Length: {len(body)}") + body)

    async def _write_stream(self, request: Request, response: Response, stream: AsyncGenerator[bytes, None]) -> None:
        self._transport.write(_head(request, response, "Transfer-Encoding: chunked"))
        # Closed here, not when it is collected: it may hold a process.
        async with aclosing(stream):
            async for piece in stream:
                if piece:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await self._writable.wait()
                if self._transport.is_closing():
                    return
        self._transport.write(b"0\r\n\r\n")

    def _refuse(self, error: BadRequest) -> None:
        body = str(error).encode()
        self._transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (error.status, _reason(error.status).encode(), len(body), body)
        )
        self._buffer.clear()
        self._transport.close()


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: " for status in HTTPStatus}


def _head(request: Request, response: Response, framing: str) -> bytes:
    start = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} Unknown\r\nContent-Type: "
    extra = "".join(f"{name}: {value}\r\n" for name, value in response.headers) if response.headers else ""
    closing = "" if request.keep_alive else "Connection: close\r\n"
    date = _date(int(time.time()))
    return f"{start}{response.content_type}\r\n{framing}\r\nDate: {date}\r\n{extra}{closing}\r\n".encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)

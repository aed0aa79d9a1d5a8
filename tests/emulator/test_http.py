"""The HTTP protocol, byte by byte over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault_emulator.bodies import BadRequest, ChunkedBody
from nbvault_emulator.http import Connection, Request, Response


async def _pieces() -> AsyncGenerator[bytes, None]:
    yield b"one "
    yield b""
    yield b"two"


async def _echo_stream(request: Request) -> Response:
    assert request.stream is not None
    got = b"".join([piece async for piece in request.stream])
    return Response(200, b"streamed:%d" % len(got))


def _handler(request: Request) -> Response:
    if request.path == "/pieces":
        return Response(stream=_pieces())
    if request.path == "/drop":
        return Response(drop=True)
    if request.path == "/cut":
        return Response(200, b"0123456789", cut_at=4)
    return Response(200, f"{request.method} {request.path}?{request.query} ".encode() + request.body)


@contextlib.asynccontextmanager
async def _serving() -> AsyncIterator[int]:
    def answer(request: Request) -> object:
        return _echo_stream(request) if request.path == "/stream" else _handler(request)

    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answer, lambda request: request.path == "/stream", set()),  # type: ignore[arg-type]
        "127.0.0.1",
        0,
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _exchange(*pieces: bytes) -> bytes:
    async with _serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


async def test_a_request_in_single_bytes_is_understood() -> None:
    """A request is answered however its bytes are cut."""
    request = b"POST /a%20b?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    answer = await _exchange(*[request[place : place + 1] for place in range(len(request))])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nPOST /a b?x=1 abc")


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests sent at once are answered one after the other, streamed answers among them."""
    answer = await _exchange(
        b"GET /1 HTTP/1.1\r\n\r\nGET /pieces HTTP/1.1\r\n\r\n"
        b"POST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nzGET /3 HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    places = [
        answer.index(mark) for mark in (b"GET /1?", b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n", b"POST /2? z", b"GET /3?")
    ]
    assert places == sorted(places)


async def test_chunked_bodies_are_joined() -> None:
    """A chunked body with extensions and trailers is the sum of its chunks."""
    answer = await _exchange(
        b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        b"3;ext=1\r\nab",
        b"c\r\n4\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n",
    )
    assert answer.endswith(b"POST /c? abcdefg")


async def test_large_bodies_are_streamed() -> None:
    """A body of many megabytes reaches a streaming handler whole, and the next request is answered."""
    size = 8 * 1024 * 1024
    answer = await _exchange(
        b"POST /stream HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size,
        b"x" * size,
        b"GET /next HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    assert b"streamed:%d" % size in answer
    assert answer.endswith(b"GET /next? ")


async def test_expect_continue_is_answered_first() -> None:
    """Who waits for `100 Continue` gets it before the answer."""
    head = b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    answer = await _exchange(head, b"ok")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_http_1_0_closes() -> None:
    """A client of HTTP/1.0 gets its answer and the end of the connection."""
    assert (await _exchange(b"GET /old HTTP/1.0\r\n\r\n")).endswith(b"GET /old? ")


async def test_head_has_no_body() -> None:
    """HEAD is answered with the length only."""
    answer = await _exchange(b"HEAD /h HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 9" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_answers_break_on_purpose() -> None:
    """A dropped answer sends nothing; a cut one announces more than it sends."""
    with contextlib.suppress(ConnectionResetError):
        assert await _exchange(b"GET /drop HTTP/1.1\r\n\r\n") == b""
    answer = await _exchange(b"GET /cut HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 10" in answer
    assert answer.endswith(b"\r\n\r\n0123")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nName : x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
async def test_bad_requests_are_refused(request_bytes: bytes, status: bytes) -> None:
    """What is no HTTP request gets a refusal and the end of the connection."""
    assert (await _exchange(request_bytes)).startswith(b"HTTP/1.1 " + status)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 9))
def test_chunks_survive_any_cut(chunks: list[bytes], step: int) -> None:
    """Chunked decoding gives the same bytes for every cut of the wire, and leaves what follows alone."""
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nNEXT"
    body, buffer, got = ChunkedBody(), bytearray(), b""
    for place in range(0, len(wire), step):
        buffer += wire[place : place + step]
        got += body.feed(buffer)
    assert got == b"".join(chunks)
    assert body.done
    assert bytes(buffer) == b"NEXT"


def test_an_endless_chunk_size_is_refused() -> None:
    """A chunk size line without an end does not fill the memory."""
    with pytest.raises(BadRequest):
        ChunkedBody().feed(bytearray(b"1" * 70_000))

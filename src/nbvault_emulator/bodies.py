"""Request bodies: how they are delimited, and how they are handed on while they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

MAX_HEAD_BYTES = 65_536
HIGH_WATER_BYTES = 512 * 1024


class BadRequest(Exception):
    """The bytes are no HTTP request that this server takes; `status` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class LengthBody:
    """A body of a known length, taken from the front of a buffer."""

    def __init__(self, length: int) -> None:
        self.remaining = length

    @property
    def done(self) -> bool:
        """Whether the whole body was taken."""
        return self.remaining == 0

    def feed(self, buffer: bytearray) -> bytes:
        """Take what belongs to the body from the front of ``buffer``."""
        piece = bytes(buffer[: self.remaining])
        del buffer[: len(piece)]
        self.remaining -= len(piece)
        return piece


class ChunkedBody:
    """A chunked body, taken from the front of a buffer as it arrives."""

    def __init__(self) -> None:
        self.done = False
        self._left = 0
        self._after_data = False
        self._trailer = False

    def feed(self, buffer: bytearray) -> bytes:
        """Take the data of all chunks that are there.

        Raises:
            BadRequest: a chunk's size or end is malformed.
        """
        pieces: list[bytes] = []
        while not self.done and (self._left or b"\n" in buffer):
            if self._left:
                piece = bytes(buffer[: self._left])
                if not piece:
                    break
                del buffer[: len(piece)]
                self._left -= len(piece)
                self._after_data = self._left == 0
                pieces.append(piece)
            else:
                self._line(_take_line(buffer))
        if not self._left and len(buffer) > MAX_HEAD_BYTES and not self.done:
            raise BadRequest(400, "chunk size line too long")
        return b"".join(pieces)

    def _line(self, line: bytes) -> None:
        if self._after_data:
            if line:
                raise BadRequest(400, "chunk does not end where it said")
            self._after_data = False
        elif self._trailer:
            self.done = not line
        else:
            self._left = _chunk_size(line)
            self._trailer = self._left == 0


def _take_line(buffer: bytearray) -> bytes:
    end = buffer.index(b"\n")
    line = bytes(buffer[:end]).rstrip(b"\r")
    del buffer[: end + 1]
    return line


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadRequest(400, "malformed chunk size")
    return int(digits, 16)


class BodyStream:
    """A request body that arrives while it is handled. Reading pauses the sender when too much waits."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._ended = False
        self._broken = False
        self._paused = False
        self._news = asyncio.Event()

    def put(self, piece: bytes) -> None:
        """Add a piece that arrived."""
        if piece:
            self._pieces.append(piece)
            self._waiting += len(piece)
            if self._waiting > HIGH_WATER_BYTES and not self._paused:
                self._paused = True
                self._transport.pause_reading()
        self._news.set()

    def end(self, *, broken: bool = False) -> None:
        """No more will arrive; ``broken`` when the sender went away."""
        self._ended = True
        self._broken = broken
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                piece = b"".join(self._pieces)
                self._pieces.clear()
                self._waiting = 0
                self._resume()
                yield piece
            elif self._ended:
                if self._broken:
                    raise ConnectionResetError("the sender of the body went away")
                return
            else:
                self._news.clear()
                await self._news.wait()

    def _resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

"""A running `git http-backend`: fed while it is read, and ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Callable
from typing import cast

from nbvault_emulator.http import Request

PIECE_BYTES = 65_536


class Backend:
    """A running `git http-backend` with both its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.stdin = cast(asyncio.StreamWriter, process.stdin)
        self.stdout = cast(asyncio.StreamReader, process.stdout)

    async def wait(self) -> None:
        """Until it has ended."""
        await self._process.wait()

    async def end(self) -> None:
        """Kill it, and what it started."""
        if self._process.returncode is None:
            # Its whole session: `git` is only the parent of the program that does the work.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


async def start(environment: dict[str, str]) -> Backend:
    """Start one with this environment."""
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        limit=PIECE_BYTES,
        start_new_session=True,
    )
    return Backend(process)


async def feed(request: Request, process: Backend, counted: Callable[[int], None]) -> None:
    """Hand a request's body on as it comes; `count` is told of each piece."""
    try:
        if request.stream is not None:
            async for piece in request.stream:
                counted(len(piece))
                process.stdin.write(piece)
                await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        # The backend stopped reading (it refused), or the client went away: either way there is no more to feed.
        pass
    finally:
        process.stdin.close()


async def cgi_head(process: Backend) -> tuple[int, dict[str, str]]:
    """Status and headers of its answer."""
    head = await process.stdout.readuntil(b"\r\n\r\n")
    status, headers = 200, {}
    for line in head.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif colon:
            headers[name.lower()] = value.strip()
    return status, headers


async def output(
    process: Backend, feeder: asyncio.Task[None], counted: Callable[[int], None], *, drop: bool
) -> AsyncGenerator[bytes, None]:
    """The body of its answer, piece by piece; broken off half-way with ``drop``."""
    try:
        while piece := await process.stdout.read(PIECE_BYTES):
            if drop:
                yield piece[: len(piece) // 2]
                raise ConnectionResetError("broken off by a fault")
            counted(len(piece))
            yield piece
        await process.wait()
    finally:
        await end(process, feeder)


async def end(process: Backend, feeder: asyncio.Task[None]) -> None:
    """Stop to feed it, and end it."""
    feeder.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await feeder
    await process.end()

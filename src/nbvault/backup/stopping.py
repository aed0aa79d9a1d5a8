"""Working until a session is asked to stop: what runs then has some seconds to end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from nbvault.errors import SessionInterrupted

# A session that is asked to stop has 20 s; what is not pushed by then stays in the local repository.
STOP_WITHIN_S = 15.0
# What comes after a step that used all of that is quick, or it hangs, too.
_AT_LEAST_S = 1.0
T = TypeVar("T")


class Stopping:
    """Runs a session's work, watching for the order to stop.

    Args:
        stop: Set when the session is to end.
        kill: Ends blocking work that does not end by itself.

    `guard` is a task without which nothing may go on; what it raises, ends the session.
    """

    def __init__(self, stop: asyncio.Event, kill: Callable[[], None]) -> None:
        self._stop = stop
        self._kill = kill
        self._stopped_at: float | None = None
        self.guard: asyncio.Future[None] | None = None

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """The result of the work, which is cancelled when the session is asked to stop.

        Raises:
            SessionInterrupted: it was asked to.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        watched: set[asyncio.Future[Any]] = {task, stop, *([self.guard] if self.guard else [])}
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self.guard is not None and self.guard.done():
                self.guard.result()
            raise SessionInterrupted("The session was asked to stop; what was finished is saved.")
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def blocking(self, work: Callable[[], T], *, grace_s: float | None = None) -> T:
        """Run blocking work beside the event loop; when asked to stop, it gets some seconds to end."""
        return await self.to_its_end(asyncio.to_thread(work), grace_s=grace_s)

    async def to_its_end(self, work: Awaitable[T], *, grace_s: float | None = None) -> T:
        """The result of work that is not broken off: when asked to stop, it gets some seconds to end, then git is.

        Args:
            grace_s: So many seconds at most; None: as many as the session has left, all its steps together.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                left_s = self._left_s()
                await asyncio.wait({task}, timeout=left_s if grace_s is None else min(grace_s, left_s))
            if not task.done():
                self._kill()
            return await task
        finally:
            stop.cancel()

    def _left_s(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._stopped_at is None:
            self._stopped_at = now
        return max(self._stopped_at + STOP_WITHIN_S - now, _AT_LEAST_S)

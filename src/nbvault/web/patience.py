"""How long a request that only looks waits for others: then it says how far it is, and is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from pydantic import BaseModel

from nbvault.web.refusals import Refusal

WORKSPACE = "The workspace is being asked what you may see here."
VAULT = "What this page needs is being read from the vault."

# So many turns of the event loop bring together what needs nobody else.
_TURNS = 10

T = TypeVar("T")


class Asking(BaseModel):
    """What is asked for is not known yet: `done` of `total` are, 0 where nobody can say. Ask again in a second."""

    asking: str
    done: int
    total: int


ASKING: dict[int | str, dict[str, Any]] = {202: {"model": Asking, "description": "not known yet; ask again"}}

# On the clock of the event loop; no limit for what runs in the background.
_ends_s: ContextVar[float | None] = ContextVar("ends_s", default=None)
_going_on: set[asyncio.Future[Any]] = set()


class StillAsking(Refusal):
    """Not known yet: of so many questions so many are answered; 0 where nobody can say."""

    status = 202

    def __init__(self, message: str, done: int, total: int) -> None:
        super().__init__(message, hint="This goes on by itself.")
        self.done, self.total = done, total


def begin(patience_s: float) -> None:
    """The request that begins now waits no longer than this."""
    _ends_s.set(asyncio.get_running_loop().time() + patience_s)


async def in_time(question: Coroutine[Any, Any, T], message: str, far: Callable[[], tuple[int, int]]) -> T:
    """Wait for an answer as long as this request may still take.

    Args:
        far: How many questions are answered, of how many.

    Raises:
        StillAsking: it takes longer. The asking goes on, so that who asks again finds more.
    """
    asking = asyncio.ensure_future(question)
    for _turn in range(_TURNS):
        # What is known already is told, however little time is left.
        if not asking.done():
            await asyncio.sleep(0)
    done, _waiting = await asyncio.wait((asking,), timeout=_left_s())
    if not done:
        _going_on.add(asking)
        asking.add_done_callback(went_on)
        raise StillAsking(message, *far())
    return asking.result()


def went_on(asked: asyncio.Future[Any]) -> None:
    """What nobody waits for any more has ended; whoever asks again is told how."""
    _going_on.discard(asked)
    if not asked.cancelled():
        asked.exception()


def unknown() -> tuple[int, int]:
    """Nobody can say how far it is."""
    return 0, 0


def _left_s() -> float | None:
    ends_s = _ends_s.get()
    return None if ends_s is None else max(ends_s - asyncio.get_running_loop().time(), 0.0)

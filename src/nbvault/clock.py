"""Time as a value that is handed in, so that tests need not wait for it."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_GIVEN = re.compile(r"\d{4}-\d{2}-\d{2}([Tt ].*)?")


class Clock(Protocol):
    """What the program needs of time: the date, a stopwatch, and waiting."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run for ``seconds``."""

    def wait(self, seconds: float) -> None:
        """Block this thread for ``seconds``."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # most commands wait for nothing, and it takes long to load

        await asyncio.sleep(seconds)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


def iso(moment: datetime) -> str:
    """A moment as ISO 8601 in UTC with milliseconds, as in trailers and records: ``2026-11-21T02:00:00.000Z``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """The inverse of `iso`; also takes any ISO 8601 time, in UTC where it names no zone.

    Raises:
        ValueError: the text is no ISO 8601 time, or one that UTC has in no year from 1 to 9999.
    """
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    try:
        moment.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range.") from error
    return moment


def parse_given(text: str) -> datetime:
    """A time as a person gives it: a day as 2026-11-21, alone (its beginning) or with a time of day.

    Raises:
        ValueError: the text is none, or of another form, which not every Python reads, and nobody as a day.
    """
    if not _GIVEN.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no day.")
    return parse_iso(text)

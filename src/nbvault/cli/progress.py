"""A running session on the screen: a bar in a terminal, a line now and then in a log; always on stderr."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from nbvault.cli import output
from nbvault.clock import Clock, SystemClock

if TYPE_CHECKING:
    from nbvault.backup.survey import Progress, Survey

POLL_S = 0.5
LINE_EVERY_S = 10.0
# Small sessions end before anyone could read a line.
FIRST_LINE_AFTER_S = 2.0
RATE_OVER_S = 30.0


class Display(Protocol):
    """Where a session is shown."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def show(self, progress: Progress, *, per_second: float, left_s: float | None) -> None:
        """How far the survey is."""


class Rate:
    """Objects a second over the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, done: int) -> float:
        """Enter how many are done at a moment; returns how many are done a second."""
        self._seen.append((now_s, done))
        while now_s - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        return (done - before) / (now_s - since_s) if now_s > since_s else 0.0


class ProgressScreen:
    """The `Screen` of a session: looks at its survey twice a second from a thread of its own."""

    def __init__(self, display: Display, *, clock: Clock) -> None:
        self._display = display
        self._clock = clock
        self._survey: Survey | None = None
        self._rate = Rate()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="progress", daemon=True)

    def began(self, session: str, started_at: datetime) -> None:
        self._display.say(f"Session {session} began at {started_at:%Y-%m-%d %H:%M:%S} UTC")

    def watch(self, survey: Survey) -> None:
        self._rate = Rate()
        self._rate.note(self._clock.monotonic(), 0)
        self._survey = survey

    def stage(self, text: str) -> None:
        self._show()
        self._survey = None
        self._display.say(output.shown(text))

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(POLL_S):
            self._show()

    def _show(self) -> None:
        if (survey := self._survey) is not None:
            progress = survey.progress()
            per_second = self._rate.note(self._clock.monotonic(), progress.done)
            waiting = progress.listed - progress.done
            self._display.show(progress, per_second=per_second, left_s=waiting / per_second if per_second else None)


class Lines:
    """For logs: a line every 10 s or 10 %, whichever comes first."""

    def __init__(self, *, clock: Clock, write: Callable[[str], None] = output.note) -> None:
        self._clock = clock
        self._write = write
        self._quiet_until_s = clock.monotonic() + FIRST_LINE_AFTER_S
        self._next_s = self._quiet_until_s
        self._tenth = 0
        self._done = 0

    def say(self, text: str) -> None:
        self._write(f"{self._clock.now():%H:%M:%S} {text}")

    def show(self, progress: Progress, *, per_second: float, left_s: float | None) -> None:
        now_s, tenth = self._clock.monotonic(), 10 * progress.done // max(progress.listed, 1)
        due = now_s >= self._next_s or (now_s >= self._quiet_until_s and tenth > self._tenth)
        if due and progress.done != self._done:
            self._next_s, self._tenth, self._done = now_s + LINE_EVERY_S, tenth, progress.done
            self.say(in_words(progress, per_second=per_second, left_s=left_s))


def in_words(progress: Progress, *, per_second: float, left_s: float | None) -> str:
    """How far a survey is, as a line of a log."""
    parts = [f"{progress.done:,} of {progress.listed:,} objects known so far", f"{per_second:,.0f} a second"]
    if left_s is not None and progress.done < progress.listed:
        parts.append(f"about {output.age(timedelta(seconds=left_s))} left")
    parts.append(output.number(progress.folders, "folder") + " read")
    if progress.unreadable:
        parts.append(f"{progress.unreadable:,} unreadable")
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    return ", ".join(parts)


@contextmanager
def on_screen(clock: Clock | None = None) -> Iterator[ProgressScreen]:
    """The screen for a session: a bar if stderr is a terminal, otherwise lines."""
    clock = clock or SystemClock()
    if sys.stderr.isatty():
        from nbvault.cli.bar import bar

        with bar() as display, _watched(ProgressScreen(display, clock=clock)) as screen:
            yield screen
    else:
        with _watched(ProgressScreen(Lines(clock=clock), clock=clock)) as screen:
            yield screen


@contextmanager
def _watched(screen: ProgressScreen) -> Iterator[ProgressScreen]:
    screen.start()
    try:
        yield screen
    finally:
        screen.stop()

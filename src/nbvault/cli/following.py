"""A running session for people elsewhere: one line in Slack that is changed as it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from nbvault.cli.progress import ProgressScreen, in_words
from nbvault.clock import Clock, SystemClock
from nbvault.errors import NbvaultError
from nbvault.model import SessionReport, Status

if TYPE_CHECKING:
    from nbvault.backup.survey import Progress, Survey
    from nbvault.settings import Settings
    from nbvault.wiring import Screen

# Slack takes some fifty changes a minute.
EVERY_S = 5.0
FAILURES_IN_A_ROW = 3
_ENDS = {
    Status.COMPLETE: "complete",
    Status.PARTIAL: "PARTIAL: not everything is saved",
    Status.INTERRUPTED: "INTERRUPTED: what was finished is kept, the next run goes on",
    Status.FAILED: "FAILED",
}


class Line(Protocol):
    """Where the line is shown."""

    def show(self, text: str) -> None:
        """Write it, or write it anew; a NbvaultError where that was not taken."""


class LiveLine:
    """The line, written by a thread of its own, so that a session never waits for it.

    Args:
        say: Told once that the line cannot be written.
    """

    def __init__(self, line: Line, *, clock: Clock, say: Callable[[str], None]) -> None:
        self._line = line
        self._clock = clock
        self._say = say
        self._head = "A session begins"
        self._text = self._shown = ""
        self._failed = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="live line", daemon=True)

    # --- as a Display ---

    def say(self, text: str) -> None:
        """What comes next."""
        self._text = f"{self._head}: {text}" if not text.startswith("Session ") else text
        self._head = text.partition(" began")[0] if text.startswith("Session ") else self._head

    def show(self, progress: Progress, *, per_second: float, left_s: float | None) -> None:
        """How far it is."""
        self._text = f"{self._head} runs: {in_words(progress, per_second=per_second, left_s=left_s)}"

    # --- its life ---

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, last: str) -> None:
        """Write the last word, and no more."""
        self._ended.set()
        self._thread.join()
        self._text = last
        self._write()

    def _follow(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._write()

    def _write(self) -> None:
        text = self._text
        if not text or text == self._shown or self._failed >= FAILURES_IN_A_ROW:
            return
        try:
            self._line.show(f"nbvault, {self._clock.now():%H:%M:%S} UTC: {text}")
        except NbvaultError as error:
            self._not_written(str(error))
        except Exception as error:  # noqa: BLE001 - a session must end as it would without the line
            self._not_written(f"an error that nbvault did not expect ({type(error).__name__})")
        else:
            self._failed, self._shown = 0, text

    def _not_written(self, why: str) -> None:
        self._failed += 1
        if self._failed == 1:
            self._say(f"The line in Slack cannot be written: {why}")


def last_word(report: SessionReport) -> str:
    """How a session ended, and what of it is protected; nothing better than it was."""
    counts = report.counts
    what = "Dry run" if report.dry_run else "Session"
    told = f"{what} {report.session} ended {_ENDS[report.status]}"
    if report.error:
        return f"{told}: {report.error}"
    held = f", {counts.held_deletions:,} deletions held" if counts.held_deletions else ""
    return f"{told}. {counts.saved:,} saved, {counts.failed:,} failed, {counts.deleted:,} deleted{held}"


class Following:
    """Two screens of one session: the one here, and the line elsewhere."""

    def __init__(self, screens: tuple[Screen, ...]) -> None:
        self._screens = screens
        self.ended = "The session ended before its report was written"

    def began(self, session: str, started_at: datetime) -> None:
        for screen in self._screens:
            screen.began(session, started_at)

    def watch(self, survey: Survey) -> None:
        for screen in self._screens:
            screen.watch(survey)

    def stage(self, text: str) -> None:
        for screen in self._screens:
            screen.stage(text)


@contextmanager
def followed(
    settings: Settings, screen: ProgressScreen, *, say: Callable[[str], None], clock: Clock | None = None
) -> Iterator[Following]:
    """The screen of a session and, where the settings name a bot, the line in Slack beside it."""
    from nbvault.channels import slack_line_of

    line = slack_line_of(settings)
    clock = clock or SystemClock()
    with ExitStack() as stack:
        following = Following((screen,))
        if line is not None:
            live = LiveLine(line, clock=clock, say=say)
            elsewhere = ProgressScreen(live, clock=clock)
            following = Following((screen, elsewhere))
            live.start()
            stack.callback(lambda: live.stop(following.ended))
            elsewhere.start()
            stack.callback(elsewhere.stop)
        try:
            yield following
        except NbvaultError as error:
            following.ended = f"The session ended without a report: {error}"
            raise

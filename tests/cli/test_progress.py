"""Progress in a log: a line when there is something to say, and the truth in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from nbvault.backup.survey import Progress
from nbvault.cli.progress import Lines, Rate, in_words


@dataclass
class Watch:
    """A clock that is set by hand."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 2, tzinfo=timezone.utc) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def progress(done: int, listed: int = 1000, *, failed: int = 0, unreadable: int = 0) -> Progress:
    """A survey that is so far."""
    return Progress(listed, done, done, failed, 0, 7, unreadable)


def shown_at(moments: list[tuple[float, int]]) -> list[str]:
    """The lines of a session that was so far at these moments."""
    written: list[str] = []
    watch = Watch()
    lines = Lines(clock=watch, write=written.append)
    for watch.seconds, done in moments:
        lines.show(progress(done), per_second=10, left_s=5)
    return written


def test_a_short_session_is_quiet() -> None:
    """A session of a second writes no progress."""
    assert shown_at([(0.5, 500), (1.0, 1000)]) == []


def test_a_line_every_ten_seconds() -> None:
    """A slow session writes a line every ten seconds, not at every look."""
    assert len(shown_at([(second / 2, second) for second in range(61)])) == 3


def test_a_line_every_ten_percent() -> None:
    """A fast session writes a line every ten percent."""
    lines = shown_at([(2 + second, second * 100) for second in range(11)])
    assert len(lines) == 10
    assert "1,000 of 1,000" in lines[-1]


def test_a_session_that_stands_still_repeats_nothing() -> None:
    """Nothing done means nothing to say."""
    assert len(shown_at([(20.0, 5), (40.0, 5), (60.0, 5)])) == 1


def test_words_name_what_went_wrong() -> None:
    """Unreadable folders and failures are in the line as soon as they are known."""
    text = in_words(progress(400, failed=3, unreadable=2), per_second=50, left_s=12)
    assert text == (
        "400 of 1,000 objects known so far, 50 a second, about 12 seconds left, 7 folders read, 2 unreadable, 3 failed"
    )


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    """What was done long ago does not count."""
    rate = Rate()
    assert rate.note(0.0, 0) == 0.0
    assert rate.note(10.0, 1000) == 100.0
    assert rate.note(60.0, 1000) == 0.0
    assert rate.note(70.0, 1100) == 10.0

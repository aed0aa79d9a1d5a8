"""`nbvault status --watch`: a running session, wherever it runs, as the state store has it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nbvault.cli import output
from nbvault.cli.progress import Rate
from nbvault.clock import Clock, SystemClock, iso
from nbvault.model import Status

if TYPE_CHECKING:
    from nbvault.administration import Seen
    from nbvault.settings import Settings

LINE_EVERY_S = 10.0


def watch(settings: Settings, *, as_json: bool, clock: Clock | None = None) -> None:
    """Show the running session until it ends; lines that are refreshed in a terminal, otherwise one now and then."""
    from nbvault.administration import watch_session

    clock = clock or SystemClock()
    with _interrupts_between_looks() as unless_interrupted:
        _show(unless_interrupted(watch_session(settings, clock=clock)), as_json=as_json, clock=clock)


@contextmanager
def _interrupts_between_looks() -> Iterator[Callable[[Iterable[Seen]], Iterator[Seen]]]:
    """Ctrl-C ends the watching after the next look: raised within one, the database's driver may swallow it."""
    pressed = False

    def press(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True

    def unless_interrupted(looks: Iterable[Seen]) -> Iterator[Seen]:
        for seen in looks:
            if pressed:
                raise KeyboardInterrupt
            yield seen

    if threading.current_thread() is not threading.main_thread():
        yield unless_interrupted
        return
    before = signal.signal(signal.SIGINT, press)
    try:
        yield unless_interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _show(looks: Iterator[Seen], *, as_json: bool, clock: Clock) -> None:
    if as_json:
        last: Any = None
        for seen in looks:
            last = _as_json(seen)
            output.emit(last)
        if last is None:
            output.emit(None)
        return
    said = _refreshed(looks, clock) if sys.stdout.isatty() else _lines(looks, clock)
    output.say(said or "No session runs now, as far as the state store knows.")


def _refreshed(looks: Iterator[Seen], clock: Clock) -> str:
    rate, said = Rate(), ""
    with Live(console=Console(highlight=False), transient=True, auto_refresh=False) as live:
        for seen in looks:
            said = in_words(seen, rate.note(clock.monotonic(), seen.row.processed), clock)
            live.update(Text(said), refresh=True)
    return said


def _lines(looks: Iterator[Seen], clock: Clock) -> str:
    rate, said, next_s, done = Rate(), "", clock.monotonic(), -1
    for seen in looks:
        said = in_words(seen, rate.note(clock.monotonic(), seen.row.processed), clock)
        if seen.runs and clock.monotonic() >= next_s and seen.row.processed != done:
            output.say(said)
            next_s, done = clock.monotonic() + LINE_EVERY_S, seen.row.processed
    return said


def in_words(seen: Seen, per_second: float, clock: Clock) -> str:
    """How far a session is, or how it ended."""
    row = seen.row
    if seen.killed:
        return f"Session {row.session} was killed: its process is gone. The next session goes on from there."
    if row.status is not Status.RUNNING:
        error = next((f": {entry['reason']}" for entry in row.error_log if not entry["path"]), "")
        return output.shown(f"Session {row.session} ended {row.status.value}{error}.")
    took = output.age(max(clock.now() - row.started_at, timedelta(0)))
    parts = [f"Session {row.session}, for {took}", f"{row.processed:,} of {row.total:,} objects known so far"]
    share = f" ({100 * row.processed / row.total:.0f} %)" if row.total else ""
    parts[-1] += share
    parts.append(f"{per_second:,.0f} a second")
    if per_second and row.total > row.processed:
        parts.append(f"about {output.age(timedelta(seconds=(row.total - row.processed) / per_second))} left")
    if row.failed:
        parts.append(f"{row.failed:,} failed")
    return ", ".join(parts)


def _as_json(seen: Seen) -> dict[str, Any]:
    row = seen.row
    return {
        "session": row.session,
        "status": row.status.value,
        "killed": seen.killed,
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at) if row.ended_at else None,
        "total": row.total,
        "processed": row.processed,
        "saved": row.successful,
        "failed": row.failed,
        "bytes": row.bytes_processed,
    }

"""How the command line speaks: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click


def say(text: str = "", *, style: str = "") -> None:
    """A line of a result for people, in colour (``green``, ``yellow``, ``red``) where the terminal has it."""
    click.echo(click.style(text, fg=style) if style else text)


def emit(value: Any) -> None:
    """A result for programs: one line of JSON in ASCII."""
    click.echo(json.dumps(value))


def note(text: str) -> None:
    """A line for people beside the result: progress, a log."""
    click.echo(text, err=True)


def complain(message: str, hint: str = "") -> None:
    """An error: what failed, and on a line of its own what to do."""
    note(click.style("nbvault: ", fg="red") + message)
    if hint:
        note(hint)


def shown(text: str) -> str:
    """A name from the workspace so that it cannot steer the terminal: what is not printable is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def number(count: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 folder``, ``2,000 folders``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: float) -> str:
    """Bytes in the unit that people read."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def age(span: timedelta) -> str:
    """How long ago, in the unit that matters."""
    seconds = int(span.total_seconds())
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s"
    return number(max(seconds, 0), "second")


@contextmanager
def unless_nobody_reads() -> Iterator[None]:
    """Print while somebody reads; a pipe that was closed must not change how the command ends."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence()


def silence() -> None:
    """Send what is still to be printed nowhere, so that the interpreter does not fail on it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

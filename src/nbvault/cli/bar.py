"""The progress bar for terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from nbvault.cli import output

if TYPE_CHECKING:
    from nbvault.backup import survey


class Bar:
    """Done and total known so far, the rate, the time left, and what could not be read."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def say(self, text: str) -> None:
        self._progress.console.print(Text(text))

    def show(self, progress: survey.Progress, *, per_second: float, left_s: float | None) -> None:
        words = [f"{progress.done:,} of {progress.listed:,} so far", f"{per_second:,.0f}/s"]
        if left_s is not None and progress.done < progress.listed:
            words.append(f"{output.age(timedelta(seconds=left_s))} left")
        if progress.unreadable:
            words.append(f"[red]{output.number(progress.unreadable, 'unreadable folder')}[/]")
        if progress.failed:
            words.append(f"[red]{progress.failed:,} failed[/]")
        self._progress.update(
            self._task, completed=progress.done, total=max(progress.listed, 1), description=" | ".join(words)
        )


@contextmanager
def bar() -> Iterator[Bar]:
    """A bar on stderr while the context lasts."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        yield Bar(progress, progress.add_task("", total=None))

"""What `restore` and `undo` share: the parts put together, the questions asked, the results printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.output import number, shown
from nbvault.errors import ConfigurationError, SessionInterrupted

if TYPE_CHECKING:
    from nbvault.recovery.carry import Prepared
    from nbvault.recovery.plan import Entry
    from nbvault.recovery.receipt import Receipt
    from nbvault.recovery.restorer import Restorer

SHOWN = 30


def go(restorer: Restorer, prepared: Prepared, *, yes: bool, dry_run: bool, quiet: bool) -> Receipt:
    """Show the plan, ask, and carry it out.

    Args:
        quiet: Print nothing to stdout; the caller prints the receipt.

    Raises:
        ConfigurationError: a person must be asked, and there is no terminal.
        SessionInterrupted: the person said no.
    """
    plan = prepared.shown()
    if dry_run:
        return plan
    if prepared.writes and not yes:
        with output.unless_nobody_reads():
            tell(plan)
        _agree(plan)
    with _progress(len(prepared.entries), hidden=quiet) as done:
        restorer.done = done
        return restorer.apply(prepared, ask=_ask_about_changed)


def show_result(receipt: Receipt, *, as_json: bool, report: Path | None = None) -> int:
    """Print the receipt, write the page where one is wanted; returns the exit code."""
    if report is not None:
        _write_page(receipt, report)
    with output.unless_nobody_reads():
        if as_json:
            output.emit(receipt.as_json())
        else:
            tell(receipt)
    return receipt.exit_code


def tell(receipt: Receipt) -> None:
    """A plan or a receipt for people: the counts, and what needs their eyes."""
    for note in receipt.notes:
        output.say(shown(note))
    _tell_entries(receipt)
    counts = {name: count for name, count in receipt.counts().items() if name != "entries"}
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "nothing"
    if receipt.dry_run:
        output.say(f"Plan for {number(len(receipt.intent.entries), 'notebook')}: {words}. Nothing was written.")
        return
    if not receipt.intent.restore:
        output.say(f"Nothing to do: {words}.", style="green" if receipt.exit_code == 0 else "yellow")
        return
    if receipt.intent.undo_of and not receipt.intent.targets and receipt.recorded:
        told = f"There was nothing to take back: {words}."
        output.say(f"{told} That {receipt.intent.undo_of} is dealt with is recorded as {receipt.intent.restore}.")
        return
    if receipt.status.value == "abandoned" and not receipt.outcomes:
        words = "what it did before it was killed is not known here, and can be undone"
    style = "green" if receipt.exit_code == 0 else "red" if receipt.exit_code == 8 else "yellow"
    output.say(f"Restore {receipt.intent.restore} {receipt.status.value}: {words}.", style=style)
    if receipt.error:
        output.complain(receipt.error)
    if receipt.recorded:
        output.say(f"To take it back: nbvault undo {receipt.intent.restore}")
    if receipt.status.value == "interrupted":
        output.say(f"To finish it: nbvault restore --resume {receipt.intent.restore}")


def _tell_entries(receipt: Receipt) -> None:
    """All of a small plan; of a receipt, or a large plan, first what is not as it should be."""
    lines = []
    for entry in receipt.intent.entries:
        outcome = receipt.outcomes.get(entry.number)
        good = outcome.is_good if outcome else entry.action.writes or entry.action.value == "identical"
        word = outcome.result.value if outcome else entry.action.value
        reason = (outcome.reason if outcome else "") or entry.reason
        lines.append((good, _line(entry, word, reason)))
    lines.sort(key=lambda line: line[0])
    for good, line in lines[:SHOWN]:
        output.say(line, style="" if good else "yellow")
    if len(lines) > SHOWN:
        output.say(f"... and {len(lines) - SHOWN:,} more; all are in --json and --report.")


def _line(entry: Entry, word: str, reason: str) -> str:
    came = f" (from {shown(entry.path)})" if entry.path != entry.target else ""
    counts = f"  +{entry.lines_added} -{entry.lines_removed}" if entry.lines_added is not None else ""
    return f"  {word:10} {shown(entry.target)}{came}{counts}{': ' + shown(reason) if reason else ''}"


def _agree(plan: Receipt) -> None:
    """Ask a person; without a terminal nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "A restore asks before it writes, and here is no terminal to ask on.", hint="Say --yes, or --dry-run."
        )
    changes = sum(entry.action.writes for entry in plan.intent.entries)
    if not click.confirm(f"Write {number(changes, 'notebook')} in the workspace?", err=True):
        raise SessionInterrupted("Nothing was written.")


def _ask_about_changed(changed: Sequence[Entry]) -> bool:
    """Whether an undo takes back what somebody has changed since; without a terminal it does not."""
    if not sys.stdin.isatty():
        return False
    for entry in changed[:SHOWN]:
        output.note(f"  changed since: {shown(entry.target)}")
    return click.confirm(f"Take back {number(len(changed), 'notebook')} that was changed since, too?", err=True)


@contextmanager
def _progress(total: int, *, hidden: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr, if that is a terminal."""
    if hidden or not sys.stderr.isatty() or total < 2:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _write_page(receipt: Receipt, path: Path) -> None:
    from nbvault.recovery.page import page

    try:
        path.write_text(page(receipt), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        # The restore is done; only its page is not.
        output.complain(f"The page {path} cannot be written: {error.strerror or error}.")

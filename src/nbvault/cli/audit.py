"""`nbvault audit`: what was done, by whom, on what, with what result; and whether the record of it is whole."""

from __future__ import annotations

import getpass
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbvault.cli import output
from nbvault.cli.options import Command, config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.clock import parse_given
from nbvault.errors import ConfigurationError

if TYPE_CHECKING:
    from nbvault.auditing import Entry
    from nbvault.monitoring.audit import Verification

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_GLOB = "TEXT; * and ? stand for anything, case does not matter."


@click.group("audit")
@config_option
def command() -> None:
    """What was done, by whom, on what, with what result."""


def _filters(command: Command) -> Command:
    options = [
        click.option("--since", metavar="TIME", default="", help="From this time on; a date is its beginning (UTC)."),
        click.option("--until", metavar="TIME", default="", help="Before this time; a date is its end (UTC)."),
        click.option("--actor", metavar="TEXT", default="", help=f"Done by {_GLOB}"),
        click.option("--action", metavar="TEXT", default="", help=f"What was done: {_GLOB}"),
        click.option("--object", "object_", metavar="TEXT", default="", help=f"Done to {_GLOB}"),
        click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the last N of them."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@command.command("list")
@_filters
@config_option
@json_option
def list_trail(*, as_json: bool, **filters: Any) -> None:
    """The audit trail, oldest first."""
    found = _found(**filters)
    with output.unless_nobody_reads():
        if as_json:
            output.emit([entry.as_json() for entry in found])
            return
        for entry in found:
            output.say(_in_words(entry))
        if not found:
            output.say("There are no such events.")


@command.command("export")
@_filters
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option(
    "--output", "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Not to stdout."
)
@config_option
@json_option
def export_trail(*, form: str, file: Path | None, as_json: bool, **filters: Any) -> None:
    """The audit trail as CSV or as JSON lines."""
    from nbvault.auditing import as_csv, as_json_lines

    found = _found(**filters)
    text = "".join((as_csv if form == "csv" else as_json_lines)(found))
    if file is not None:
        _write(file, text)
        output.note(f"{number(len(found), 'event')} written to {file}.")
    with output.unless_nobody_reads():
        if as_json:
            output.emit([entry.as_json() for entry in found])
        elif file is None:
            sys.stdout.write(text)


@command.command("verify")
@click.option("--head", metavar="LINES:DIGEST", default="", help="A head seen before, as the daily summary has it.")
@click.option("--full", is_flag=True, help="Look at every commit that ever changed the trail.")
@config_option
@json_option
def verify(*, head: str, full: bool, as_json: bool) -> int:
    """Compare the index with the vault, and the vault with what was seen of it before.

    Ends with 8 if a line was changed, removed, added or moved in either.
    """
    from nbvault.auditing import verify_trail

    found = verify_trail(load(), head=head, full=full, by=getpass.getuser())
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
        else:
            _tell(found)
    return found.exit_code


@command.command("accept")
@click.option("--reason", metavar="TEXT", required=True, help="Why the vault's trail is to be believed; it is kept.")
@click.option("--by", metavar="NAME", help="Who accepts it; otherwise the user of this machine.")
@config_option
@json_option
def accept(*, reason: str, by: str | None, as_json: bool) -> None:
    """Take the vault's trail as it is from now on, after `verify` found it broken and you know why."""
    from nbvault.auditing import accept_trail

    head = accept_trail(load(), by=by or getpass.getuser(), reason=reason, say=output.note)
    if as_json:
        output.emit({"head": str(head), "lines": head.lines})
    else:
        output.say(f"The trail is believed from now on, with {number(head.lines, 'line')}. Head {head}.")


def _found(*, since: str, until: str, actor: str, action: str, object_: str, limit: int | None) -> list[Entry]:
    from nbvault.auditing import list_events
    from nbvault.monitoring.audit import Filter

    return list_events(
        load(),
        since=_time(since),
        until=_time(until, end=True),
        wanted=Filter(actor, action, object_),
        limit=limit,
    )


def _time(text: str, *, end: bool = False) -> datetime | None:
    if not text:
        return None
    try:
        time = parse_given(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no time.", hint="Give a date or a time such as 2026-11-21T14:30."
        ) from None
    return time + timedelta(days=1, microseconds=-1) if end and _DATE.fullmatch(text.strip()) else time


def _write(file: Path, text: str) -> None:
    try:
        with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
            opened.write(text)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from error


def _in_words(entry: Entry) -> str:
    event = entry.event
    detail = f": {shown(event.detail)}" if event.detail else ""
    waits = "" if entry.line else " (not in the vault yet)"
    what = f"{shown(event.action)} {shown(event.object)} by {shown(event.actor)}"
    return f"{event.at:%Y-%m-%d %H:%M:%S}  {what}: {shown(event.result)}{detail}{waits}"


def _tell(found: Verification) -> None:
    if found.count:
        output.say(f"The audit trail is not whole: {number(found.count, 'fault')}.", style="red")
    else:
        output.say(
            f"The audit trail is whole: {number(found.head.lines, 'line')}, index and vault agree.", style="green"
        )
    for fault in found.faults:
        output.say(shown(f"{fault.where} line {fault.line}: {fault.what}"))
    if found.count > len(found.faults):
        output.say(f"... and {found.count - len(found.faults):,} more.")
    for note in found.notes:
        output.say(note)
    if found.waiting:
        output.say(
            f"{number(found.waiting, 'event waits', 'events wait')} for the next session to take them into the vault."
        )
    output.say(f"Head {found.head}, compared with {number(found.heads, 'head')} seen before.")
    if any(fault.where == "index" for fault in found.faults):
        output.say("`nbvault state rebuild` makes the index anew from the vault.")
    if any(fault.where == "chain" for fault in found.faults):
        output.say("Find out who rewrote nbvault/meta; another clone has what was there. See docs/audit.md.")

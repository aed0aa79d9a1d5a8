"""`nbvault changes`: who changed what, when; for reading, for a spreadsheet, for a program, for a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load, not_empty
from nbvault.clock import SystemClock
from nbvault.errors import ConfigurationError, NbvaultError

if TYPE_CHECKING:
    from nbvault.gitstore.vault import Vault
    from nbvault.reporting.query import Query
    from nbvault.reporting.report import Report

_FORMATS = ("table", "csv", "json", "html", "md")
_ENDINGS = {".csv": "csv", ".json": "json", ".html": "html", ".htm": "html", ".md": "md"}


@click.command("changes")
@click.option(
    "--since",
    metavar="TIME",
    default="",
    callback=not_empty,
    help="From this time or day on: 2026-11-21, yesterday, 7d.",
)
@click.option(
    "--until", metavar="TIME", default="", callback=not_empty, help="Up to this time, or the end of this day (UTC)."
)
@click.option(
    "--session", metavar="ID", default="", callback=not_empty, help="Of one session only; 'last' is the newest."
)
@click.option(
    "--author",
    metavar="WHO",
    default="",
    callback=not_empty,
    help="By this person: e-mail or name; * stands for anything.",
)
@click.option(
    "--path",
    "place",
    metavar="GLOB",
    default="",
    callback=not_empty,
    help="Only in these: a notebook, a folder or a glob.",
)
@click.option("--language", metavar="NAME", default="", help="Only these: python, sql, scala, r, or ipynb.")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="Otherwise as --output's ending says, or a table.")
@click.option("--output", "file", metavar="FILE", type=click.Path(path_type=Path), help="Write it there.")
@click.option("--compliance", is_flag=True, help="For the record: also every session of the period; no content.")
@click.option("--details", type=click.IntRange(0), default=5000, help="Count cells and lines of so many changes.")
@config_option
@json_option
def command(
    *,
    since: str,
    until: str,
    session: str,
    author: str,
    place: str,
    language: str,
    form: str | None,
    file: Path | None,
    compliance: bool,
    details: int,
    as_json: bool,
) -> int:
    """Which notebooks were added, modified, renamed and deleted, by whom; without a period, since the beginning.

    The newest changes come first. CSV and JSON have every change, however many; HTML and Markdown the newest 2,000, and
    the totals of all. Ends with 3 if something could not be read: an earlier epoch, or bytes of a notebook.
    """
    from nbvault.opening import read_vault
    from nbvault.reporting.query import Query

    chosen = "json" if as_json else form or _ENDINGS.get(file.suffix.lower() if file else "", "table")
    asked = {"session": session, "author": author, "place": place, "language": language}
    query = Query.of_texts(since=since, until=until, now=SystemClock().now(), **asked)
    with read_vault(load(), warn=output.note, want_tree=False) as vault:
        made = _begun(vault, _resolved(vault, query), compliance=compliance)
        pieces = _pieces(vault, made, chosen, details=0 if compliance else details)
        if file is not None:
            _write(pieces, file)
        else:
            _print(pieces)
        for note in made.notes:
            output.note(output.shown(note))
        return made.exit_code


def _resolved(vault: Vault, query: Query) -> Query:
    """The query with the name of the session that ``last`` means."""
    from dataclasses import replace

    from nbvault.gitstore.meta import read_records

    if query.session != "last":
        return query
    records = read_records(vault.meta, "sessions", blobs=vault.blobs, months=2)
    return replace(query, session=max((str(record["session"]) for record in records), default="last"))


def _begun(vault: Vault, query: Query, *, compliance: bool) -> Report:
    from nbvault.reporting.report import begun

    return begun(vault, query, now=SystemClock().now(), compliance=compliance)


def _pieces(vault: Vault, made: Report, form: str, *, details: int) -> Iterator[str]:
    """The report in pieces: as it is read where a reader gets all of it, otherwise whole."""
    from nbvault.reporting import report, tables
    from nbvault.reporting.page import to_html

    if form in ("html", "md"):
        kept = report.KEPT if form == "html" and details else 0
        compliance = made.sessions is not None
        whole = report.report(vault, made.query, now=made.at, counted=details, kept=kept, compliance=compliance)
        made.notes, made.is_whole = whole.notes, whole.is_whole
        yield to_html(whole) if form == "html" else tables.to_markdown(whole)
        return
    stream = report.streamed(vault, made, counted=details)
    if form == "json":
        yield from tables.to_json(made, stream)
    elif form == "csv":
        yield from tables.to_csv(stream)
    else:
        yield from tables.to_text(stream)
        yield from tables.summary_text(made)


def _print(pieces: Iterator[str]) -> None:
    # What fails at once, after the head, leaves nothing half told; what fails later ends the line it was in.
    begun = list(islice(pieces, 2))
    try:
        with output.unless_nobody_reads():
            for piece in chain(begun, pieces):
                sys.stdout.write(piece)
    except NbvaultError:
        sys.stdout.write("\n")
        raise


def _write(pieces: Iterator[str], file: Path) -> None:
    """Into a file that is there whole or not at all."""
    beside = file.with_name(f".{file.name}.part")
    try:
        with beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as opened:
            opened.writelines(pieces)
        beside.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}.") from error
    finally:
        beside.unlink(missing_ok=True)
    output.note(f"Written to {file}.")

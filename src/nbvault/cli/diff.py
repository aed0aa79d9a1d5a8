"""`nbvault diff PATH`: what changed in a notebook, cell by cell."""

from __future__ import annotations

import sys

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import shown
from nbvault.errors import ConfigurationError


@click.command("diff")
@click.argument("path")
@click.option("--from", "start", metavar="X", help="A time, a commit, a tag, or `live`; otherwise the version before.")
@click.option("--to", "end", metavar="Y", help="Likewise; `live` is the workspace. Otherwise the last version.")
@config_option
@json_option
def command(*, path: str, start: str | None, end: str | None, as_json: bool) -> None:
    """What changed in a notebook, cell by cell, across renames; without options, its newest change.

    --to live shows what changed in the workspace since the last backup.
    """
    from nbvault.notebook import to_json, to_text
    from nbvault.opening import read_vault
    from nbvault.proof import exporter
    from nbvault.recovery.difference import difference

    for name, value in (("--from", start), ("--to", end)):
        if value is not None and not value.strip():
            raise ConfigurationError(f"{name} is empty.", hint="Give a time such as 2026-11-21T14:30, or a commit.")
    settings = load()
    with read_vault(settings, warn=output.note, want_tree=False) as vault:
        found = difference(vault, path, start=start or "", end=end or "", export=exporter(settings))
    with output.unless_nobody_reads():
        if not as_json:
            output.note(shown(f"From {found.old.label} to {found.new.label}:"))
        for note in found.notes:
            output.note(shown(note))
        if as_json:
            output.emit(to_json(found.changes))
        else:
            click.echo(to_text(found.changes, colour=sys.stdout.isatty()), nl=False, color=True)

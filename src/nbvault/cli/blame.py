"""`nbvault blame PATH`: who wrote each line."""

from __future__ import annotations

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import shown
from nbvault.errors import ConfigurationError


@click.command("blame")
@click.argument("path")
@click.option(
    "--at", metavar="TIME|COMMIT", help="As of the last backup that had begun by then; otherwise of the last."
)
@config_option
@json_option
def command(*, path: str, at: str | None, as_json: bool) -> None:
    """Who wrote each line of a notebook, when, and in which session; across renames."""
    from nbvault.notebook.show import harmless
    from nbvault.opening import read_vault
    from nbvault.recovery.blame import blame

    if at is not None and not at.strip():
        raise ConfigurationError("--at is empty.", hint="Give a time such as 2026-11-21T14:30, or a commit.")
    with read_vault(load(), warn=output.note, want_tree=False) as vault:
        found = blame(vault, path, at=at or "")
    if found.note:
        output.note(shown(found.note))
    with output.unless_nobody_reads():
        if as_json:
            output.emit([line.as_json() for line in found.lines])
            return
        width = max((len(line.version.author.name) for line in found.lines), default=0)
        for line in found.lines:
            version = line.version
            who = f"{version.commit[:12]}  {version.at:%Y-%m-%d}  {shown(version.author.name):{min(width, 30)}}"
            output.say(f"{who}  {line.number:>5}  {harmless(line.text)}")

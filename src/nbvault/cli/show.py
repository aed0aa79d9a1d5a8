"""`nbvault show PATH`: the source of a notebook, as it is in the vault or was."""

from __future__ import annotations

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import shown
from nbvault.errors import ConfigurationError


@click.command("show")
@click.argument("path")
@click.option(
    "--at",
    metavar="TIME|COMMIT",
    help="As of the last backup that had begun by then (a date means the end of that day, UTC), or in that commit.",
)
@config_option
@json_option
def command(*, path: str, at: str | None, as_json: bool) -> None:  # noqa: ARG001 - the source is what it is
    """The source of a notebook, byte for byte, also with --json: the last protected version, or that of a moment."""
    from nbvault.opening import read_vault
    from nbvault.recovery.versions import show

    if at is not None and not at.strip():
        raise ConfigurationError("--at is empty.", hint="Give a time such as 2026-11-21T14:30, or a commit.")
    with read_vault(load(), warn=output.note, want_tree=False) as vault:
        source = show(vault, path, at=at or "")
    if source.note:
        output.note(shown(source.note))
    with output.unless_nobody_reads():
        click.echo(source.data, nl=False)

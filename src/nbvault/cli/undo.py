"""`nbvault undo RESTORE_ID`: a restore taken back."""

from __future__ import annotations

from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load


@click.command("undo")
@click.argument("restore", metavar="RESTORE_ID")
@click.option(
    "--overwrite",
    type=click.Choice(["changed", "always"]),
    default="changed",
    show_default=True,
    help="always: take back also what somebody has changed since.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--report", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to print."
)
@config_option
@json_option
def command(*, restore: str, overwrite: str, dry_run: bool, yes: bool, report: Path | None, as_json: bool) -> int:
    """Put back what a restore overwrote, and remove what it created; an undo can itself be undone.

    What somebody has changed since is left alone, unless you say otherwise. Ends as `restore` does.
    """
    from nbvault.cli.recovering import go, show_result
    from nbvault.restoring import opened_restorer

    with opened_restorer(load(), say=output.note) as restorer:
        prepared = restorer.undo(restore, forced=overwrite == "always")
        receipt = go(restorer, prepared, yes=yes, dry_run=dry_run, quiet=as_json)
        return show_result(receipt, as_json=as_json, report=report)

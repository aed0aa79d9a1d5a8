"""`nbvault history PATH`: the versions of a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import shown

if TYPE_CHECKING:
    from nbvault.recovery.history import Version


@click.command("history")
@click.argument("path")
@config_option
@json_option
def command(*, path: str, as_json: bool) -> None:
    """The versions of a notebook, newest first, across renames; also of one that was deleted."""
    from nbvault.recovery.history import history
    from nbvault.wiring import read_vault

    with read_vault(load(), warn=output.note) as vault:
        versions = history(vault, path)
    with output.unless_nobody_reads():
        if as_json:
            output.emit([version.as_json() for version in versions])
        else:
            for version in versions:
                output.say(_in_words(version))


def _in_words(version: Version) -> str:
    what = f"{version.at:%Y-%m-%d %H:%M} UTC  {version.commit[:12]}  {version.change.value:8}"
    return f"{what}  {shown(version.author.name)}  {shown(version.path)}"

"""`nbvault rollback`: a conversion taken back."""

from __future__ import annotations

import getpass

import click

from nbvault.cli import output
from nbvault.cli.convert import counting, tell
from nbvault.cli.options import config_option, json_option, load


@click.command("rollback")
@config_option
@json_option
def command(*, as_json: bool) -> int:
    """Take the last conversion back: its Git folders and its Git credential go, a replaced original is there again.

    Work in a Git folder that is not on the remote is never removed: the rollback names it and stops.
    """
    from nbvault.conversions import Conversions

    conversions = Conversions(
        load(), getpass.getuser(), lambda text: output.note(output.shown(text)), counting(output.note)
    )
    found = conversions.roll_back()
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
        else:
            tell(found)
    return found.exit_code

"""`nbvault state`: the index of sessions, which may be lost without harm."""

from __future__ import annotations

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number


@click.group("state")
@config_option
def command() -> None:
    """The index of sessions for people and dashboards."""


@command.command("rebuild")
@config_option
@json_option
def rebuild(*, as_json: bool) -> None:
    """Make the index anew from the records in the vault, also in an empty database."""
    from nbvault.administration import rebuild_state

    index = rebuild_state(load())
    if as_json:
        counts = {"sessions": len(index.sessions), "problems": len(index.problems), "audit": len(index.audit)}
        output.emit(counts)
    else:
        output.say(
            f"The state store holds {number(len(index.sessions), 'session')}, "
            f"{number(len(index.problems), 'problem')} and {number(len(index.audit), 'audit line')}."
        )

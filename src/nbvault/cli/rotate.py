"""`nbvault rotate --to REMOTE`: the vault goes on in another repository."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.errors import ConfigurationError, SessionInterrupted

if TYPE_CHECKING:
    from nbvault.rotation import Rotation


@click.command("rotate")
@click.option("--to", metavar="REMOTE", required=True, help="The new repository: an empty one, as in vault.remote.")
@click.option("--by", metavar="NAME", help="Who does it, for the audit trail; otherwise the user of this machine.")
@click.option("--dry-run", is_flag=True, help="Look whether it can be done, write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def command(*, to: str, by: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Go on in a new repository, because this one has grown too large.

    The new one begins with the last state and all records; the old one accepts no session any more, and history and
    restores still reach into it. A rotation that was cut off goes on when it is called again. The configuration is
    yours to change: it is said how.
    """
    from nbvault.rotation import run_rotate

    def agree(plan: Rotation) -> None:
        if not yes:
            _agree(plan)

    settings = load()
    done = run_rotate(settings, to, by=by or getpass.getuser(), dry_run=dry_run, agree=agree, say=output.note)
    with output.unless_nobody_reads():
        if as_json:
            output.emit(done.as_json())
        else:
            _tell(done)


def _agree(plan: Rotation) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "A rotation asks before it writes, and here is no terminal to ask on.", hint="Say --yes, or --dry-run."
        )
    output.note(f"{plan.source} will accept no session any more; {number(plan.notebooks, 'notebook')} go on.")
    if not click.confirm(f"Begin epoch {plan.epoch} at {plan.target}?", err=True):
        raise SessionInterrupted("Nothing was written.")


def _tell(done: Rotation) -> None:
    if done.status == "planned":
        output.say(f"Epoch {done.epoch} could begin at {done.target}, with {number(done.notebooks, 'notebook')}.")
        output.say("Nothing was written.")
        return
    word = "has begun" if done.status == "rotated" else "had begun already"
    output.say(f"Epoch {done.epoch} {word} at {done.target}, with {number(done.notebooks, 'notebook')}.", style="green")
    for path in done.drift:
        output.say(f"Set right on the new main branch, for people had changed it: {shown(path)}", style="yellow")
    output.say("Now change the configuration, on every machine that backs up or reads this vault:")
    output.say(f'  vault.remote = "{done.target}"')
    if done.listed:
        named = ", ".join(f'"{each}"' for each in done.listed)
        output.say(f"  vault.earlier = [{named}]")
    output.say(f"Until then sessions are refused. Keep {done.source}: the history before today is there.")

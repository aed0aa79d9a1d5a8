"""`nbvault drill`: restore a sample, compare it, remove it."""

from __future__ import annotations

import getpass
import secrets
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown

if TYPE_CHECKING:
    from nbvault.recovery.drill import Drill

SHOWN = 20


@click.command("drill")
@click.option("--sample", metavar="N", type=click.IntRange(min=1), default=50, show_default=True, help="How many.")
@click.option("--to", metavar="PATH", default="/Shared/nbvault-drill", show_default=True, help="The folder to use.")
@click.option("--seed", metavar="S", type=int, help="Draw the same notebooks as another drill did.")
@config_option
@json_option
def command(*, sample: int, to: str, seed: int | None, as_json: bool) -> int:
    """Prove that the vault can be restored: notebooks drawn by lot, into a scratch folder that is removed again.

    Ends with 8 if one did not come back as it was, 3 if one could not be tried. The result is kept in the vault.
    """
    from nbvault.proof import run_drill

    lot = secrets.randbelow(2**32) if seed is None else seed
    found = run_drill(load(), sample=sample, to=to, seed=lot, by=getpass.getuser(), warn=output.note)
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
        else:
            _tell(found)
    return found.exit_code


def _tell(found: Drill) -> None:
    from nbvault.recovery.drill import Verdict

    colour = {0: "green", 3: "yellow"}.get(found.exit_code, "red")
    good = found.count(Verdict.IDENTICAL)
    output.say(f"{good:,} of {number(len(found.tried), 'notebook')} came back as they were.", style=colour)
    wrong = [each for each in found.tried if each.verdict is not Verdict.IDENTICAL]
    for each in wrong[:SHOWN]:
        output.say(f"{each.verdict.value}: {shown(each.path)}: {shown(each.reason)}")
    if len(wrong) > SHOWN:
        output.say(f"... and {len(wrong) - SHOWN:,} more; all are in --json.")
    if found.left_behind:
        output.say(shown(found.left_behind), style="red")
    output.say(f"Drill {found.drill}, drawn with --seed {found.seed}.")

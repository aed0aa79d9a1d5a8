"""`nbvault verify`: is what the vault has what the workspace has?"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown

if TYPE_CHECKING:
    from nbvault.backup.audit_tree import Comparison

SHOWN = 20


def _share(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """A share of the notebooks, ``5%`` or ``5``, as a number up to 1."""
    try:
        share = float(value.strip().removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"{value!r} is no share: give one above 0% and up to 100%.")
    return share


@click.command("verify")
@click.option("--full", is_flag=True, help="Also read every byte of the vault: of its last state, and of what is here.")
@click.option("--sample", callback=_share, default="100%", metavar="N%", help="Export only so many, drawn by lot.")
@click.option("--since", metavar="TIME", default="", help="Export only what was saved after the last session then.")
@click.option(
    "--budget",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Begin no further notebook after that; the next one with a budget goes on there.",
)
@config_option
@json_option
def command(*, full: bool, sample: float, since: str, budget: float | None, as_json: bool) -> int:
    """Compare the vault with the workspace, notebook by notebook, by hash.

    What was changed since the last sync is no fault. Ends with 8 if the vault does not have what the workspace had, 3
    if something could not be read.
    """
    from nbvault.proof import run_verify

    if budget is not None and sample < 1:
        raise click.UsageError("--budget and --sample do not go together.", click.get_current_context())
    found = run_verify(
        load(), sample=sample, full=full, since=since.strip(), budget_s=budget, by=getpass.getuser(), warn=output.note
    )
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
        else:
            _tell(found)
    return found.exit_code


def _tell(found: Comparison) -> None:
    from nbvault.backup.audit_tree import FAULTS, Kind

    state = {0: ("green", "The vault is right"), 3: ("yellow", "Not everything could be read")}
    colour, words = state.get(found.exit_code, ("red", "The vault is not right"))
    output.say(f"{words}: {number(found.same, 'notebook')} of {found.compared:,} compared are the same.", style=colour)
    for note in found.notes:
        output.say(note)
    for kind in Kind:
        if count := found.count(kind):
            output.say(f"  {kind.value:<11}{count:>9,}", style="red" if kind in FAULTS else "")
    if found.acknowledged:
        output.say(f"  acknowledged{found.acknowledged:>8,}")
    output.say(f"  repository  {shown(found.repository)}", style="" if found.sound else "red")
    ordered = sorted(found.differences, key=lambda each: (each.kind not in FAULTS, each.kind is not Kind.UNREADABLE))
    for each in ordered[:SHOWN]:
        output.say(f"{each.kind.value}: {shown(each.path)}: {shown(each.detail)}")
    if len(ordered) > SHOWN:
        output.say(f"... and {len(ordered) - SHOWN:,} more; all are in --json.")

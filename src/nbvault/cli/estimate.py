"""`nbvault estimate`: what a backup of this workspace will cost, before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load

if TYPE_CHECKING:
    from nbvault.setup.estimate import Cost, Estimate, Range


@click.command("estimate")
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    metavar="N",
    help="How many notebooks are exported to learn their sizes and the rate.",
)
@config_option
@json_option
def command(*, sample: int, as_json: bool) -> None:
    """Count notebooks and folders, export a sample, and estimate requests, time and size. Reads only."""
    from nbvault.setup.measuring import measure

    found = measure(load(), sample=sample, say=output.note)
    if as_json:
        output.emit(found.as_json())
    else:
        _tell(found)


def _tell(found: Estimate) -> None:
    census = found.census
    output.say(f"{output.shown(found.root)}: {census.notebooks:,} notebooks in {census.folders:,} folders.")
    for number, outlook in enumerate(found.outlooks):
        output.say()
        kind = "now" if number == 0 else "if it grows like this"
        output.say(f"{outlook.notebooks:,} notebooks, {outlook.folders:,} folders ({kind}):")
        _tell_cost("first sync", outlook.first)
        _tell_cost("daily sync", outlook.daily)
        output.say(f"  the vault   {output.size(outlook.vault_bytes_at_most)} at most")
    output.say()
    output.say("What this stands on:")
    for fact in found.facts:
        output.say(f"- {fact}")


def _tell_cost(name: str, cost: Cost) -> None:
    size = f"{output.size(cost.bytes_exported.low)} to {output.size(cost.bytes_exported.high)}"
    output.say(f"  {name}  {_span(cost.seconds)}, {_count(cost.requests)} requests, {size} exported")


def _count(found: Range) -> str:
    low, high = f"{found.low:,.0f}", f"{found.high:,.0f}"
    return low if low == high else f"{low} to {high}"


def _span(found: Range) -> str:
    low, high = _time(found.low), _time(found.high)
    return low if low == high else f"{low} to {high}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""`nbvault doctor`: is everything that a backup needs in order?"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from nbvault.cli import failures, output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import shown

if TYPE_CHECKING:
    from nbvault.setup.examining import Check


@click.command("doctor")
@click.option("--probe", is_flag=True, help="Try whether folders may be exported whole (export.bulk), and record it.")
@config_option
@json_option
def command(*, probe: bool, as_json: bool) -> int:
    """Look at everything that a backup needs; also where nothing is configured yet.

    Nothing is written, but what --probe finds out. Ends with 0 if all is in order, or if nothing is configured yet,
    otherwise with what the first thing that is not would end a sync with.
    """
    from nbvault.diagnosis import run_doctor

    found = run_doctor(load, probe=probe, by=getpass.getuser(), warn=output.note)
    checks = [check._replace(hint=failures.kept(check.fault)) if check.fault else check for check in found]
    with output.unless_nobody_reads():
        if as_json:
            output.emit([check.as_json() for check in checks])
        else:
            for check in checks:
                _tell(check)
    return next((check.exit_code for check in checks if check.exit_code), 0)


def _tell(check: Check) -> None:
    if not check.made:
        output.say(f"{check.name}: {shown(check.detail[:1].lower() + check.detail[1:])}", style="yellow")
        return
    output.say(f"{check.name}: {'ok' if check.ok else 'not ok'}", style="green" if check.ok else "red")
    output.say(f"  {shown(check.detail)}")
    if check.hint:
        output.say(f"  {shown(check.hint)}")

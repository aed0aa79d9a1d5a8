"""`nbvault compare DIR`: an exported folder against the vault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.errors import ConfigurationError

SHOWN = 20


@click.command("compare")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--at", metavar="TIME|COMMIT", help="The vault as of then; otherwise its last protected version.")
@config_option
@json_option
def command(*, folder: Path, at: str | None, as_json: bool) -> int:
    """Compare an exported folder, as `databricks workspace export-dir` writes it, with the vault.

    DIR stands for the backed-up root. Ends with 8 if anything differs or is on one side only.
    """
    from nbvault.opening import read_vault
    from nbvault.recovery.comparing import compare_folder

    if at is not None and not at.strip():
        raise ConfigurationError("--at is empty.", hint="Give a time such as 2026-11-21T14:30, or a commit.")
    with read_vault(load(), warn=output.note) as vault:
        found = compare_folder(vault, folder, at=at or "")
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
            return found.exit_code
        colour = {0: "green", 3: "yellow"}.get(found.exit_code, "red")
        output.say(f"{number(found.same, 'notebook')} the same in {found.commit[:12]}.", style=colour)
        _tell("differs", [f"{each.path}: {each.reason}" for each in found.differs])
        _tell("only in the folder", found.only_in_folder)
        _tell("only in the vault", found.only_in_vault)
        _tell("unreadable", [f"{each.path}: {each.reason}" for each in found.unreadable])
        if found.ignored:
            output.say(f"{number(found.ignored, 'file')} of other kinds left out.")
    return found.exit_code


def _tell(kind: str, entries: Sequence[str]) -> None:
    for entry in entries[:SHOWN]:
        output.say(f"{kind}: {shown(entry)}")
    if len(entries) > SHOWN:
        output.say(f"{kind}: ... and {len(entries) - SHOWN:,} more; all are in --json.")

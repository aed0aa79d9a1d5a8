"""`nbvault restore PATH...`: notebooks brought back, with proof and a way back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load, not_empty
from nbvault.errors import ConfigurationError

_MODES = click.Choice(["never", "changed", "always"])


@click.command("restore")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option(
    "--at",
    metavar="TIME|COMMIT",
    callback=not_empty,
    help="As of that time (a date: the end of that day, UTC), commit or tag.",
)
@click.option(
    "--to", metavar="PATH", default="", callback=not_empty, help="To another place; one that ends with / is a folder."
)
@click.option("--remap", metavar="FROM=TO", multiple=True, help="Replace the beginning of paths; may be repeated.")
@click.option("--overwrite", type=_MODES, default="changed", show_default=True, help="Which ones to overwrite.")
@click.option("--dry-run", is_flag=True, help="Show the plan, write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--resume", metavar="ID", default="", callback=not_empty, help="Finish a restore that was interrupted.")
@click.option(
    "--abandon",
    metavar="ID",
    default="",
    callback=not_empty,
    help="Close a restore that was killed, without finishing it.",
)
@click.option(
    "--report", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to print."
)
@config_option
@json_option
def command(
    *,
    paths: tuple[str, ...],
    at: str | None,
    to: str,
    remap: tuple[str, ...],
    overwrite: str,
    dry_run: bool,
    yes: bool,
    resume: str,
    abandon: str,
    report: Path | None,
    as_json: bool,
) -> int:
    """Bring back notebooks, folders, globs, or everything (the root), as they were.

    What is overwritten is saved first; what is written is read back and compared. Ends with 0 if all is well, 3 if some
    could not be restored, 8 if some read back differently, 9 if it was interrupted.
    """
    from nbvault.restoring import opened_restorer

    _check(paths, resume=resume, abandon=abandon)
    mapped = _mapped(remap)
    looking_at = () if to or remap else paths
    with opened_restorer(load(), say=output.note, looking_at=looking_at) as restorer:
        # Loaded while the remote answered.
        from nbvault.cli.recovering import go, show_result
        from nbvault.recovery.plan import Overwrite
        from nbvault.recovery.restorer import Request

        request = Request(paths, at or "", to, mapped, Overwrite(overwrite))
        if abandon:
            receipt = restorer.abandon(abandon)
        else:
            prepared = restorer.resume(resume) if resume else restorer.plan(request)
            # A restore that is resumed was agreed to when it began.
            receipt = go(restorer, prepared, yes=yes or bool(resume), dry_run=dry_run, quiet=as_json)
        return show_result(receipt, as_json=as_json, report=report)


def _mapped(remap: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if not remap:
        return ()
    from nbvault.recovery.targets import parse_remap

    return tuple(parse_remap(each) for each in remap)


def _check(paths: tuple[str, ...], *, resume: str, abandon: str) -> None:
    if sum(map(bool, (paths, resume, abandon))) != 1:
        raise ConfigurationError("Name what to restore, or one restore to resume or to abandon.")

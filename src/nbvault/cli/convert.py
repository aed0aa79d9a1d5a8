"""`nbvault convert`: the vault as Git folders in the workspace, beside the original or in its place."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.errors import ConfigurationError, SessionInterrupted

if TYPE_CHECKING:
    from nbvault.setup.conversion import Conversion
    from nbvault.setup.report import ConversionReport

SHOWN = 20
SAY_EVERY = 1000


@click.command("convert")
@click.argument("what", required=False, metavar="[status]", type=click.Choice(["status"]))
@click.option("--to", metavar="PATH", default="", help="Where the Git folders are made; default: the root with _git.")
@click.option("--provider", metavar="NAME", default="", help="The Git provider as Databricks names it.")
@click.option(
    "--max-files",
    metavar="N",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="So many files at most in one Git folder.",
)
@click.option("--replace", is_flag=True, help="Then put the Git folder in the place of the original.")
@click.option("--accept-changes", is_flag=True, help="With --replace: also where names or permissions change by it.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before the original is replaced.")
@config_option
@json_option
def command(
    *,
    what: str | None,
    to: str,
    provider: str,
    max_files: int,
    replace: bool,
    accept_changes: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Show the vault as Git folders in the workspace, and compare every notebook that they show with the vault.

    Syncs first. The originals are not touched, unless --replace says so. What fails is taken back; a conversion that
    was killed goes on. `convert status` says how far it is, `nbvault rollback` takes it back.
    """
    from nbvault.cli.progress import on_screen
    from nbvault.conversions import Conversions
    from nbvault.setup.report import ConvertOptions

    conversions = Conversions(load(), getpass.getuser(), _said, counting(output.note))
    if what == "status":
        return _show_status(conversions.status(), as_json=as_json)
    options = ConvertOptions(to, provider, max_files, replace, accept_changes)
    if dry_run:
        found = conversions.plan(options)
    else:
        if replace and not yes:
            _agree()
        with on_screen() as screen:
            found = conversions.convert(options, screen)
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
        else:
            tell(found)
    return found.exit_code


def _said(text: str) -> None:
    output.note(shown(text))


def counting(say: Callable[[str], None]) -> Callable[[], None]:
    """What counts the objects that were compared, and says so now and then."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done % SAY_EVERY == 0:
            say(f"  {done:,} objects compared or written")

    return advance


def _agree() -> None:
    """Ask a person; without a terminal nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "--replace asks before it deletes the original, and here is no terminal to ask on.", hint="Say --yes."
        )
    if not click.confirm("Replace the original by its Git folder? The notebooks get new object ids.", err=True):
        raise SessionInterrupted("Nothing was changed.")


def tell(found: ConversionReport) -> None:
    """A plan or a conversion for people."""
    for view, loaded in found.planned:
        amount = f"{number(loaded.files, 'file')}, {output.size(loaded.size_bytes)}"
        output.say(f"  {shown(view.path)}  shows {shown(view.folder) or 'everything'}: {amount}")
    for each in found.folders:
        output.say(f"  {shown(each.view.path)}  {number(each.same, 'notebook')}, each the same as in the vault")
        for path in each.as_file[:SHOWN]:
            output.say(f"    a file, no notebook: {shown(path)}", style="yellow")
    for warning in found.warnings:
        output.say(shown(warning), style="yellow")
    _tell_pairs("Shown under another name:", [f"{path} as {name}" for path, name in found.renamed])
    _tell_pairs("Not shown:", [f"{path}: {reason}" for path, reason in found.not_shown])
    if found.dry_run:
        output.say(f"Plan for {found.root}: {number(len(found.planned), 'Git folder')}. Nothing was changed.")
        return
    style = "green" if found.exit_code == 0 else "yellow"
    output.say(f"Conversion {found.conversion}: {found.status}.", style=style)
    if found.status in ("converted", "replaced"):
        output.say("To take it back: nbvault rollback")


def _tell_pairs(title: str, lines: list[str]) -> None:
    if lines:
        output.say(title)
    for line in lines[:SHOWN]:
        output.say(f"  {shown(line)}")
    if len(lines) > SHOWN:
        output.say(f"  ... and {len(lines) - SHOWN:,} more; all are in --json.")


def _show_status(found: tuple[Conversion | None, list[Any]], *, as_json: bool) -> int:
    conversion, lines = found
    names = ("at", "event", "object", "by", "problem")
    steps = [{name: line.get(name, "") for name in names} for line in lines]
    with output.unless_nobody_reads():
        if as_json:
            output.emit(_status_json(conversion, steps))
        elif conversion is None:
            output.say("Nothing was converted.")
        else:
            for step in steps:
                problem = f": {shown(step['problem'])}" if step["problem"] else ""
                output.say(f"  {step['at']}  {step['event']:<11} {shown(step['object'] or conversion.target)}{problem}")
            output.say(f"Conversion {conversion.conversion} of {conversion.root}: {conversion.stage.value}.")
            if conversion.is_open:
                output.say("It was interrupted: `nbvault convert` goes on, `nbvault rollback` takes it back.")
    return 0


def _status_json(conversion: Conversion | None, steps: list[dict[str, Any]]) -> dict[str, Any]:
    if conversion is None:
        return {"conversion": None, "status": "none", "folders": [], "steps": []}
    folders = [{"path": view.path, "folder": view.folder} for view in conversion.views]
    found = {"conversion": conversion.conversion, "status": conversion.stage.value, "open": conversion.is_open}
    found |= {"root": conversion.root, "target": conversion.target, "url": conversion.url}
    return found | {"problem": conversion.problem, "folders": folders, "steps": steps}

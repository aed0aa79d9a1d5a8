"""`nbvault archive PATTERN`: close engagements, and hand them over."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown


@click.command("archive")
@click.argument("pattern", metavar="PATTERN", default="")
@click.option("--list", "wants_list", is_flag=True, help="Show what is archived.")
@click.option("--undo", is_flag=True, help="Look at these folders in every session again.")
@click.option(
    "--bundle",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write these folders with their own history into a Git bundle, to hand over.",
)
@click.option("--by", metavar="NAME", help="Who does it; otherwise the user of this machine.")
@config_option
@json_option
def command(*, pattern: str, wants_list: bool, undo: bool, file: Path | None, by: str | None, as_json: bool) -> int:
    """Look at the folders that match PATTERN once a week instead of in every session.

    For closed engagements. Nothing of them is removed, and what is in the vault stays there. PATTERN is a workspace
    folder or a glob of folders: * stays in a folder, ** crosses folders. All that is below is archived, too. With
    --bundle it ends with 3 if an earlier epoch of the vault could not be read: the history in the bundle is not whole.
    """
    context = click.get_current_context()
    if wants_list and (pattern or undo or file):
        raise click.UsageError("--list stands alone.", context)
    if undo and file:
        raise click.UsageError("--undo and --bundle do not go together.", context)
    if not wants_list and not pattern:
        raise click.UsageError("Missing argument 'PATTERN'.", context)
    who = by or getpass.getuser()
    if wants_list:
        _show(as_json=as_json)
    elif file:
        return _bundle(pattern, file, who, as_json=as_json)
    else:
        _change(pattern, who, undo=undo, as_json=as_json)
    return 0


def _show(*, as_json: bool) -> None:
    from nbvault.archiving import archived

    found = archived(load(), warn=output.note)
    with output.unless_nobody_reads():
        if as_json:
            output.emit([each.as_json() for each in found])
            return
        for each in found:
            count = number(each.notebooks, "notebook")
            output.say(f"{shown(each.frozen.pattern)}  {count}  since {each.frozen.at[:10]} by {shown(each.frozen.by)}")
        if not found:
            output.say("Nothing is archived.")


def _change(pattern: str, who: str, *, undo: bool, as_json: bool) -> None:
    from nbvault.archiving import freeze, thaw

    done = (thaw if undo else freeze)(load(), pattern, by=who, say=output.note)
    if as_json:
        output.emit(done.as_json())
        return
    often = "in every session again" if undo else "once a week"
    output.say(f"{number(done.notebooks, 'notebook')} in {shown(done.frozen.pattern)}: looked at {often}.")


def _bundle(pattern: str, file: Path, who: str, *, as_json: bool) -> int:
    from nbvault.archiving import bundle

    made = bundle(load(), pattern, file, by=who, say=output.note)
    if as_json:
        output.emit(made.as_json())
        return 0 if made.whole else 3
    output.say(
        f"{shown(str(file))}: {number(made.notebooks, 'notebook')} in {number(made.commits, 'commit')}, "
        f"{output.size(made.size_bytes)}, SHA-256 {made.sha256}."
    )
    output.say("It was cloned and compared with the vault byte for byte. Open it with: git clone " + shown(str(file)))
    if made.past:
        output.say(f"Only in its history: {number(made.past, 'file')} deleted or moved since.")
    if made.left:
        output.say(f"Left out of its history: {number(made.left, 'file')} that now belong elsewhere.")
    return 0 if made.whole else 3

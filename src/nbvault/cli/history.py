"""`nbvault history PATH`: the versions of a notebook; `--deleted`: what is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown

if TYPE_CHECKING:
    from nbvault.gitstore.vault import Vault
    from nbvault.recovery.bygone import Gone
    from nbvault.recovery.history import Version


@click.command("history")
@click.argument("path", metavar="PATH", default="")
@click.option("--deleted", is_flag=True, help="What is gone there (a notebook, a folder or a glob), or everywhere.")
@config_option
@json_option
def command(*, path: str, deleted: bool, as_json: bool) -> int:
    """The versions of a notebook, newest first, across renames; also of one that was deleted.

    With --deleted, the notebooks that are gone: since when, by whom if known, and the last good version. Ends with 3 if
    an earlier epoch of the vault could not be read.
    """
    from nbvault.opening import read_vault

    if not path and not deleted:
        raise click.UsageError("Missing argument 'PATH'.", click.get_current_context())
    with read_vault(load(), warn=output.note, want_tree=False) as vault:
        if deleted:
            _tell_gone(vault, path, as_json=as_json)
        else:
            _tell_versions(vault, path, as_json=as_json)
        return 3 if vault.past.gaps else 0


def _tell_versions(vault: Vault, path: str, *, as_json: bool) -> None:
    from nbvault.recovery.history import history

    versions = history(vault, path)
    _tell_if_archived(vault, path)
    with output.unless_nobody_reads():
        if as_json:
            output.emit([version.as_json() for version in versions])
        else:
            for version in versions:
                output.say(_in_words(version))


def _tell_if_archived(vault: Vault, path: str) -> None:
    from nbvault.backup.detect import parent_of
    from nbvault.backup.freezing import Freezer

    for frozen in vault.meta.frozen:
        if Freezer([frozen.pattern], root=vault.root).holds(parent_of(path)):
            when = f"since {frozen.at[:10]} by {shown(frozen.by)}"
            output.note(f"{shown(frozen.pattern)} is archived {when}: it is looked at once a week.")


def _tell_gone(vault: Vault, place: str, *, as_json: bool) -> None:
    from nbvault.recovery.bygone import bygone

    found = bygone(vault, place)
    with output.unless_nobody_reads():
        if as_json:
            output.emit([gone.as_json() for gone in found])
            return
        for gone in found:
            output.say(_gone_in_words(gone))
        output.note(f"{number(len(found), 'deleted notebook')}{f' in {shown(place)}' if place else ''}.")


def _in_words(version: Version) -> str:
    what = f"{version.at:%Y-%m-%d %H:%M} UTC  {version.commit[:12]}  {version.change.value:8}"
    return f"{what}  {shown(version.author.name)}  {shown(version.path)}"


def _gone_in_words(gone: Gone) -> str:
    when = f"{gone.at:%Y-%m-%d %H:%M} UTC" if gone.at else gone.session
    last = f"{gone.commit[:12]} of {gone.saved_at:%Y-%m-%d %H:%M} UTC" if gone.saved_at else f"blob {gone.blob[:12]}"
    return f"{when}  deleted by {shown(gone.by.name)}  {shown(gone.path)}  (last good version: {last})"

"""`nbvault problems`: what could not be backed up, and accepting that."""

from __future__ import annotations

import getpass

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.model import Problem


@click.group("problems")
@config_option
def command() -> None:
    """What could not be backed up."""


@command.command("list")
@config_option
@json_option
def list_problems(*, as_json: bool) -> None:
    """What the last session could not back up, and why."""
    from nbvault.administration import open_problems

    found = open_problems(load())
    if as_json:
        output.emit([problem.as_json() for problem in found])
        return
    for problem in found:
        output.say(_in_words(problem))
    if not found:
        output.say("There are no problems.")


@command.command("secrets")
@config_option
@json_option
def list_secrets(*, as_json: bool) -> None:
    """Which credentials sessions found in notebooks; never those themselves.

    Those that screening.allow has are left out. A notebook that is held back for one is a problem: see list.
    """
    from nbvault.backup.held_back import recorded_secrets
    from nbvault.opening import read_vault

    settings = load()
    with read_vault(settings, warn=output.note, want_tree=False) as vault:
        found = [each for each in recorded_secrets(vault) if each[1].fingerprint not in settings.screening.allow]
    with output.unless_nobody_reads():
        if as_json:
            output.emit([{"session": session, **secret.as_json()} for session, secret in found])
            return
        for session, secret in found:
            output.say(f"{session}  {shown(secret.path)}: {shown(str(secret))}")
        output.note(f"{number(len(found), 'credential')} in notebooks." if found else "No session found any.")


@command.command("acknowledge")
@click.argument("which", metavar="PATH|ID")
@click.option("--by", metavar="NAME", help="Who accepts it; otherwise the user of this machine.")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the audit trail.")
@config_option
@json_option
def acknowledge_problem(*, which: str, by: str | None, reason: str, as_json: bool) -> None:
    """Accept that a notebook cannot be backed up.

    It stays counted as failed but no longer makes a session partial, until it fails for another reason.
    """
    from nbvault.administration import acknowledge

    done = acknowledge(load(), which, by=by or getpass.getuser(), reason=reason, say=output.note)
    if as_json:
        output.emit([problem.as_json() for problem in done])
        return
    for problem in done:
        output.say(f"Accepted by {problem.acknowledged_by}: {shown(problem.path)}: {shown(problem.reason)}")


def _in_words(problem: Problem) -> str:
    accepted = f" (accepted by {problem.acknowledged_by})" if problem.acknowledged_by else ""
    since = f" since {problem.since}" if problem.since else ""
    where = f"{shown(problem.path)} (id {problem.object_id})"
    return f"{problem.state.value}: {where}{since}{accepted}: {shown(problem.reason)}"

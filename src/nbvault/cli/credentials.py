"""`nbvault credentials`: how nbvault signs in, until when, and a new token in time."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.errors import AuthenticationError

if TYPE_CHECKING:
    from nbvault.credentials import Credential


@click.group("credentials")
@config_option
def command() -> None:
    """How nbvault signs in, and until when."""


@command.command("status")
@config_option
@json_option
def credentials_status(*, as_json: bool) -> int:
    """Sign in to the workspace and to the Git server, and tell as whom, by which method, and until when."""
    from nbvault.credentials import status

    found = status(load())
    if as_json:
        output.emit([credential.as_json() for credential in found])
    else:
        for credential in found:
            output.say(_in_words(credential))
    return AuthenticationError.exit_code if any(credential.error for credential in found) else 0


@command.command("rotate")
@click.argument("system", type=click.Choice(["workspace", "vault"]))
@click.option("--days", type=click.IntRange(1, 365), help="How long the new one is valid; otherwise as the old one.")
@click.option("--by", metavar="NAME", help="Who does it; otherwise the user of this machine.")
@config_option
@json_option
def rotate_token(*, system: str, days: int | None, by: str | None, as_json: bool) -> None:
    """Make a new token, write it where the old one is, use it, and then revoke the old one.

    The secret must be a file, in a secret scope or in a key vault; it is never shown.
    """
    from nbvault.clock import iso
    from nbvault.credentials import rotate

    lifetime = timedelta(days=days) if days else None
    done = rotate(load(), system, lifetime=lifetime, by=by or getpass.getuser(), say=output.note)
    until = iso(done.expires) if done.expires else None
    if as_json:
        value = {"system": done.system, "reference": done.reference, "expires_at": until}
        output.emit({**value, "revoked": list(done.revoked), "notes": list(done.notes)})
        return
    output.say(f"The {done.system} has a new token in {done.reference}, valid until {until or 'unknown'}.")
    output.say(f"Old tokens revoked: {len(done.revoked)}.")
    for note in done.notes:
        output.say(note)


def _in_words(credential: Credential) -> str:
    from nbvault.clock import iso

    until = iso(credential.expires) if credential.expires else "unknown"
    who = credential.identity or "unknown"
    if credential.error:
        return f"{credential.system}: refused, by {credential.method}: {credential.error}"
    return f"{credential.system}: signed in as {who}, by {credential.method}, until {until}"

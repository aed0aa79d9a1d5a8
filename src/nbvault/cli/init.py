"""`nbvault init`: a configuration to start from, asked for or given by options, and tried before it is written."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_file, config_option, json_option
from nbvault.cli.output import shown
from nbvault.errors import ConfigurationError

if TYPE_CHECKING:
    from nbvault.setup.examining import Check
    from nbvault.setup.template import Answers

_NONE = "none"


@click.command("init")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--host", metavar="URL", help="The workspace's address.")
@click.option("--token", metavar="REFERENCE", help="Where its token is; 'none': databricks-sdk finds credentials.")
@click.option("--root", metavar="PATH", help="The folder to back up; /Clients if it is not given.")
@click.option("--remote", metavar="URL", help="The Git repository that will hold the backup.")
@click.option("--auth", type=click.Choice(["pat", "entra"]), help="How to sign in to it: a token, or Microsoft Entra.")
@click.option("--vault-token", metavar="REFERENCE", help="Where its token is (pat); 'none': it needs none.")
@click.option("--tenant-id", metavar="ID", help="The tenant (entra).")
@click.option("--client-id", metavar="ID", help="The service principal (entra).")
@click.option("--client-secret", metavar="REFERENCE", help="Where its secret is (entra).")
@click.option("--ca-file", metavar="FILE", help="The authorities to trust, where a private one signs certificates.")
@click.option("--mail-host", metavar="NAME", help="A mail server, for alerts by mail.")
@click.option("--mail-to", metavar="ADDRESS,...", help="Who gets them.")
@click.option("--mail-changes-to", metavar="ADDRESS,...", help="Who gets the report of each day's changes by mail.")
@click.option("--mail-user", metavar="NAME", help="Who signs in to the mail server.")
@click.option("--mail-password", metavar="REFERENCE", help="Where that user's password is.")
@click.option("--slack-webhook", metavar="REFERENCE", help="Where the address is for alerts in Slack.")
@click.option("--teams-webhook", metavar="REFERENCE", help="Where the address is for alerts in Microsoft Teams.")
@click.option("--ask/--no-ask", default=None, help="Ask for each; otherwise only in a terminal.")
@click.option("--try/--no-try", "attempt", default=True, help="Whether each is tried at once.")
@click.option("--create-repository", "create", is_flag=True, help="Make the repository if Azure DevOps has none.")
@click.option("--force", is_flag=True, help="Replace a configuration that is there.")
@config_option
@json_option
def command(
    *, path: Path | None, ask: bool | None, attempt: bool, create: bool, force: bool, as_json: bool, **given: str
) -> None:
    """Write a configuration to PATH (a file or a folder; here, if it is not given).

    A REFERENCE says where a secret is: env:NAME, file:PATH, databricks:SCOPE/KEY or keyvault:VAULT/NAME. The secret
    itself is neither asked for nor written. What was tried in vain is told, and written all the same; 'nbvault doctor'
    tries everything again.
    """
    from nbvault.setup.template import configuration, write

    file = path or config_file() or Path("nbvault.toml")
    if file.is_dir():
        file /= "nbvault.toml"
    if file.exists() and not force:
        raise ConfigurationError(f"{file} exists already.", hint="Name another place, or replace it with --force.")
    answers = _given(given)
    _refuse_what_would_be_lost(answers)
    if ask if ask is not None else sys.stdin.isatty() and not as_json:
        from nbvault.cli.asking import asked

        answers, checks = asked(
            answers, file.parent, attempt=attempt, fixed={key for key, value in given.items() if value}, create=create
        )
    else:
        if create:
            _create(answers, file)
        checks = _tried(answers, file) if attempt and not answers.missing else []
    write(file, configuration(answers))
    _tell(file, answers, checks, as_json=as_json)


def _given(options: dict[str, str]) -> Answers:
    from nbvault.settings import VaultAuth
    from nbvault.setup.template import Answers

    names = {"token": "workspace_token"}
    values = {
        names.get(key, key): "" if value == _NONE else value for key, value in options.items() if value is not None
    }
    auth = VaultAuth(values.pop("auth", VaultAuth.PAT.value))
    return replace(Answers(), **values, auth=auth)


def _create(answers: Answers, file: Path) -> None:
    from nbvault.setup.template import trial
    from nbvault.setup.trying import make_repository

    if "vault.remote" in answers.missing:
        raise ConfigurationError("No repository is named.", hint="Name it with --remote.")
    output.note(make_repository(trial(answers, folder=file.parent)))


def _refuse_what_would_be_lost(answers: Answers) -> None:
    """What is said of mail without a server, or of Entra without signing in by it, would be lost without a word."""
    from nbvault.settings import VaultAuth

    said = {"--mail-to": answers.mail_to, "--mail-changes-to": answers.mail_changes_to}
    said |= {"--mail-user": answers.mail_user, "--mail-password": answers.mail_password}
    if not answers.mail_host and (given := [option for option, value in said.items() if value]):
        raise ConfigurationError(f"{given[0]} needs a mail server.", hint="Name it with --mail-host.")
    of_entra = {"--tenant-id": answers.tenant_id, "--client-id": answers.client_id}
    of_entra |= {"--client-secret": answers.client_secret}
    if answers.auth is not VaultAuth.ENTRA and (given := [option for option, value in of_entra.items() if value]):
        raise ConfigurationError(f"{given[0]} needs --auth entra.", hint="Add that, or leave the option out.")


def _tried(answers: Answers, file: Path) -> list[Check]:
    from nbvault.setup.template import trial
    from nbvault.setup.trying import Answer, try_answers

    return try_answers(trial(answers, folder=file.parent), list(Answer))


def _tell(file: Path, answers: Answers, checks: list[Check], *, as_json: bool) -> None:
    steps = _next_steps(file, answers, checks)
    if as_json:
        found = {"file": str(file), "missing": answers.missing, "next": steps}
        output.emit({**found, "checks": [check.as_json() for check in checks]})
        return
    for check in checks:
        if check.made and not check.ok:
            output.say(f"{check.name}: not ok", style="red")
            output.say(f"  {shown(check.detail)}")
            if check.hint:
                output.say(f"  {shown(check.hint)}")
    output.say(f"Wrote {file}.")
    for number, step in enumerate(steps, 1):
        output.say(f"  {number}. {step}")


def _next_steps(file: Path, answers: Answers, checks: list[Check]) -> list[str]:
    steps = [f"Set {' and '.join(answers.missing)} in it."] if answers.missing else []
    if not checks or not all(check.ok for check in checks):
        steps.append("Set the variables that it names for the tokens.")
        steps.append(f"See that all is in order: nbvault doctor --config {file}")
    steps.append(f"Then try: nbvault sync --dry-run --config {file}")
    return steps

"""Asking for a configuration, one answer at a time, each tried at once. On stderr, so that stdout stays a result."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.output import shown
from nbvault.errors import ConfigurationError
from nbvault.settings import VaultAuth
from nbvault.setup.examining import Check
from nbvault.setup.template import HOST, REMOTE, Answers, trial
from nbvault.setup.trying import Answer, lacks_repository, make_repository, try_answers

_WHERE = "env:NAME, file:PATH, databricks:SCOPE/KEY or keyvault:VAULT/NAME"
_NONE = "none"
Change = Callable[[Answers], Answers]


class _Asking:
    def __init__(self, folder: Path, *, attempt: bool, fixed: Collection[str], create: bool) -> None:
        self._folder = folder
        self._create = create
        self._attempt = attempt
        self._fixed = fixed
        self.checks: dict[str, Check] = {}

    def one(self, answers: Answers, change: Change, answer: Answer, *, given: bool) -> Answers:
        """Ask until the answer is right, or its owner wants it all the same; one given by an option is tried only."""
        while True:
            new = answers if given else change(answers)
            try:
                right = self._try(new, answer) or (answer is Answer.VAULT_TOKEN and self._offer(new))
            except ConfigurationError as error:
                if given:
                    raise
                output.note(f"  {shown(error.message)}")
                continue
            if right or given or not click.confirm("Answer again?", default=True, err=True):
                return new

    def _offer(self, answers: Answers) -> bool:
        """Make the repository where Azure DevOps has none of that name, if somebody wants that; whether all is well."""
        settings = trial(answers, folder=self._folder)
        if not lacks_repository(settings):
            return False
        if not self._create and not click.confirm("There is no such repository. Make it?", default=False, err=True):
            return False
        output.note(f"  {make_repository(settings)}")
        return self._try(answers, Answer.VAULT_TOKEN)

    def is_given(self, *options: str) -> bool:
        """Whether one of these options was."""
        return any(option in self._fixed for option in options)

    def _try(self, answers: Answers, answer: Answer) -> bool:
        # The placeholder of a remote is as good as any until that is asked for.
        settings = trial(answers, folder=self._folder)
        found = try_answers(settings, [answer]) if self._attempt else []
        for check in found:
            self.checks[check.name] = check
            output.note(f"  {check.name}: {'ok' if check.ok else 'not ok'}. {shown(check.detail)}")
            if check.hint:
                output.note(f"    {shown(check.hint)}")
        return all(check.ok for check in found)


def asked(
    answers: Answers, folder: Path, *, attempt: bool, fixed: Collection[str], create: bool = False
) -> tuple[Answers, list[Check]]:
    """The answers, and what trying them has shown.

    Args:
        answers: What is known already.
        folder: What paths are relative to.
        attempt: Try each answer.
        fixed: The options that were given: what they say is not asked again.
        create: Make the repository where it is missing, without a question.
    """
    asking = _Asking(folder, attempt=attempt, fixed=fixed, create=create)
    output.note("Secrets are not asked for, only where they are: " + _WHERE + ".")
    given = asking.is_given
    answers = asking.one(answers, _host, Answer.HOST, given=given("host"))
    answers = asking.one(answers, _workspace_token, Answer.WORKSPACE_TOKEN, given=given("token"))
    answers = asking.one(answers, _root, Answer.ROOT, given=given("root"))
    answers = asking.one(answers, _remote, Answer.REMOTE, given=given("remote"))
    answers = asking.one(answers, _vault_token, Answer.VAULT_TOKEN, given=given("auth", "vault_token"))
    if create and not attempt:
        output.note(make_repository(trial(answers, folder=folder)))
    channels = ("mail_host", "slack_webhook", "teams_webhook")
    answers = asking.one(answers, _channels, Answer.CHANNELS, given=given(*channels))
    return answers, list(asking.checks.values())


def _host(answers: Answers) -> Answers:
    return replace(answers, host=_asked(f"The workspace's address, such as {HOST}"))


def _workspace_token(answers: Answers) -> Answers:
    said = _asked("Where its token is ('none': databricks-sdk finds credentials)", default=answers.workspace_token)
    return replace(answers, workspace_token="" if said == _NONE else said)


def _root(answers: Answers) -> Answers:
    return replace(answers, root=_asked("The folder to back up", default=answers.root))


def _remote(answers: Answers) -> Answers:
    return replace(answers, remote=_asked(f"The Git repository for the backup, such as {REMOTE}"))


def _vault_token(answers: Answers) -> Answers:
    if not answers.remote.startswith(("https://", "http://")):
        return answers
    choice = click.Choice([auth.value for auth in VaultAuth])
    said = click.prompt("Sign in to it by a token (pat) or by Microsoft Entra (entra)", "pat", type=choice, err=True)
    if VaultAuth(said) is VaultAuth.PAT:
        token = _asked("Where that token is ('none': it needs none)", default=answers.vault_token)
        return replace(answers, auth=VaultAuth.PAT, vault_token="" if token == _NONE else token)
    tenant = _asked("The tenant's id (empty: azure-identity finds who we are)", default="")
    if not tenant:
        return replace(answers, auth=VaultAuth.ENTRA)
    client = _asked("The id of the service principal (empty: a managed identity)", default="")
    secret = _asked("Where its secret is", default="env:AZURE_CLIENT_SECRET") if client else ""
    return replace(answers, auth=VaultAuth.ENTRA, tenant_id=tenant, client_id=client, client_secret=secret)


def _channels(answers: Answers) -> Answers:
    """Who is told when something is wrong; each may be left out."""
    host = _asked("A mail server for alerts, such as smtp.office365.com (empty: no mail)", default="")
    to = _asked("Who gets mail, separated by commas") if host else ""
    readers = _asked("Who gets the report of each day's changes by mail (empty: nobody)", default="") if host else ""
    user = _asked("Who signs in to the mail server (empty: nobody)", default="") if host else ""
    password = _asked("Where that user's password is", default="env:SMTP_PASSWORD") if user else ""
    slack = _asked("Where the address of a Slack webhook is, such as env:SLACK_WEBHOOK (empty: none)", default="")
    teams = _asked("Where the address of a Teams workflow is, such as env:TEAMS_WEBHOOK (empty: none)", default="")
    mailed = replace(answers, mail_host=host, mail_to=to, mail_user=user, mail_password=password)
    mailed = replace(mailed, mail_changes_to=readers)
    return replace(mailed, slack_webhook=slack, teams_webhook=teams)


def _asked(question: str, *, default: str | None = None) -> str:
    return str(click.prompt(question, default=default, err=True)).strip()

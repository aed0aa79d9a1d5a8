"""Trying one answer of a configuration at a time: the examinations that show whether it is right."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum

from nbvault import hosting
from nbvault.errors import ConfigurationError
from nbvault.settings import Settings
from nbvault.setup.doctor import EXAMINATIONS, examine_machine
from nbvault.setup.examining import Around, Check, examine


class Answer(Enum):
    """What was answered last; the value names the examinations that show whether it is right."""

    HOST = ("workspace host",)
    WORKSPACE_TOKEN = ("workspace",)
    ROOT = ("root", "folders", "export")
    REMOTE = ("remote host",)
    CHANNELS = ("mail server", "Slack", "Microsoft Teams")
    VAULT_TOKEN = ("git credential", "repository", "push right", "pushes")


def lacks_repository(settings: Settings) -> bool:
    """Whether the remote is a repository of Azure DevOps that is not there."""
    around = Around.of(settings)
    return asyncio.run(hosting.lacks_repository(around.settings, around.auth))


def make_repository(settings: Settings) -> str:
    """Make the repository of the remote where Azure DevOps has none; what became of it.

    Raises:
        ConfigurationError: the remote is not in Azure DevOps, or its project is not there.
        NbvaultError: it may not be made, or the host does not answer.
    """
    around = Around.of(settings)
    found = asyncio.run(hosting.ensure_remote(around.settings, around.auth))
    if found is None:
        raise ConfigurationError(
            f"{settings.vault.remote} is not in Azure DevOps: no repository can be made there.",
            hint="Make it by hand, and leave --create-repository out.",
        )
    repository, made = found
    return f"Made the repository {repository.name}." if made else f"The repository {repository.name} was there."


def try_answers(settings: Settings, answers: Sequence[Answer]) -> list[Check]:
    """The checks of these answers; what they need is looked at, too, and told only where it is not in order."""
    shown = {name for answer in answers for name in answer.value}
    wanted = set(shown)
    for each in reversed(EXAMINATIONS):
        if each.name in wanted:
            wanted.update(each.needs)
    chosen = [each for each in EXAMINATIONS if each.name in wanted]
    checks = examine(Around.of(settings), chosen, known=examine_machine())
    return [check for check in checks if check.name in shown or not check.ok]

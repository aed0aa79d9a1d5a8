"""Whether everything that a backup needs is in order: the list of examinations, and those of this machine."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.gitstore.cache import is_there
from nbvault.gitstore.runner import require_git
from nbvault.settings import NotConfigured, Settings, without_settings
from nbvault.setup import job_checks, remote_checks, sql_checks, told_checks, workspace_checks
from nbvault.setup.examining import Around, Check, Examination, Found, checked

# A vault of 70,000 notebooks takes some 300 MB here, and as much again while it is put together.
ENOUGH_BYTES = 1_000_000_000


def examine_machine() -> list[Check]:
    """What can be looked at without a configuration."""
    return [checked("python", _python), checked("git", _git)]


def configured(load: Callable[[], Settings]) -> tuple[Settings | None, Check]:
    """The settings, and what there is to say of them. That there are none yet is no failure of anything."""
    try:
        settings = load()
    except ConfigurationError as error:
        code = 0 if isinstance(error, NotConfigured) else error.exit_code
        return None, Check("configuration", False, error.message, error.hint, code)
    detail = f"{settings.workspace.root} is backed up to {settings.vault.remote}, by way of {settings.vault.path}."
    return settings, Check("configuration", True, detail)


def _python() -> Found:
    return Found(f"Python {platform.python_version()}.")


def _git() -> Found:
    return Found(f"git {'.'.join(map(str, require_git(without_settings())))}.")


def disk(around: Around) -> Found:
    """Room for the vault, and as much again for when git puts it together anew; and nothing else in its place."""
    folder = path = around.settings.vault.path
    while not folder.is_dir():
        if os.path.lexists(folder):
            raise ConfigurationError(
                f"{folder} is in the way: it is no folder.", hint="Move it away, or choose another vault.path."
            )
        folder = folder.parent
    try:
        is_there(path)
        with tempfile.TemporaryFile(dir=folder):
            free = around.free(folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}.", hint="Choose another vault.path."
        ) from error
    size = _size(path)
    told = f"{free / 1e9:,.1f} GB are free in {folder}; the vault takes {size / 1e9:,.1f} GB there."
    wanted = max(ENOUGH_BYTES, size)
    if free < wanted:
        raise NbvaultError(
            told, hint=f"Make room: {wanted / 1e9:,.1f} GB should be free, or choose another vault.path."
        )
    return Found(told)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path / "objects").glob("pack/*") if file.is_file())


EXAMINATIONS: tuple[Examination, ...] = (
    Examination("workspace host", workspace_checks.host),
    Examination("workspace", workspace_checks.identity, needs=("workspace host",)),
    Examination("root", workspace_checks.root, needs=("workspace",)),
    Examination("folders", workspace_checks.folders, needs=("root",)),
    Examination("export", workspace_checks.export, needs=("root",)),
    Examination("job", job_checks.job, needs=("workspace",)),
    Examination("audit table", sql_checks.audit_table),
    Examination("remote host", remote_checks.host),
    Examination("git credential", remote_checks.credential),
    Examination("repository", remote_checks.repository, needs=("git", "remote host", "git credential")),
    Examination("push right", remote_checks.push_right, needs=("repository",)),
    Examination("pushes", remote_checks.pushes, needs=("push right",)),
    Examination("repository size", remote_checks.size, needs=("repository",)),
    Examination("last session", remote_checks.last_session, needs=("repository",)),
    Examination("git folder", remote_checks.git_folder, needs=("repository", "workspace")),
    Examination("lease", remote_checks.lease, needs=("repository",)),
    Examination("clock", workspace_checks.clock),
    Examination("disk", disk),
    Examination("state store", sql_checks.state_store),
    Examination("mail server", told_checks.mail_server),
    Examination("Slack", told_checks.slack),
    Examination("Microsoft Teams", told_checks.teams),
)
"""Whoever adds one writes a function and a line here; the command prints them in this order."""

"""Whether everything that a backup needs is in order: one small examination for each thing, in one list."""

from __future__ import annotations

import asyncio
import platform
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nbvault.auth import AuthenticationManager
from nbvault.azuredevops.obstacles import Weight
from nbvault.errors import ConfigurationError, NbvaultError, PushRefused
from nbvault.gitstore.remote import Remote, remote_url
from nbvault.gitstore.runner import Git, require_git
from nbvault.hosting import FEW_ATTEMPTS, obstacles
from nbvault.settings import NotConfigured, Settings, without_settings
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import NotFound
from nbvault.workspace.transport import ClientOptions

T = TypeVar("T")
# A vault of 70,000 notebooks takes some 300 MB here, and as much again while it is put together.
ENOUGH_BYTES = 1_000_000_000


class Check(NamedTuple):
    """What one examination found. `exit_code` is how the command ends where it is the first that is not `ok`."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        """As ``doctor --json`` prints it."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "hint": self.hint}


class Found(NamedTuple):
    """That a thing is in order, and what there is to say of it."""

    detail: str
    hint: str = ""


class Examination(NamedTuple):
    """One thing to look at. `look` raises a NbvaultError where it is not in order, whose hint says what to do."""

    name: str
    look: Callable[[Settings], Found]


def examine(settings: Settings, examinations: Sequence[Examination]) -> list[Check]:
    """Every examination, one after another; none keeps the next from being made."""
    return [_check(each.name, lambda each=each: each.look(settings)) for each in examinations]  # type: ignore[misc]


def examine_machine() -> list[Check]:
    """What can be looked at without a configuration."""
    return [_check("python", _python), _check("git", _git)]


def configured(load: Callable[[], Settings]) -> tuple[Settings | None, Check]:
    """The settings, and what there is to say of them. That there are none yet is no failure of anything."""
    try:
        settings = load()
    except ConfigurationError as error:
        code = 0 if isinstance(error, NotConfigured) else error.exit_code
        return None, Check("configuration", False, error.message, error.hint, code)
    detail = f"{settings.workspace.root} is backed up to {settings.vault.remote}, by way of {settings.vault.path}."
    return settings, Check("configuration", True, detail)


def _check(name: str, look: Callable[[], Found]) -> Check:
    try:
        found = look()
    except NbvaultError as error:
        return Check(name, False, error.message, error.hint, error.exit_code)
    return Check(name, True, found.detail, found.hint)


def _python() -> Found:
    return Found(f"Python {platform.python_version()}.")


def _git() -> Found:
    return Found(f"git {'.'.join(map(str, require_git(without_settings())))}.")


def _workspace(settings: Settings) -> Found:
    async def ask(workspace: WorkspaceClient) -> Found:
        identity = await workspace.me()
        who = f"{workspace.host} answers, and takes us for {identity.user_name}"
        if identity.is_admin:
            return Found(f"{who}, an administrator.")
        hint = "Folders that vanish whole are then held, not deleted: make it an administrator of the workspace."
        return Found(f"{who}, no administrator.", hint)

    return _asked(settings, ask)


def _root(settings: Settings) -> Found:
    root = settings.workspace.root

    async def ask(workspace: WorkspaceClient) -> Found:
        try:
            return Found(f"{root} can be read; {len(await workspace.list_folder(root)):,} objects are in it.")
        except NotFound as error:
            hint = "Check workspace.root, and the permissions of the backup identity."
            raise ConfigurationError(f"{root} does not exist, or this identity may not see it.", hint=hint) from error

    return _asked(settings, ask)


def _asked(settings: Settings, ask: Callable[[WorkspaceClient], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with WorkspaceClient(AuthenticationManager(settings), options=ClientOptions.of(settings)) as workspace:
            return await ask(workspace)

    return asyncio.run(connected())


def _repository(settings: Settings) -> Found:
    url = remote_url(str(settings.vault.remote), base=settings.vault.path.parent)
    with tempfile.TemporaryDirectory(prefix="nbvault-doctor-") as folder:
        git = Git(Path(folder), settings.process_environment)
        refs = Remote(git, url, token=AuthenticationManager(settings).git_token, attempts=1).ls_remote()
    head = refs.get(f"refs/heads/{settings.vault.branch}")
    where = f"its {settings.vault.branch} is at {head[:12]}" if head else f"it has no {settings.vault.branch} yet"
    return Found(f"{settings.vault.remote} answers; {where}.")


def _pushes(settings: Settings) -> Found:
    """What the host of the remote would refuse; the repository itself, and the credentials, are looked at by others."""
    try:
        found = asyncio.run(obstacles(settings, AuthenticationManager(settings), attempts=FEW_ATTEMPTS))
    except NbvaultError as error:
        return Found("It could not be asked what would refuse a push.", hint=error.message)
    refusing = [each for each in found if each.weight is Weight.REFUSES]
    if refusing:
        raise PushRefused(" ".join(each.what for each in refusing), hint=" ".join(each.hint for each in refusing))
    told = " ".join(each.what for each in found)
    return Found(
        told or "Nothing is known that would refuse a push.", hint=" ".join(each.hint for each in found).strip()
    )


def _disk(settings: Settings) -> Found:
    folder = settings.vault.path
    while not folder.is_dir():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}.", hint="Choose another vault.path."
        ) from error
    told = f"{free / 1e9:,.1f} GB are free in {folder}."
    if free < ENOUGH_BYTES:
        raise NbvaultError(told, hint=f"Make room: a vault wants {ENOUGH_BYTES / 1e9:.0f} GB at least.")
    return Found(told)


EXAMINATIONS: tuple[Examination, ...] = (
    Examination("workspace", _workspace),
    Examination("root", _root),
    Examination("repository", _repository),
    Examination("pushes", _pushes),
    Examination("disk", _disk),
)
"""Whoever adds one writes a function and a line here; the command prints them in this order."""

"""The examinations of the workspace: is it there, who are we in it, what can be read. Nothing is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from nbvault.backup.scope import Scope
from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, ConfigurationError, NbvaultError, WorkspaceError
from nbvault.model import DIRECTORY, NOTEBOOK, ListedObject
from nbvault.setup.examining import Around, Found
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import DeadlineExceeded, Forbidden, NotADirectory, NotFound, TooLarge, Unreachable
from nbvault.workspace.reach import Reached, reach
from nbvault.workspace.transport import Authenticator, ClientOptions

T = TypeVar("T")
LOOKED_AT = 200
"""So many folders are looked into, those nearest to the root first."""
AT_ONCE = 8
NAMED = 5
TOLERATED_S = 60.0
"""A clock may be wrong by so much before it is told: tokens of an hour bear it, and so do the times of sessions."""
_READ_HINT = "Give the backup identity CAN READ on them, or make it an administrator of the workspace."
_CLOCK_HINT = "Set this machine's clock by the network (NTP): tokens, deletions and the names of sessions depend on it."


def host(around: Around) -> Found:
    """Somebody answers there, over TLS that is verified (without TLS only on this machine itself)."""
    url = around.auth.host
    asyncio.run(reach(url, key="workspace.host", options=ClientOptions.of(around.settings)))
    return Found(f"{url} answers{trusted(around, url)}.")


def trusted(around: Around, url: str) -> str:
    """What is to be said of the certificate of a server that was reached."""
    if not url.startswith("https://"):
        return ", without TLS, on this machine"
    by = around.settings.ca_file
    return f", and its certificate is verified by {by}" if by else ", and its certificate is verified"


def identity(around: Around) -> Found:
    """The workspace takes the credentials."""

    async def ask(workspace: WorkspaceClient) -> Found:
        found = await workspace.me()
        who = f"{workspace.host} takes us for {found.user_name}"
        if found.is_admin:
            return Found(f"{who}, an administrator.")
        hint = "Folders that vanish whole are then held, not deleted: make it an administrator of the workspace."
        return Found(f"{who}, no administrator.", hint)

    return asked(around, ask)


def root(around: Around) -> Found:
    """The root is a folder that can be listed."""
    path = around.settings.workspace.root

    async def ask(workspace: WorkspaceClient) -> Found:
        try:
            return Found(f"{path} can be read; {len(await workspace.list_folder(path)):,} objects are in it.")
        except NotFound as error:
            hint = "Check workspace.root, and the permissions of the backup identity."
            raise ConfigurationError(f"{path} does not exist, or this identity may not see it.", hint=hint) from error
        except NotADirectory as error:
            hint = "Check workspace.root: it is the folder above the notebooks."
            raise ConfigurationError(f"The root cannot be backed up: {error.message}", hint=hint) from error

    return asked(around, ask)


class _Unreadable(NbvaultError):
    """A session would be partial."""

    exit_code = 3


def folders(around: Around) -> Found:
    """Whether the folders near the root can be read; a session ends as partial where one cannot."""

    async def ask(workspace: WorkspaceClient) -> _Walk:
        walk = _Walk(workspace, Scope.of(around.settings.workspace.include, around.settings.workspace.exclude))
        return await walk.from_root(around.settings.workspace.root, within_s=around.patience_s, clock=around.clock)

    walk = asked(around, ask, answers=2)
    count = f"{walk.read + len(walk.unreadable):,} folders"
    told = count + (" were looked into" if walk.whole else " were looked into, there are more")
    if walk.unreadable:
        shown = "; ".join(walk.unreadable[:NAMED])
        more = f" and {len(walk.unreadable) - NAMED:,} more" if len(walk.unreadable) > NAMED else ""
        raise _Unreadable(f"{len(walk.unreadable):,} folders cannot be read: {shown}{more}. {told}.", hint=_READ_HINT)
    return Found(f"{told}; all can be read.")


def export(around: Around) -> Found:
    """One notebook is exported, the first that is found."""
    settings = around.settings

    async def ask(workspace: WorkspaceClient) -> Found:
        walk = _Walk(workspace, Scope.of(settings.workspace.include, settings.workspace.exclude))
        await walk.from_root(settings.workspace.root, within_s=around.patience_s, clock=around.clock, until_found=True)
        if walk.notebook is None:
            return Found(f"No notebook was found in the {walk.read:,} folders that were looked into.")
        path = walk.notebook.path
        try:
            return Found(f"{path} was exported: {len(await workspace.export(path)):,} bytes.")
        except TooLarge:
            return Found(f"{path} is too large to be exported; the workspace says so as it should.")
        except Forbidden as error:
            raise NbvaultError(f"{path} is shown, and may not be exported: {error.message}", hint=_READ_HINT) from error

    return asked(around, ask, answers=2)


class _Walk:
    """Looks into folders, breadth first, several at once, up to a number and a time."""

    def __init__(self, workspace: WorkspaceClient, scope: Scope) -> None:
        self._workspace = workspace
        self._scope = scope
        self.read = 0
        self.unreadable: list[str] = []
        self.notebook: ListedObject | None = None
        self.whole = True

    async def from_root(self, path: str, *, within_s: float, clock: Clock, until_found: bool = False) -> _Walk:
        ends = clock.monotonic() + within_s
        waiting = deque([path])
        while waiting and not (until_found and self.notebook):
            if self.read + len(self.unreadable) >= LOOKED_AT or clock.monotonic() >= ends:
                self.whole = False
                break
            batch = [waiting.popleft() for _ in range(min(AT_ONCE, len(waiting)))]
            for children in await asyncio.gather(*map(self._look, batch)):
                waiting.extend(children)
        self.unreadable.sort()
        return self

    async def _look(self, folder: str) -> list[str]:
        try:
            objects = await self._workspace.list_folder(folder)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except WorkspaceError as error:
            status = getattr(error, "status", 0)
            self.unreadable.append(f"{folder} ({status or type(error).__name__})")
            return []
        self.read += 1
        found = (each for each in objects if each.kind == NOTEBOOK and self._scope.covers(each.path))
        self.notebook = self.notebook or next(found, None)
        return [each.path for each in objects if each.kind == DIRECTORY and self._scope.may_contain(each.path)]


class _Time(NamedTuple):
    host: str
    ahead_s: float


def clock(around: Around) -> Found:
    """This machine's clock against those of the workspace and of the Git server."""
    times = [time for time in asyncio.run(_times(around)) if time is not None]
    wrong = [time for time in times if abs(time.ahead_s) > TOLERATED_S]
    if wrong:
        raise NbvaultError(f"This machine's clock is {' and '.join(map(_off, wrong))}.", hint=_CLOCK_HINT)
    if not times:
        return Found("No server told its time.")
    return Found(f"This machine's clock agrees with {' and '.join(dict.fromkeys(time.host for time in times))}.")


def _off(time: _Time) -> str:
    return f"{abs(time.ahead_s):,.0f} s {'ahead of' if time.ahead_s > 0 else 'behind'} {time.host}"


async def _times(around: Around) -> list[_Time | None]:
    remote = around.settings.vault.remote
    urls = {"vault.remote": remote} if remote.startswith(("https://", "http://")) else {}
    with suppress(NbvaultError):
        # Another examination tells why there is none.
        urls["workspace.host"] = await asyncio.to_thread(lambda: around.auth.host)
    return await asyncio.gather(*(_time(around, key, url) for key, url in sorted(urls.items(), reverse=True)))


async def _time(around: Around, key: str, url: str) -> _Time | None:
    try:
        found: Reached = await reach(url, key=key, options=ClientOptions.of(around.settings))
    except NbvaultError:
        # Another examination says that it does not answer.
        return None
    if found.date is None:
        return None
    return _Time(url.split("/")[2].rpartition("@")[2], (around.clock.now() - found.date).total_seconds())


def asked(
    around: Around,
    ask: Callable[[WorkspaceClient], Awaitable[T]],
    *,
    answers: int = 1,
    auth: Authenticator | None = None,
) -> T:
    """What somebody who has only so many answers' time learns of the workspace, as ourselves or as `auth`."""
    limit_s = around.patience_s * answers

    async def connected() -> T:
        deadline = around.clock.monotonic() + limit_s
        options = ClientOptions.of(around.settings)
        async with WorkspaceClient(
            auth or around.auth, options=options, clock=around.clock, deadline=deadline
        ) as workspace:
            return await ask(workspace)

    try:
        return asyncio.run(connected())
    except DeadlineExceeded as error:
        hint = "Try again, or give it more time with network.check_timeout_s; 'nbvault sync' is more patient."
        raise Unreachable(
            f"The workspace gave no good answer for {error.path} in {limit_s:.0f} s.", hint=hint
        ) from error

"""What is at the targets of a restore: their folders listed, many at once, and only those that matter."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Protocol

from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import DIRECTORY, REPO, Identity, ListedObject
from nbvault.recovery.plan import Live, folders_above, parent_of
from nbvault.workspace.errors import DeadlineExceeded, Forbidden, NotADirectory, NotFound, Unreachable

WORKERS = 64


class Folders(Protocol):
    """What looking needs of a workspace."""

    async def list_folder(self, path: str) -> list[ListedObject]:
        """Everything directly in the folder."""

    async def get_status(self, path: str) -> ListedObject:
        """What is at a path."""


class Workspace(Folders, Protocol):
    """What a plan needs of a workspace."""

    async def me(self) -> Identity:
        """Whom the workspace takes us for."""


async def who_and_what(workspace: Workspace, targets: Collection[str]) -> tuple[Identity, Live]:
    """Whom the workspace takes us for, and what is at the targets; raises as `look` and ``me`` do."""
    me, there = await asyncio.gather(workspace.me(), look(workspace, targets))
    return me, there


async def look(workspace: Folders, targets: Collection[str]) -> Live:
    """List the folders of the targets.

    A folder that cannot be listed bars its targets, with the reason; one that is not there can be made, unless
    something that is no folder is in its way.

    Raises:
        AuthenticationError, Unreachable, DeadlineExceeded: nothing can be said about the workspace.
    """
    view = _View(workspace, frozenset(targets))
    await view.list_all({parent_of(target) for target in targets})
    await view.check_ways()
    return Live(view.objects, frozenset(view.missing), view.barred)


class _View:
    def __init__(self, workspace: Folders, targets: frozenset[str]) -> None:
        self._workspace = workspace
        self._targets = targets
        self._ways: dict[str, str | None] = {}
        self.objects: dict[str, ListedObject] = {}
        self.missing: set[str] = set()
        self.barred: dict[str, str] = {}

    async def list_all(self, folders: Iterable[str]) -> None:
        waiting = iter(sorted(folders))

        async def work() -> None:
            for folder in waiting:
                await self._list(folder)

        tasks = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _list(self, folder: str) -> None:
        try:
            found = await self._workspace.list_folder(folder)
        except (AuthenticationError, DeadlineExceeded, Unreachable):
            raise
        except NotFound:
            self.missing.add(folder)
        except NotADirectory:
            self.barred[folder] = f"{folder} is no folder"
        except Forbidden:
            self.barred[folder] = f"{folder} may not be listed"
        except WorkspaceError as error:
            self.barred[folder] = error.message
        else:
            self.objects.update((each.path, each) for each in found if each.path in self._targets)

    async def check_ways(self) -> None:
        """See whether the missing folders can be made: the nearest thing above each that exists must be a folder."""
        for folder in sorted(self.missing):
            if why := await self._in_the_way(folder):
                self.barred[folder] = why
        self.missing |= {path for path, why in self._ways.items() if why is None}

    async def _in_the_way(self, folder: str) -> str:
        for above in folders_above(folder):
            if above not in self._ways:
                self._ways[above] = await self._ask(above)
            why = self._ways[above]
            if why is not None:
                return why
        return ""

    async def _ask(self, path: str) -> str | None:
        """Why no folder can be made below a path; empty if one can; None if nothing is there."""
        try:
            found = await self._workspace.get_status(path)
        except (AuthenticationError, DeadlineExceeded, Unreachable):
            raise
        except NotFound:
            return None
        except WorkspaceError as error:
            return error.message
        return "" if found.kind in (DIRECTORY, REPO) else f"{path} is a {found.kind}, no folder"

"""What setting up needs of the outside world, and how it says what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from nbvault.clock import Clock
from nbvault.errors import VerificationError
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.vault import Vault
from nbvault.model import Language, ListedObject, NotebookFormat
from nbvault.setup.conversion import Conversion
from nbvault.workspace.git_folders import GitCredential, GitFolder, Grant

T = TypeVar("T")


class Folders(Protocol):
    """The APIs about Git folders."""

    async def credentials(self) -> list[GitCredential]:
        """The Git credentials of this identity."""

    async def add_credential(self, *, provider: str, user: str, token: str, name: str) -> int:
        """Register one."""

    async def remove_credential(self, credential_id: int) -> None:
        """Remove one."""

    async def create(
        self, path: str, *, url: str, provider: str, patterns: Sequence[str], credential: int
    ) -> GitFolder:
        """Make a Git folder."""

    async def get(self, folder_id: int) -> GitFolder:
        """A Git folder."""

    async def pull(self, folder_id: int, *, branch: str, credential: int) -> None:
        """Check a branch out as the remote has it now."""

    async def remove(self, folder_id: int) -> None:
        """Remove a Git folder with all that is in it."""

    async def grants(self, kind: str, object_id: int) -> tuple[Grant, ...]:
        """What is granted on an object itself."""

    async def grant(self, kind: str, object_id: int, grants: Sequence[Grant]) -> None:
        """Grant more."""


class Workspace(Protocol):
    """What setting up needs of the workspace."""

    @property
    def git_folders(self) -> Folders:
        """The APIs about Git folders."""

    async def list_folder(self, path: str) -> list[ListedObject]:
        """Everything directly in the folder."""

    async def get_status(self, path: str) -> ListedObject:
        """What is at a path."""

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        """The bytes of a notebook or file."""

    async def import_notebook(
        self,
        path: str,
        source: bytes,
        language: Language | None,
        *,
        overwrite: bool,
        form: NotebookFormat = NotebookFormat.SOURCE,
    ) -> None:
        """Write a notebook."""

    async def mkdirs(self, path: str) -> None:
        """Make a folder and those above it."""

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete an object."""


class Log(Protocol):
    """Where a conversion is written down; a line counts when the remote has confirmed it."""

    @property
    def conversion(self) -> Conversion:
        """What the lines so far add up to."""

    def note(self, event: str, object_: str, detail: str = "", *, result: str = "ok", **data: Any) -> None:
        """Write one line with these fields, and the audit event about it.

        Raises:
            NbvaultError: it is not known to be on the remote.
        """


@dataclass(frozen=True, slots=True)
class Around:
    """What a conversion works with.

    `connect` opens the workspace for one event loop. `token` is the Git server's. `advance` is told of every object
    that was compared, `say` what comes next, in words.
    """

    connect: Callable[[], AbstractAsyncContextManager[Workspace]]
    vault: Vault
    log: Log
    token: Callable[[], str | None]
    user: str
    clock: Clock
    say: Callable[[str], None]
    advance: Callable[[], None] = lambda: None
    workers: int = 32

    def ask(self, work: Callable[[Workspace], Awaitable[T]]) -> T:
        """Do one piece of work in the workspace, in an event loop of its own."""

        async def connected() -> T:
            async with self.connect() as workspace:
                return await work(workspace)

        return asyncio.run(connected())

    def files(self, commit: str) -> dict[str, str]:
        """The blob of every file of a commit that the remote has.

        Raises:
            VerificationError: the remote's main branch does not have this commit.
        """
        vault = self.vault
        if not vault.have(commit):
            vault.refresh_branches()
        if not (vault.have(commit) and vault.contains(vault.main, commit)):
            raise VerificationError(
                f"Commit {commit} is not on the branch {vault.branch} of the remote.",
                hint="Somebody has committed in the Git folder: push that, or throw it away there, and run again.",
            )
        return {entry.path: entry.oid for entry in ls_tree(vault.git, commit)}


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, workers: int) -> None:
    """Do the work for every item, some at a time; the first error ends it, and nothing more is begun."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    tasks = [asyncio.ensure_future(worker()) for _ in range(workers)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

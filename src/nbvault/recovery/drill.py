"""A fire drill: notebooks drawn by lot are restored to a scratch folder, read back, compared, and removed again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, Protocol

from nbvault.clock import iso
from nbvault.errors import AuthenticationError, ConfigurationError, NbvaultError, VaultError, WorkspaceError
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.vault import Vault
from nbvault.model import DIRECTORY, REPO, ListedObject, NotebookFormat
from nbvault.paths import extension_of, relative
from nbvault.recovery import deed
from nbvault.recovery.apply import remove_empty
from nbvault.recovery.contents import format_of, same, written_in
from nbvault.recovery.plan import folders_above, parent_of
from nbvault.recovery.selection import Item
from nbvault.workspace.errors import DeadlineExceeded, NotFound, RequestFailed, Unreachable

WORKERS = 16


class Workspace(deed.Workspace, deed.Limited, Protocol):
    """What a drill needs of the workspace."""

    async def get_status(self, path: str) -> ListedObject:
        """What is at a path."""


class Verdict(str, Enum):
    """What came of one notebook.

    `DIFFERS` and `MISSING` (its bytes are not in the vault, or damaged) say that it cannot be restored; `FAILED` that
    it could not be tried.
    """

    IDENTICAL = "identical"
    DIFFERS = "differs"
    MISSING = "missing"
    FAILED = "failed"


class Tried(NamedTuple):
    """One notebook of the sample, and what came of it."""

    path: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill that has ended. `left_behind` is why its scratch folder could not be removed; empty if it was."""

    drill: str
    at: datetime
    by: str
    seed: int
    commit: str
    scratch: str
    tried: tuple[Tried, ...]
    left_behind: str = ""
    recorded: bool = False

    def count(self, *verdicts: Verdict) -> int:
        """How many notebooks ended so."""
        return sum(each.verdict in verdicts for each in self.tried)

    @property
    def exit_code(self) -> int:
        """8 if a notebook cannot be restored, 3 if one could not be tried or the scratch folder is still there."""
        if self.count(Verdict.DIFFERS, Verdict.MISSING):
            return 8
        return 3 if self.left_behind or self.count(Verdict.FAILED) else 0

    def as_json(self) -> dict[str, Any]:
        """As ``drill --json`` prints it and, but for `recorded`, as the vault keeps it."""
        wrong = [each for each in self.tried if each.verdict is not Verdict.IDENTICAL]
        return {
            "drill": self.drill,
            "exit_code": self.exit_code,
            "at": iso(self.at),
            "by": self.by,
            "seed": self.seed,
            "commit": self.commit,
            "scratch": self.scratch,
            "removed": not self.left_behind,
            "left_behind": self.left_behind,
            "sample": len(self.tried),
            **{verdict.value: self.count(verdict) for verdict in Verdict},
            "problems": [{"path": e.path, "result": e.verdict.value, "reason": e.reason} for e in wrong],
            "recorded": self.recorded,
        }


def draw(vault: Vault, *, sample: int, seed: int) -> list[Item]:
    """So many of the living notebooks by lot, in their last protected version; the same seed draws the same.

    One whose file is missing in the vault may be drawn, too; its blob is empty.

    Raises:
        ConfigurationError: nothing has been backed up yet, or everything is deleted.
    """
    rows = sorted([*vault.meta.rows.values(), *vault.damaged])
    if not rows:
        raise ConfigurationError("The vault holds no living notebook to restore.", hint="Run `nbvault sync` first.")
    chosen = random.Random(seed).sample(rows, min(sample, len(rows)))  # noqa: S311 - a lot, no secret
    return [Item(row.path, vault.blob_at.get(row.repo_path, ""), extension_of(row.repo_path)) for row in chosen]


def contents(blobs: BlobReader, items: Sequence[Item]) -> dict[str, bytes]:
    """The bytes of each blob; those that are missing or damaged are left out."""
    wanted = [item.blob for item in items if item.blob]
    try:
        return dict(blobs.read(wanted))
    except VaultError:
        found: dict[str, bytes] = {}
        for blob in wanted:
            with suppress(VaultError):
                found |= dict(blobs.read([blob]))
        return found


class Rehearsal:
    """Restores notebooks into a scratch folder of its own, and takes it away again, whatever happens.

    Args:
        scratch: A folder that is not there yet; nothing outside it is touched.
        root: The backed-up root: paths below it are the same below the scratch folder.

    `left_behind` says afterwards why the scratch folder is still there.
    """

    def __init__(self, workspace: Workspace, *, scratch: str, root: str) -> None:
        self.left_behind = ""
        self._workspace = workspace
        self._scratch = scratch
        self._root = root
        self._folders: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._silent = False

    async def run(self, items: Sequence[Item], data: Mapping[str, bytes]) -> list[Tried]:
        """What came of each notebook.

        Raises:
            ConfigurationError: the scratch folder cannot be where it is to be.
            AuthenticationError, WorkspaceError: the workspace does not let us begin, or go on.
        """
        missing = await self._missing()
        try:
            await self._workspace.mkdirs(self._scratch)
            return await self._all(items, data)
        finally:
            await self._clean_up(missing)

    async def _missing(self) -> list[str]:
        """The folders above the scratch folder that are not there, and so are to go again."""
        found = []
        for path in (self._scratch, *folders_above(self._scratch)):
            try:
                there = await self._workspace.get_status(path)
            except NotFound:
                found.append(path)
                continue
            if path == self._scratch or there.kind not in (DIRECTORY, REPO):
                raise ConfigurationError(f"{path} is in the way of a drill.", hint="Give another folder as --to.")
            break
        return found[1:]

    async def _all(self, items: Sequence[Item], data: Mapping[str, bytes]) -> list[Tried]:
        left = iter(enumerate(items))
        found: dict[int, Tried] = {}

        async def work() -> None:
            for number, item in left:
                found[number] = await self._one(item, data.get(item.blob))

        tasks = [asyncio.ensure_future(work()) for _ in range(min(WORKERS, len(items)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            # What is still under way must not write into a folder that is being removed.
            for task in (*tasks, *self._folders.values()):
                task.cancel()
            await asyncio.gather(*tasks, *self._folders.values(), return_exceptions=True)
        return [found[number] for number in sorted(found)]

    async def _one(self, item: Item, wanted: bytes | None) -> Tried:
        if wanted is None:
            return Tried(item.path, Verdict.MISSING, "its bytes are missing in the vault, or damaged")
        if self._silent:
            return Tried(item.path, Verdict.FAILED, "not tried: the workspace does not answer")
        form = format_of(item.extension)
        target = "/".join((self._scratch, *relative(self._root, item.path)))
        try:
            await self._folder(parent_of(target))
            await self._import(target, wanted, item.extension)
            back = await self._workspace.export(target, form=form)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except WorkspaceError as error:
            self._silent = self._silent or isinstance(error, Unreachable)
            return Tried(item.path, Verdict.FAILED, error.message)
        if same(back, wanted, form):
            return Tried(item.path, Verdict.IDENTICAL)
        return Tried(item.path, Verdict.DIFFERS, "what was read back is not what was restored")

    async def _import(self, target: str, wanted: bytes, extension: str) -> None:
        form = format_of(extension)
        language = None if form is NotebookFormat.IPYNB else written_in(wanted, extension)
        try:
            await self._workspace.import_notebook(target, wanted, language, overwrite=False, form=form)
        except RequestFailed as error:
            # The answer to an earlier try was lost: what is read back tells.
            if not (error.maybe_done and error.error_code == "RESOURCE_ALREADY_EXISTS"):
                raise

    async def _folder(self, path: str) -> None:
        if path not in self._folders:
            self._folders[path] = asyncio.ensure_future(self._make(path))
        await asyncio.shield(self._folders[path])

    async def _make(self, path: str) -> None:
        if path != self._scratch:
            async with self._one_at_a_time:
                await self._workspace.mkdirs(path)

    async def _clean_up(self, missing: Sequence[str]) -> None:
        # Also a drill that ran out of time leaves nothing behind.
        self._workspace.deadline = None
        try:
            await self._workspace.delete(self._scratch, recursive=True)
        except NotFound:
            pass
        except NbvaultError as error:
            self.left_behind = f"{self._scratch} could not be removed: {error.message}"
            return
        await remove_empty(self._workspace, missing)

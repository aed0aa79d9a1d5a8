"""What a Git folder shows, against the files of the commit that it has checked out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from nbvault.backup.scan import ChangeScanner, FolderListing
from nbvault.backup.scope import Scope
from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.gitstore.writer import blob_id
from nbvault.model import DIRECTORY, NOTEBOOK, ListedObject, NotebookFormat
from nbvault.notebook.jupyter import same_cells
from nbvault.paths import IPYNB_EXTENSION, extension_of
from nbvault.setup.ports import Workspace, for_each
from nbvault.setup.views import View
from nbvault.workspace.errors import DeadlineExceeded, NotFound

_EMPTY_BLOB = blob_id(b"")


class Unlike(str, Enum):
    """In what a Git folder differs from its commit.

    `AS_FILE`: the bytes are right, but the workspace takes them for no notebook. `FOREIGN`: an object that the commit
    does not have. `UNREADABLE`: nothing is known.
    """

    DIFFERS = "differs"
    MISSING = "missing"
    AS_FILE = "as file"
    FOREIGN = "not in the repository"
    UNREADABLE = "unreadable"


SOMEBODYS = frozenset({Unlike.DIFFERS, Unlike.FOREIGN, Unlike.UNREADABLE})
"""What may be somebody's own work, which removing the Git folder would destroy."""


class Finding(NamedTuple):
    """One object that is not as the commit says."""

    path: str
    kind: Unlike
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Showing:
    """What was found: how many notebooks are the same byte for byte, and all that is not."""

    same: int
    findings: tuple[Finding, ...]

    def of(self, *kinds: Unlike) -> list[Finding]:
        """The findings of these kinds."""
        return [each for each in self.findings if each.kind in kinds]


def is_blob(data: bytes, oid: str) -> bool:
    """Whether these bytes are that blob, but for one newline at the very end, which a notebook does not keep."""
    return oid in (blob_id(data), blob_id(data + b"\n"), blob_id(data.removesuffix(b"\n")))


def form_of(repo_path: str) -> NotebookFormat:
    """The format in which the vault keeps a file."""
    return NotebookFormat.IPYNB if repo_path.endswith(IPYNB_EXTENSION) else NotebookFormat.SOURCE


async def list_all(workspace: Workspace, root: str) -> tuple[dict[str, ListedObject], dict[str, str]]:
    """Everything below a folder by path, and the folders that could not be read, with why."""
    found: dict[str, ListedObject] = {}

    async def observe(listing: FolderListing) -> None:
        found.update((entry.path, entry) for entry in listing.objects)

    scanner = ChangeScanner(workspace, root=root, scope=Scope(), observe=observe)
    await scanner.scan([root])
    return found, scanner.unreadable()


@dataclass(slots=True)
class Comparer:
    """Compares Git folders with commits; writes nothing.

    Args:
        read: The bytes of a blob of the vault.
        done: Called after each object.
    """

    workspace: Workspace
    workers: int
    read: Callable[[str], bytes]
    done: Callable[[], None] = lambda: None
    _same: int = 0
    _findings: list[Finding] = field(default_factory=list)

    async def compare(self, view: View, files: Mapping[str, str]) -> Showing:
        """Export everything that a Git folder shows.

        Args:
            files: The blob of every file of the commit, by repository path.

        Raises:
            AuthenticationError, DeadlineExceeded, Unreachable: it cannot go on.
        """
        self._same, self._findings = 0, []
        listed, unreadable = await list_all(self.workspace, view.path)
        self._findings += [Finding(path, Unlike.UNREADABLE, why) for path, why in unreadable.items()]
        expected = {path: oid for path, oid in files.items() if view.shows(path)}
        pairs = self._pairs(view, expected, listed)

        async def one(pair: tuple[ListedObject, str]) -> None:
            await self._compare(*pair, expected[pair[1]])
            self.done()

        await for_each(pairs, one, workers=self.workers)
        return Showing(self._same, tuple(sorted(self._findings)))

    def _pairs(
        self, view: View, expected: Mapping[str, str], listed: Mapping[str, ListedObject]
    ) -> list[tuple[ListedObject, str]]:
        """Each shown object with its file; what has no partner is found wanting."""
        pairs, taken = [], set()
        for repo_path in sorted(expected):
            whole = f"{view.path}/{repo_path}"
            path = view.path_of(repo_path) if extension_of(repo_path) else whole
            entry = listed.get(path)
            if entry is None or entry.kind == DIRECTORY or path in taken:
                entry = listed.get(whole)
            if entry is not None:
                taken.add(entry.path)
                pairs.append((entry, repo_path))
            elif extension_of(repo_path):
                self._findings.append(Finding(path, Unlike.MISSING, f"{repo_path} is not shown"))
        self._findings += [
            Finding(path, Unlike.FOREIGN, f"a {entry.kind} that the repository does not have")
            for path, entry in listed.items()
            if path not in taken and entry.kind != DIRECTORY
        ]
        return pairs

    async def _compare(self, entry: ListedObject, repo_path: str, oid: str) -> None:
        if oid == _EMPTY_BLOB:
            return
        form = form_of(repo_path) if entry.kind == NOTEBOOK else NotebookFormat.SOURCE
        try:
            data = await self.workspace.export(entry.path, form=form)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except NotFound:
            self._findings.append(Finding(entry.path, Unlike.MISSING, "it vanished while we looked"))
        except WorkspaceError as error:
            self._findings.append(Finding(entry.path, Unlike.UNREADABLE, error.message))
        else:
            same = is_blob(data, oid) or (form is NotebookFormat.IPYNB and same_cells(data, self.read(oid)))
            self._judge(entry, repo_path, same=same)

    def _judge(self, entry: ListedObject, repo_path: str, *, same: bool) -> None:
        if not same:
            self._findings.append(Finding(entry.path, Unlike.DIFFERS, f"its bytes are not those of {repo_path}"))
        elif entry.kind == NOTEBOOK:
            self._same += 1
        elif extension_of(repo_path):
            why = "it has no notebook header in its first line"
            self._findings.append(Finding(entry.path, Unlike.AS_FILE, why))

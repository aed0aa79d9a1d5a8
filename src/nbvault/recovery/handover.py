"""Part of the vault as a Git bundle for others: its files and its own history, and nothing of anybody else's."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbvault.clock import EPOCH
from nbvault.errors import ConfigurationError, VerificationError
from nbvault.gitstore import conclude
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.meta import read_renames
from nbvault.gitstore.reader import Commit, blob_log, ls_tree
from nbvault.gitstore.runner import Git, init_bare
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.model import NBVAULT, FileChange, Rename, Row
from nbvault.paths import workspace_path

MAIN = "refs/heads/main"
_ATTRIBUTES = ".gitattributes"
_SESSION = "Nbvault-Session"


class Part(Protocol):
    """Which folders are handed over."""

    def holds(self, folder: str) -> bool:
        """Whether what is in this workspace folder belongs to it."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was handed over: a bundle of so many commits, whose tip has so many notebooks.

    `past` are files that are only in its history; `left` those of notebooks that moved elsewhere, which are not even
    there. `content` is the vault's content commit that it shows. Not `whole`: an earlier epoch of the vault could not
    be read, and the history begins after it.
    """

    file: str
    sha256: str
    size_bytes: int
    head: str
    commits: int
    notebooks: int
    past: int
    left: int
    content: str
    whole: bool = True

    def as_json(self) -> dict[str, Any]:
        """The bundle as ``archive --bundle --json`` prints it, and as its receipt in the vault says."""
        return {name: getattr(self, name) for name in self.__slots__}


@contextmanager
def hand_over(vault: Vault, part: Part, file: Path) -> Iterator[Bundle]:
    """Write and verify the bundle; it comes to its place when the block ends well, else nothing is left of it.

    The history is that of ``backup/daily``, in the names of the people who changed these folders, with new commit ids
    (the original ones are in trailers). A file is in it while its own path belongs to the part: where a notebook came
    from elsewhere, its history begins with the move; what belongs to a notebook that moved elsewhere is left out. It
    goes back through all epochs, or to one that cannot be read.

    Raises:
        ConfigurationError: the file exists, or cannot be written.
        VerificationError: a clone of the bundle is not what the vault has.
        NbvaultError: the history cannot be read.
    """
    if file.exists():
        raise ConfigurationError(f"{file} exists already.", hint="Name a file that does not exist.")
    try:
        workshop = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.absolute().parent))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error}.", hint="Name another place.") from error
    try:
        made = _make(vault, part, workshop, file.name)
        yield made
        (workshop / "bundle").replace(file)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _make(vault: Vault, part: Part, workshop: Path, name: str) -> Bundle:
    rows = [row for row in vault.meta.rows.values() if part.holds(row.path.rpartition("/")[0])]
    wanted = {row.repo_path: vault.blob_at[row.repo_path] for row in rows}
    steps, left = _history(vault, part, rows)
    git = init_bare(workshop / "history.git", vault.git.base_environment)
    commits = _write(git, vault, steps, wanted)
    target = workshop / "bundle"
    git.run("bundle", "create", "--quiet", str(target), "HEAD", MAIN)
    head = _verified(workshop / "clone.git", target, wanted, vault.git.base_environment)
    past = {change.path for step in steps for change in step.changes} - wanted.keys()
    return Bundle(
        name,
        _sum(target),
        target.stat().st_size,
        head,
        commits,
        len(wanted),
        len(past),
        left,
        vault.meta.content,
        whole=not vault.past.gaps,
    )


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while data := stream.read(1024 * 1024):
            digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Step:
    """A commit of the vault, and what of it belongs to the part."""

    commit: Commit
    changes: list[FileChange]


def _history(vault: Vault, part: Part, rows: Sequence[Row]) -> tuple[list[_Step], int]:
    """The commits that changed something of the part, oldest first; and how many files were left out."""
    belongs = _membership(vault, part)
    stones = vault.meta.tombstones.values()
    staying = {row.object_id for row in rows}
    staying |= {stone.object_id for stone in stones if part.holds(stone.path.rpartition("/")[0])}
    elsewhere = _moved_away(read_renames(vault.meta, blobs=vault.blobs), staying)
    left: set[str] = set()
    steps = []
    stretches = vault.past.contents()
    log = (each for tip, begins in stretches for each in blob_log(vault.git, tip, exclude=begins))
    for commit, differences in log:
        session = commit.trailers.get(_SESSION, [""])[-1]
        changes = []
        for each in differences:
            if not belongs(each.path):
                continue
            if any(since <= session <= until for since, until in elsewhere.get(each.path, ())):
                left.add(each.path)
            else:
                changes.append(FileChange(each.path, each.new_oid))
        if changes:
            steps.append(_Step(commit, changes))
    return steps[::-1], len(left)


def _membership(vault: Vault, part: Part) -> Callable[[str], bool]:
    known: dict[str, bool] = {}

    def belongs(repo_path: str) -> bool:
        if repo_path not in known:
            try:
                known[repo_path] = part.holds(workspace_path(vault.root, repo_path).rpartition("/")[0])
            except ValueError:
                # People's own file, which is no notebook of the workspace.
                known[repo_path] = False
        return known[repo_path]

    return belongs


def _moved_away(renames: Sequence[Rename], staying: Collection[int]) -> Mapping[str, list[tuple[str, str]]]:
    """By repository path: from which session to which it held a notebook that is not in the part now."""
    found: dict[str, list[tuple[str, str]]] = {}
    for rename in renames:
        if rename.object_id not in staying:
            found.setdefault(rename.old_repo_path, []).append((rename.old_since, rename.session))
    return found


def _write(git: Git, vault: Vault, steps: Sequence[_Step], wanted: Mapping[str, str]) -> int:
    """The history in a repository of its own, ending with exactly what is wanted; returns how many commits it has."""
    commits = 0
    with FastImport(git) as stream:
        _copy_blobs(stream, vault, steps, wanted)
        attributes = FileChange(_ATTRIBUTES, stream.blob(conclude.ATTRIBUTES, _ATTRIBUTES))
        there: dict[str, str] = {}
        parent = ""
        for step in steps:
            changes = [change for change in step.changes if there.get(change.path, "") != change.blob]
            if not changes:
                continue
            for change in changes:
                there[change.path] = change.blob
            first = [] if parent else [attributes]
            parent = _commit(stream, parent, step.commit, [*first, *changes], f"Nbvault-Original: {step.commit.sha}")
            commits += 1
        rest = [FileChange(path, blob) for path, blob in wanted.items() if there.get(path, "") != blob]
        rest += [FileChange(path) for path, blob in there.items() if blob and path not in wanted]
        if rest:
            # What people have pushed there beside the backup, or what was left out.
            last = steps[-1].commit if steps else None
            _commit(stream, parent, last, rest if parent else [attributes, *rest], "")
            commits += 1
    return commits


def _copy_blobs(stream: FastImport, vault: Vault, steps: Sequence[_Step], wanted: Mapping[str, str]) -> None:
    names = {change.blob: change.path for step in steps for change in step.changes if change.blob}
    names |= {blob: path for path, blob in wanted.items()}
    ordered = sorted(names, key=lambda oid: names[oid].rpartition("/")[2])
    for oid, data in vault.blobs.read(ordered):
        stream.blob(data, names[oid])


def _commit(
    stream: FastImport, parent: str, original: Commit | None, changes: Sequence[FileChange], trailer: str
) -> str:
    """A commit like the original one, in the same name and of the same time; or, at the end, one by nbvault."""
    mine = original is None or not trailer
    subject = "The state of the backup" if mine or original is None else original.subject
    at = original.committed_at if original else EPOCH
    return stream.commit(
        MAIN,
        parents=[parent] if parent else [],
        author=NBVAULT if mine or original is None else original.author,
        committer=NBVAULT if original is None else original.committer,
        authored_at=original.author_at if original else at,
        committed_at=at,
        message=f"{subject}\n\n{trailer}\n" if trailer else f"{subject}\n",
        changes=changes,
    )


def _verified(clone: Path, bundle: Path, wanted: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Clone the bundle as its receiver will, and read every byte of its last state; returns its tip."""
    git = init_bare(clone, environment)
    git.run("fetch", "--quiet", str(bundle), f"{MAIN}:{MAIN}", "HEAD")
    git.run("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
    found = {entry.path: entry.oid for entry in ls_tree(git, MAIN)}
    found.pop(_ATTRIBUTES, None)
    read = sum(1 for _ in BlobReader(git).read(list(found.values())))
    if found != wanted or read != len(wanted):
        raise VerificationError(
            f"The bundle has {len(found):,} notebooks that are not those {len(wanted):,} of the vault.",
            hint="This is a fault of nbvault: please report it. No file was left.",
        )
    return git.text("rev-parse", MAIN)

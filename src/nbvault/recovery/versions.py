"""The bytes of a notebook, as they are in the vault now or were at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nbvault.errors import ConfigurationError, VaultError
from nbvault.gitstore.reader import TreeEntry, entries_at
from nbvault.gitstore.runner import Git
from nbvault.gitstore.vault import Vault
from nbvault.paths import EXTENSIONS, folder_forms, forms, relative
from nbvault.recovery.moments import Moment, moment
from nbvault.recovery.names import spellings
from nbvault.recovery.notebooks import Found, Notebooks


@dataclass(frozen=True, slots=True)
class Source:
    """A version of a notebook. `path` is where it was then; `note` says what a person would not expect, or nothing."""

    path: str
    repo_path: str
    blob: str
    data: bytes
    note: str = ""


def show(vault: Vault, path: str, *, at: str = "") -> Source:
    """The source of a notebook byte for byte: the last protected version, or the one at a moment.

    At a moment, it is that of the notebook that had this path then, whichever notebook that was; if none had, that of
    the notebook which the path means today, under the path it had then. Fetches the one blob if it is not here.

    Args:
        path: As `Notebooks.find` takes it.
        at: As `moment` takes it; empty for now.

    Raises:
        ConfigurationError: no such notebook, no such moment, or the notebook was not in the vault then.
        VaultError: its bytes are missing or damaged.
        RemoteUnreachable: what is needed is not here, and the remote does not answer.
    """
    notebooks = Notebooks.of(vault)
    found = _at(vault, notebooks, path, moment(vault, at)) if at else _now(vault, notebooks.find(path))
    ((_, data),) = vault.blobs.read([found.blob])
    return Source(found.path, found.repo_path, found.blob, data, found.note)


def _now(vault: Vault, found: Found) -> Source:
    if found.row is not None:
        blob = vault.blob_of(found.row.repo_path)
        if not blob:
            raise VaultError(
                f"The file {found.row.repo_path} of {found.row.path} is missing in the vault.",
                hint="The next sync saves the notebook again; `nbvault history` names older versions.",
            )
        note = f"{found.path} has moved to {found.row.path}; this is its present source."
        return Source(found.row.path, found.row.repo_path, blob, b"", "" if found.row.path == found.path else note)
    stone = found.stone
    if stone is None:
        raise VaultError(f"The vault knows that {found.path} moved, but not what became of it.")
    note = f"{stone.path} was deleted (session {stone.session}); this is its last version."
    return Source(stone.path, stone.repo_path, stone.blob, b"", note)


def _at(vault: Vault, notebooks: Notebooks, path: str, when: Moment) -> Source:
    for spelling in spellings(vault.root, path):
        entries = list(files_of(vault.git, when.commit, root=vault.root, path=spelling))
        ours = [entry for entry in entries if notebooks.is_ours(entry.path)]
        if entries:
            chosen = (ours or entries)[0]
            return Source(spelling, chosen.path, chosen.oid, b"")
    found = notebooks.find(path)
    for stay in reversed(notebooks.stays(found.object_id)):
        if stay.covers(when.session) and (entry := _file(vault.git, when.commit, stay.repo_path)):
            return Source(stay.path, entry.path, entry.oid, b"", f"{found.path} was {stay.path} at {when.label}.")
    raise ConfigurationError(
        f"{found.path} was not in the vault at {when.label}.",
        hint=f"`nbvault history '{found.path}'` shows when it was.",
    )


def files_of(git: Git, commit: str, *, root: str, path: str) -> Iterator[TreeEntry]:
    """The files of a commit whose names spell this workspace path, plain or marked, with any extension.

    There is one at most, unless people put another beside it.
    """
    try:
        names = relative(root, path)
    except ValueError:
        return
    above = [""] if names else []
    for name in names[:-1]:
        candidates = [folder + "/".join(form) for folder in above for form in folder_forms(name)]
        above = [entry.path + "/" for entry in entries_at(git, commit, candidates) if entry.kind == "tree"]
    spelled = [
        folder + "/".join(form) for folder in above for extension in EXTENSIONS for form in forms(names[-1], extension)
    ]
    yield from (entry for entry in entries_at(git, commit, spelled) if entry.kind == "blob")


def _file(git: Git, commit: str, repo_path: str) -> TreeEntry | None:
    return next((entry for entry in entries_at(git, commit, [repo_path]) if entry.kind == "blob"), None)

"""What one notebook was at a moment: followed by its object id through renames, deletion and return."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nbvault.errors import VaultError
from nbvault.gitstore.reader import entries_at
from nbvault.gitstore.vault import Vault
from nbvault.model import NotebookFormat
from nbvault.notebook import Notebook, parse
from nbvault.paths import extension_of
from nbvault.recovery.contents import format_of, language_of
from nbvault.recovery.moments import Moment
from nbvault.recovery.notebooks import Found, Stay


@dataclass(frozen=True, slots=True)
class Content:
    """A notebook's bytes, named by their blob, and where it was then."""

    path: str
    repo_path: str
    blob: str

    @property
    def extension(self) -> str:
        """The extension of its file, with the dot."""
        return extension_of(self.repo_path)

    @property
    def form(self) -> NotebookFormat:
        """The format of its bytes."""
        return format_of(self.extension)

    def parsed(self, data: bytes) -> Notebook:
        """Its bytes as cells."""
        return parse(data, language=language_of(self.extension), format=self.form)


def content_at(vault: Vault, stays: Iterable[Stay], when: Moment) -> Content | None:
    """What a notebook with these stays (oldest first) was at a moment; None if it was not in the vault then."""
    for stay in reversed(list(stays)):
        if stay.covers(when.session) and (blob := _blob_at(vault, when.commit, stay.repo_path)):
            return Content(stay.path, stay.repo_path, blob)
    return None


def _blob_at(vault: Vault, commit: str, repo_path: str) -> str:
    """The blob at a path of a commit; empty if there is none."""
    told = vault.standing.blob_at(commit, repo_path) if vault.standing else None
    if told is not None:
        return told
    entries = entries_at(vault.git, commit, [repo_path])
    return next((entry.oid for entry in entries if entry.kind == "blob"), "")


def content_now(vault: Vault, found: Found) -> Content | None:
    """The last protected version of a notebook; None if it was deleted.

    Raises:
        VaultError: its file is missing in the vault.
    """
    if found.row is None:
        return None
    blob = vault.blob_of(found.row.repo_path)
    if not blob:
        raise VaultError(
            f"The file {found.row.repo_path} of {found.row.path} is missing in the vault.",
            hint="The next sync saves the notebook again; `nbvault history` names older versions.",
        )
    return Content(found.row.path, found.row.repo_path, blob)

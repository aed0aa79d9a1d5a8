"""An exported folder against the vault: the old backup beside the new one, for the weeks in which both run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvault.errors import ConfigurationError
from nbvault.gitstore.vault import Vault
from nbvault.model import NotebookFormat
from nbvault.paths import extension_of
from nbvault.recovery.contents import format_of, is_blob, same
from nbvault.recovery.selection import Item, choose


@dataclass(frozen=True, slots=True)
class Differing:
    """A notebook that is on both sides and not the same, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FolderComparison:
    """What a comparison found, by workspace path.

    `commit` is the state of the vault. `ignored` counts files that are no notebook's by their extension; `unreadable`
    are files that this machine does not give.
    """

    commit: str
    same: int
    differs: tuple[Differing, ...]
    only_in_folder: tuple[str, ...]
    only_in_vault: tuple[str, ...]
    unreadable: tuple[Differing, ...] = ()
    ignored: int = 0

    @property
    def exit_code(self) -> int:
        """8 if anything differs or is on one side only, 3 if something could not be read, else 0."""
        if self.differs or self.only_in_folder or self.only_in_vault:
            return 8
        return 3 if self.unreadable else 0

    def as_json(self) -> dict[str, Any]:
        """As ``compare --json`` prints it."""
        return {
            "exit_code": self.exit_code,
            "commit": self.commit,
            "same": self.same,
            "differs": [{"path": each.path, "reason": each.reason} for each in self.differs],
            "only_in_folder": list(self.only_in_folder),
            "only_in_vault": list(self.only_in_vault),
            "unreadable": [{"path": each.path, "reason": each.reason} for each in self.unreadable],
            "ignored": self.ignored,
        }


def compare_folder(vault: Vault, folder: Path, *, at: str = "") -> FolderComparison:
    """Each notebook below ``folder``, which stands for the backed-up root, against the vault as of a moment.

    The layout is that of `databricks workspace export_dir`: a notebook's name and ``.py .sql .scala .r`` or ``.ipynb``.
    One newline at the very end does not count; of IPYNB the cells and their outputs count. Follows no symbolic link.

    Args:
        at: As `moment` takes it; empty for the last protected version.

    Raises:
        ConfigurationError: no such folder, no such moment, or no backup yet.
        VaultError, RemoteUnreachable: the vault cannot tell.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder.", hint="Name the folder that stands for the backed-up root.")
    selection = choose(vault, [vault.root], at=at)
    comparer = _Comparer(vault, {item.path: item for chosen in selection.chosen for item in chosen.items})
    for path, file in _files(vault.root, folder):
        comparer.see(path, file)
    return comparer.told(selection.commit)


def _files(root: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder, sorted, with the workspace path that it stands for."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(above) / name
            path = file.relative_to(folder).as_posix()
            yield f"{root.rstrip('/')}/{path.removesuffix(extension_of(path))}", file


class _Comparer:
    def __init__(self, vault: Vault, items: dict[str, Item]) -> None:
        self._vault = vault
        self._items = items
        self._left = dict(items)
        self._same: set[str] = set()
        self._differs: dict[str, str] = {}
        self._only_here: list[str] = []
        self._unreadable: list[Differing] = []
        self._ignored = 0

    def see(self, path: str, file: Path) -> None:
        """One file of the folder."""
        extension = extension_of(file.name)
        if not extension:
            self._ignored += 1
        elif path not in self._items:
            self._only_here.append(path)
        else:
            self._judge(self._items[path], extension, file)

    def _judge(self, item: Item, extension: str, file: Path) -> None:
        self._left.pop(item.path, None)
        try:
            data = file.read_bytes()
        except OSError as error:
            self._unreadable.append(Differing(item.path, f"{error}"))
            return
        if extension != item.extension:
            self._differs[item.path] = f"it is {extension} in the folder and {item.extension} in the vault"
        elif is_blob(data, item.blob) or self._same_document(item, data):
            self._same.add(item.path)
        else:
            self._differs[item.path] = "the content differs"

    def _same_document(self, item: Item, data: bytes) -> bool:
        if format_of(item.extension) is not NotebookFormat.IPYNB:
            return False
        ((_, wanted),) = self._vault.blobs.read([item.blob])
        return same(data, wanted, NotebookFormat.IPYNB)

    def told(self, commit: str) -> FolderComparison:
        """What was found; a notebook with a file of its own extension is the same whatever lies beside it."""
        differs = [Differing(path, why) for path, why in sorted(self._differs.items()) if path not in self._same]
        return FolderComparison(
            commit,
            len(self._same),
            tuple(differs),
            tuple(self._only_here),
            tuple(sorted(self._left)),
            tuple(self._unreadable),
            self._ignored,
        )

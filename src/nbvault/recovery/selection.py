"""Which notebooks a person wants back: paths, folders and globs, as of a moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import NamedTuple, Protocol

from nbvault.errors import ConfigurationError, VaultError
from nbvault.gitstore.reader import TreeEntry, entries_at, ls_tree
from nbvault.gitstore.vault import Vault
from nbvault.model import Row
from nbvault.paths import decode, extension_of, folder_forms, join, relative
from nbvault.recovery.moments import Moment, moment
from nbvault.recovery.names import spellings
from nbvault.recovery.notebooks import Found, Notebooks
from nbvault.recovery.places import glob, ours
from nbvault.recovery.versions import files_of

_FEW = 50
"""So many single notebooks are looked up one by one."""
_WILD = re.compile(r"[*?]")


class Item(NamedTuple):
    """A notebook as of the moment: its path then, its bytes by their blob, and its file's extension."""

    path: str
    blob: str
    extension: str


class Kind(str, Enum):
    """What an argument turned out to be."""

    NOTEBOOK = "notebook"
    FOLDER = "folder"
    GLOB = "glob"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one argument means. `base` is what its items' paths have in common and leave behind under ``--to``."""

    kind: Kind
    base: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted back, and as of when; `label` is empty for the last protected version."""

    commit: str
    label: str
    chosen: tuple[Chosen, ...]
    notes: tuple[str, ...] = ()


class _State(Protocol):
    """The notebooks of the vault at a moment."""

    def notebook(self, path: str) -> Item | None:
        """The one that had this path."""

    def below(self, folder: str) -> list[Item]:
        """All that lay below a folder, sorted by path."""

    def everything(self) -> list[Item]:
        """All, sorted by path."""

    def elsewhere(self, found: Found) -> Item | None:
        """The notebook that a path means today, where it was at the moment."""

    def bygone(self, folder: str) -> list[Item]:
        """The last versions of what was deleted in a folder where nothing is left."""


def choose(vault: Vault, paths: Sequence[str], *, at: str = "", notebooks: Notebooks | None = None) -> Selection:
    """What the paths mean at a moment (`moments.moment`), or in the last protected version.

    Args:
        notebooks: Those of the vault, where they are known already.

    Raises:
        ConfigurationError: a path never existed (names near ones) or not at that moment; no such moment; no backup yet.
        VaultError, RemoteUnreachable: the vault cannot tell.
    """
    if len(paths) > _FEW:
        vault.load_everything()
    notebooks = notebooks or Notebooks.of(vault)
    when = moment(vault, at) if at else None
    chooser = _Chooser(vault, notebooks, _Then(vault, notebooks, when) if when else _Now(vault, notebooks), when)
    chosen = tuple(chooser.choose(path) for path in paths)
    commit = when.commit if when else vault.meta.content
    return Selection(commit, when.label if when else "", chosen, tuple(chooser.notes))


@dataclass(slots=True)
class _Chooser:
    vault: Vault
    notebooks: Notebooks
    state: _State
    when: Moment | None
    notes: list[str] = field(default_factory=list)

    def choose(self, given: str) -> Chosen:
        if not given.strip():
            raise ConfigurationError("A path is empty.", hint="Name a notebook, a folder, or the root.")
        root = self.vault.root.rstrip("/") or "/"
        wanted = spellings(self.vault.root, given)
        if (given.rstrip("/") or "/") in (root, "/Workspace" + root, "/", "/Workspace"):
            return Chosen(Kind.FOLDER, root, tuple(self.state.everything()))
        for path in wanted:
            if found := self._there(path):
                return found
        # What a path names by itself, today or once, comes before what it fits as a pattern.
        for path in () if self._is_name(given, wanted) else wanted:
            if found := self._matching(path):
                return found
        return self._elsewhere(given, wanted)

    def _is_name(self, given: str, wanted: Sequence[str]) -> bool:
        """Whether a notebook or a folder ever was there, though no character says that it is no pattern."""
        if not any(map(_WILD.search, wanted)):
            return True
        folders = tuple(path.rstrip("/") + "/" for path in wanted)
        return self.notebooks.get(given) is not None or any(p.startswith(folders) for p in self.notebooks.paths())

    def _there(self, path: str) -> Chosen | None:
        if item := self.state.notebook(path):
            return Chosen(Kind.NOTEBOOK, path, (item,))
        items = self.state.below(path)
        return Chosen(Kind.FOLDER, path, tuple(items)) if items else None

    def _matching(self, pattern: str) -> Chosen | None:
        wild = _WILD.search(pattern)
        if wild is None:
            return None
        regex = glob(pattern)
        items = tuple(item for item in self.state.everything() if regex.fullmatch(item.path))
        if not items:
            raise ConfigurationError(
                f"No notebook{self._label()} matches {pattern}.", hint="`*` stays in a folder, `**` crosses folders."
            )
        return Chosen(Kind.GLOB, pattern[: wild.start()].rpartition("/")[0], items)

    def _elsewhere(self, given: str, wanted: Sequence[str]) -> Chosen:
        for path in wanted:
            if items := self.state.bygone(path):
                self.notes.append(f"Nothing lives in {path}: these are the last versions of what was deleted there.")
                return Chosen(Kind.FOLDER, path, tuple(items))
            self._refuse_empty(path)
        found = self.notebooks.find(given)
        item = self.state.elsewhere(found)
        if item is None:
            raise ConfigurationError(
                f"{found.path} was not in the vault{self._label()}.",
                hint=f"`nbvault history '{found.path}'` shows when it was.",
            )
        if item.path != found.path:
            self.notes.append(f"{found.path} means {item.path}{self._label()}.")
        return Chosen(Kind.NOTEBOOK, item.path, (item,))

    def _refuse_empty(self, folder: str) -> None:
        """Say of a folder that was there at another time when it was."""
        below = folder.rstrip("/") + "/"
        if any(path.startswith(below) for path in self.notebooks.paths()):
            raise ConfigurationError(f"The vault had nothing in {folder}{self._label()}.", hint="Give another time.")
        moves = (rename for moves in self.notebooks.renames.values() for rename in moves)
        left = next((rename for rename in moves if rename.old_path.startswith(below)), None)
        if left:
            raise ConfigurationError(
                f"The notebooks of {folder} have moved on, such as {left.old_path} to {left.new_path}.",
                hint="Name their present folder, or with --at a time when they were there.",
            )

    def _label(self) -> str:
        return f" at {self.when.label}" if self.when else ""


class _Now:
    """The last protected version of everything: the rows, and the tombstones."""

    def __init__(self, vault: Vault, notebooks: Notebooks) -> None:
        self._notebooks = notebooks
        self._vault = vault

    @cached_property
    def _items(self) -> dict[str, Item]:
        self._vault.load_everything()
        rows = sorted(self._vault.meta.rows.values(), key=lambda row: row.since)
        return {row.path: self._item(row, self._vault.blob_at[row.repo_path]) for row in rows}

    def notebook(self, path: str) -> Item | None:
        rows = sorted(self._notebooks.rows_at(path), key=lambda row: row.since, reverse=True)
        here = (self._item(row, blob) for row in rows if (blob := self._vault.blob_of(row.repo_path)))
        found = next(here, None)
        if found is None and (rows or any(row.path == path for row in self._vault.damaged)):
            raise VaultError(
                f"The file of {path} is missing in the vault.",
                hint="The next sync saves the notebook again; older versions can be restored with --at.",
            )
        return found

    @staticmethod
    def _item(row: Row, blob: str) -> Item:
        return Item(row.path, blob, extension_of(row.repo_path))

    def below(self, folder: str) -> list[Item]:
        return [item for item in self.everything() if item.path.startswith(folder + "/")]

    def everything(self) -> list[Item]:
        return sorted(self._items.values())

    def elsewhere(self, found: Found) -> Item | None:
        if found.row is not None:
            return self.notebook(found.row.path)
        stone = found.stone
        return Item(stone.path, stone.blob, extension_of(stone.repo_path)) if stone else None

    def bygone(self, folder: str) -> list[Item]:
        stones = sorted(self._notebooks.stones.values(), key=lambda stone: (stone.session, stone.since))
        last = {stone.path: stone for stone in stones if stone.path.startswith(folder + "/")}
        return sorted(Item(stone.path, stone.blob, extension_of(stone.repo_path)) for stone in last.values())


class _Then:
    """The tree of a commit, without the files that people put beside the notebooks."""

    def __init__(self, vault: Vault, notebooks: Notebooks, when: Moment) -> None:
        self._vault = vault
        self._notebooks = notebooks
        self._when = when

    @cached_property
    def _is_ours(self) -> Callable[[str], bool]:
        """Whether any notebook ever had a repository path."""
        return ours(self._notebooks)

    @cached_property
    def _all(self) -> list[Item]:
        return self._items(ls_tree(self._vault.git, self._when.commit))

    def notebook(self, path: str) -> Item | None:
        entries = list(files_of(self._vault.git, self._when.commit, root=self._vault.root, path=path))
        own = [entry for entry in entries if self._notebooks.is_ours(entry.path)]
        return Item(path, own[0].oid, extension_of(own[0].path)) if own else None

    def below(self, folder: str) -> list[Item]:
        git, commit = self._vault.git, self._when.commit
        entries = (entry for place in self._folders(folder) for entry in ls_tree(git, commit, place))
        return [item for item in self._items(entries) if item.path.startswith(folder + "/")]

    def everything(self) -> list[Item]:
        return self._all

    def elsewhere(self, found: Found) -> Item | None:
        for stay in reversed(self._notebooks.stays(found.object_id)):
            if stay.covers(self._when.session):
                entries = entries_at(self._vault.git, self._when.commit, [stay.repo_path])
                if blob := next((entry.oid for entry in entries if entry.kind == "blob"), ""):
                    return Item(stay.path, blob, extension_of(stay.repo_path))
        return None

    def bygone(self, folder: str) -> list[Item]:  # noqa: ARG002 - at a moment, what is not there is not there
        return []

    def _items(self, entries: Iterable[TreeEntry]) -> list[Item]:
        found: dict[str, Item] = {}
        for entry in entries:
            if entry.kind == "blob" and self._is_ours(entry.path):
                decoded = decode(entry.path)
                path = join(self._vault.root, decoded.components)
                found.setdefault(path, Item(path, entry.oid, decoded.extension))
        return sorted(found.values())

    def _folders(self, path: str) -> list[str]:
        """The folders of the tree whose names spell this workspace path, plain or marked."""
        try:
            names = relative(self._vault.root, path)
        except ValueError:
            return []
        above = [""]
        for name in names:
            candidates = [folder + "/".join(form) for folder in above for form in folder_forms(name)]
            found = entries_at(self._vault.git, self._when.commit, candidates)
            above = [entry.path + "/" for entry in found if entry.kind == "tree"]
        return [folder.rstrip("/") for folder in above]

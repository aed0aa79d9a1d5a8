"""The difference of two versions of one notebook, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nbvault.gitstore.vault import Vault
from nbvault.model import NotebookFormat
from nbvault.notebook import CellChange, Notebook, diff, parse
from nbvault.recovery.contents import written_in
from nbvault.recovery.history import Change, Version, history
from nbvault.recovery.moments import Moment, moment
from nbvault.recovery.notebooks import Found, Notebooks, Stay
from nbvault.recovery.past import Content, content_at, content_now

LIVE = "live"
Export = Callable[[str, NotebookFormat], bytes | None]
"""The bytes of the notebook that is at a workspace path now; None if there is none."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions: its name for people, and where the notebook was; `path` is empty if it was not there."""

    label: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of each cell from `old` to `new`; `notes` say what a person would not expect."""

    old: Side
    new: Side
    changes: tuple[CellChange, ...]
    notes: tuple[str, ...] = ()


def difference(
    vault: Vault, path: str, *, start: str = "", end: str = "", export: Export, notebooks: Notebooks | None = None
) -> Difference:
    """The change of the notebook that ``path`` means from one version to another, across renames.

    Where it was not there, all cells of the other version count as added or removed, and a note says so. Without
    ``end`` it is the last protected version; without ``start`` the one before ``end``'s; without both, the newest
    change. ``live`` is what the workspace has now, before which comes the last protected version.

    Args:
        path: As `Notebooks.find` takes it.
        start: Where from: as `moment` takes it, or ``live``.
        end: Where to, likewise.
        notebooks: Those of the vault, where they are known already.

    Raises:
        ConfigurationError: no such notebook, or no such moment.
        VaultError: its bytes are missing or damaged.
        NbvaultError: the workspace or the remote does not give what is needed.
    """
    return _Pair(vault, path, export, notebooks or Notebooks.of(vault)).compare(start.strip(), end.strip())


@dataclass(slots=True)
class _Version:
    """A version found: its notebook is None if it was not there."""

    side: Side
    notebook: Notebook | None


@dataclass(slots=True)
class _Pair:
    vault: Vault
    given: str
    export: Export
    _notebooks: Notebooks
    _found: Found = field(init=False)
    _stays: list[Stay] = field(init=False)

    def __post_init__(self) -> None:
        self._found = self._notebooks.find(self.given)
        self._stays = self._notebooks.stays(self._found.object_id)

    def compare(self, start: str, end: str) -> Difference:
        new = self._named(end) if end else self._newest() if not start else self._protected()
        if start:
            old = self._named(start)
        else:
            old = self._protected() if end == LIVE else self._before(moment(self.vault, end) if end else None)
        nothing = _nothing(new.notebook or old.notebook)
        changes = diff(old.notebook or nothing, new.notebook or nothing)
        return Difference(old.side, new.side, changes, tuple(self._notes(old, new)))

    def _named(self, text: str) -> _Version:
        return self._live() if text == LIVE else self._at(moment(self.vault, text))

    def _at(self, when: Moment) -> _Version:
        return self._read(when.label, content_at(self.vault, self._stays, when))

    def _protected(self) -> _Version:
        return self._read("the last protected version", content_now(self.vault, self._found))

    def _newest(self) -> _Version:
        versions = self._history()
        if not versions:
            self.vault.past.refuse_gaps()
        if versions[0].change is Change.DELETED:
            return self._read(_label(versions[0]), None)
        return self._read(_label(versions[0]), content_now(self.vault, self._found))

    def _before(self, when: Moment | None) -> _Version:
        """The version before the one at a moment, or before the newest."""
        versions = [each for each in self._history() if when is None or each.session <= when.session]
        if len(versions) < 2:
            self.vault.past.refuse_gaps()
            return self._read("before its first version", None)
        before = versions[1]
        if before.change is Change.DELETED:
            return self._read(_label(before), None)
        return self._at(Moment(before.commit, before.session, _label(before)))

    def _history(self) -> list[Version]:
        return history(self.vault, self.given, notebooks=self._notebooks)

    def _live(self) -> _Version:
        path = self._found.present_path
        form = content.form if (content := content_now(self.vault, self._found)) else NotebookFormat.SOURCE
        data = self.export(path, form)
        if data is None:
            return _Version(Side("the workspace now"), None)
        language = written_in(data, content.extension if content else "")
        return _Version(Side("the workspace now", path), parse(data, language=language, format=form))

    def _read(self, label: str, content: Content | None) -> _Version:
        if content is None:
            return _Version(Side(label), None)
        ((_, data),) = self.vault.blobs.read([content.blob])
        return _Version(Side(label, content.path), content.parsed(data))

    def _notes(self, old: _Version, new: _Version) -> list[str]:
        found = []
        name = self._found.present_path
        if old.notebook is None and new.notebook is None:
            return [f"{name} was neither there at {old.side.label} nor at {new.side.label}."]
        if old.notebook is None:
            found.append(f"{name} was not there ({old.side.label}): every cell counts as added.")
        if new.notebook is None:
            found.append(f"{name} is not there ({new.side.label}): every cell counts as removed.")
        if old.side.path and new.side.path and old.side.path != new.side.path:
            found.append(f"It moved from {old.side.path} to {new.side.path}.")
        return found


def _nothing(like: Notebook | None) -> Notebook:
    """A notebook without a cell."""
    form = like.format if like else NotebookFormat.SOURCE
    return Notebook(form, like.language if like else "", (), (b"",))


def _label(version: Version) -> str:
    return f"{version.at:%Y-%m-%d %H:%M} UTC, {version.commit[:12]}"

"""What a change did to the cells and lines of its notebook, read in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbvault.errors import NbvaultError
from nbvault.gitstore.vault import Vault
from nbvault.model import NotebookFormat
from nbvault.notebook import CellChange, CellSummary, Notebook, diff, parse, summary
from nbvault.paths import extension_of
from nbvault.recovery.contents import format_of, language_of
from nbvault.reporting.walk import NotebookChange

AT_ONCE = 1000
"""So many changes have their bytes fetched in one request, where they are not here."""
LARGE_BYTES = 2_000_000
"""A larger version is not compared: nobody reads that, and a report must not wait for it."""


@dataclass(frozen=True, slots=True)
class Detailed:
    """A change and what it did; `counts` is None where that was not looked at, `cells` where it is not to be shown."""

    change: NotebookChange
    counts: CellSummary | None = None
    cells: tuple[CellChange, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """As the JSON report shows it; `cells` and lines are null where they were not counted."""
        counts = self.counts
        found = self.change.as_json()
        found["cells"] = cell_counts(counts) if counts else None
        found["lines_added"] = counts.lines_added if counts else None
        found["lines_removed"] = counts.lines_removed if counts else None
        return found


def cell_counts(counts: CellSummary) -> dict[str, int]:
    """How many cells came, went, changed and moved."""
    return {"added": counts.added, "removed": counts.removed, "changed": counts.changed, "moved": counts.moved}


class Looker:
    """Adds details to a stream of changes, for the first `counted` of them; keeps the cells of the first `kept`.

    `trouble` is why details are missing where they should be there; empty if none are.
    """

    def __init__(self, vault: Vault, *, counted: int, kept: int = 0) -> None:
        self._vault = vault
        self.asked = counted > 0
        self._counted = counted
        self._kept = kept
        self.trouble = ""
        self.left_out = 0

    def look(self, found: Iterable[NotebookChange]) -> Iterator[Detailed]:
        """The changes in their order, each with its details, a thousand at a time."""
        stream = iter(found)
        while piece := list(islice(stream, min(AT_ONCE, self._counted) if self._counted else 0)):
            self._counted -= len(piece)
            yield from self._piece(piece)
        for change in stream:
            self.left_out += 1
            yield Detailed(change)

    def _piece(self, piece: list[NotebookChange]) -> Iterator[Detailed]:
        """Both versions of each come one after the other: two are in memory at a time."""
        wanted = [oid for change in piece for oid in _blobs(change)]
        try:
            self._vault.blobs.ensure(wanted)
        except NbvaultError as error:
            self.trouble = self.trouble or str(error)
            yield from map(Detailed, piece)
            return
        data = self._vault.blobs.read(wanted)
        for change in piece:
            yield self._one(change, *(next(data)[1] if oid else b"" for oid in (change.old_blob, change.new_blob)))

    def _one(self, change: NotebookChange, old: bytes, new: bytes) -> Detailed:
        if not change.old_blob and not change.new_blob:
            return Detailed(change)
        if change.old_path and not change.old_blob:
            # It came back from its deletion: what it was before is not told.
            return Detailed(change)
        if max(len(old), len(new)) > LARGE_BYTES:
            return Detailed(change)
        after = _parsed(new, change.repo_path) if change.new_blob else None
        before = _parsed(old, change.old_repo_path or change.repo_path) if change.old_blob else None
        cells = diff(before or _nothing(after), after or _nothing(before))
        kept = cells if self._kept > 0 else None
        self._kept -= 1
        return Detailed(change, summary(cells), kept)


def _blobs(change: NotebookChange) -> list[str]:
    return [oid for oid in (change.old_blob, change.new_blob) if oid]


def _parsed(data: bytes, repo_path: str) -> Notebook:
    extension = extension_of(repo_path)
    return parse(data, language=language_of(extension), format=format_of(extension))


def _nothing(like: Notebook | None) -> Notebook:
    """A notebook without a cell."""
    form = like.format if like else NotebookFormat.SOURCE
    return Notebook(form, like.language if like else "", (), (b"",))

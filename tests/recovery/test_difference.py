"""The difference of two versions of a notebook follows it wherever it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nbvault.errors import ConfigurationError
from nbvault.notebook import CellChange
from nbvault.notebook.diff import told_lines
from nbvault.opening import read_vault
from nbvault.proof import exporter
from nbvault.recovery.difference import Difference, difference
from recovery.places import ANN, BOB, ROOT, Desk


def compare(desk: Desk, path: str, **options: Any) -> Difference:
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        return difference(vault, path, export=exporter(desk.settings, clock=desk.clock), **options)


def kinds(changes: Sequence[CellChange]) -> list[str]:
    return [change.kind.value for change in changes]


def lines(found: Difference) -> list[str]:
    return [line.mark + line.text for change in found.changes for line in told_lines(change) if line.mark != " "]


def test_without_options_it_is_the_newest_change(story: Desk) -> None:
    """The newest version against the one before it, also where the notebook moved in between."""
    found = compare(story, "/Clients/b/etl2")
    assert lines(found) == ["-two", "+three"]
    assert "/b/etl2" in found.old.path


def test_between_two_sessions_it_follows_renames(story: Desk) -> None:
    """The path means the notebook: what it was under other names is found, and the move is said."""
    found = compare(story, "/Clients/b/etl2", start=story.diary[0].at, end=story.diary[3].report.tag)
    assert (found.old.path, found.new.path, lines(found)) == ("/Clients/a/etl", "/Clients/b/etl2", ["-one", "+three"])
    assert any("moved from /Clients/a/etl" in note for note in found.notes)
    swapped = compare(story, "/Clients/swap/A", start=story.diary[0].at)
    assert (swapped.old.path, kinds(swapped.changes)) == ("/Clients/swap/B", ["same"])


def test_with_one_end_the_other_is_the_version_before_or_the_last(story: Desk) -> None:
    """--from alone goes to the last protected version, --to alone comes from the version before."""
    assert lines(compare(story, "/Clients/b/etl2", start=story.diary[1].at)) == ["-two", "+three"]
    assert lines(compare(story, "/Clients/b/etl2", end=story.diary[1].at)) == ["-one", "+two"]


def test_where_it_was_not_there_all_cells_are_added_or_removed(story: Desk) -> None:
    """Before its birth and after its death a notebook has no cells, and a note says so."""
    gone = compare(story, "/Clients/gone/one")
    assert set(kinds(gone.changes)) == {"removed"}
    assert "is not there" in gone.notes[0]
    born = compare(story, "/Clients/back/squatter", start=story.diary[0].at)
    assert set(kinds(born.changes)) == {"added"}
    assert "was not there" in born.notes[0]
    first = compare(story, "/Clients/keep")
    assert set(kinds(first.changes)) == {"added"}
    never = compare(story, "/Clients/gone/one", start=story.diary[2].at, end=story.diary[3].at)
    assert (never.changes, len(never.notes)) == ((), 1)


def test_live_is_what_the_workspace_has_now(desk: Desk) -> None:
    """An edit that no session has saved yet, then a deletion, are seen against the last protected version."""
    desk.write("/live", "one\n", ANN)
    desk.sync()
    desk.write("/live", "two\n", BOB)
    assert lines(compare(desk, "live", end="live")) == ["-one", "+two"]
    assert lines(compare(desk, "live", start="live")) == ["-two", "+one"]
    desk.delete("/live")
    gone = compare(desk, "live", end="live")
    assert (set(kinds(gone.changes)), gone.new.path) == ({"removed"}, "")


def test_what_cannot_be_compared_is_said(story: Desk) -> None:
    """A path that never was, a moment that never was."""
    with pytest.raises(ConfigurationError, match="never had"):
        compare(story, f"{ROOT}/never")
    with pytest.raises(ConfigurationError, match="no backup yet"):
        compare(story, f"{ROOT}/keep", start="2001-01-01")

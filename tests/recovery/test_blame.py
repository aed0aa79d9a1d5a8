"""Every line has somebody who brought it, when, and in which session, wherever the notebook was then."""

from __future__ import annotations

import pytest

from nbvault.errors import ConfigurationError
from nbvault.opening import read_vault
from nbvault.recovery.blame import Blame, blame
from nbvault.recovery.versions import show
from recovery.places import ANN, BOB, ROOT, ZOE, Desk


def blamed(desk: Desk, path: str, at: str = "") -> Blame:
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        return blame(vault, path, at=at)


def told(found: Blame, desk: Desk) -> list[tuple[str, str, int]]:
    """Text, e-mail of the author and number of the session (from 0) of each line but the first, which is the header."""
    sessions = [day.report.session for day in desk.diary]
    lines = [(line.text, line.version.author.email, sessions.index(line.version.session)) for line in found.lines]
    return lines[1:]


def test_lines_keep_their_author_through_edits_and_renames(desk: Desk) -> None:
    """Three people in four sessions, with a move in between; at a moment the notebook is blamed as it was."""
    desk.sync()
    desk.write("/a", "first\nsecond\nthird\n", ANN)
    desk.sync()
    desk.write("/a", "first\nSECOND\r\nthird\n", BOB)
    desk.sync()
    desk.move("/a", "/b")
    desk.sync()
    desk.write("/b", "zeroth\nfirst\nSECOND\nthird", ZOE)
    desk.sync()
    found = blamed(desk, "/Clients/a")
    assert found.path == f"{ROOT}/b"
    assert told(found, desk) == [("zeroth", ZOE, 4), ("first", ANN, 1), ("SECOND", BOB, 2), ("third", ANN, 1)]
    then = blamed(desk, "/Clients/b", at=desk.diary[1].at)
    assert (then.path, told(then, desk)) == (
        f"{ROOT}/a",
        [("first", ANN, 1), ("second", ANN, 1), ("third", ANN, 1)],
    )


def test_the_lines_are_the_source_of_every_notebook(story: Desk) -> None:
    """For every living notebook, however it moved, swapped or came back: the lines are those of its source."""
    with read_vault(story.settings, warn=story.warnings.append, clock=story.clock) as vault:
        for path in story.diary[-1].sums:
            found = blame(vault, path)
            assert found.path == path
            assert [line.text for line in found.lines] == show(vault, path).data.decode().splitlines()


def test_a_deleted_notebook_and_a_wrong_moment_are_told(story: Desk) -> None:
    """The last version of what is gone, with a note; a moment at which it was not there is refused."""
    assert "was deleted" in blamed(story, "/Clients/gone/one").note
    with pytest.raises(ConfigurationError, match="was not in the vault"):
        blamed(story, "/Clients/gone/one", at=story.diary[3].at)

"""What is gone is told: when, by whom, and what its last good version was."""

from __future__ import annotations

import hashlib

import pytest

from nbvault.errors import ConfigurationError
from nbvault.opening import read_vault
from nbvault.recovery import bygone as module
from nbvault.recovery.bygone import Gone, bygone
from recovery.places import ROOT, Desk


def gone(desk: Desk, place: str = "") -> dict[str, Gone]:
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        return {f"{each.path.removeprefix(ROOT)} {each.session}": each for each in bygone(vault, place)}


@pytest.mark.parametrize("few", [0, 40])
def test_everything_that_is_gone_is_told_with_its_last_version(
    story: Desk, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each deletion with its session, an unknown culprit, and the very bytes that were saved last; either walk."""
    # A threshold and no behaviour: both ways of walking must say the same.
    monkeypatch.setattr(module, "_FEW", few)
    sessions = [day.report.session for day in story.diary]
    found = gone(story)
    expected = {
        ("/gone/one", 1),
        ("/reuse/p", 1),
        ("/reuse/p", 3),
        ("/re/create", 2),
        ("/re/same", 2),
    }
    assert {(each.path.removeprefix(ROOT), sessions.index(each.session)) for each in found.values()} == expected
    for each in found.values():
        started_at = story.diary[sessions.index(each.session)].report.started_at
        assert each.at is not None
        assert abs((each.at - started_at).total_seconds()) < 60
        assert each.by.name == "unknown"
        day = story.diary[sessions.index(each.session) - 1]
        with read_vault(story.settings, warn=story.warnings.append) as vault:
            ((_, data),) = vault.blobs.read([each.blob])
            assert hashlib.sha256(data).hexdigest() == day.sums[each.path]
        assert story.show(each.path, at=each.commit).blob == each.blob


def test_a_place_may_be_a_notebook_a_folder_or_a_glob(story: Desk) -> None:
    """Only what is gone there is told; the last to go comes first; nothing is no error."""
    assert [each.path for each in gone(story, "/Clients/reuse").values()] == [f"{ROOT}/reuse/p"] * 2
    sessions = [each.session for each in gone(story, "reuse/p").values()]
    assert sessions == sorted(sessions, reverse=True)
    assert {each.path for each in gone(story, "/Clients/**/*e").values()} == {
        f"{ROOT}/re/create",
        f"{ROOT}/re/same",
        f"{ROOT}/gone/one",
    }
    assert gone(story, "/Clients/keep") == {}
    assert len(gone(story, "/Clients/")) == len(gone(story))


def test_before_the_first_session_nothing_can_be_said(desk: Desk) -> None:
    """An empty vault is told as such."""
    with pytest.raises(ConfigurationError, match="no backup yet"):
        gone(desk)

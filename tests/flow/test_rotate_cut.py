"""A rotation that was cut off and done again: what is said meanwhile is true, and afterwards nothing is left of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.tampering import edited, rewrite
from flow.places import git
from flow.test_rotate import command, elsewhere, rotate
from nbvault.auditing import accept_trail, verify_trail
from nbvault.gitstore.epochs import Epoch, Force, Lineage, dump
from nbvault.rotation import run_rotate
from nbvault.state.store import StateManager
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD, ROOT, Desk

META = "refs/heads/nbvault/meta"
AFTER_ANNOUNCE, AFTER_READY = "Pushing the content", "Ending the old vault"


class CutOff(Exception):
    """The machine went down."""


def cut_off(desk: Desk, url: str, *, at: str) -> None:
    """A rotation ends where it says that it begins with a step."""

    def say(text: str) -> None:
        if text == at:
            raise CutOff

    with pytest.raises(CutOff):
        run_rotate(desk.settings, url, by="ann", say=say, clock=desk.clock)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A vault with one session."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD}]) as emulator:
        desk = Desk(emulator, tmp_path)
        desk.sync()
        yield desk


def done_again(desk: Desk) -> None:
    """Cut off when all was ready; a session in the old vault, the rotation once more, and a session in the new one."""
    url = desk.emulator.repository("next")
    cut_off(desk, url, at=AFTER_READY)
    desk.sync()
    run_rotate(desk.settings, url, by="ann", say=desk.warnings.append, clock=desk.clock)
    desk.remote = url
    desk.sync()


def test_the_trail_of_a_rotation_done_again_is_in_order(desk: Desk, tmp_path: Path) -> None:
    """What an attempt had made ready before the old vault went on is not judged: it was never in force."""
    done_again(desk)
    assert verify_trail(desk.settings, full=True).faults == ()
    fresh = elsewhere(desk, tmp_path / "fresh")
    assert verify_trail(fresh.settings, full=True).faults == ()


@pytest.mark.parametrize("state", ["begun", "ready", "preparing"])
def test_what_is_changed_in_a_rotated_vault_is_found(desk: Desk, tmp_path: Path, state: str) -> None:
    """A changed line is found by the vault's own history, whatever the one who changed it says of the epoch."""
    done_again(desk)
    server = desk.emulator.git_dir / "next.git"
    true = json.loads(git(server, "show", f"{META}:epochs.json"))
    rewrite(server, edited, files={"epochs.json": json.dumps({**true, "state": state}).encode()})
    tampered = git(server, "rev-parse", META).decode()[:12]
    rewrite(server, list, files={"epochs.json": json.dumps(true).encode()})
    found = verify_trail(elsewhere(desk, tmp_path / "fresh").settings, full=True)
    assert (found.exit_code, [fault.what.split()[1] for fault in found.faults]) == (8, [tampered])


def test_what_is_changed_in_the_third_epoch_is_found(desk: Desk, tmp_path: Path) -> None:
    """Each epoch is judged from the commit with which it came into force."""
    rotate(desk, "second")
    desk.sync()
    rotate(desk, "third")
    assert verify_trail(elsewhere(desk, tmp_path / "before").settings, full=True).exit_code == 0
    rewrite(desk.emulator.git_dir / "third.git", edited)
    assert verify_trail(elsewhere(desk, tmp_path / "after").settings, full=True).exit_code == 8


@pytest.mark.parametrize("at", [AFTER_ANNOUNCE, AFTER_READY])
def test_an_unfinished_rotation_is_no_tampering(desk: Desk, tmp_path: Path, at: str) -> None:
    """A machine that is set to the new repository too early is told so, and nothing else."""
    url = desk.emulator.repository("next")
    cut_off(desk, url, at=at)
    (tmp_path / "other").mkdir()
    for file in desk.folder.glob("nbvault.db*"):
        shutil.copy(file, tmp_path / "other")
    other = elsewhere(desk, tmp_path / "other", remote=url)
    for words in (["sync"], ["audit", "verify"], ["audit", "verify", "--full"], ["state", "rebuild"]):
        code, out, err = command(other, *words)
        told = out.decode() + err
        assert (code, "The rotation into this vault has not ended" in told, "audit trail" in told) == (
            7,
            True,
            False,
        ), told
    with StateManager(other.settings.state.connection_url()) as state:
        assert len(state.audit_heads()) == 1
    _, out, _ = command(other, "status")
    assert ("Epoch 2: since" in out.decode(), "Epoch 2: not known to be in force" in out.decode()) == (False, True)
    assert "other sessions or people wrote" not in out.decode()


@pytest.mark.parametrize("knows", ["everything", "nothing", "the old vault only"])
def test_status_between_rotation_and_session(desk: Desk, tmp_path: Path, knows: str) -> None:
    """That the rotation began the new main branch is told as that, and after the next session not any more."""
    (tmp_path / "other").mkdir()
    here = desk if knows == "everything" else elsewhere(desk, tmp_path / "other")
    if knows == "the old vault only":
        assert command(here, "sync")[0] == 0
    rotate(desk, "next")
    here.remote = desk.remote
    code, out, _ = command(here, "status")
    told = out.decode()
    assert (code, "has ended there yet" in told, "people wrote" in told) == (0, True, False), told
    assert command(here, "sync")[0] == 0
    told = command(here, "status")[1].decode()
    assert ("ended there yet" in told, "people wrote" in told) == (False, False), told


def test_the_next_epoch_begins_with_what_was_accepted(desk: Desk, tmp_path: Path) -> None:
    """What somebody changed and somebody accepted is named by that epoch for ever, and not by the next one."""
    rewrite(desk.emulator.git_dir / "vault.git", edited)
    accept_trail(desk.settings, by="dana", reason="a secret was removed", say=desk.warnings.append, clock=desk.clock)
    codes = [verify_trail(desk.settings, full=full).exit_code for full in (False, True)]
    rotate(desk, "next")
    desk.sync()
    codes += [verify_trail(desk.settings, full=full).exit_code for full in (False, True)]
    assert codes == [0, 8, 0, 0]


def test_an_invented_epoch_hides_nothing(desk: Desk, tmp_path: Path) -> None:
    """A vault that followed no other is judged from its first commit, whatever is said of epochs on top of it."""
    server = desk.emulator.git_dir / "vault.git"
    rewrite(server, edited)
    sha = git(server, "rev-parse", META).decode().strip()
    before = Epoch(1, desk.emulator.git_url + "-none", "", "", "", sha, sha, sha, sha)
    for state in (Force.PREPARING, Force.READY, Force.BEGUN):
        rewrite(server, list, files={"epochs.json": dump(Lineage(2, "r", state, "", "", (before,)))})
    found = verify_trail(elsewhere(desk, tmp_path / "fresh").settings, full=True)
    assert (found.exit_code, [fault.what.split()[1] for fault in found.faults]) == (8, [sha[:12]])

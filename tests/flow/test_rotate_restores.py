"""Restores that a rotation leaves in the epoch before: what can still be done with them, and who is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.test_rotate import command, rotate
from nbvault.gitstore.restores import RECEIPT, opened_restores
from nbvault.opening import opened_vault
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD, ROOT, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A vault with two sessions, between which a notebook was changed."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD}]) as emulator:
        desk = Desk(emulator, tmp_path)
        desk.write("/a", "one")
        desk.sync()
        desk.write("/a", "two")
        desk.sync()
        yield desk


def restored(desk: Desk, *, status: str) -> str:
    """A restore that ended so, as its receipt says."""
    code, out, err = command(desk, "restore", f"{ROOT}/a", "--at", desk.diary[0].at, "--yes", "--json")
    assert code == 0, err
    restore = str(json.loads(out)["restore"])
    with opened_vault(desk.settings, clock=desk.clock) as vault:
        vault.refresh()
        with opened_restores(vault, clock=desk.clock) as branch:
            oid = branch.files(restore)[RECEIPT]
            receipt = {**json.loads(branch.read([oid])[oid]), "status": status}
            branch.append(restore, {RECEIPT: json.dumps(receipt).encode()}, subject=status, receipt=oid)
    return restore


@pytest.mark.parametrize("words", ["--resume", "--abandon"])
@pytest.mark.parametrize("status", ["interrupted", "abandoned"])
def test_a_restore_of_an_earlier_epoch_can_only_be_undone(desk: Desk, words: str, status: str) -> None:
    """To resume or abandon it is refused with the reason and the way out, which works."""
    restore = restored(desk, status=status)
    rotate(desk, "next")
    desk.sync()
    code, _, err = command(desk, "restore", words, restore, "--yes")
    assert (code, "belongs to epoch 1, which ended at 20" in err, f"nbvault undo {restore}" in err) == (
        7,
        True,
        True,
    ), err
    assert command(desk, "undo", restore, "--yes")[0] == 0


def test_restores_of_earlier_epochs_are_known(desk: Desk) -> None:
    """Whoever mistypes the name is told the last ones, of whatever epoch."""
    restore = restored(desk, status="complete")
    rotate(desk, "next")
    desk.sync()
    told = [command(desk, *words, "20261121T020000Z-aaaaaa", "--yes") for words in (["restore", "--resume"], ["undo"])]
    assert [(code, restore in err, "no restore yet" in err) for code, _, err in told] == [(7, True, False)] * 2


def test_a_rotation_tells_of_restores_that_were_interrupted(desk: Desk) -> None:
    """Before anything is done it is said, once, what can be resumed now only; what was dealt with is not told."""
    first = restored(desk, status="interrupted")
    url = desk.emulator.repository("next")
    code, _, err = command(desk, "rotate", "--to", url, "--dry-run")
    assert (code, err.count(f"nbvault restore --resume {first}")) == (0, 1), err
    assert command(desk, "undo", first, "--yes")[0] == 0
    second = restored(desk, status="interrupted")
    code, _, err = command(desk, "rotate", "--to", url, "--yes")
    assert (code, first in err, err.count(f"nbvault restore --resume {second}")) == (0, False, 1), err

"""A rotation that is killed at any moment leaves one vault in force, and can be called again."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flow.places import Machine, check_health, check_tree, git, refs_of, session_records, tree_of, world_of
from flow.test_kill import DeadlyGit
from nbvault.model import SessionReport
from nbvault.opening import read_vault
from nbvault.recovery.history import history
from nbvault_emulator.testing import Emulator

META = "refs/heads/nbvault/meta"
SEED = int(os.environ.get("NBVAULT_TEST_SEED", "1"))
PROGRAM = (sys.executable, "-m", "nbvault.cli.main")


@dataclass
class Turning:
    """A vault that is to be rotated again and again, each time from the same beginning."""

    emulator: Emulator
    machine: Machine
    deadly: DeadlyGit
    kept: Path
    target: str

    @classmethod
    def prepare(cls, emulator: Emulator, folder: Path) -> Turning:
        deadly = DeadlyGit(folder / "bin")
        machine = Machine(folder / "machine", emulator, sync_keys={"push_every": 3}, path=str(deadly.folder))
        assert machine.sync().exit_code == 0
        emulator.edit("/Clients/n1", "# Databricks notebook source\nsecond\n", editor="ann@clients.example")
        emulator.delete("/Clients/n2")
        assert machine.sync().exit_code == 0
        target = emulator.repository("next")
        shutil.copytree(machine.folder, folder / "kept" / "machine", symlinks=True)
        shutil.copytree(emulator.git_dir, folder / "kept" / "servers")
        return cls(emulator, machine, deadly, folder / "kept", target)

    @property
    def old(self) -> Path:
        return self.emulator.git_dir / "vault.git"

    @property
    def new(self) -> Path:
        return self.emulator.git_dir / "next.git"

    def go_back(self) -> None:
        """Both repositories and the machine as they were before."""
        for there, kept in (
            (self.machine.folder, "machine"),
            (self.old, "servers/vault.git"),
            (self.new, "servers/next.git"),
        ):
            shutil.rmtree(there)
            shutil.copytree(self.kept / kept, there, symlinks=True)
        self.deadly.aim(0, "before")

    def rotate(self) -> int:
        command = [*PROGRAM, "rotate", "--to", self.target, "--yes", "--json", "--config", str(self.machine.config)]
        done = subprocess.run(command, env=self.machine.environment(), capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def killed_at(self, number: int, moment: str) -> None:
        self.go_back()
        self.deadly.aim(number, moment)
        self.rotate()
        self.deadly.aim(0, "before")

    def successor(self) -> Machine:
        """A computer that has never seen the vault, with the new configuration."""
        folder = self.machine.folder.with_name("successor")
        shutil.rmtree(folder, ignore_errors=True)
        return Machine(folder, self.emulator, remote=self.target)


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[Turning]:
    """Eight notebooks, two sessions, and an empty repository beside the vault's."""
    world = [
        {"path": f"/Clients/n{number}", "content": f"# Databricks notebook source\n{number}\n"} for number in range(8)
    ]
    with Emulator(world=world, in_process=False) as running:
        yield Turning.prepare(running, tmp_path)


def _aims(turning: Turning) -> list[int]:
    """The git commands of an undisturbed rotation, by their number."""
    turning.go_back()
    turning.rotate()
    return list(range(1, turning.deadly.commands() + 1))


def _is_announced(turning: Turning) -> bool:
    return META in refs_of(turning.new)


def _is_ended(turning: Turning) -> bool:
    return "successor.json" in tree_of(turning.old, META)


def _check_one_is_in_force(turning: Turning) -> None:
    """Of the two vaults one takes a session, and the other refuses it."""
    ended, announced = _is_ended(turning), _is_announced(turning)
    there = turning.successor().sync() if announced else None
    here = turning.machine.sync()
    assert here.exit_code == (7 if ended else 0), here
    assert there is None or there.exit_code == (0 if ended else 7), there


def _check_whole(turning: Turning) -> None:
    """The new vault has everything, a session there changes nothing, and its past goes back to the first day."""
    world = world_of(turning.emulator)
    machine = turning.successor()
    report: SessionReport = machine.sync()
    slice_of_today = sum(number % 30 == report.started_at.timestamp() // 86_400 % 30 for number in world)
    assert (report.exit_code, report.commits, report.counts.deleted) == (0, 0, 0), report
    assert report.requests.export <= slice_of_today, report.requests
    for repository in (turning.old, turning.new):
        check_health(repository)
    tips = {ref: tree_of(turning.new, ref) for ref in ("main", "backup/daily")}
    assert {ref: sorted(tree) for ref, tree in tips.items()} == {ref: sorted(tree_of(turning.old, ref)) for ref in tips}
    assert tips["main"] == tree_of(turning.old, "main")
    assert session_records(turning.old).keys() <= session_records(turning.new).keys()
    lineage = json.loads(git(turning.new, "show", f"{META}:epochs.json"))
    successor = json.loads(git(turning.old, "show", f"{META}:successor.json"))
    assert (lineage["state"], lineage["rotation"]) == ("begun", successor["rotation"])
    with read_vault(machine.settings(), warn=print) as vault:
        assert [each.change.value for each in history(vault, "/Clients/n1")] == ["modified", "added"]
        assert [each.change.value for each in history(vault, "/Clients/n2")] == ["deleted", "added"]


def _go_through(turning: Turning, number: int, moment: str, *, session_between: bool) -> None:
    turning.killed_at(number, moment)
    if session_between:
        _check_one_is_in_force(turning)
    assert turning.rotate() == 0
    assert _is_ended(turning)
    _check_whole(turning)
    assert turning.machine.sync().exit_code == 7


def test_killed_at_a_git_command(turning: Turning) -> None:
    """Killed at some git command, exactly one of the two vaults is in force, and calling it again ends it."""
    early, late = sorted(random.Random(SEED).sample(_aims(turning), 2))
    _go_through(turning, early, "before", session_between=True)
    _go_through(turning, late, "after", session_between=False)


@pytest.mark.campaign
def test_killed_at_every_git_command(turning: Turning) -> None:
    """The same at every git command."""
    for number in _aims(turning):
        _go_through(turning, number, "before", session_between=number % 2 == 0)
        print(number)  # noqa: T201


def test_moved_on_between_two_attempts(turning: Turning) -> None:
    """What the old vault saved after a rotation was cut off is in the new one when it is called again."""
    aims = _aims(turning)
    turning.killed_at(aims[len(aims) * 2 // 3], "before")
    assert (_is_announced(turning), _is_ended(turning)) == (True, False)
    turning.emulator.edit("/Clients/n3", "# Databricks notebook source\nlater\n", editor="ann@clients.example")
    turning.emulator.move("/Clients/n4", "/Clients/renamed")
    assert turning.machine.sync().exit_code == 0
    assert turning.rotate() == 0
    _check_whole(turning)
    check_tree(turning.emulator)
    assert tree_of(turning.new) == tree_of(turning.old)

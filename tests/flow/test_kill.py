"""A session that is killed at any moment leaves work to do again, and never a wrong vault."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flow.odd_world import Crowd, odd_world
from flow.places import (
    Machine,
    World,
    check_health,
    check_sums,
    check_tree,
    empty_the_server,
    expected_files,
    git,
    inventory_ids,
    notebooks_in,
    refs_of,
    server_of,
    session_records,
    world_of,
)
from nbvault.model import SessionReport, Status
from nbvault.state.store import StateManager
from nbvault_emulator.testing import Emulator

META = "refs/heads/nbvault/meta"
SEED = int(os.environ.get("NBVAULT_TEST_SEED", "1"))


@dataclass
class Site:
    """A workspace whose Git server can be emptied again and again."""

    emulator: Emulator
    pristine: Path
    notebooks: int
    asked_twice: int = 0

    def empty(self) -> None:
        empty_the_server(self.emulator, self.pristine)


def _site(folder: Path, notebooks: int) -> Iterator[Site]:
    # A notebook without times is exported every time; here exports are counted.
    world = [{k: v for k, v in each.items() if k != "modified_at"} for each in odd_world(notebooks)]
    with Emulator(world=world, in_process=False) as running:
        shutil.copytree(server_of(running), folder / "pristine.git")
        yield Site(running, folder / "pristine.git", notebooks)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace for the normal suite."""
    yield from _site(tmp_path_factory.mktemp("site"), 1000)


@pytest.fixture(scope="module")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A workspace for the campaign."""
    yield from _site(tmp_path_factory.mktemp("site"), 5000)


def _machine(site: Site, folder: Path, **more: Any) -> Machine:
    batch = max(site.notebooks // 20, 50)
    keys = {"batch_size": batch, "push_every": 2 * batch, "max_in_flight": 8}
    return Machine(folder, site.emulator, sync_keys=keys, **more)


def _killed_after(machine: Machine, seconds: float, *, computer: str) -> str:
    """Start a session, kill it, but not its children, after so many seconds; its id if it had begun."""
    process = machine.spawn(machine=computer)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    return _began(output)


def _began(output: str) -> str:
    lines = [json.loads(line) for line in output.splitlines() if line.endswith("}")]
    return next((line["began"] for line in lines if "began" in line), "")


def _covered(repository: Path) -> set[int]:
    """The notebooks that the meta branch there says are saved."""
    tip = refs_of(repository).get(META) if (repository / "HEAD").exists() else None
    return inventory_ids(repository, tip) if tip else set()


def _check_after(site: Site, machine: Machine, report: SessionReport) -> None:
    assert report.exit_code == 0, report
    check_sums(report)
    check_tree(site.emulator)
    check_tree(site.emulator, commit="backup/daily")
    check_health(server_of(site.emulator))
    check_health(machine.vault)
    refs = refs_of(server_of(site.emulator))
    assert refs["refs/heads/main"] in {sha for ref, sha in refs.items() if ref.startswith("refs/tags/backup/")}


def _check_recorded(site: Site, machine: Machine, killed: str, *, same: bool) -> None:
    """A killed session is called interrupted where it left a trace, unless it had already recorded its end."""
    if not killed:
        return
    record = session_records(server_of(site.emulator)).get(killed)
    assert record is not None, killed
    assert record["status"] in ("interrupted", "complete"), record
    if same:
        with StateManager(f"sqlite:///{machine.state}") as state:
            rows = {row.session: row.status for row in state.sessions()}
        assert rows[killed] == Status(record["status"])


def _kill_and_go_on(site: Site, folder: Path, seconds: float, *, same: bool) -> str:
    site.empty()
    killed_machine = _machine(site, folder / "killed")
    killed = _killed_after(killed_machine, seconds, computer="" if same else "another-computer boot ns")
    machine = killed_machine if same else _machine(site, folder / "fresh")
    covered = _covered(killed_machine.vault if same else server_of(site.emulator))
    report = machine.sync()
    _check_after(site, machine, report)
    day = int(report.started_at.timestamp() // 86_400)
    due = 0 if report.resumed else sum(number % 30 == day % 30 for number in covered)
    most = site.notebooks - len(covered) + due + site.asked_twice
    assert report.requests.export <= most, (len(covered), due, report.requests)
    _check_recorded(site, machine, killed, same=same)
    again = machine.sync()
    assert (again.exit_code, again.tag, again.commits) == (0, None, 0), again
    return f"{seconds:.2f} s: {len(covered)} covered, {report.requests.export} exported, {report.resumed=}"


def _kill_many(site: Site, folder: Path, kills: int) -> None:
    started = time.monotonic()
    whole = _machine(site, folder / "whole").spawn()
    report = json.loads(whole.communicate()[0].splitlines()[-1])
    duration = time.monotonic() - started
    assert (whole.returncode, report["requests"]["list"]) == (0, report["folders"])
    # Sources that look like an error are asked for a second time, in another form.
    site.asked_twice = report["requests"]["export"] - site.notebooks
    assert 0 < site.asked_twice < 50
    draw = random.Random(SEED)
    for number in range(kills):
        # One moment out of each part of the run: none of them is missed by chance.
        seconds = duration * (0.05 + 0.95 * (number // 2 * 2 + 2 * draw.random()) / kills)
        print(_kill_and_go_on(site, folder / str(number), seconds, same=number % 2 == 0), f"of {duration:.2f} s")  # noqa: T201


def test_killed_first_sync_goes_on(site: Site, tmp_path: Path) -> None:
    """Killed at five random moments of a first sync, it goes on from its checkpoints, here and on a new machine."""
    _kill_many(site, tmp_path, 5)


@pytest.mark.campaign
def test_killed_first_sync_goes_on_at_full_size(large_site: Site, tmp_path: Path) -> None:
    """The same at twenty moments of 5,000 notebooks."""
    _kill_many(large_site, tmp_path, 20)


WRAPPER = """#!/bin/sh
# Counts the commands of nbvault, and kills it before or after the one that the file kill_at names.
cd_free={folder}
exec 9> "$cd_free/lock"
flock 9
number=$(( $(cat "$cd_free/count") + 1 ))
echo "$number" > "$cd_free/count"
echo "$number $*" >> "$cd_free/record"
flock -u 9
exec 9>&-
read -r victim moment < "$cd_free/kill_at"
[ "$number $moment" = "$victim before" ] && kill -9 $PPID
[ "$number $moment" = "$victim after" ] || exec {git} "$@"
{git} "$@"
kill -9 $PPID
"""


@dataclass
class DeadlyGit:
    """A git on PATH that kills its caller at a chosen command."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        script = self.folder / "git"
        script.write_text(WRAPPER.format(folder=self.folder, git=shutil.which("git")))
        script.chmod(0o755)
        self.aim(0, "before")

    def aim(self, number: int, moment: str) -> None:
        (self.folder / "kill_at").write_text(f"{number} {moment}\n")
        (self.folder / "count").write_text("0\n")

    def commands(self) -> int:
        return int((self.folder / "count").read_text())


@dataclass
class Crossing:
    """A workspace between two states: the vault has the first, the workspace is in the second."""

    site: Site
    machine: Machine
    deadly: DeadlyGit
    kept: Path
    old: World
    new: World

    @classmethod
    def prepare(cls, site: Site, folder: Path) -> Crossing:
        site.empty()
        deadly = DeadlyGit(folder / "bin")
        machine = Machine(folder / "machine", site.emulator, path=str(deadly.folder))
        assert machine.sync().exit_code == 0
        old = world_of(site.emulator)
        crowd = Crowd({seen.path for seen in old.values()}, seed=SEED)
        site.emulator.batch(crowd.operations(60, deletions=20))
        kept = folder / "kept"
        shutil.copytree(machine.folder, kept / "machine", symlinks=True)
        shutil.copytree(server_of(site.emulator), kept / "server")
        return cls(site, machine, deadly, kept, old, world_of(site.emulator))

    def go_back(self) -> None:
        """Server, local repository and state store as they were before the changes were backed up."""
        shutil.rmtree(self.machine.folder)
        shutil.copytree(self.kept / "machine", self.machine.folder, symlinks=True)
        empty_the_server(self.site.emulator, self.kept / "server")

    def cross(self, number: int, moment: str) -> str:
        """A session that is killed at a git command; its id if it had begun."""
        self.go_back()
        self.deadly.aim(number, moment)
        process = self.machine.spawn()
        output, _ = process.communicate(timeout=120)
        self.deadly.aim(0, "before")
        assert process.returncode in (-signal.SIGKILL, 0), process.returncode
        return _began(output)

    def main_is(self) -> str:
        there = sorted(notebooks_in(server_of(self.site.emulator)))
        assert there in (sorted(expected_files(self.old)), sorted(expected_files(self.new)))
        return "old" if there == sorted(expected_files(self.old)) else "new"


def _cross_and_go_on(crossing: Crossing, number: int, moment: str, *, fresh: Path | None) -> None:
    killed = crossing.cross(number, moment)
    before = crossing.main_is()
    said = session_records(server_of(crossing.site.emulator)).get(killed, {})
    assert said.get("status") != "complete" or before == "new", said
    machine = crossing.machine if fresh is None else Machine(fresh, crossing.site.emulator)
    report = machine.sync()
    _check_after(crossing.site, machine, report)
    _check_recorded(crossing.site, machine, killed, same=fresh is None)
    if before == "old":
        conclusion = git(server_of(crossing.site.emulator), "log", "-1", "--format=%s", "main").decode()
        print(number, moment, report.counts, conclusion.strip())  # noqa: T201
    assert (machine.sync().commits, crossing.main_is()) == (0, "new")


@pytest.fixture
def crossing(tmp_path: Path) -> Iterator[Crossing]:
    """A small workspace with changes of every kind."""
    world = [{k: v for k, v in each.items() if k != "modified_at"} for each in odd_world(150)]
    with Emulator(world=world, in_process=False) as running:
        shutil.copytree(server_of(running), tmp_path / "pristine.git")
        yield Crossing.prepare(Site(running, tmp_path / "pristine.git", 150), tmp_path)


def _aims(crossing: Crossing) -> list[tuple[int, str]]:
    """Every moment at which an undisturbed session starts or has ended a git command."""
    crossing.cross(0, "before")
    crossing.go_back()
    crossing.deadly.aim(0, "before")
    assert crossing.machine.sync().exit_code == 0
    return [(number, moment) for number in range(1, crossing.deadly.commands() + 1) for moment in ("before", "after")]


def test_killed_at_a_git_command(crossing: Crossing, tmp_path: Path) -> None:
    """Killed at some git command of an incremental session, main is the old or the new state, and the next is right."""
    aims = _aims(crossing)
    for place, (number, moment) in enumerate(random.Random(SEED).sample(aims, 5)):
        fresh = tmp_path / f"fresh{place}" if place % 2 else None
        _cross_and_go_on(crossing, number, moment, fresh=fresh)


@pytest.mark.campaign
def test_killed_at_every_git_command(crossing: Crossing, tmp_path: Path) -> None:
    """The same at every git command: killed before it and gone on with here, killed after it and on a new machine."""
    for place, (number, moment) in enumerate(_aims(crossing)):
        _cross_and_go_on(crossing, number, moment, fresh=tmp_path / f"fresh{place}" if moment == "after" else None)

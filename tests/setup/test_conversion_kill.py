"""A conversion that is killed between any two of its steps goes on, or is rolled back, also from another machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conversion_places import ROOT, TARGET, Desk, everything, small_world, some
from nbvault_emulator.testing import Emulator

DRIVER = Path(__file__).with_name("driver.py")
TESTS = Path(__file__).parents[1]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A small workspace that was backed up; a killed session counts as dead at once on its own machine."""
    with Emulator(world=small_world()) as emulator:
        desk = Desk(tmp_path / "machine", emulator, {"max_in_flight": 1})
        desk.machine.sync()
        yield desk


def killed_at(desk: Desk, moment: int, *more: str) -> bool:
    """Run a conversion that kills itself at that moment; whether it did so before its end."""
    environment = {**desk.machine.environment(), "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, str(DRIVER), str(desk.machine.config), str(moment), *more]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


def check_both_ways(desk: Desk, moment: int, *more: str) -> None:
    """Kill, and roll back with the local repository lost; kill again, and go on to the end."""
    before = desk.left()
    if killed_at(desk, moment, *more) and desk.stage() not in ("", "rolled back"):
        shutil.rmtree(desk.machine.vault, ignore_errors=True)
        desk.roll_back()
        assert desk.left() == before
        killed_at(desk, moment, *more)
    options: dict[str, Any] = {"replace": True} if more and desk.stage() != "replaced" else {}
    if desk.stage() != "replaced":
        report = desk.convert(**options)
        assert report.exit_code == 0
    where = ROOT if more else TARGET
    texts = {each.path.removeprefix(where): each.content for each in everything(desk.emulator, where) if each.language}
    assert texts == {
        each.path.removeprefix(ROOT): each.content for each in before[0] if each.language and each.path.startswith(ROOT)
    }
    desk.roll_back()
    assert desk.left() == before


@pytest.mark.parametrize("moment", some(list(range(12))))
def test_killed_while_it_converts(desk: Desk, moment: int) -> None:
    """Beside the original: before and after each of credential, Git folder, and their records."""
    check_both_ways(desk, moment)


@pytest.mark.parametrize("moment", some(list(range(12, 58, 3)), 4))
def test_killed_while_it_replaces(desk: Desk, moment: int) -> None:
    """In its place: before and after deletions, the new Git folder, and their records."""
    check_both_ways(desk, moment, "replace")


def test_asked_to_stop_it_takes_everything_back(desk: Desk) -> None:
    """SIGTERM in the middle of the comparison ends it with 9, and what was there before is there again."""
    before = desk.left()
    desk.emulator.faults({"kind": "hang", "match": {"endpoint": "export", "path": f"{TARGET}/**", "times": 1}})
    command = [sys.executable, "-m", "nbvault.cli.main", "convert", "--config", str(desk.machine.config)]
    process = subprocess.Popen(command, env=desk.machine.environment(), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "Comparing what" in line:
            break
    fired = [0]
    while not fired[0] and process.poll() is None:
        fired = [each["fired"] for each in desk.emulator.call("GET", "/faults")]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 9
    assert (desk.stage(), desk.left()) == ("rolled back", before)

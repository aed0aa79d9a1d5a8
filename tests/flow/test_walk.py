"""Whatever happens to workspace, vault and machine, in any order, no session lies and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow.odd_world import odd_world
from flow.places import Machine
from flow.walk import Walk
from nbvault_emulator.testing import Emulator

SEED = int(os.environ.get("NBVAULT_TEST_SEED", "0"))


def _walk(folder: Path, seed: int, steps: int, *, thorough: bool = False) -> None:
    with Emulator(world=odd_world(120, seed=seed), in_process=False) as emulator:
        keys = {"batch_size": 40, "push_every": 40, "large": 200, "max_in_flight": 8}
        machine = Machine(folder, emulator, sync_keys=keys, workspace={"retry_s": 0.3, "timeout_s": 5})
        Walk(emulator, machine, SEED or seed, thorough=thorough).run(steps)


@pytest.mark.parametrize("seed", [1, 2])
def test_short_walk(seed: int, tmp_path: Path) -> None:
    """Twenty steps of everything that people and failures do: every session tells the truth, the end is right."""
    _walk(tmp_path, seed, 20)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 104))
def test_long_walk(seed: int, tmp_path: Path) -> None:
    """The same for three hundred steps."""
    _walk(tmp_path, seed, 300, thorough=True)

"""Desks at which notebooks are restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbvault_emulator.testing import Emulator
from recovery.places import ROOT
from recovery.restore.desk import RestoreDesk, source


@contextmanager
def backed_up(folder: Path) -> Iterator[RestoreDesk]:
    world = [{"path": f"{ROOT}/f/{name}", "content": source(f"first {name}\n")} for name in "abc"]
    world.append({"path": f"{ROOT}/keep", "content": source("keep")})
    with Emulator(world=world) as emulator:
        found = RestoreDesk(emulator, folder)
        found.sync()
        yield found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RestoreDesk]:
    """Three notebooks in a folder and one outside, backed up once."""
    with backed_up(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestoreDesk]:
    """The same, for tests that change nothing."""
    with backed_up(tmp_path_factory.mktemp("still")) as found:
        yield found

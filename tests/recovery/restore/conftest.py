"""Desks at which notebooks are restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvault_emulator.testing import Emulator
from recovery.places import ROOT
from recovery.restore.desk import RestoreDesk, source


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RestoreDesk]:
    """Three notebooks in a folder and one outside, backed up once."""
    world = [{"path": f"{ROOT}/f/{name}", "content": source(f"first {name}\n")} for name in "abc"]
    world.append({"path": f"{ROOT}/keep", "content": source("keep")})
    with Emulator(world=world) as emulator:
        found = RestoreDesk(emulator, tmp_path)
        found.sync()
        yield found

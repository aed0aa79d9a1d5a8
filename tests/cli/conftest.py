"""A desk beside a small workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_places import Desk, notebooks
from nbvault_emulator.testing import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A workspace with four notebooks in three folders."""
    world = notebooks("/Clients/2024/a", "/Clients/2024/b", "/Clients/2025/c", "/Clients/d")
    with Emulator(world=world) as running:
        yield running


@pytest.fixture
def desk(emulator: Emulator, tmp_path: Path) -> Desk:
    """A folder with a configuration for that workspace."""
    return Desk(tmp_path / "desk", emulator)

"""A machine that has synced a small workspace twice, the same for every test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.places import Machine, empty_the_server, server_of
from nbvault_emulator.testing import Emulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """A workspace with a few notebooks."""
    with Emulator(notebooks=6, years=1, engagements=1) as running:
        yield running


@pytest.fixture(scope="module")
def pristine(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A computer with a vault of two sessions; beside it, the Git server's repository as it is then."""
    machine = Machine(tmp_path_factory.mktemp("pristine") / "machine", emulator)
    machine.sync()
    machine.sync(full=True)
    shutil.copytree(server_of(emulator), machine.folder.with_name("server"))
    return machine


@pytest.fixture
def machine(pristine: Machine, tmp_path: Path) -> Machine:
    """A copy of that computer, and the server as it was."""
    folder = pristine.folder
    empty_the_server(pristine.emulator, folder.with_name("server"))
    shutil.copytree(folder, tmp_path / "machine", symlinks=True)
    return Machine(tmp_path / "machine", pristine.emulator)

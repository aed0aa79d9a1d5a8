"""A world that was saved once, copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_places import Place, Template
from nbvault_emulator.testing import Emulator


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A small world and its vault after the first sync, made once."""
    return Template.make(tmp_path_factory.mktemp("template"))


@pytest.fixture
def place(template: Template, tmp_path: Path) -> Iterator[Place]:
    """80 notebooks, all saved by a first sync a day ago; the remote is a folder."""
    with template.copy(tmp_path / "place") as copied:
        yield copied.by_path()


@pytest.fixture
def served(template: Template, tmp_path: Path) -> Iterator[Place]:
    """The same with the remote behind the emulator's HTTP server, which can misbehave."""
    with template.copy(tmp_path / "place") as copied:
        yield copied


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Place]:
    """80 notebooks and an empty remote."""
    with Emulator(notebooks=80, years=2, engagements=3) as emulator:
        (tmp_path / "machine").mkdir()
        yield Place(emulator, tmp_path / "machine")

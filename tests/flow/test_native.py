"""`export.format = "native"`: each notebook in the format that it has in the workspace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flow.places import Machine, blobs_of, server_of, tree_of
from nbvault_emulator.testing import Emulator

HEADER = "# Databricks notebook source\n"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    world = [
        {"path": "/Clients/a/plain", "language": "PYTHON", "content": HEADER + "print(1)"},
        {"path": "/Clients/a/table", "language": "SQL", "content": "-- Databricks notebook source\nSELECT 1"},
        {"path": "/Clients/a/lab", "language": "PYTHON", "format": "IPYNB", "content": HEADER + "print(2)"},
    ]
    with Emulator(world=world) as running:
        yield running


def machine_of(folder: Path, emulator: Emulator, form: str) -> Machine:
    machine = Machine(folder, emulator)
    machine.config.write_text(machine.config.read_text() + f'[export]\nformat = "{form}"\n')
    return machine


def files_in(emulator: Emulator) -> set[str]:
    return {path for path in tree_of(server_of(emulator), "main") if path.startswith("a/")}


def test_each_in_its_own_format(emulator: Emulator, tmp_path: Path) -> None:
    """IPYNB notebooks are kept as Jupyter documents, the others as SOURCE; asking again costs nothing."""
    machine = machine_of(tmp_path, emulator, "native")
    first, second = machine.sync(), machine.sync()
    assert files_in(emulator) == {"a/plain.py", "a/table.sql", "a/lab.ipynb"}
    assert (first.exit_code, first.counts.added, second.exit_code) == (0, 3, 0), (first, second)
    assert second.requests.other - second.requests.export == 1, "only who we are is asked, and what is exported"


def test_a_document_is_kept_with_its_cells(emulator: Emulator, tmp_path: Path) -> None:
    """The kept document is JSON with the notebook's cells."""
    machine_of(tmp_path, emulator, "native").sync()
    blob = tree_of(server_of(emulator), "main")["a/lab.ipynb"]
    document = json.loads(blobs_of(server_of(emulator), [blob])[blob])
    assert "print(2)" in "".join(document["cells"][0]["source"])


def test_changing_the_setting_renames_as_notebooks_change(emulator: Emulator, tmp_path: Path) -> None:
    """After the setting is changed, a notebook keeps its file until it changes; then it is one modification."""
    machine_of(tmp_path / "one", emulator, "source").sync()
    native = machine_of(tmp_path / "two", emulator, "native")
    assert (native.sync().counts.saved, files_in(emulator)) == (0, {"a/plain.py", "a/table.sql", "a/lab.py"})
    emulator.edit("/Clients/a/lab", HEADER + "print(3)", "ann@example.com")
    counts = native.sync().counts
    assert (counts.modified, counts.saved, counts.deleted) == (1, 1, 0)
    assert files_in(emulator) == {"a/plain.py", "a/table.sql", "a/lab.ipynb"}
    assert replace(native.sync().counts, listed=0, unchanged=0, folders=0).saved == 0

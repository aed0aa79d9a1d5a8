"""One long story that many tests read, and desks of their own for those that change something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvault_emulator.testing import Emulator
from recovery.places import ANN, BOB, ROOT, ZOE, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty workspace and a machine beside it."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": "# Databricks notebook source\n"}]) as emulator:
        yield Desk(emulator, tmp_path)


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Five sessions in which notebooks move, swap, die and come back; nobody may change it."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": "# Databricks notebook source\n"}]) as emulator:
        desk = Desk(emulator, tmp_path_factory.mktemp("story"))
        for chapter in (_first, _second, _third, _fourth, _fifth):
            chapter(desk)
            desk.sync()
        yield desk


def _first(desk: Desk) -> None:
    desk.write("/a/etl", "one")
    for name in ("/swap/A", "/swap/B", "/Case/Etl", "/folder/x/n1", "/folder/x/n2", "/re/create", "/gone/one"):
        desk.write(name, f"{name} line\r\nno end")
    for name in ("/same/A", "/same/B", "/re/same"):
        desk.write(name, "the same bytes")
    for name in ("/back/same", "/back/other", "/back/taken", "/lang/q", "/reuse/p", "/left/here", "/odd: %+/Ä?"):
        desk.write(name, f"{name} first\n")


def _second(desk: Desk) -> None:
    desk.write("/a/etl", "two\n", BOB)
    desk.move("/swap/A", "/swap/tmp")
    desk.move("/swap/B", "/swap/A")
    desk.move("/swap/tmp", "/swap/B")
    desk.move("/Case/Etl", "/Case/etl")
    desk.delete("/gone/one")
    desk.delete("/reuse/p")
    for name in ("same", "other", "taken"):
        desk.emulator.move(f"{ROOT}/back/{name}", f"/Archive/{name}")
    desk.write("/back/taken", "a squatter\n", BOB)
    desk.write("/lang/q", "select 1\n", ZOE, language="SQL")
    desk.move("/left/here", "/left/there")
    desk.write("/odd: %+/Ä?", "second", ZOE)


def _third(desk: Desk) -> None:
    desk.move("/a/etl", "/b/etl2")
    desk.move("/folder/x", "/folder/y")
    desk.delete("/re/create")
    desk.write("/re/create", "another one", ZOE)
    desk.delete("/re/same")
    desk.write("/re/same", "the same bytes", ZOE)
    desk.move("/same/A", "/same/tmp")
    desk.move("/same/B", "/same/A")
    desk.move("/same/tmp", "/same/B")
    desk.move("/back/taken", "/back/squatter")
    desk.write("/reuse/p", "another at p\n", BOB)


def _fourth(desk: Desk) -> None:
    desk.write("/b/etl2", "three", ZOE)
    desk.emulator.move("/Archive/same", f"{ROOT}/back/same")
    desk.emulator.move("/Archive/other", f"{ROOT}/back/elsewhere")
    desk.emulator.move("/Archive/taken", f"{ROOT}/back/taken")
    desk.delete("/reuse/p")
    desk.write("/folder/y/n1", "edited where it is now", ANN)


def _fifth(desk: Desk) -> None:
    desk.move("/Case/etl", "/Case/ETL")
    desk.write("/Case/ETL", "moved and edited", BOB)
    desk.write("/Case/Etl", "a new one under the first one's name", ANN)

"""Bytes belong to the notebook whose row they are kept under, also where two change places between list and export."""

from __future__ import annotations

from pathlib import Path

from flow.odd_world import HEADERS
from flow.places import ROOT, Machine, check_tree
from nbvault_emulator.testing import Emulator


def test_swap_between_listing_and_export_is_noticed(tmp_path: Path) -> None:
    """Two notebooks change places after they were listed and before they are exported: each keeps its own text."""
    one, other, between = f"{ROOT}/a/one", f"{ROOT}/b/other", f"{ROOT}/b/between"
    world = [{"path": path, "content": HEADERS["PYTHON"] + path} for path in (one, other)]
    moves = [{"op": "move", "from": start, "to": to} for start, to in ((one, between), (other, one), (between, other))]
    with Emulator(world=world) as emulator:
        machine = Machine(tmp_path, emulator)
        emulator.faults({"kind": "do", "do": moves, "match": {"endpoint": "export", "nth": 1}})
        machine.sync()
        emulator.faults()
        assert machine.sync().exit_code == 0
        check_tree(emulator)

"""The page about the emulator says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

from nbvault_emulator.faults import KINDS, parse
from nbvault_emulator.mutations import known_operations
from nbvault_emulator.options import EmulatorOptions

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def test_every_kind_of_fault_has_a_valid_example() -> None:
    """The faults on the page parse, and there is one of each kind."""
    (sample,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    faults = [parse(number, fault) for number, fault in enumerate(json.loads(sample))]
    assert {fault.kind for fault in faults} == KINDS


def test_every_flag_and_operation_is_named() -> None:
    """The page names each flag with its default, and each operation of the admin API."""
    options = EmulatorOptions()
    for name in EmulatorOptions.__slots__:
        assert f"`--{name.replace('_', '-')}`" in PAGE
    for name in ("notebooks", "years", "engagements", "seed", "root", "workers", "oversize"):
        assert f"| `--{name}` | {getattr(options, name)} |" in PAGE
    for name in known_operations() - {"import"}:
        assert f"POST /{name} " in PAGE

"""World files: objects as JSON lines, loaded instead of a generated world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbvault_emulator import mutations
from nbvault_emulator.world import World, WorldError

# Where a line names no time: long past, and the same at each start, so that nothing seems to have changed.
_DEFAULT_TIME_MS = 1_735_689_600_000


def load(world: World, path: Path) -> None:
    """Create the objects of a file, in its order; missing parents are made.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is malformed or is refused; the message names the line.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                _load_line(world, line, f"{path.name}, line {number}")


def _load_line(world: World, line: str, where: str) -> None:
    try:
        operation: Any = json.loads(line)
        if not isinstance(operation, dict):
            raise TypeError("expected a JSON object")
        kind = operation.get("object_type")
        folder = world.find(operation["path"]) if kind == "DIRECTORY" and "path" in operation else None
        if folder is None:
            mutations.apply(world, {"at": _DEFAULT_TIME_MS, **operation, "op": "create"})
    except WorldError as refused:
        raise ValueError(f"{where}: {refused.message}") from refused
    except (ValueError, TypeError) as wrong:
        raise ValueError(f"{where}: {wrong}") from wrong

"""What can be chosen when an emulator starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_BASE_FILE = "base.json"
_BASE_FIELDS = ("notebooks", "years", "engagements", "seed", "root", "oversize")


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """The flags of `nbvault emulator` as a value.

    Rates are requests a second, 0 for no limit. `world` is a file of JSON lines that replaces the generated world.
    `git_dir` is where `vault.git` is made: by default under `data`, else in a temporary directory removed at the end.
    `workers` processes answer on the same port. `oversize` of the generated notebooks are over the export limit.
    """

    host: str = "127.0.0.1"
    port: int = 0
    world: Path | None = None
    notebooks: int = 300
    years: int = 2
    engagements: int = 5
    seed: int = 1
    root: str = "/Clients"
    latency_ms: int = 0
    export_rate: float = 0
    list_rate: float = 0
    import_rate: float = 0
    faults: Path | None = None
    git_dir: Path | None = None
    data: Path | None = None
    workers: int = 1
    oversize: int = 0


def remember(options: EmulatorOptions, data: Path) -> EmulatorOptions:
    """The options with the base world that ``data`` was first started with; a new ``data`` remembers these.

    Raises:
        OSError: the directory cannot be written.
    """
    data.mkdir(parents=True, exist_ok=True)
    record = data / _BASE_FILE
    kept_world = data / "world.jsonl"
    if not record.exists():
        if options.world is not None:
            kept_world.write_bytes(options.world.read_bytes())
        record.write_text(json.dumps({name: asdict(options)[name] for name in _BASE_FIELDS}), encoding="utf-8")
    base = json.loads(record.read_text(encoding="utf-8"))
    return replace(options, **base, world=kept_world if kept_world.exists() else None)

"""`python -m nbvault_emulator`: the emulator from a command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nbvault_emulator.options import EmulatorOptions
from nbvault_emulator.server import run

_HELP = {
    "host": "address to listen on",
    "port": "port to listen on; 0 takes a free one",
    "world": "file of objects, as JSON lines, instead of a generated world",
    "notebooks": "notebooks in the generated world",
    "years": "year folders",
    "engagements": "engagement folders in each year",
    "seed": "another number gives another world",
    "root": "folder that holds the generated world",
    "latency_ms": "milliseconds before each answer",
    "export_rate": "exports a second, then 429; 0 for no limit",
    "list_rate": "listings a second, then 429; 0 for no limit",
    "import_rate": "imports a second, then 429; 0 for no limit",
    "faults": "file with a JSON list of faults",
    "git_dir": "where vault.git is made; by default a temporary directory",
    "data": "keeps the world between starts",
    "workers": "processes that answer on the port",
    "oversize": "how many generated notebooks are over the export limit",
}
_PATHS = {"world", "faults", "git_dir", "data"}


def parse(arguments: Sequence[str]) -> EmulatorOptions:
    """Options from a command line; exits with 2 and a message when they are wrong."""
    parser = argparse.ArgumentParser(prog="nbvault_emulator", description=__doc__)
    defaults = EmulatorOptions()
    for name in EmulatorOptions.__slots__:
        default = getattr(defaults, name)
        kind = Path if name in _PATHS else float if name.endswith("_rate") else type(default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=_HELP[name])
    return EmulatorOptions(**vars(parser.parse_args(arguments)))


def main() -> int:
    """Run the emulator; 1 and one line on stderr when it cannot start."""
    try:
        return run(parse(sys.argv[1:]))
    except (OSError, ValueError) as error:
        print(f"nbvault_emulator: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

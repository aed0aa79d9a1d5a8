"""`nbvault emulator`: a local workspace and Git server, until it is asked to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbvault.cli.options import config_option
from nbvault.errors import ConfigurationError

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; 0 takes a free one.")
@click.option("--world", type=_FILE, help="Objects as JSON lines, instead of a generated world.")
@click.option("--notebooks", type=click.IntRange(0), default=300, show_default=True, help="Notebooks to generate.")
@click.option("--years", type=click.IntRange(1), default=2, show_default=True, help="Year folders.")
@click.option("--engagements", type=click.IntRange(1), default=5, show_default=True, help="Engagements a year.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number gives another world.")
@click.option("--root", default="/Clients", show_default=True, help="Folder that holds the generated world.")
@click.option("--latency-ms", type=click.IntRange(0), default=0, help="Milliseconds before each answer.")
@click.option("--export-rate", type=click.FloatRange(0), default=0.0, help="Exports a second, then 429; 0: no limit.")
@click.option("--list-rate", type=click.FloatRange(0), default=0.0, help="Listings a second, then 429; 0: no limit.")
@click.option("--import-rate", type=click.FloatRange(0), default=0.0, help="Imports a second, then 429; 0: no limit.")
@click.option("--faults", type=_FILE, help="A JSON list of faults that are in force from the start.")
@click.option("--git-dir", type=_FOLDER, help="Where vault.git is made; otherwise a temporary folder.")
@click.option("--data", type=_FOLDER, help="Keeps the world between starts.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that answer.")
@click.option("--oversize", type=click.IntRange(0), default=0, help="Generated notebooks over the export limit.")
@config_option
def command(**given: Any) -> int:
    """A workspace with notebooks in it, and a Git server beside it, on this machine.

    Prints one JSON line when it is ready, with the addresses and tokens, and serves until SIGTERM or Ctrl-C.
    """
    from nbvault_emulator.options import EmulatorOptions
    from nbvault_emulator.server import run

    try:
        return run(EmulatorOptions(**given))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The emulator cannot start: {error}.") from error

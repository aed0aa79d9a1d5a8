"""A restore in a process of its own, made to be killed: driver.py FOLDER PATH. The environment says the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nbvault.recovery.restorer import Request
from nbvault.restoring import opened_restorer
from nbvault.settings import load_settings


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    settings = load_settings(environment=dict(os.environ), cwd=Path(sys.argv[1]))
    with opened_restorer(settings, say=lambda _: None) as restorer:
        restorer.done = lambda: _tell("done")
        prepared = restorer.plan(Request((sys.argv[2],)))
        _tell(prepared.intent.restore)
        return restorer.apply(prepared).exit_code


if __name__ == "__main__":
    sys.exit(main())

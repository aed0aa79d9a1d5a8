"""A session that is asked to stop while its git hangs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flow.places import DRIVER, Machine, check_health, check_tree, hanging_git, server_of, watched
from nbvault_emulator.testing import Emulator

HASTY = (
    "import runpy, sys; from nbvault.backup import stopping; stopping.STOP_WITHIN_S = 1.0; sys.argv = sys.argv[1:];"
    " runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""The driver, in which git has a second instead of fifteen: nothing else is waited for."""


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("ref", ["refs/heads/nbvault/lease", "refs/heads/nbvault/meta", "refs/heads/main"])
def test_a_push_that_hangs_does_not_keep_it(ref: str, batches: bool, tmp_path: Path) -> None:
    """Git is ended, the session is interrupted and not failed, and what it had committed is the next one's."""
    with Emulator(notebooks=60) as emulator:
        keys = {"batch_size": 20, "push_every": 60} if batches else {}
        machine = Machine(tmp_path / "a", emulator, sync_keys=keys, path=str(tmp_path / "bin"))
        hangs = hanging_git(tmp_path / "bin", f"*push*:{ref}*")
        command = [sys.executable, "-c", HASTY, str(DRIVER), str(machine.config)]
        process = subprocess.Popen(command, env=machine.environment(), stdout=subprocess.PIPE, text=True)
        watched(lambda: hangs.exists() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        report = json.loads(process.communicate(timeout=30)[0].splitlines()[-1])
        assert (process.returncode, report["exit_code"], report["status"]) == (9, 9, "interrupted"), report
        assert (report["pushed"], report["head"]) == (False, None)
        shutil.rmtree(tmp_path / "bin")
        again = machine.sync()
        assert (again.exit_code, again.counts.added + again.counts.unchanged) == (0, 60), again
        check_tree(emulator)
        check_health(server_of(emulator))

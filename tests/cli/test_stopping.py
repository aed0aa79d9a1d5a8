"""Commands that are asked to stop while something does not answer them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.places import Machine, hanging_git, watched
from nbvault_emulator.testing import Emulator


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a vault."""
    with Emulator(notebooks=5) as emulator:
        machine = Machine(tmp_path_factory.mktemp("machine"), emulator)
        assert machine.sync().exit_code == 0
        yield machine


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command", ["status", "status --json", "alerts check", "doctor", "verify", "history /Clients", "changes", "drill"]
)
def test_a_silent_remote_keeps_no_command(command: str, asked: signal.Signals, saved: Machine, tmp_path: Path) -> None:
    """Asked to stop while the Git server is silent, a command ends with 9, and does not take that for an answer."""
    hangs = hanging_git(tmp_path / "bin", "*ls-remote*")
    environment = {**saved.environment(), "PATH": f"{hangs.parent}:{saved.environment()['PATH']}"}
    line = [sys.executable, "-m", "nbvault", *command.split(), "--config", str(saved.config)]
    process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watched(lambda: hangs.exists() or process.poll() is not None)
    process.send_signal(asked)
    _, told = process.communicate(timeout=30)
    words = "Asked to stop (SIGTERM)." if asked is signal.SIGTERM else "Interrupted."
    assert (process.returncode, told.strip()) == (9, f"nbvault: {words}")

"""`nbvault emulator`: the ready line, and an orderly end."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from cli_places import CLEAN, PROGRAM, run_program


def test_it_serves_until_sigterm(tmp_path: Path) -> None:
    """It prints one JSON line when it is ready, and ends with 0 on SIGTERM."""
    process = subprocess.Popen(
        [*PROGRAM, "emulator", "--notebooks", "3"], cwd=tmp_path, env=CLEAN, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert set(ready) == {"workspace_url", "workspace_token", "git_url", "git_token", "admin_url"}
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == ""
    assert process.returncode == 0


def test_a_world_that_is_none_is_refused(tmp_path: Path) -> None:
    """A malformed world file ends with 7 and a sentence."""
    (tmp_path / "world.jsonl").write_text("no json\n")
    ended = run_program(["emulator", "--world", "world.jsonl"], tmp_path)
    assert ended.code == 7
    assert ended.err.startswith("nbvault: The emulator cannot start")

"""`nbvault demo`: the whole story, from beginning to end, leaving nothing behind but its folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli_places import CLEAN, PROGRAM, run_program


def port_of(folder: Path) -> int:
    """The port that the demo's emulator had."""
    settings = (folder / "nbvault.toml").read_text()
    host = next(line for line in settings.splitlines() if line.startswith("host = ")).split('"')[1]
    return urlsplit(host).port or 0


def assert_nobody_serves(folder: Path) -> None:
    """The emulator has ended."""
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port_of(folder))) != 0


def test_the_story_ends_well(tmp_path: Path) -> None:
    """The demo ends with 0, tells its steps, keeps the repository, and leaves no process; it may be told again."""
    misleading = {"NBVAULT_VAULT__REMOTE": str(tmp_path / "real.git"), "DATABRICKS_HOST": "https://real.example.com"}
    ended = run_program(["demo", "--notebooks", "20"], tmp_path, misleading)
    assert ended.code == 0, ended.err
    folder = tmp_path / "demo"
    assert "read back and the same" in ended.out
    assert ended.out.count("Backup complete") == 3
    assert_nobody_serves(folder)
    command = ["git", f"--git-dir={folder / 'remote' / 'vault.git'}", "log", "--format=%an", "backup/daily"]
    authors = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert {"Ann Lee", "Bo Novak", "Chi Okafor"} <= set(authors.splitlines())


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C in the middle ends the demo with 9 and its emulator with it."""
    process = subprocess.Popen(
        [*PROGRAM, "demo", "--notebooks", "20"],
        cwd=tmp_path,
        env={**CLEAN, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert any("$ nbvault sync" in line for line in iter(process.stdout.readline, ""))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 9
    assert "Traceback" not in err
    assert_nobody_serves(tmp_path / "demo")


@pytest.mark.parametrize("name", ["demo", "other"])
def test_what_is_not_the_demos_is_not_touched(tmp_path: Path, name: str) -> None:
    """A folder that the demo did not make is refused with 7 and stays as it is."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").write_text("mine")
    ended = run_program(["demo", "--keep", name], tmp_path)
    assert ended.code == 7
    assert (tmp_path / name / "precious").read_text() == "mine"

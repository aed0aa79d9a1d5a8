"""What holds for every command: help, wrong usage, failures, pipes, and a quick start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli_places import CLEAN, PROGRAM, run_program
from nbvault import __version__, diagnosis
from nbvault.cli import main, sync
from nbvault.errors import NbvaultError
from nbvault.setup.examining import Found, checked

HEAVY = {"aiohttp", "databricks", "pydantic", "rich", "sqlalchemy"}


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """Every command that the help lists is there, says what it does, and takes --config."""
    result = CliRunner().invoke(main.nbvault, [name, "--help"])
    assert result.exit_code == 0, result.output
    command = main.nbvault.get_command(click.Context(main.nbvault), name)
    assert command is not None
    assert command.name == name
    assert command.help
    assert "--config" in result.output


def test_help_and_version_import_nothing_heavy() -> None:
    """Help and version start without the libraries that only some commands need."""
    code = f"""
import sys
from nbvault.cli.main import run
assert run(["--help"]) == 0
assert run(["--version"]) == 0
assert run(["sync", "--help"]) == 0
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=CLEAN)
    assert done.stdout.splitlines()[-1] == "[]"
    assert f"nbvault {__version__}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["synk"], ["sync", "--bogus"], ["sync", "extra"], ["sync", "--config"], ["problems"], ["problems", "lost"]],
)
def test_wrong_usage_ends_with_7(tmp_path: Path, arguments: list[str]) -> None:
    """Wrong usage is one sentence and a hint on stderr, and 7."""
    ended = run_program(arguments, tmp_path)
    assert (ended.code, ended.out) == (7, "")
    assert ended.err.startswith("nbvault: ")
    assert "--help" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["status"], ["history", "/Clients/a"], ["problems", "list"], ["state", "rebuild"], ["sync"]]
)
def test_no_configuration_ends_with_7(tmp_path: Path, arguments: list[str]) -> None:
    """Without a configuration every command says how to get one; with --json as an object, too."""
    ended = run_program([*arguments, "--json"], tmp_path)
    assert ended.code == 7
    assert "nbvault init" in ended.err
    assert ended.json["exit_code"] == 7
    assert "There is no configuration" in ended.json["error"]


def test_a_mistyped_command_is_recognised(capfd: pytest.CaptureFixture[str]) -> None:
    """Who mistypes a command is told which one was meant."""
    assert main.run(["statsu"]) == 7
    assert "'status'" in capfd.readouterr().err


def test_a_fault_of_the_program_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An error that nobody expected shows no traceback, says where it is, and ends with 1 and the whole object."""
    # A mock, since no known input makes the program fail so.
    monkeypatch.setattr(sync, "load", lambda: 1 // 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main.run(["sync", "--json"]) == 1
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert json.loads(said.out.splitlines()[-1])["exit_code"] == 1
    (file,) = tmp_path.glob("nbvault-traceback-*.log")
    assert str(file) in said.err
    assert "ZeroDivisionError" in file.read_text()


def test_a_check_that_breaks_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The doctor goes on, names the kind of fault and the file of its traceback, and ends with 1."""
    # A mock, since no known input makes a check fail so.
    monkeypatch.setattr(diagnosis, "examine_machine", lambda: [checked("python", lambda: Found(str(1 // 0)))])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main.run(["doctor", "--json"]) == 1
    broken, configuration = json.loads(capfd.readouterr().out.splitlines()[-1])
    (file,) = tmp_path.glob("nbvault-traceback-*.log")
    assert (broken["detail"], configuration["name"]) == (
        "nbvault did not expect this (ZeroDivisionError).",
        "configuration",
    )
    assert (str(file) in broken["hint"], "ZeroDivisionError" in file.read_text()) == (True, True)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """With NBVAULT_DEBUG=1 whoever develops nbvault sees the traceback at once."""
    monkeypatch.setattr(sync, "load", lambda: 1 // 0)
    monkeypatch.setenv("NBVAULT_DEBUG", "1")
    assert main.run(["sync"]) == 1
    assert "ZeroDivisionError: " in capfd.readouterr().err


def test_a_hint_stands_on_its_own_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """An error is what failed, and on the next line what to do."""

    def refuse() -> None:
        raise NbvaultError("The cat sits on it.", hint="Feed the cat.")

    monkeypatch.setattr(sync, "load", refuse)
    assert main.run(["sync"]) == 1
    assert capfd.readouterr().err == "nbvault: The cat sits on it.\nFeed the cat.\n"


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """Who reads only the first lines of the output sees no complaint about the rest."""
    process = subprocess.Popen(
        [*PROGRAM, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=CLEAN
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=20) in (0, 1)

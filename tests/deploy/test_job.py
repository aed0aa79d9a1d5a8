"""`nbvault-job` and the notebooks: what a scheduler is told, and that they do what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cli_places import CLEAN, Desk, notebooks
from nbvault import job
from nbvault.cli import main as command_line
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.widgets import NotebookFailed
from nbvault_emulator.testing import Emulator
from told_places import loopback

NOTEBOOKS = Path(str(files("nbvault.setup.deploy") / "assets" / "notebooks"))


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(world=notebooks("/Clients/2024/a", "/Clients/2024/b")) as running:
        yield running


@pytest.fixture
def desk(emulator: Emulator, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk", emulator)


@pytest.mark.parametrize(
    ("code", "succeeded", "attention"),
    [
        (0, True, False),
        (3, True, True),
        (4, True, True),
        (5, False, False),
        (6, False, False),
        (7, False, False),
        (8, False, False),
        (9, False, False),
        (1, False, False),
        (137, False, False),
    ],
)
def test_every_exit_code(
    code: int,
    succeeded: bool,
    attention: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Partial and held deletions are told and no failure; everything else but complete fails the task."""
    # The command is replaced, for the subject is what becomes of its exit code.
    monkeypatch.setattr(command_line, "run", lambda _arguments, **_settings: code)
    monkeypatch.setattr(sys, "argv", ["nbvault-job", "sync"])
    told: list[job.Outcome] = []
    outcome = job.run(["sync"], attention=told.append)
    assert (outcome.succeeded, bool(told), outcome.needs_attention) == (succeeded, attention, attention)
    said = capsys.readouterr().err
    assert f"sync ended with {code}" in said
    assert ("SOMEBODY MUST LOOK" in said) == attention
    if succeeded:
        assert job.main() is None
    else:
        with pytest.raises(SystemExit) as ended:
            job.main()
        assert ended.value.code == code


def test_a_partial_session_is_a_success_of_the_task(desk: Desk) -> None:
    """The whole way, as a process: something cannot be exported, 0 for the scheduler, and the log says so."""
    desk.emulator.faults({"kind": "oversize", "shape": "size-exceeds", "match": {"path": "/Clients/2024/a"}})
    command = [sys.executable, "-m", "nbvault.job", "sync"]
    done = subprocess.run(command, cwd=desk.folder, env=desk.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert "sync ended with 3: partial" in done.stderr
    bad = subprocess.run([*command, "--no"], cwd=desk.folder, env=CLEAN, capture_output=True, text=True, check=False)
    assert bad.returncode == 7


@pytest.mark.parametrize("given", [["--config", "nbvault.toml"], ["--config=nbvault.toml"]])
def test_where_somebody_must_look_alerts_are_told_at_once(desk: Desk, given: list[str]) -> None:
    """A partial session told nobody, for no channel was set up; a `verify` that is partial looks at the alerts."""
    desk.emulator.faults({"kind": "oversize", "shape": "size-exceeds", "match": {"path": "/Clients/2024/a"}})
    assert desk.run("sync").code == 3
    with loopback() as slack:
        told = {**desk.variables, "NBVAULT_SLACK__WEBHOOK": "env:HOOK", "HOOK": slack.url("/hook")}
        command = [sys.executable, "-m", "nbvault.job", "verify", *given]
        done = subprocess.run(command, cwd=desk.folder, env=told, capture_output=True, text=True, check=False)
        assert (done.returncode, "verify ended with 3" in done.stderr) == (0, True), done
        assert ["HIGH: The last backup is partial" in text for text in slack.texts()] == [True]


@pytest.mark.parametrize("command", ["sync", "alerts"])
def test_who_has_told_already_is_not_told_twice(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a session, and after a check itself, no check follows."""
    asked: list[list[str]] = []
    # The command is replaced, for the subject is whether it is asked at all.
    monkeypatch.setattr(command_line, "run", lambda arguments: asked.append(arguments) or 0)
    job.tell_at_once(job.outcome_of(command, 3), [command])
    assert asked == []
    job.tell_at_once(job.outcome_of("drill", 3), ["drill", "--config", "a.toml"])
    assert asked == [["alerts", "check", "--config", "a.toml"]]


class Stopped(Exception):
    """What `dbutils.notebook.exit` does to a notebook."""


class StandIn:
    """As much of `dbutils` as there is on a cluster: widgets that keep what a job set, secrets, an exit."""

    def __init__(self, secrets: dict[str, str], **values: str) -> None:
        self.values, self._secrets = values, secrets
        self.result: dict[str, Any] = {}
        self.widgets = self.secrets = self.notebook = self
        self.defaults: dict[str, str] = {}

    def text(self, name: str, defaultValue: str, label: str) -> None:  # noqa: N803 - Databricks' name
        assert label
        self.defaults[name] = defaultValue

    def dropdown(self, name: str, defaultValue: str, choices: list[str], label: str) -> None:  # noqa: N803
        assert defaultValue in choices
        self.text(name, defaultValue, label)

    def get(self, name: str, key: str = "") -> str:
        return self._secrets[f"{name}/{key}"] if key else self.values.get(name, self.defaults[name])

    def exit(self, value: str) -> None:
        self.result = json.loads(value)
        raise Stopped


async def in_a_notebook(name: str, dbutils: StandIn) -> None:
    """As a notebook's cells run: in a thread whose event loop runs already."""
    runpy.run_path(str(NOTEBOOKS / name), {"dbutils": dbutils})


def run_notebook(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str, **values: str) -> StandIn:
    """A notebook to its end, where the workspace's own authentication is that of the cluster."""
    for variable in ("NBVAULT_CONFIG", "NBVAULT_DEBUG"):
        monkeypatch.delenv(variable, raising=False)
    emulator = desk.emulator
    monkeypatch.setenv("DATABRICKS_HOST", emulator.workspace_url)
    monkeypatch.setenv("DATABRICKS_TOKEN", emulator.workspace_token)
    # The local repository of a cluster is on its local disk; here it is in the test's folder.
    local = {"NBVAULT_VAULT__PATH": str(desk.folder / "v.git"), "NBVAULT_STATE__URL": f"sqlite:///{desk.folder}/n.db"}
    monkeypatch.setattr("nbvault.widgets.Desk._local", staticmethod(lambda: local))
    monkeypatch.chdir(desk.folder)
    dbutils = StandIn(
        {"nbvault/azure-devops-pat": emulator.git_token}, **{"repository_url": emulator.git_url, **values}
    )
    (desk.folder / "nbvault.toml").unlink(missing_ok=True)
    with contextlib.suppress(Stopped):
        asyncio.run(in_a_notebook(name, dbutils))
    return dbutils


def test_the_notebooks_back_up_and_bring_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sync notebook makes a vault; a dry run writes nothing; the restore notebook brings a notebook back."""
    dry = run_notebook(desk, monkeypatch, "sync.py", dry_run="yes")
    assert (dry.result["exit_code"], "backup/daily" in desk.refs()) == (0, False)
    done = run_notebook(desk, monkeypatch, "sync.py", batch_size="100", workers="4")
    assert done.result == {"operation": "sync", "exit_code": 0, "meaning": "complete"}
    assert "refs/heads/main" in desk.refs()
    before = {each["path"]: each["sha256"] for each in desk.emulator.world("/Clients")}
    desk.emulator.edit("/Clients/2024/a", "# Databricks notebook source\nlost", "ann@example.com")
    shown = run_notebook(desk, monkeypatch, "restore.py", paths="/Clients/2024/a")
    assert shown.result["exit_code"] == 0
    assert {each["path"]: each["sha256"] for each in desk.emulator.world("/Clients")} != before
    values = {"operation": "restore", "paths": "/Clients/2024/a", "dry_run": "no"}
    assert run_notebook(desk, monkeypatch, "orchestration.py", **values).result["operation"] == "restore"
    assert {each["path"]: each["sha256"] for each in desk.emulator.world("/Clients")} == before


def test_the_orchestration_notebook_begins_as_each_own_notebook_does(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing said of a dry run, setup and restore only show their plan; a sync, which schedules run, backs up."""
    synced = run_notebook(desk, monkeypatch, "orchestration.py")
    assert (synced.result["meaning"], "refs/heads/main" in desk.refs()) == ("complete", True)
    desk.emulator.edit("/Clients/2024/a", "# Databricks notebook source\nnewer", "ann@example.com")
    before = desk.emulator.world("/")
    for values in ({"operation": "restore", "paths": "/Clients/2024/a"}, {"operation": "setup"}):
        assert run_notebook(desk, monkeypatch, "orchestration.py", **values).result["exit_code"] == 0
        assert desk.emulator.world("/") == before
    refs = desk.refs()
    run_notebook(desk, monkeypatch, "orchestration.py", dry_run="yes")
    assert desk.refs() == refs


def test_the_configuration_notebook_looks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All in order is a result; a wrong secret is a failed notebook."""
    assert run_notebook(desk, monkeypatch, "configuration.py", verbose="yes", email="a@b.example").result[
        "exit_code"
    ] == (0)
    with pytest.raises(NotebookFailed, match="refused the credentials"):
        run_notebook(desk, monkeypatch, "configuration.py", repository_url=desk.emulator.git_url, secret="")


def test_the_converter_makes_a_git_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks first, syncs, and shows the vault beside the original; a dry run makes nothing."""
    for dry_run, made in (("yes", False), ("no", True)):
        assert run_notebook(desk, monkeypatch, "converter.py", dry_run=dry_run).result["exit_code"] == 0
        paths = [each["path"] for each in desk.emulator.world("/", brief=True)]
        assert ("/Clients_git/2024/a" in paths, "/Clients/2024/a" in paths) == (made, True)


def test_widgets_that_say_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to restore is a clear error, and no restore of everything."""
    with pytest.raises(ConfigurationError, match="Nothing is named"):
        run_notebook(desk, monkeypatch, "restore.py", paths=" ; ")
    assert issubclass(NotebookFailed, NbvaultError)


def test_the_notebooks_import_the_library_and_nothing_else() -> None:
    """Each is in SOURCE format, and imports from nbvault only."""
    found = sorted(NOTEBOOKS.glob("*.py"))
    assert [each.stem for each in found] == ["configuration", "converter", "orchestration", "restore", "sync"]
    for each in found:
        lines = each.read_text().splitlines()
        assert lines[0] == "# Databricks notebook source"
        assert [line.split()[1] for line in lines if line.startswith(("import", "from"))] == ["nbvault.widgets"]

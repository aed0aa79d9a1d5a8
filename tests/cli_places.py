"""nbvault as a process of its own, against a workspace that the test made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forked_program import LOADED
from nbvault.setup.template import Answers, configuration
from nbvault_emulator.testing import Emulator

PATIENCE_S = 60.0
PROGRAM = (sys.executable, "-m", "nbvault.cli.main")
# What a developer's own variables say must not reach a test.
CLEAN = {n: v for n, v in os.environ.items() if not n.startswith(("NBVAULT_", "DATABRICKS_", "AZURE_"))}
FIELDS = {
    "session": str,
    "status": str,
    "exit_code": int,
    "started_at": str,
    "ended_at": str,
    "duration_s": float,
    "listed": int,
    "folders": int,
    "unreadable_folders": list,
    "saved": int,
    "unchanged": int,
    "skipped": int,
    "failed": int,
    "added": int,
    "modified": int,
    "renamed": int,
    "deleted": int,
    "held_deletions": int,
    "drift": int,
    "conflicts": int,
    "problems": list,
    "requests": dict,
    "bytes_exported": int,
    "commits": int,
    "head": (str, type(None)),
    "tag": (str, type(None)),
    "pushed": bool,
    "resumed": bool,
}


def notebooks(*paths: str) -> list[dict[str, str]]:
    """Small Python notebooks for a world."""
    return [{"path": path, "content": f"# Databricks notebook source\n# {path}"} for path in paths]


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The value in the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    def report(self) -> dict[str, Any]:
        """The report of a sync, after a check that it has every field that the contract names."""
        report: dict[str, Any] = self.json
        wrong = {name: report.get(name) for name, kind in FIELDS.items() if not isinstance(report.get(name), kind)}
        assert not wrong
        assert report["listed"] == report["saved"] + report["unchanged"] + report["skipped"] + report["failed"]
        assert report["exit_code"] == self.code
        assert set(report["requests"]) >= {"list", "export", "export_folder", "throttled"}
        return report


def configured(folder: Path, emulator: Emulator) -> dict[str, str]:
    """Write the configuration for an emulator into a folder; returns the variables with its secrets."""
    text = configuration(Answers(host=emulator.workspace_url, remote=emulator.git_url))
    (folder / "nbvault.toml").write_text(text.replace("# token", "token"))
    secrets = {"DATABRICKS_TOKEN": emulator.workspace_token, "AZURE_DEVOPS_PAT": emulator.git_token}
    return {**CLEAN, **secrets, "NBVAULT_WORKSPACE__RETRY_S": "0.2"}


@dataclass
class Desk:
    """An administrator's folder with a configuration for an emulator, and a shell in it."""

    folder: Path
    emulator: Emulator
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.variables = configured(self.folder, self.emulator)

    def start(self, *arguments: str, stdin: bool = False, **variables: str) -> subprocess.Popen[str]:
        """A process that runs nbvault, and listens if it is to."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.folder,
            env={**self.variables, **variables},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run nbvault to its end; whatever it says holds no traceback and no secret."""
        done = LOADED.run(arguments, cwd=self.folder, env={**self.variables, **variables}, timeout_s=PATIENCE_S)
        if done is None:
            return self.ended(self.start(*arguments, **variables))
        return self._checked(Ended(*done))

    def ended(self, process: subprocess.Popen[str], *, within_s: float = PATIENCE_S, said: str | None = None) -> Ended:
        """Tell a process that listens what somebody said, wait for its end, and check what it said."""
        out, err = process.communicate(said, timeout=within_s)
        return self._checked(Ended(process.returncode, out, err))

    def _checked(self, ended: Ended) -> Ended:
        for secret in (self.emulator.workspace_token, self.emulator.git_token, "Traceback"):
            assert secret not in ended.out + ended.err
        return ended

    def refs(self) -> str:
        """Every ref of the remote, as git tells them."""
        repository = self.emulator.git_dir / "vault.git"
        done = subprocess.run(["git", f"--git-dir={repository}", "for-each-ref"], capture_output=True, check=True)
        return done.stdout.decode()


def run_program(arguments: Iterable[str], cwd: Path, variables: Mapping[str, str] | None = None) -> Ended:
    """nbvault in a folder where nothing is configured."""
    environment = {**CLEAN, **(variables or {})}
    done = LOADED.run(list(arguments), cwd=cwd, env=environment, timeout_s=PATIENCE_S) or subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)

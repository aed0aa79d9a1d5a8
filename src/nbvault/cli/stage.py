"""Where the demo plays: an emulator as a process, a configuration for it, and the commands as a user types them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from nbvault.cli import output
from nbvault.errors import NbvaultError
from nbvault.settings import without_settings
from nbvault.setup.template import Answers, configuration

ENDS_WITHIN_S = 10
_NBVAULT = (sys.executable, "-m", "nbvault.cli.main")
_COMMENTS = {"PYTHON": "#", "R": "#", "SQL": "--", "SCALA": "//"}
_ROOT = "/Clients"


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook of the demo's workspace."""

    path: str
    language: str
    content: str

    @property
    def comment(self) -> str:
        """What a comment begins with."""
        return _COMMENTS[self.language]


class Stage:
    """A running workspace and Git server, and the folder that keeps everything."""

    def __init__(self, folder: Path, ready: dict[str, str]) -> None:
        self._folder = folder
        self._admin_url = ready["admin_url"]
        self.port = urlsplit(self._admin_url).port or 0
        # Variables of the user must not lead the demo to a real workspace or vault.
        self._environment = without_settings() | {"PYTHONUNBUFFERED": "1"}

    def notebooks(self) -> list[Notebook]:
        """The notebooks of the workspace, by path, each with its source."""
        found = self._call("GET", f"/world?path={quote(_ROOT)}&content=1")
        return sorted(
            (Notebook(each["path"], each["language"], each["content"]) for each in found), key=lambda each: each.path
        )

    def admin(self, operation: str, **values: Any) -> None:
        """Change the workspace as its users would."""
        self._call("POST", f"/{operation}", values)

    def nbvault(self, *arguments: str) -> None:
        """Run a command of nbvault, and show it and what it prints.

        Raises:
            NbvaultError: it failed.
        """
        output.say(f"   $ nbvault {' '.join(map(_quoted, arguments))}")
        for line in self._run([*_NBVAULT, *arguments]).decode("utf-8", "replace").splitlines():
            output.say(f"   {line}")

    def git(self, *arguments: str) -> str:
        """What plain git says of the remote repository."""
        where = f"--git-dir={self._folder / 'remote' / 'vault.git'}"
        return self._run(["git", where, *arguments]).decode("utf-8", "replace")

    def show_git(self, *arguments: str) -> None:
        """Show what plain git says of the remote repository."""
        output.say(f"   $ git {' '.join(map(_quoted, arguments))}")
        for line in self.git(*arguments).splitlines():
            output.say(f"   {output.shown(line)}")

    def _run(self, command: list[str]) -> bytes:
        done = subprocess.run(command, cwd=self._folder, env=self._environment, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise NbvaultError(f"{' '.join(command)} ended with {done.returncode}: {said}")
        return done.stdout

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        where = urlsplit(self._admin_url)
        with closing(http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)) as connection:
            connection.request(method, where.path + path, None if body is None else json.dumps(body).encode())
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != 200:
            raise NbvaultError(f"The emulator refuses {path}: {answer.status} {text.decode('utf-8', 'replace')}")
        return json.loads(text)


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text or "%" in text else text


@contextmanager
def opened_stage(folder: Path, *, notebooks: int) -> Iterator[Stage]:
    """Start the emulator and configure nbvault for it; at the end, however it comes, no process is left."""
    with _emulator(folder, notebooks) as ready:
        _configure(folder, ready)
        output.say(f"A workspace runs at {ready['workspace_url']}, a Git server at {ready['git_url']}.")
        yield Stage(folder, ready)


@contextmanager
def _emulator(folder: Path, notebooks: int) -> Iterator[dict[str, str]]:
    flags = ["--notebooks", str(notebooks), "--root", _ROOT]
    flags += ["--data", str(folder / "world"), "--git-dir", str(folder / "remote")]
    process = subprocess.Popen(
        [*_NBVAULT, "emulator", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=without_settings(),
        start_new_session=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        if not line:
            raise NbvaultError(f"The emulator ended with {process.wait()} before it was ready.")
        yield json.loads(line)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the emulator and every git that it started: its whole process group."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    _signal(process, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _configure(folder: Path, ready: dict[str, str]) -> None:
    for name in ("workspace", "git"):
        file = folder / f"{name}.token"
        file.touch(mode=0o600)
        file.write_text(ready[f"{name}_token"], encoding="utf-8")
    text = configuration(Answers(host=ready["workspace_url"], root=_ROOT, remote=ready["git_url"]))
    text = text.replace('"env:DATABRICKS_TOKEN"', '"file:workspace.token"')
    text = text.replace('"env:AZURE_DEVOPS_PAT"', '"file:git.token"')
    (folder / "nbvault.toml").write_text(text, encoding="utf-8")

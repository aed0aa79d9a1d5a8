"""nbvault as a process of its own, forked from one that has everything loaded: most of a short command is loading.

Run as a program this is that process. It has one thread, and reads lines of JSON: arguments, folder, environment, and
the files for what is said; it answers with the exit code. Whoever needs a process to talk to, or one whose loading is
looked at, starts the real program.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# What an interpreter looks at only when it starts.
_AT_START = ("PYTHON", "LC_", "LANG", "TZ")
_NOT_LOADED = ("nbvault.web", "nbvault.workspace.spark", "nbvault.job")


class Said(NamedTuple):
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


class Loaded:
    """The process that has everything loaded; started when it is first needed."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float) -> Said | None:
        """Run nbvault to its end; None where it must be started as a program: this one is busy, or would differ."""
        if _starting(env) != _starting(os.environ):
            return None
        if not self._busy.acquire(blocking=False):
            return None
        try:
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / name for name in ("out", "err")]
                code = self._asked(arguments, cwd, env, files, timeout_s=timeout_s)
                return Said(code, *(file.read_bytes().decode() for file in files))
        finally:
            self._busy.release()

    def _asked(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], files: Sequence[Path], *, timeout_s: float
    ) -> int:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, str(Path(__file__))]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        asked = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "files": list(map(str, files))}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**asked, "timeout_s": timeout_s}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _starting(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(_AT_START)}


LOADED = Loaded()


def _serve() -> None:
    asked, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    _load()
    for line in asked:
        wanted = json.loads(line)
        child = os.fork()
        if not child:
            asked.close()
            os.close(answers)
            _become(wanted)
            from nbvault.cli.main import main

            main()
        os.write(answers, f"{_end_of(child, wanted['timeout_s'])}\n".encode())


def _load() -> None:
    """Every module, so that no child does it; then out of the collector's sight, or every child would copy it."""
    package = importlib.import_module("nbvault")
    for found in pkgutil.walk_packages(package.__path__, "nbvault."):
        if not found.name.startswith(_NOT_LOADED):
            importlib.import_module(found.name)
    gc.collect()
    gc.freeze()


def _become(wanted: Mapping[str, object]) -> None:
    os.chdir(str(wanted["cwd"]))
    os.environ.clear()
    os.environ.update(wanted["env"])  # type: ignore[call-overload] # a mapping, as JSON tells it
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    said = [os.open(str(file), flags, 0o600) for file in wanted["files"]]  # type: ignore[attr-defined] # a list
    for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *said]):
        os.dup2(file, number)
        os.close(file)
    random.seed()
    sys.argv = ["nbvault", *wanted["arguments"]]  # type: ignore[misc] # a list


def _end_of(child: int, timeout_s: float) -> int:
    """Its exit code, as subprocess tells it; one that takes too long is killed."""
    guard = threading.Timer(timeout_s, os.kill, (child, 9))
    guard.start()
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        guard.cancel()
        guard.join()


if __name__ == "__main__":
    _serve()

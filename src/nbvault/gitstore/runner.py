"""The one place that starts processes: git, with a clean environment and errors that keep secrets.

Only what a caller hands in reaches git: no configuration of the machine or the user, no prompt, no pager, no locale,
no ``GIT_*`` variable from outside except those that name certificates or how to run ssh.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nbvault.errors import ConfigurationError, GitError, NbvaultError, SessionInterrupted, VaultError
from nbvault.gitstore.complaints import disk_failure

OLDEST_GIT = (2, 34, 0)
PIPE_BYTES = 1024 * 1024

_KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO", "GIT_SSH", "GIT_SSH_COMMAND"})
_FIXED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # set but empty: not even SSH_ASKPASS is asked
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
    "LANGUAGE": "C",
}
_CONFIGURATION = {
    "core.logAllRefUpdates": "false",
    "core.quotePath": "false",
    "fastimport.unpackLimit": "1",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "180",
    "http.postBuffer": "64m",
    "maintenance.auto": "false",
    "protocol.version": "2",
}
# Bounds on memory, for every command. Packs are mapped a part at a time, and what is too large for a notebook (the
# whole inventory in one file) goes through git as a stream.
_BOUNDS = (
    *("-c", "core.bigFileThreshold=16m"),
    *("-c", "core.packedGitWindowSize=8m"),
    *("-c", "core.packedGitLimit=48m"),
    *("-c", "core.deltaBaseCacheLimit=32m"),
    *("-c", "pack.windowMemory=32m"),
    *("-c", "pack.deltaCacheSize=32m"),
)
# Of what nobody waits for: one thread, and the memory of one.
_GENTLY = ("-c", "pack.threads=1")
_OFFLINE = "offline"
_URL_PASSWORD = re.compile(r"(?<=://)(?:[^/@\s]*:[^/@\s]*|[^/@\s]{20,})@")
_STDERR_BYTES = 64 * 1024
_NICENESS = 10


_INHERITED: ContextVar[tuple[int, ...]] = ContextVar("inherited", default=())


class TookTooLong(GitError):
    """A command did not end within the time it was given, and was killed."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended: its exit code, its output as bytes, its complaints as text without secrets."""

    returncode: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """The output as stripped text."""
        return decode(self.stdout).strip()


def encode(text: str) -> bytes:
    """Text as git's bytes: UTF-8, where undecodable bytes come back as they were.

    Raises:
        VaultError: the text holds a lone surrogate that stands for no byte.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise VaultError(f"Not a text that can be stored: {text!r}.") from error


def decode(data: bytes) -> str:
    """Git's bytes as text; the inverse of `encode` for any bytes."""
    return data.decode("utf-8", "surrogateescape")


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """The text with every secret, and what may be one in a URL, replaced by ``***``."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _URL_PASSWORD.sub("***@", text)


def require_git(base_environment: Mapping[str, str]) -> tuple[int, int, int]:
    """The version of the git on PATH.

    Raises:
        ConfigurationError: there is none, or it is older than 2.34.
    """
    hint = "Install git 2.34 or newer and see that it is on PATH."
    try:
        done = subprocess.run(  # noqa: PLW1510 - the output decides, not the exit code
            ["git", "--version"], capture_output=True, env=_clean(base_environment), timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"git cannot be started: {error}.", hint=hint) from error
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", decode(done.stdout))
    if not found:
        raise ConfigurationError(f"`git --version` says {decode(done.stdout).strip()!r}.", hint=hint)
    version = (int(found[1]), int(found[2]), int(found[3] or 0))
    if version < OLDEST_GIT:
        raise ConfigurationError(f"git {'.'.join(map(str, version))} is too old.", hint=hint)
    return version


@contextmanager
def inherited(file: int) -> Iterator[None]:
    """Every command that this thread starts meanwhile has this file open, too, and with it the locks on it."""
    before = _INHERITED.set((*_INHERITED.get(), file))
    try:
        yield
    finally:
        _INHERITED.reset(before)


class _Running:
    """The processes that run now, for one repository and its views; `stop` ends them and lets no more begin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._broken_off: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def begin(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise _interrupted()
            self._processes = {process for process in self._processes if process.returncode is None}
            process = start()
            self._processes.add(process)
            return process

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                if process.poll() is None:
                    self._broken_off.add(process)
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)

    def broke_off(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether `stop` ended it: what it says then is no news of git."""
        with self._lock:
            return process in self._broken_off


def _interrupted() -> SessionInterrupted:
    return SessionInterrupted("Asked to stop; git did not end in time and was stopped in the middle of its work.")


class Git:
    """Runs git on one bare repository.

    Args:
        repo: The repository (what ``--git-dir`` is to be).
        base_environment: The environment of this program, read by whoever may read it: PATH, HOME, proxies and
            certificates are taken from it.
        niceness: As of nice(1); 0 is as urgent as this process.
    """

    def __init__(
        self, repo: Path, base_environment: Mapping[str, str], *, running: _Running | None = None, niceness: int = 0
    ) -> None:
        self.repo = repo.absolute()
        self._niceness = niceness
        self.base_environment = base_environment
        self._running = running or _Running()
        self._environment = {**_clean(base_environment), **_FIXED}

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        ok: Collection[int] = (0,),
        timeout_s: float | None = None,
        secrets: Collection[str] = (),
    ) -> Completed:
        """Run one command to its end.

        Args:
            environment: Added to the clean environment; the only way by which a secret may reach git.
            ok: Exit codes that are no error.
            timeout_s: Seconds after which the command is killed; None waits for ever.
            secrets: Texts that must not appear in any error.

        Raises:
            GitError: any other exit code; TookTooLong: the time is up; SessionInterrupted: `stop` ended it.
        """
        process = self._start(args, environment, feed=stdin is not None)
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TookTooLong(f"`{_shown(args)}` did not end within {timeout_s:.0f} s.") from error
        finally:
            _kill(process, asked_s=2.0)  # git then takes its locks away
        done = Completed(process.returncode, stdout, masked(decode(stderr), secrets))
        if self._running.broke_off(process):
            raise _interrupted()
        if done.returncode not in ok:
            raise failure(args, done.returncode, done.stderr)
        return done

    def text(self, *args: str) -> str:
        """The output of a command as stripped text."""
        return self.run(*args).text

    @contextmanager
    def spawn(
        self, *args: str, environment: Mapping[str, str] | None = None, secrets: Collection[str] = ()
    ) -> Iterator[LongProcess]:
        """A command that is fed and read while it runs; leaving the block kills it if it still does."""
        process = LongProcess(self._start(args, environment, feed=True), args, secrets, self._running)
        try:
            yield process
        finally:
            process.kill()

    def offline(self) -> Git:
        """The same repository, seen as one that has no remote: nothing that is missing is ever fetched behind our back.

        In a partial clone git fetches missing objects one by one as they are touched, and before 2.45 no switch turns
        that off. So this is a second git directory inside the repository, whose objects and refs are the same.
        Read and push through it; never change refs or configuration there.
        """
        view = self.repo / _OFFLINE
        if not (view / "HEAD").exists():
            _make_view(view)
        return Git(view, self.base_environment, running=self._running, niceness=self._niceness)

    def gently(self) -> Git:
        """The same repository for work that nobody waits for: its commands give way, and its `stop` ends only them."""
        return Git(self.repo, self.base_environment, niceness=_NICENESS)

    def stop(self) -> None:
        """Kill every command that runs on this repository and refuse new ones: they raise SessionInterrupted.

        For a session that was asked to end and whose git hangs. What git had not finished is as if never begun.
        """
        self._running.stop()

    def _start(
        self, args: Sequence[str], environment: Mapping[str, str] | None, *, feed: bool
    ) -> subprocess.Popen[bytes]:
        def start() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                ["git", f"--git-dir={self.repo}", *_BOUNDS, *(_GENTLY if self._niceness else ()), *args],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=PIPE_BYTES,
                env={**self._environment, **(environment or {})},
                # Own session: Ctrl-C ends us in order, and ssh finds no terminal to ask on.
                start_new_session=True,
                pass_fds=_INHERITED.get(),
            )
            if self._niceness:
                # Its helpers are of its group. It may have ended already, or the system may not allow it.
                with suppress(OSError):
                    os.setpriority(os.PRIO_PGRP, process.pid, self._niceness)
            return process

        try:
            return self._running.begin(start)
        except OSError as error:
            raise ConfigurationError(f"git cannot be started: {error}.", hint="Install git 2.34 or newer.") from error


class LongProcess:
    """A running command; its complaints are drained by a thread, so it never waits for us to read them."""

    def __init__(
        self, process: subprocess.Popen[bytes], args: Sequence[str], secrets: Collection[str], running: _Running
    ) -> None:
        assert process.stdin is not None  # noqa: S101 - all three are pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        self._process = process
        self._args = args
        self._secrets = secrets
        self._running = running
        self._complaints = bytearray()
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self._drain = threading.Thread(target=self._read_stderr, args=(process.stderr,), daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended, or was killed."""
        return self._process.poll() is not None

    def finish(self, *, ok: Collection[int] = (0,)) -> str:
        """Close its input, wait for its end, and return what it complained of.

        Args:
            ok: Exit codes that are no error.

        Raises:
            GitError: it ended with any other. SessionInterrupted: `Git.stop` ended it.
        """
        with suppress(BrokenPipeError):
            self.stdin.close()
        if self._process.wait() not in ok:
            raise self.error()
        return self._stderr()

    def error(self) -> NbvaultError:
        """The error of a process that broke off: waits for its end and says its last words."""
        with suppress(OSError):
            self.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._running.broke_off(self._process):
            return _interrupted()
        return failure(self._args, self._process.returncode, self._stderr())

    def kill(self) -> None:
        """End it now; nothing happens if it has ended."""
        _kill(self._process)
        self._drain.join(timeout=10)

    def _stderr(self) -> str:
        self._drain.join(timeout=10)
        return masked(decode(bytes(self._complaints)), self._secrets)

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        while data := os.read(pipe.fileno(), 4096):
            self._complaints += data
            del self._complaints[:-_STDERR_BYTES]
        pipe.close()


def init_bare(repo: Path, base_environment: Mapping[str, str], *, branch: str = "main") -> Git:
    """A new bare repository with nbvault's configuration; for an existing one only the configuration is set right.

    Raises:
        OSError, GitError: the folder cannot be made or written.
    """
    repo.parent.mkdir(parents=True, exist_ok=True)
    git = Git(repo, base_environment)
    git.run("init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}")
    configure(git, _CONFIGURATION)
    git.offline()
    return git


def configure(git: Git, wanted: Mapping[str, str]) -> None:
    """Set what differs in the repository's own configuration."""
    listed = git.run("config", "--local", "--null", "--list").stdout
    found = dict(entry.partition("\n")[::2] for entry in decode(listed).split("\0"))
    for name, value in wanted.items():
        if found.get(name.lower(), found.get(name)) != value:
            git.run("config", "--local", "--replace-all", name, value)


def failure(args: Sequence[str], code: int, stderr: str) -> GitError:
    """The error for a command that ended with ``code``."""
    lines = [line.rstrip() for line in stderr.splitlines() if line.strip()]
    told = " | ".join(lines[-6:]) or "it said nothing"
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    whole = f"`{_shown(args)}` {how}: {told}"
    return disk_failure(stderr, whole) or GitError(whole)


def _shown(args: Sequence[str]) -> str:
    """A command for people: without options for git itself, and not endless."""
    words = masked(" ".join(["git", *args]))
    return words if len(words) <= 300 else words[:297] + "..."


def _clean(base_environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in base_environment.items() if not name.startswith("GIT_") or name in _KEPT}


def _kill(process: subprocess.Popen[bytes], *, asked_s: float = 0.0) -> None:
    """Kill the process with its helpers (git-remote-https, ssh), and take its pipes away."""
    if asked_s and process.poll() is None:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(asked_s)
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _make_view(view: Path) -> None:
    view.mkdir(exist_ok=True)
    for name in ("objects", "refs", "packed-refs", "shallow"):
        with suppress(FileExistsError):
            (view / name).symlink_to(Path("..") / name)
    (view / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tquotePath = false\n\tlogAllRefUpdates = false\n"
        "[http]\n\tpostBuffer = 64m\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 180\n[protocol]\n\tversion = 2\n"
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    )
    (view / "HEAD").write_text("ref: refs/heads/main\n")

"""Real repositories for tests of the Git layer: servers as bare folders, a git that writes down how it was called."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from nbvault.gitstore.cache import open_cache
from nbvault.gitstore.remote import PushRef, Remote, remote_url
from nbvault.gitstore.runner import Git, init_bare
from nbvault.gitstore.writer import FastImport
from nbvault.model import NBVAULT, FileChange

ENVIRONMENT = dict(os.environ)
MAIN = "refs/heads/main"
AT = datetime(2026, 11, 21, 2, 0, tzinfo=timezone.utc)


@dataclass
class SteppingClock:
    """A clock that moves only when someone waits."""

    start: datetime = AT
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return sum(self.waits)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def make_server(path: Path) -> Git:
    """A bare repository as a server has it: it allows partial clones."""
    server = init_bare(path, ENVIRONMENT)
    server.run("config", "uploadpack.allowFilter", "true")
    server.run("config", "uploadpack.allowAnySHA1InWant", "true")
    return server


def local_of(server: Git, path: Path, **options: object) -> tuple[Git, Remote]:
    """A local repository of a server folder, and the server seen from it."""
    url = remote_url(str(server.repo), base=path.parent)
    git = open_cache(path, url=url, base_environment=ENVIRONMENT).git
    return git, Remote(git, url, clock=SteppingClock(), **options)  # type: ignore[arg-type]


def commit_files(
    git: Git, files: Mapping[str, bytes], *, ref: str = MAIN, parents: Sequence[str] = (), message: str = "files"
) -> str:
    """One commit with these files on top of the parents; returns its sha."""
    with FastImport(git) as stream:
        changes = [FileChange(path, stream.blob(data, path)) for path, data in files.items()]
        return stream.sha_of(add_commit(stream, changes, ref=ref, parents=parents, message=message))


def add_commit(
    stream: FastImport,
    changes: Sequence[FileChange],
    *,
    ref: str = MAIN,
    parents: Sequence[str] = (),
    message: str = "change",
    tree: str | None = None,
) -> str:
    """A commit by nbvault at a fixed time."""
    return stream.commit(
        ref,
        parents=parents,
        author=NBVAULT,
        committer=NBVAULT,
        authored_at=AT,
        committed_at=AT,
        message=message,
        changes=changes,
        tree=tree,
    )


def fill(server: Git, work: Path, files: Mapping[str, bytes]) -> str:
    """Commit files and push them to the server; returns the sha."""
    git, remote = local_of(server, work)
    sha = commit_files(git, files)
    assert remote.push([PushRef(sha, MAIN)])[MAIN].accepted
    return sha


def recording_git(folder: Path) -> tuple[dict[str, str], Path]:
    """An environment whose git writes each command line and its variables' names to a file before it obeys."""
    folder.mkdir()
    record = folder / "record"
    real = shutil.which("git")
    wrapper = folder / "git"
    names = "import os,sys; print('ENV', *sorted(os.environ))"
    wrapper.write_text(
        f'#!/bin/sh\n{{ echo "ARGV $*"; "{sys.executable}" -c "{names}"; }} >> "{record}"\nexec "{real}" "$@"\n'
    )
    wrapper.chmod(0o755)
    return {**ENVIRONMENT, "PATH": f"{folder}{os.pathsep}{ENVIRONMENT['PATH']}"}, record


def many_packs(git: Git, count: int) -> str:
    """A history of one pack for each commit."""
    tip = ""
    for number in range(count):
        tip = commit_files(git, {f"{number}": b"%d" % number}, parents=[tip] if tip else [])
    return tip

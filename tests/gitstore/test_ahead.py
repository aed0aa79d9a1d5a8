"""A push that has greeted the remote early: as safe as any other, and never the last word on what went wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_places import ENVIRONMENT, SteppingClock, commit_files
from nbvault.gitstore.ahead import greeting
from nbvault.gitstore.cache import open_cache
from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.runner import Git
from nbvault_emulator.testing import Emulator

BRANCH = "refs/heads/early"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """A Git server over real HTTP with credentials and faults."""
    with Emulator(notebooks=1) as running:
        yield running


@pytest.fixture
def git(tmp_path: Path, emulator: Emulator) -> Git:
    """A local repository of a branch that no other test has."""
    return open_cache(tmp_path / "local.git", url=emulator.git_url, base_environment=ENVIRONMENT).git


def remote_of(git: Git, emulator: Emulator, *, token: str = "", heard: list[bool] | None = None) -> Remote:
    """The emulator's repository, signed in to with a token."""

    def answered(*, accepted: bool) -> bool:
        if heard is not None:
            heard.append(accepted)
        return False

    return Remote(
        git, emulator.git_url, token=lambda: token or emulator.git_token, answered=answered, clock=SteppingClock()
    )


def test_what_was_greeted_early_is_pushed(git: Git, emulator: Emulator) -> None:
    """A commit that did not exist when the remote was greeted arrives, and so does the next one by another greeting."""
    heard: list[bool] = []
    remote, parents, branch = remote_of(git, emulator, heard=heard), list[str](), f"{BRANCH}/pushed"
    for text in (b"one", b"two"):
        with greeting(remote, git) as early:
            commit = commit_files(git, {"a.py": text}, ref=branch, parents=parents)
            assert early.push(PushRef(commit, branch))
        assert remote.ls_remote()[branch] == commit
        parents = [commit]
    assert heard
    assert all(heard)


def test_a_branch_that_moved_on_after_the_greeting_stays(git: Git, emulator: Emulator) -> None:
    """Nothing is forced: what somebody else pushed between greeting and push is there afterwards, and we hear no."""
    remote, branch = remote_of(git, emulator), f"{BRANCH}/moved"
    first = commit_files(git, {"a.py": b"one"})
    remote.push([PushRef(first, branch)])
    with greeting(remote, git) as early:
        early.wait()
        theirs = commit_files(git, {"a.py": b"theirs"}, ref="refs/heads/theirs", parents=[first])
        remote.push([PushRef(theirs, branch)])
        ours = commit_files(git, {"a.py": b"ours"}, ref="refs/heads/ours", parents=[first])
        assert not early.push(PushRef(ours, branch))
    assert remote.ls_remote()[branch] == theirs


@pytest.mark.parametrize("why", ["token", "fault", "killed"])
def test_whatever_goes_wrong_is_no_yes(git: Git, emulator: Emulator, why: str) -> None:
    """A refused token, a server that fails, a helper that died: it returns False, in time, and nothing has arrived."""
    remote = remote_of(git, emulator, token="wrong" if why == "token" else "")
    commit, branch = commit_files(git, {"a.py": b"x"}), f"{BRANCH}/{why}"
    with greeting(remote, git) as early:
        if why == "fault":
            early.wait()
            emulator.faults({"kind": "status", "status": 500, "match": {"endpoint": "git-push"}})
        if why == "killed":
            os.killpg(early._process.pid, signal.SIGKILL)
        assert not early.push(PushRef(commit, branch))
    emulator.faults()
    assert branch not in remote_of(git, emulator).ls_remote()

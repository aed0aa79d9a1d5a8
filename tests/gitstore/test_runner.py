"""The one place that runs git."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_places import ENVIRONMENT, recording_git
from nbvault.errors import ConfigurationError, GitError, VaultError
from nbvault.gitstore.runner import Git, decode, encode, init_bare, masked, require_git


def fake_git(folder: Path, script: str) -> dict[str, str]:
    """An environment whose git is a script; stands for versions of git that this machine does not have."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{ENVIRONMENT['PATH']}"}


def test_the_version_of_git_is_known() -> None:
    """The git on PATH tells its version."""
    assert require_git(ENVIRONMENT) >= (2, 34, 0)


@pytest.mark.parametrize("script", ["echo git version 2.33.9", "echo something else", "exit 1"])
def test_an_old_or_odd_git_is_refused_with_advice(tmp_path: Path, script: str) -> None:
    """A git that is too old, or is none, is refused with what to do."""
    with pytest.raises(ConfigurationError) as caught:
        require_git(fake_git(tmp_path / "bin", script))
    assert "2.34" in caught.value.hint


def test_a_missing_git_is_named(tmp_path: Path) -> None:
    """Without git on PATH the error is one of configuration, not of Python."""
    with pytest.raises(ConfigurationError):
        require_git({"PATH": str(tmp_path)})
    with pytest.raises(ConfigurationError):
        Git(tmp_path, {"PATH": str(tmp_path)}).run("version")


def test_variables_from_outside_do_not_reach_git(tmp_path: Path) -> None:
    """GIT_DIR, GIT_INDEX_FILE, traces and configuration by environment are dropped; certificates and proxies stay."""
    environment, record = recording_git(tmp_path / "bin")
    harmful = {"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/x", "GIT_TRACE": "1", "GIT_CONFIG_COUNT": "1"}
    git = init_bare(tmp_path / "r.git", {**environment, **harmful, "GIT_SSL_CAINFO": "/ca", "https_proxy": "p"})
    assert git.text("rev-parse", "--is-bare-repository") == "true"
    names = set(record.read_text().split())
    assert not {"GIT_INDEX_FILE", "GIT_TRACE", "GIT_CONFIG_COUNT"} & names
    assert {"GIT_SSL_CAINFO", "https_proxy", "GIT_TERMINAL_PROMPT"} <= names


def test_the_users_own_configuration_is_not_read(tmp_path: Path) -> None:
    """What stands in ~/.gitconfig changes nothing."""
    (tmp_path / ".gitconfig").write_text("[core]\n\tquotePath = true\n[user]\n\tname = Somebody\n")
    git = init_bare(tmp_path / "r.git", {**ENVIRONMENT, "HOME": str(tmp_path)})
    assert git.run("config", "--get", "user.name", ok=(1,)).stdout == b""
    assert git.text("config", "--get", "core.quotePath") == "false"


def test_a_failure_says_command_code_and_last_words(git: Git) -> None:
    """The error of a failed command names it, its exit code and what git said."""
    with pytest.raises(GitError, match=r"`git cat-file -t nothing` ended with exit code 128: .*Not a valid object"):
        git.run("cat-file", "-t", "nothing")


def test_a_command_that_hangs_is_killed(tmp_path: Path) -> None:
    """Past its time a command ends with an error, and so do its children."""
    git = Git(tmp_path, fake_git(tmp_path / "bin", "exec sleep 600"))
    with pytest.raises(GitError, match="did not end within"):
        git.run("fetch", timeout_s=0.2)


def test_endless_complaints_do_not_block(tmp_path: Path) -> None:
    """A process that complains more than a pipe holds is still read, and its last words are kept."""
    noise = "i=0; while [ $i -lt 4000 ]; do echo 'complaint number '$i >&2; i=$((i+1)); done; cat; exit 3"
    git = Git(tmp_path, fake_git(tmp_path / "bin", noise))
    with git.spawn("talk") as process:
        process.stdin.write(b"still here\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"still here\n"
        with pytest.raises(GitError, match=r"exit code 3: .*complaint number 3999"):
            process.finish()


def test_leaving_early_kills_the_process(git: Git) -> None:
    """A process that still runs when its block is left is killed."""
    with git.spawn("cat-file", "--batch") as process:
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_secrets_are_masked() -> None:
    """Named secrets and passwords in URLs do not show; ordinary users of URLs do."""
    text = "to https://me:hunter2@host/x with hunter3 and ssh://git@host"
    assert masked(text, ["hunter3", ""]) == "to https://***@host/x with *** and ssh://git@host"


def test_a_secret_in_the_complaint_of_git_is_masked(tmp_path: Path) -> None:
    """Whatever git writes to its error output, a named secret is not in the error."""
    git = Git(tmp_path, fake_git(tmp_path / "bin", 'echo "bad $TOKEN" >&2; exit 1'))
    with pytest.raises(GitError) as caught:
        git.run("push", environment={"TOKEN": "s3cr3t"}, secrets=["s3cr3t"])
    assert "s3cr3t" not in str(caught.value)
    assert "bad ***" in str(caught.value)


def test_bytes_survive_as_text() -> None:
    """Bytes that are no UTF-8 come back as they were; a lone surrogate that stands for no byte is refused."""
    odd = bytes(range(256))
    assert encode(decode(odd)) == odd
    with pytest.raises(VaultError):
        encode("\ud800")


def test_a_new_repository_has_the_measured_configuration(tmp_path: Path) -> None:
    """No automatic maintenance, packs however small, bodies of 64 MB; making it again mends what was changed."""
    git = init_bare(tmp_path / "deep" / "r.git", ENVIRONMENT)
    git.run("config", "gc.auto", "6700")
    again = init_bare(git.repo, ENVIRONMENT)
    values = {name: again.text("config", "--get", name) for name in ("gc.auto", "fastimport.unpackLimit")}
    assert values == {"gc.auto": "0", "fastimport.unpackLimit": "1"}
    assert again.text("config", "--get", "http.postBuffer") == "64m"
    assert again.text("symbolic-ref", "HEAD") == "refs/heads/main"

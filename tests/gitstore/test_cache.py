"""Opening the local repository: new, healthy, damaged, or something else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from git_places import ENVIRONMENT, MAIN, SteppingClock, commit_files, fill, local_of
from nbvault.errors import ConfigurationError
from nbvault.gitstore.cache import Cache, open_cache
from nbvault.gitstore.reader import resolve
from nbvault.gitstore.remote import Remote
from nbvault.gitstore.runner import Git

URL = "https://dev.azure.example/ORG/P/_git/vault"


def opened(path: Path, url: str = URL) -> Cache:
    return open_cache(path, url=url, base_environment=ENVIRONMENT, clock=SteppingClock())


def test_a_new_cache_is_a_partial_clone_of_its_remote(tmp_path: Path) -> None:
    """A fresh repository knows the remote, and that objects may be missing; no secret and no request is involved."""
    cache = opened(tmp_path / "deep" / "vault.git")
    assert (cache.created, cache.set_aside) == (True, None)
    values = {
        name: cache.git.text("config", "--get", f"remote.origin.{name}")
        for name in ("url", "promisor", "partialclonefilter")
    }
    assert values == {"url": URL, "promisor": "true", "partialclonefilter": "blob:none"}


def test_a_healthy_cache_is_kept(tmp_path: Path) -> None:
    """Opening again changes nothing but the address, and forgets what another server could do."""
    git = opened(tmp_path / "vault.git").git
    sha = commit_files(git, {"a": b"1"})
    git.run("config", "nbvault.fetch", "3")
    again = opened(git.repo)
    assert (again.created, resolve(again.git, MAIN)) == (False, sha)
    assert git.text("config", "nbvault.fetch") == "3"
    moved = opened(git.repo, "https://elsewhere.example/vault")
    assert moved.git.text("config", "--get", "remote.origin.url") == "https://elsewhere.example/vault"
    assert git.run("config", "nbvault.fetch", ok=(1,)).stdout == b""


def cut_pack(git: Git) -> None:
    pack = max((git.repo / "objects" / "pack").glob("*.pack"), key=lambda path: path.stat().st_size)
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-30])


def lose_pack(git: Git) -> None:
    for path in (git.repo / "objects" / "pack").iterdir():
        path.unlink()


def lose_index(git: Git) -> None:
    for path in (git.repo / "objects" / "pack").glob("*.idx"):
        path.unlink()


def lose_head(git: Git) -> None:
    (git.repo / "HEAD").unlink()


def lose_objects(git: Git) -> None:
    shutil.rmtree(git.repo / "objects")


def break_config(git: Git) -> None:
    (git.repo / "config").write_text("[core\nnonsense")


def break_ref(git: Git) -> None:
    (git.repo / MAIN).write_text("nonsense\n")


def lose_commit(git: Git) -> None:
    (git.repo / MAIN).write_text("1" * 40 + "\n")


@pytest.mark.parametrize(
    "damage", [cut_pack, lose_pack, lose_index, lose_head, lose_objects, break_config, break_ref, lose_commit]
)
def test_a_damaged_cache_is_set_aside(tmp_path: Path, server: Git, damage: Callable[[Git], None]) -> None:
    """Whatever is broken, the folder is moved aside with all it holds, and a new one serves from the remote."""
    sha = fill(server, tmp_path / "work.git", {f"{n}/a": b"%d" % n for n in range(20)})
    git, remote = local_of(server, tmp_path / "vault.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    damage(git)
    cache = opened(git.repo, remote.url)
    assert cache.created
    assert cache.set_aside == tmp_path / "vault.git.damaged-20261121T020000Z"
    assert any(cache.set_aside.iterdir())
    assert cache.damage
    Remote(cache.git, remote.url).fetch([f"+{MAIN}:{MAIN}"], depth=1)
    assert resolve(cache.git, MAIN) == sha


def test_two_damaged_ones_in_a_second_are_both_kept(tmp_path: Path) -> None:
    """A second one gets another name."""
    names = []
    for _ in range(2):
        git = opened(tmp_path / "vault.git").git
        lose_objects(git)
        names.append(opened(git.repo).set_aside)
    assert [path.name for path in names if path] == [
        "vault.git.damaged-20261121T020000Z",
        "vault.git.damaged-20261121T020000Z-2",
    ]


def test_missing_blobs_are_no_damage(tmp_path: Path, server: Git) -> None:
    """A partial and shallow clone is healthy."""
    fill(server, tmp_path / "work.git", {"a": b"1"})
    git, remote = local_of(server, tmp_path / "vault.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    assert not opened(git.repo, remote.url).created


def test_other_things_are_left_alone(tmp_path: Path) -> None:
    """A file, a folder with other content, and a repository with a working tree are refused, not touched."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter.txt").write_text("dear")
    (tmp_path / "tree" / ".git").mkdir(parents=True)
    for name in ("file", "folder", "tree"):
        with pytest.raises(ConfigurationError) as caught:
            opened(tmp_path / name)
        assert "vault.path" in caught.value.hint
    assert (tmp_path / "folder" / "letter.txt").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert opened(tmp_path / "empty").created

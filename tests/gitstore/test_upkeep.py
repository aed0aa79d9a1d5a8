"""Leftovers, sizes, packs and the lock of a local repository."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from git_places import MAIN, SteppingClock, commit_files, fill, local_of
from nbvault.errors import LockedError
from nbvault.gitstore.reader import BlobReader, log, ls_tree, resolve
from nbvault.gitstore.remote import PushRef
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import ProcessLock, clean_leftovers, repack_geometric, sizes, write_commit_graph


def many_packs(git: Git, count: int) -> str:
    """A history of one pack for each commit."""
    tip = ""
    for number in range(count):
        tip = commit_files(git, {f"{number}": b"%d" % number}, parents=[tip] if tip else [])
    return tip


def test_what_a_killed_git_leaves_is_removed_and_nothing_else(git: Git) -> None:
    """Half packs, keeps of our own programs and stale locks go; packs, refs and a person's keep stay."""
    tip = commit_files(git, {"a": b"1"})
    pack = next((git.repo / "objects" / "pack").glob("*.pack"))
    pack.with_suffix(".keep").write_text("a person wants this")
    stale = {
        "objects/pack/tmp_pack_x1": b"12345",
        "objects/pack/pack-1.keep": b"fast-import\n",
        "objects/pack/.tmp-12-pack-3.idx": b"",
        "objects/ab/tmp_obj_x": b"",
        "objects/tmp_objdir-incoming-1/ab/cd": b"1",
        "refs/heads/deep/main.lock": b"",
        "packed-refs.lock": b"",
        "config.lock": b"",
        "fast_import_crash_12": b"",
    }
    for name, data in stale.items():
        (git.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (git.repo / name).write_bytes(data)
    cleaned = clean_leftovers(git)
    expected = {name if "objdir" not in name else "objects/tmp_objdir-incoming-1" for name in stale}
    assert (set(cleaned.paths), cleaned.size_bytes) == (expected, 18)
    assert pack.with_suffix(".keep").exists()
    assert resolve(git, MAIN) == tip
    assert clean_leftovers(git).paths == ()


def test_sizes_are_counted(git: Git) -> None:
    """Packs, packed bytes, all objects and loose ones."""
    assert sizes(git).objects == 0
    many_packs(git, 2)
    git.run("hash-object", "-w", "--stdin", stdin=b"loose")
    size = sizes(git)
    assert (size.packs, size.objects, size.loose_objects) == (2, 7, 1)
    assert size.pack_bytes > 0


def test_repacking_keeps_everything_in_fewer_packs(git: Git) -> None:
    """Small packs become one; history and contents stay; there is nothing to do with one pack."""
    tip = many_packs(git, 12)
    assert repack_geometric(git)
    assert sizes(git).packs == 1
    assert len(list(log(git, tip))) == 12
    git.run("fsck", "--strict")
    assert not repack_geometric(git)


def test_repacking_a_partial_clone_keeps_it_usable(tmp_path: Path, server: Git) -> None:
    """What the remote holds may still be missing afterwards, and can still be fetched."""
    fill(server, tmp_path / "work.git", {"a": b"1", "b": b"2"})
    git, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    commit_files(git, {"c": b"3"}, parents=[str(resolve(git, MAIN))])
    commit_files(git, {"d": b"4"}, parents=[str(resolve(git, MAIN))])
    assert repack_geometric(git)
    remote.fetch([f"+{MAIN}:refs/remotes/origin/main"])
    blobs = [entry.oid for entry in ls_tree(git, MAIN)]
    assert [data for _, data in BlobReader(git, remote.fetch_objects).read(blobs)] == [b"1", b"2", b"3", b"4"]
    git.run("fsck", "--connectivity-only")


def test_a_commit_graph_knows_changed_paths(git: Git) -> None:
    """The graph is written with the filters that speed up histories of paths."""
    many_packs(git, 3)
    assert write_commit_graph(git)
    graph = (git.repo / "objects" / "info" / "commit-graph").read_bytes()
    assert b"BDAT" in graph


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    """A second taker is told who holds the lock since when; given back, it can be taken again."""
    path = tmp_path / "deep" / "vault.lock"
    told = rf"process {os.getpid()}, since 2026-11-21T02:00:00.000Z"
    with ProcessLock(path, clock=SteppingClock()), pytest.raises(LockedError, match=told):
        ProcessLock(path).acquire()
    with ProcessLock(path):
        pass


def test_a_dead_holder_frees_the_lock(tmp_path: Path) -> None:
    """The lock of a process that was killed can be taken at once, although its name is still in the file."""
    path = tmp_path / "vault.lock"
    program = (
        "import pathlib, sys; from nbvault.gitstore.upkeep import ProcessLock; lock = ProcessLock(pathlib.Path("
        "sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid}"):
            ProcessLock(path).acquire()
        assert ProcessLock(path).is_held()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not ProcessLock(path).is_held()
    with ProcessLock(path):
        assert b"pid" in path.read_bytes()


def test_repacking_keeps_what_the_commits_of_others_stand_on(tmp_path: Path, server: Git) -> None:
    """Our own history stays here, also where a commit that was fetched without its blobs has it as its parents."""
    git, remote = local_of(server, tmp_path / "ours.git")
    tip = many_packs(git, 5)
    assert remote.push([PushRef(tip, MAIN)])[MAIN].accepted
    theirs = commit_files(server, {"people.md": b"by hand"}, parents=[tip])
    remote.fetch([f"+{MAIN}:refs/remotes/origin/main"])
    before = git.offline().text("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert repack_geometric(git)
    after = git.offline().text("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert set(before) == set(after) > {tip, theirs}
    assert sizes(git).packs == 2

"""Leftovers, sizes, packs and the lock of a local repository."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from git_places import MAIN, SteppingClock, commit_files, many_packs
from nbvault.errors import LockedError
from nbvault.gitstore.reader import resolve
from nbvault.gitstore.runner import Git, TookTooLong
from nbvault.gitstore.upkeep import ProcessLock, clean_leftovers, fetch_turn, sizes, write_commit_graph


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


def test_the_turn_to_fetch_removes_the_locks_of_a_killed_fetch(git: Git) -> None:
    """Locks that only a fetch makes go with the turn; those that a writing session may hold stay."""
    dead = ["shallow.lock", "refs/remotes/origin/nbvault/meta.lock", "refs/epochs/e1/main.lock"]
    others = ["config.lock", "packed-refs.lock", "refs/heads/main.lock"]
    for name in [*dead, *others]:
        (git.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (git.repo / name).touch()
    with fetch_turn(git.repo):
        assert [name for name in [*dead, *others] if (git.repo / name).exists()] == others


def test_the_locks_of_a_living_fetch_stay(git: Git) -> None:
    """Who waits for the turn touches nothing before the one who has it has ended."""
    lock, waiting, seen = git.repo / "shallow.lock", threading.Event(), []

    def next_one() -> None:
        waiting.set()
        with fetch_turn(git.repo):
            seen.append(lock.exists())

    other = threading.Thread(target=next_one)
    with fetch_turn(git.repo):
        lock.touch()
        other.start()
        waiting.wait()
        other.join(timeout=0.3)
        assert (lock.exists(), seen) == (True, [])
    other.join()
    assert seen == [False]


def test_the_turn_lasts_as_long_as_the_git_of_a_killed_process(git: Git, tmp_path: Path) -> None:
    """A process is killed while its git fetches: the turn is free when that git has ended, not before."""
    program = (
        "import os, pathlib, sys\n"
        "from nbvault.gitstore.runner import Git\n"
        "from nbvault.gitstore.upkeep import fetch_turn\n"
        "git = Git(pathlib.Path(sys.argv[1]), os.environ)\n"
        "with fetch_turn(git.repo), git.spawn('cat-file', '--batch') as long:\n"
        "    print(long.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(git.repo)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        # Git reads on for as long as somebody may write, and so outlives its parent, as a fetch does.
        feed = os.open(f"/proc/{child}/fd/0", os.O_WRONLY)
        holder.kill()
        holder.wait()
        turn = os.open(git.repo.with_name(f"{git.repo.name}.fetch.lock"), os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(feed)
        fcntl.flock(turn, fcntl.LOCK_EX)
        os.close(turn)


def test_a_fetch_that_took_too_long_leaves_no_lock(git: Git, tmp_path: Path) -> None:
    """Git that is ended for its time is asked first, so that the next attempt meets no lock of it."""
    held = git.repo / "shallow.lock"
    script = tmp_path / "git"
    script.write_text(f"#!/bin/sh\ntrap 'rm {held}; exit 1' TERM\ntouch {held}\nwhile :; do :; done\n")
    script.chmod(0o755)
    slow = Git(git.repo, {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"})
    with pytest.raises(TookTooLong):
        slow.run("fetch", timeout_s=0.5)
    assert not held.exists()

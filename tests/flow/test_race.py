"""What others push between two commands of ours does not confuse us."""

from __future__ import annotations

import shutil
from pathlib import Path

from flow.places import Machine, check_tree, expected_files, git, notebooks_in, refs_of, server_of, tree_of, world_of
from nbvault_emulator.testing import Emulator

META = "refs/heads/nbvault/meta"
MAIN = "refs/heads/main"
WRAPPER = """#!/bin/sh
for word; do
    case "$word" in {when}) {git} -C {server} update-ref {ref} {sha} {old} 2>/dev/null;; esac
done
exec {git} "$@"
"""


def meddling_git(folder: Path, server: Path, *, when: str, ref: str, sha: str, old: str = "") -> str:
    """A folder with a git that moves a ref of the server (from ``old``) before each command with such a word in it."""
    folder.mkdir(parents=True)
    program = folder / "git"
    program.write_text(WRAPPER.format(git=shutil.which("git"), server=server, when=when, ref=ref, sha=sha, old=old))
    program.chmod(0o755)
    return str(folder)


def test_push_between_looking_and_fetching(tmp_path: Path) -> None:
    """A new machine, which fetches only the end of history, reads the tip it fetched and not the one it saw before."""
    with Emulator(notebooks=30) as emulator:
        first = Machine(tmp_path / "first", emulator)
        assert first.sync().exit_code == 0
        before = refs_of(server_of(emulator))[META]
        emulator.edit(emulator.world()[0]["path"], "# Databricks notebook source\nprint('new')")
        assert first.sync().exit_code == 0
        after = refs_of(server_of(emulator))[META]
        git(server_of(emulator), "update-ref", META, before)
        late = meddling_git(tmp_path / "bin", server_of(emulator), when="fetch", ref=META, sha=after)
        report = Machine(tmp_path / "other", emulator, path=late).sync()
        assert report.exit_code == 0, report
        assert report.counts.saved == 0
        check_tree(emulator)


def test_people_push_to_main_while_a_first_session_runs(tmp_path: Path) -> None:
    """What came to main between two pushes of a large session stays, and the session ends complete on top of it."""
    with Emulator(notebooks=60) as emulator:
        server = server_of(emulator)
        blob = git(server, "hash-object", "-w", "--stdin", stdin=b"theirs\n").decode().strip()
        tree = git(server, "mktree", stdin=f"100644 blob {blob}\tnotes.md\n".encode()).decode().strip()
        who = ("-c", "user.name=pat", "-c", "user.email=pat@example.com")
        theirs = git(server, *who, "commit-tree", tree, "-m", "By hand").decode().strip()
        people = meddling_git(
            tmp_path / "bin", server, when="*:refs/heads/backup/daily", ref=MAIN, sha=theirs, old="0" * 40
        )
        machine = Machine(tmp_path / "a", emulator, path=people, sync_keys={"batch_size": 20, "push_every": 20})
        report = machine.sync()
        assert (report.exit_code, report.counts.added) == (0, 60), report
        assert tree_of(server)["notes.md"] == blob
        assert sorted(notebooks_in(server, ignored={"notes.md"})) == sorted(expected_files(world_of(emulator)))
        assert theirs in git(server, "rev-list", "main").decode().split()

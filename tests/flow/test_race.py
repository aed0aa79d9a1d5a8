"""What others push between two commands of ours does not confuse us."""

from __future__ import annotations

import shutil
from pathlib import Path

from flow.places import Machine, check_tree, git, refs_of, server_of
from nbvault_emulator.testing import Emulator

META = "refs/heads/nbvault/meta"
WRAPPER = """#!/bin/sh
for word; do
    [ "$word" = fetch ] && {git} -C {server} update-ref {ref} {sha}
done
exec {git} "$@"
"""


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
        late = tmp_path / "bin" / "git"
        late.parent.mkdir()
        late.write_text(WRAPPER.format(git=shutil.which("git"), server=server_of(emulator), ref=META, sha=after))
        late.chmod(0o755)
        report = Machine(tmp_path / "other", emulator, path=str(late.parent)).sync()
        assert report.exit_code == 0, report
        assert report.counts.saved == 0
        check_tree(emulator)

"""After a session the vault holds exactly the workspace, byte for byte, as plain git shows it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.odd_world import Crowd, odd_world
from flow.places import (
    OWN_FILES,
    Machine,
    archive_of,
    blobs_of,
    changes_between,
    check_health,
    check_sums,
    check_tree,
    first_parent_line,
    git,
    refs_of,
    server_of,
    tree_of,
    world_of,
)
from nbvault.paths import decode
from nbvault_emulator.testing import Emulator

NOTEBOOKS = 5000


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """The workspace with every oddity."""
    with Emulator(world=odd_world(NOTEBOOKS), in_process=False) as running:
        yield running


def _check_everything(emulator: Emulator, machine: Machine) -> None:
    check_tree(emulator)
    check_tree(emulator, commit="backup/daily")
    check_health(server_of(emulator))
    check_health(machine.vault)


def _check_by_other_commands(emulator: Emulator) -> None:
    """`git archive`, and `git show` of a sample with all the odd names at the top, say the same as `git cat-file`."""
    server = server_of(emulator)
    tree = tree_of(server)
    blobs = blobs_of(server, tree.values())
    assert archive_of(server) == {path: blobs[oid] for path, oid in tree.items()}
    odd = [path for path in tree if "/" not in path]
    for path in [*odd, *random.Random(1).sample(sorted(tree), 40)]:
        assert git(server, "show", f"main:{path}") == blobs[tree[path]], path


def test_tree_is_the_workspace_byte_for_byte(emulator: Emulator, tmp_path: Path) -> None:
    """First sync, a second one, 500 random changes, and a machine that knows nothing: each time the tree is right."""
    machine = Machine(tmp_path / "one", emulator)
    first = machine.sync()
    assert (first.exit_code, first.counts.added, first.counts.skipped) == (0, NOTEBOOKS, 18), first
    check_sums(first)
    _check_everything(emulator, machine)
    _check_by_other_commands(emulator)

    before, main = world_of(emulator), refs_of(server_of(emulator))["refs/heads/main"]
    for again in (machine.sync(), machine.sync(full=True)):
        assert (again.exit_code, again.counts.saved, again.counts.unchanged) == (0, 0, NOTEBOOKS), again
        assert (again.head, again.tag, again.commits) == (main, None, 0)

    crowd = Crowd({seen.path for seen in before.values()}, seed=2)
    emulator.batch(crowd.operations(500))
    after = world_of(emulator)
    changed = machine.sync()
    assert changed.exit_code == 0, changed
    counts = changed.counts
    assert (counts.added, counts.modified, counts.renamed, counts.deleted) == changes_between(before, after)
    check_sums(changed)
    _check_everything(emulator, machine)
    authors = set(git(server_of(emulator), "log", "--format=%an", "backup/daily").decode().splitlines())
    assert {"Ann", "Bob Builder", "Çelik", "Zoë", "unknown", "nbvault"} == authors
    assert len(first_parent_line(server_of(emulator))) == 3

    emulator.batch(crowd.operations(100, deletions=10))
    other = Machine(tmp_path / "other", emulator).sync()
    assert other.exit_code == 0, other
    counts = other.counts
    assert (counts.added, counts.modified, counts.renamed, counts.deleted) == changes_between(after, world_of(emulator))
    assert other.requests.export < NOTEBOOKS / 4
    check_tree(emulator)
    check_health(server_of(emulator))
    assert len(first_parent_line(server_of(emulator))) == 4
    files = [path for path in tree_of(server_of(emulator)) if path not in OWN_FILES]
    assert len({decode(path) for path in files}) == len(files)

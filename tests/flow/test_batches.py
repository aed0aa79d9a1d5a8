"""What is committed and pushed before a session has ended is true, whenever it ends."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from flow.odd_world import odd_world
from flow.places import (
    Machine,
    Quiet,
    check_health,
    check_sums,
    check_tree,
    git_that,
    inventory_ids,
    refs_of,
    server_of,
    tree_of,
    watched,
)
from nbvault.backup.surroundings import SyncOptions
from nbvault.errors import VerificationError
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

NOTEBOOKS = 600
SMALL = {"batch_size": 20, "push_every": 40}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(world=odd_world(NOTEBOOKS), in_process=False) as running:
        yield running


def test_pushes_behind_the_scan_do_not_meet(emulator: Emulator, tmp_path: Path) -> None:
    """Many small batches and pushes end in one pass over the workspace: no push takes another for a stranger's."""
    machine = Machine(tmp_path, emulator, sync_keys=SMALL)
    screen = Quiet()
    report = run_sync(machine.settings(), SyncOptions(), screen)
    assert (report.exit_code, report.requests.list) == (0, report.counts.folders), screen.stages
    check_tree(emulator)


def test_exports_go_on_while_git_is_busy(emulator: Emulator, tmp_path: Path) -> None:
    """While git takes nothing of the first batch, everything else is exported; then it ends well, and with the tree."""
    gate = slow_import(tmp_path / "bin")
    machine = Machine(tmp_path / "a", emulator, sync_keys={"batch_size": 200}, path=str(gate.parent))
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(machine.sync)
        try:
            watched(lambda: session.done() or emulator.requests().get("export", {}).get("200", 0) >= NOTEBOOKS)
            assert not session.done()
        finally:
            gate.touch()
        assert session.result().counts.added == NOTEBOOKS
    check_tree(emulator)


def test_a_conclusion_is_made_while_the_last_push_is_under_way(tmp_path: Path) -> None:
    """The push that a large session's last batch began goes on only when `main` is there: nobody waited for it."""
    with Emulator(notebooks=60) as emulator:
        machine = Machine(
            tmp_path / "a",
            emulator,
            path=str(tmp_path / "bin"),
            sync_keys={"batch_size": 20, "push_every": 60},
        )
        waiting_push(tmp_path / "bin", machine.vault / "refs" / "heads" / "main")
        assert machine.sync().counts.added == 60
        check_tree(emulator)


def waiting_push(folder: Path, file: Path) -> None:
    """A git that pushes to the meta branch only when a file is there, and fails if none comes within half a minute."""
    wait = f'left=600; while [ ! -e "{file}" ]; do left=$((left - 1)); [ $left -gt 0 ] || exit 1; sleep 0.05; done'
    git_that(folder, "*push*:refs/heads/nbvault/meta*", does=wait)


def test_a_conclusion_that_is_wrong_is_not_published(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While batches are pushed, the tree turns out to be wrong: failed, nothing on main; the next session is whole."""
    machine = Machine(tmp_path, emulator, sync_keys=SMALL)
    with monkeypatch.context() as patched:
        # No input makes nbvault write a wrong tree, so the reader of it is told to find one.
        patched.setattr("nbvault.backup.conclusion.check_tree", found_wrong)
        report = machine.sync()
    assert (report.status.value, report.pushed, report.head) == ("failed", False, None), report
    assert "refs/heads/main" not in refs_of(server_of(emulator))
    again = machine.sync()
    assert (again.exit_code, again.status.value) == (0, "complete"), again
    check_tree(emulator)


def found_wrong(*_: object) -> int:
    raise VerificationError("The tree that was written differs from the ledger.")


def slow_import(folder: Path) -> Path:
    """A git beside which a file must appear before it takes the first byte of an import; returns that file."""
    gate = folder / "open"
    git_that(folder, "*fast-import*", does=f'while [ ! -e "{gate}" ]; do sleep 0.05; done')
    return gate


def test_dry_run_of_a_large_session_writes_nothing(emulator: Emulator, tmp_path: Path) -> None:
    """A dry run above the limit of a large session says what it would save, and leaves no trace on the remote."""
    machine = Machine(tmp_path, emulator, sync_keys={**SMALL, "large": 50})
    report = machine.sync(dry_run=True)
    assert (report.exit_code, report.counts.added) == (0, NOTEBOOKS), report
    check_sums(report)
    assert refs_of(server_of(emulator)) == {}


@pytest.mark.parametrize("seed", range(4))
def test_stopped_session_saves_what_it_says(seed: int, emulator: Emulator, tmp_path: Path) -> None:
    """SIGTERM at a random moment: the vault has as many notebooks as the report says are saved."""
    machine = Machine(tmp_path, emulator, sync_keys={**SMALL, "max_in_flight": 4})
    process = machine.spawn()
    assert process.stdout is not None
    assert any("began" in line for line in process.stdout)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0.2 + random.Random(seed).random())
    process.send_signal(signal.SIGTERM)
    report = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    if report["status"] == "complete":
        return
    assert (report["status"], report["exit_code"], report["pushed"]) == ("interrupted", 9, True), report
    refs = refs_of(server_of(emulator))
    saved = inventory_ids(server_of(emulator), refs["refs/heads/nbvault/meta"])
    assert report["saved"] == report["added"] == len(saved)
    assert "refs/heads/main" not in refs
    files = len(tree_of(server_of(emulator), "backup/daily")) - 3 if saved else 0
    assert files == len(saved)
    rest = machine.sync()
    assert (rest.exit_code, rest.counts.added, rest.counts.unchanged) == (0, NOTEBOOKS - len(saved), len(saved))
    check_tree(emulator)
    check_health(server_of(emulator))

"""A session gives its lease back, and one that could not does not lock out the next."""

from __future__ import annotations

from pathlib import Path

from flow.places import Machine, git, server_of
from nbvault_emulator.testing import Emulator


def _last_word(emulator: Emulator) -> str:
    return git(server_of(emulator), "log", "-1", "--format=%s", "nbvault/lease").decode().split()[0]


def test_renewal_under_way_does_not_spoil_the_release(tmp_path: Path) -> None:
    """A session that ends while it renews its lease gives it back all the same."""
    with Emulator(notebooks=20) as emulator:
        emulator.faults({"kind": "latency", "ms": 20, "match": {"endpoint": "git-push-refs"}})
        machine = Machine(tmp_path, emulator, sync_keys={"lease_stale_s": 0.2})
        for _ in range(4):
            report = machine.sync()
            assert report.exit_code == 0, report
            assert _last_word(emulator) == "release"


def test_next_session_of_the_same_process_goes_on(tmp_path: Path) -> None:
    """Where the remote refused the release, the same process may begin its next session at once."""
    with Emulator(notebooks=20) as emulator:
        fault = {"kind": "push-rejected", "refs": "refs/heads/nbvault/lease", "match": {"after": 1}}
        emulator.faults(fault)
        machine = Machine(tmp_path, emulator, sync_keys={"lease_stale_s": 900})
        assert machine.sync().exit_code == 0
        assert _last_word(emulator) == "take"
        emulator.faults()
        assert machine.sync().exit_code == 0
        assert _last_word(emulator) == "release"

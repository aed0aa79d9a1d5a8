"""Verify tells a vault that is right from one that is not, and from a workspace that has moved on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbvault.auth import AuthenticationManager
from nbvault.backup.audit_tree import Comparison, Known, TreeAudit
from nbvault.backup.surroundings import SyncOptions
from nbvault.errors import ConfigurationError
from nbvault.opening import read_vault
from nbvault.proof import run_verify
from nbvault.settings import load_settings
from nbvault.wiring import run_sync
from nbvault.workspace.client import WorkspaceClient
from recovery.places import ANN, BOB, HEAD, ROOT, Desk, Silent


@pytest.fixture
def saved(desk: Desk) -> Desk:
    """A desk with ten notebooks that are in the vault."""
    for number in range(9):
        desk.write(f"/n{number % 3}/x{number}", f"number {number}", ANN)
    desk.sync()
    return desk


def verify(desk: Desk, **options: Any) -> Comparison:
    return run_verify(desk.settings, warn=desk.warnings.append, clock=desk.clock, **options)


def kinds(found: Comparison) -> Mapping[str, str]:
    return {difference.path.removeprefix(ROOT): difference.kind.value for difference in found.differences}


def test_a_workspace_that_cannot_be_reached_is_no_difference(saved: Desk) -> None:
    """Nothing could be compared, and that is a failure, 1, not a finding."""
    variables = {
        **saved.environment(),
        "NBVAULT_WORKSPACE__HOST": "http://127.0.0.1:1",
        "NBVAULT_WORKSPACE__RETRY_S": "1",
    }
    command = [sys.executable, "-m", "nbvault", "verify", "--json"]
    done = subprocess.run(command, env=variables, cwd=saved.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["exit_code"]) == (1, 1)
    assert "could not be reached" in done.stderr


def test_after_a_session_everything_is_the_same(saved: Desk) -> None:
    """Each notebook is compared, nothing differs, and git finds the repository sound."""
    found = verify(saved)
    assert (found.exit_code, found.listed, found.compared, found.same) == (0, 10, 10, 10)
    assert (found.differences, found.repository, found.head) == ((), "sound", saved.diary[-1].report.head)


def test_what_changed_since_the_last_session_is_no_fault(saved: Desk) -> None:
    """Edited, new, moved and deleted notebooks are told apart, and the exit code stays 0."""
    saved.write("/n0/x0", "edited", BOB)
    saved.write("/new", "new", BOB)
    saved.move("/n1/x1", "/n1/moved")
    saved.delete("/n2")
    found = verify(saved)
    gone = {"/n2/x2": "gone", "/n2/x5": "gone", "/n2/x8": "gone"}
    assert kinds(found) == {"/n0/x0": "changed", "/new": "new", "/n1/moved": "moved", **gone}
    assert (found.exit_code, found.compared, found.same) == (0, 7, 6)


def test_bytes_that_differ_under_the_same_times_are_a_fault(saved: Desk) -> None:
    """A change that the listing does not show, and that a sync would miss, ends with 8 and names the notebook."""
    listed = {each["path"]: each for each in saved.emulator.world(ROOT)}[f"{ROOT}/n0/x0"]
    saved.write("/n0/x0", "silently other", ANN)
    times = {"modified_at": listed["modified_at"], "interactive_at": listed["modified_at"]}
    saved.emulator.batch([{"op": "touch", "path": f"{ROOT}/n0/x0", **times}])
    found = verify(saved)
    assert kinds(found) == {"/n0/x0": "differs"}
    assert found.exit_code == 8


def test_a_vault_that_people_changed_is_a_fault_until_the_next_session(saved: Desk, tmp_path: Path) -> None:
    """Files that somebody changed or removed on main are named; the next session sets them back."""

    def run(*args: str) -> None:
        identity = ("-c", "user.name=P", "-c", "user.email=p@x")
        subprocess.run(["git", "-C", str(work), *identity, *args], check=True, capture_output=True)

    work = tmp_path / "people"
    work.mkdir()
    run("clone", "--quiet", "--branch", "main", str(saved.emulator.git_dir / "vault.git"), ".")
    (work / "n0" / "x0.py").write_text("theirs")
    (work / "n1" / "x1.py").unlink()
    (work / "mine.txt").write_text("beside")
    run("add", "--all")
    run("commit", "--quiet", "--message", "mine")
    run("push", "--quiet", "origin", "main")
    found = verify(saved)
    assert kinds(found) == {"/n0/x0": "drifted", "/n1/x1": "drifted"}
    assert found.exit_code == 8
    saved.write("/n0/x0", "ours", ANN)
    saved.sync()
    assert verify(saved).exit_code == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 403, "match": {"endpoint": "export", "path": f"{ROOT}/n0/x0"}},
        {"kind": "status", "status": 403, "match": {"endpoint": "list", "path": f"{ROOT}/n0"}},
    ],
)
def test_what_could_not_be_read_is_told_and_ends_with_3(saved: Desk, fault: dict[str, Any]) -> None:
    """A notebook or a folder that the workspace does not give is unknown, neither right nor gone."""
    saved.emulator.faults(fault)
    found = verify(saved)
    assert set(kinds(found).values()) == {"unreadable"}
    assert found.exit_code == 3


def test_a_sample_exports_only_so_many(saved: Desk) -> None:
    """What is drawn is compared, what is not drawn costs no request; the listing is complete all the same."""
    draws = iter([0.0, 0.9] * 5)
    saved.emulator.reset_requests()
    found = verify(saved, sample=0.5, draw=lambda: next(draws))
    assert (found.listed, found.compared, found.same, found.sample) == (10, 5, 5, 0.5)
    exports = [calls for endpoint, calls in saved.emulator.requests().items() if endpoint.endswith("export")]
    assert sum(sum(calls.values()) for calls in exports) == 5


def test_a_machine_with_only_the_end_of_the_vault_reads_the_rest_if_asked(saved: Desk) -> None:
    """Without --full the part that is not here is not claimed to be sound; with it every byte is fetched and read."""
    saved.lose_this_machine()
    found = verify(saved)
    assert (found.exit_code, found.same) == (0, 10)
    assert "not checked" in found.repository
    full = verify(saved, full=True)
    assert (full.exit_code, full.repository) == (0, "sound")


def test_a_damaged_object_is_found(saved: Desk) -> None:
    """With --full a single flipped byte in the local repository ends with 8."""
    blob = saved.show("/Clients/n0/x0").blob
    for index in (saved.local / "objects" / "pack").glob("*.idx"):
        listed = subprocess.run(["git", "verify-pack", "-v", str(index)], capture_output=True, text=True, check=True)
        for words in (line.split() for line in listed.stdout.splitlines() if line.startswith(blob)):
            pack = index.with_suffix(".pack")
            data = bytearray(pack.read_bytes())
            data[int(words[4]) + int(words[3]) - 6] ^= 1
            pack.chmod(0o644)
            pack.write_bytes(data)
    found = verify(saved, full=True)
    assert (found.exit_code, found.sound, found.same) == (8, False, 10)


def test_before_the_first_session_there_is_nothing_to_verify(desk: Desk) -> None:
    """An empty vault is a matter of what was asked, not a fault."""
    with pytest.raises(ConfigurationError, match="no backup yet"):
        verify(desk)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"op": "edit", "path": f"{ROOT}/n0/x0", "content": HEAD + "other"}, "changed"),
        ({"op": "delete", "path": f"{ROOT}/n0/x0"}, "gone"),
        ({"op": "move", "from": f"{ROOT}/n0/x0", "to": f"{ROOT}/n0/y"}, "moved"),
    ],
)
def test_what_happens_in_the_middle_is_no_fault(saved: Desk, change: dict[str, Any], kind: str) -> None:
    """A notebook that is edited, deleted or moved after its folder was listed is judged by the listing after that."""
    before = {"endpoint": "export", "path": f"{ROOT}/n0/x0", "nth": 1}
    saved.emulator.faults({"kind": "do", "do": change, "when": "before", "match": before})
    found = verify(saved)
    assert list(kinds(found).values()) == [kind]
    assert found.exit_code == 0


def test_a_known_problem_is_counted_apart_once_it_is_acknowledged(saved: Desk) -> None:
    """A notebook that cannot be exported is unreadable until an administrator accepts that."""
    saved.emulator.faults({"kind": "oversize", "match": {"path": f"{ROOT}/big"}})
    saved.write("/big", "big", ANN)
    report = run_sync(saved.settings, SyncOptions(), Silent(), clock=saved.clock)
    assert report.counts.failed == 1
    found = verify(saved)
    assert (found.exit_code, kinds(found)) == (3, {"/big": "unreadable"})
    with read_vault(saved.settings, warn=saved.warnings.append) as vault:
        problems = [replace(problem, acknowledged_by="root") for problem in vault.meta.problems]
        known = Known(vault.meta.rows, vault.blob_at, problems=problems)
    accepted = asyncio.run(compare(saved, known))
    assert (accepted.exit_code, accepted.acknowledged, accepted.differences) == (0, 1, ())


async def compare(desk: Desk, known: Known) -> Comparison:
    async with WorkspaceClient(AuthenticationManager(desk.settings)) as workspace:
        return await TreeAudit(workspace, known, ROOT).run()


def test_since_compares_only_what_was_saved_since(saved: Desk) -> None:
    """Notebooks whose content a later session saved are exported, the others are not; before the first session, all."""
    began = saved.diary[0].at
    saved.write("/n0/x0", "second version", BOB)
    saved.write("/later", "new", BOB)
    saved.move("/n1/x1", "/n1/moved")
    saved.sync()
    found = verify(saved, since=began)
    assert (found.exit_code, found.listed, found.compared, found.same, found.due) == (0, 11, 3, 3, 3)
    assert verify(saved, since=saved.diary[1].at).compared == 0
    assert verify(saved, since="2001-01-01").compared == 11
    with pytest.raises(ConfigurationError, match="is no time"):
        verify(saved, since="yesterday")


def test_a_budget_spreads_the_comparison_over_days(saved: Desk) -> None:
    """Each run begins where the last one stopped, also on another machine, until every notebook had its turn."""
    one_at_a_time = {**saved.environment(), "NBVAULT_SYNC__MAX_IN_FLIGHT": "1"}
    settings = load_settings(environment=one_at_a_time, cwd=saved.folder)
    ids = sorted(each["object_id"] for each in saved.emulator.world(ROOT))
    seen: list[int] = []
    for _ in range(2):
        clock = Impatient(saved.clock, looks=4)
        found = run_verify(settings, budget_s=100.0, by="dana", warn=saved.warnings.append, clock=clock)
        assert found.due == 10
        assert 0 < found.taken < 10
        assert found.remembered
        assert "goes on there" in found.notes[0]
        assert found.reached is not None
        seen.append(ids.index(found.reached))
        assert found.taken == seen[-1] + 1 - (seen[-2] + 1 if len(seen) > 1 else 0)
        saved.lose_this_machine()
    whole = run_verify(settings, budget_s=100.0, warn=saved.warnings.append, clock=saved.clock)
    assert (whole.taken, whole.compared, whole.exit_code) == (10, 10, 0)
    assert whole.reached == ids[seen[-1]]


class Impatient:
    """A clock on which a hundred seconds pass once a number of notebooks have been begun."""

    def __init__(self, clock: Any, *, looks: int) -> None:
        self._clock = clock
        self._left = looks
        self._ahead_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def monotonic(self) -> float:
        # Who asks from the budget's own function is counted; requests ask for the time, too.
        if sys._getframe(1).f_code.co_name == "enough":
            self._left -= 1
            self._ahead_s = 0.0 if self._left >= 0 else 100.0
            return float(self._clock.monotonic()) + self._ahead_s
        return float(self._clock.monotonic())

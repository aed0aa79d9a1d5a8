"""One writer: who waits for whom, who takes over, and that a session without its lease claims nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fault_places import HastyClock, Place, source
from nbvault.gitstore.lease import BRANCH, Holder
from nbvault.gitstore.process import this_process
from nbvault.model import SessionReport

EDITED = "/Clients/2024/ENG-1001/NOTEBOOKS/00_ingest_ledger"
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def take(place: Place, holder: Holder, *, action: str = "take", session: str = "20261121T230000Z-aaaaaa") -> str:
    """A commit on the lease, as a session of that holder makes it."""
    entry = {"action": action, "session": session, "holder": asdict(holder), "at": "2026-11-21T23:00:00.000Z"}
    tip = place.tip("nbvault/lease")
    who = {f"GIT_{role}_{key}": "x" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    place.git("hash-object", "-t", "tree", "-w", "--stdin")
    parents = ["-p", tip] if tip else []
    text = f"{action} {session}\n\n{json.dumps(entry)}\n"
    commit = place.git("commit-tree", EMPTY_TREE, *parents, "-F", "-", stdin=text, more=who)
    place.git("update-ref", BRANCH, commit)
    return commit


def entry(place: Place, commit: str = "nbvault/lease") -> dict[str, Any]:
    """What a lease commit says."""
    found: dict[str, Any] = json.loads(place.git("log", "-1", "--format=%b", commit))
    return found


def elsewhere(place: Place) -> Holder:
    """A holder on another machine."""
    return replace(this_process(place.local), machine="other-host boot pid:[1]", repository="/elsewhere/vault.git")


class Watching(HastyClock):
    """A clock that tells when somebody waits."""

    def __init__(self, on_wait: Callable[[], None]) -> None:
        super().__init__()
        self.waited_s = 0.0
        self._on_wait = on_wait

    def wait(self, seconds: float) -> None:
        super().wait(seconds)
        self.waited_s += seconds
        self._on_wait()


def refused(place: Place, report: SessionReport) -> None:
    """Exit 5, and nothing claimed or moved."""
    place.assert_nothing_claimed(report)
    assert report.exit_code == 5, report


def test_a_living_process_on_this_machine_is_known_at_once(place: Place, tmp_path: Path) -> None:
    """Another local repository, the same machine: exit 5 without watching."""
    take(place, replace(this_process(place.local), repository=str(tmp_path / "another.git")))
    clock = Watching(lambda: None)
    place.clock = clock
    refused(place, place.sync())
    assert clock.waited_s == 0


def test_a_living_session_on_another_machine_is_waited_for_until_it_moves(place: Place) -> None:
    """Its tip moves while we watch: exit 5, and its lease is untouched."""
    take(place, elsewhere(place))

    def renew() -> None:
        if clock.waited_s > 20:
            take(place, elsewhere(place), action="renew")

    clock = Watching(renew)
    place.clock = clock
    refused(place, place.sync())
    assert 20 < clock.waited_s < 60
    assert entry(place)["action"] == "renew"


def test_a_dead_session_on_another_machine_is_taken_over(place: Place) -> None:
    """Its tip stands still for lease_stale_s: taken over, the session is shown as interrupted, ours is complete."""
    take(place, elsewhere(place))
    place.emulator.edit(EDITED, source("edited"))
    clock = Watching(lambda: None)
    place.clock = clock
    report = place.sync(changes={"sync.lease_stale_s": 60})
    place.assert_whole(report)
    assert 40 <= clock.waited_s <= 65
    sessions = [
        json.loads(line) for line in place.git("show", "nbvault/meta:records/sessions-2026-11.jsonl").splitlines()
    ]
    assert {"20261121T230000Z-aaaaaa": "interrupted"}.items() <= {s["session"]: s["status"] for s in sessions}.items()


def test_earlier_sightings_count(place: Place) -> None:
    """A session that was refused has seen the tip; the next one waits only for the rest of the time."""
    tip = take(place, elsewhere(place))
    from nbvault.state.store import StateManager

    with StateManager(place.settings().state.connection_url()) as state:
        state.sighting(tip, place.clock.now())
    place.clock.wait(800)
    clock = Watching(lambda: None)
    clock.wait(place.clock.monotonic() - clock.monotonic())
    clock.waited_s = 0
    place.clock = clock
    place.assert_whole(place.sync())
    assert 50 <= clock.waited_s <= 105


def test_the_lease_of_a_dead_process_here_is_taken_over_at_once(place: Place) -> None:
    """The process is gone: no watching."""
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    process.start()
    dead = replace(this_process(place.local), pid=process.pid or 0, started="1")
    process.join()
    take(place, dead)
    clock = Watching(lambda: None)
    place.clock = clock
    place.assert_whole(place.sync())
    assert clock.waited_s == 0


def test_a_killed_run_is_followed_at_once(place: Place, tmp_path: Path) -> None:
    """SIGKILL in mid-scan; the next session on this machine goes on without waiting and records the killed one."""
    place.emulator.edit(EDITED, source("edited"))
    place.emulator.faults({"kind": "hang", "match": {"endpoint": "export"}})
    pid = os.fork()
    if pid == 0:
        try:
            place.sync()
        finally:
            os._exit(1)
    waiting = threading.Event()
    for _ in range(200):
        if entry(place)["holder"]["pid"] == pid and place.emulator.requests().get("list"):
            break
        waiting.wait(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    killed = entry(place)["session"]
    place.emulator.faults()
    clock = Watching(lambda: None)
    place.clock = clock
    place.assert_whole(place.sync())
    assert clock.waited_s == 0
    assert killed in place.git("show", "nbvault/meta:records/sessions-2026-11.jsonl")


@pytest.mark.parametrize("how", ["whole", "partial", "no token", "refused push"])
def test_the_lease_is_given_back_after_every_end(served: Place, how: str) -> None:
    """Whatever the end, the tip of the lease is a release by the session."""
    place = served
    place.emulator.edit(EDITED, source("edited"))
    faults: dict[str, dict[str, Any]] = {
        "whole": {"kind": "latency", "ms": 1},
        "partial": {"kind": "oversize", "match": {"path": EDITED}},
        "no token": {"kind": "token-expired", "after": 5},
        "refused push": {"kind": "push-rejected", "refs": "refs/heads/main"},
    }
    place.emulator.faults(faults[how])
    report = place.sync()
    assert report.exit_code == {"whole": 0, "partial": 3, "no token": 6, "refused push": 1}[how]
    assert entry(place)["action"] == "release"
    assert entry(place)["holder"]["pid"] == os.getpid()


def test_the_lease_is_renewed_while_the_session_lives(place: Place) -> None:
    """A child commit every quarter of lease_stale_s, at most every two minutes."""
    place.emulator.faults({"kind": "latency", "ms": 150, "match": {"endpoint": "list"}})
    place.assert_whole(place.sync(changes={"sync.lease_stale_s": 0.4}))
    actions = [entry(place, sha)["action"] for sha in place.git("rev-list", "nbvault/lease").split()]
    assert actions[0] == "release"
    assert actions.count("renew") >= 3


def test_a_lost_lease_ends_the_session(place: Place) -> None:
    """Taken over while we scan: exit 5, nothing on `main`, and the other's lease stays."""
    place.emulator.edit(EDITED, source("edited"))
    tip = place.tip("main")
    place.emulator.faults({"kind": "latency", "ms": 300, "match": {"endpoint": "list"}})
    began = place.screen.began

    def overtaken(session: str, started_at: Any) -> None:
        began(session, started_at)
        take(place, elsewhere(place), session="20261122T030000Z-bbbbbb")

    place.screen.began = overtaken  # type: ignore[method-assign]
    report = place.sync(changes={"sync.lease_stale_s": 0.8})
    refused(place, report)
    assert place.tip("main") == tip
    assert entry(place)["session"] == "20261122T030000Z-bbbbbb"


def test_a_lease_that_nbvault_did_not_write_is_told(place: Place) -> None:
    """Somebody pushed something else to that branch: exit 1 and what to do."""
    place.commit("nbvault/lease", {"a": "b"})
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert report.exit_code == 1
    assert "nbvault/lease" in report.error
    assert "Delete that branch" in report.error

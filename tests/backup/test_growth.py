"""What sessions record of the repository's growth: counted exactly, whichever machine makes them and dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fault_places import DAY_S, HastyClock, Place, source
from nbvault.administration import look_at
from nbvault.backup.surroundings import SyncOptions
from nbvault.model import Growth, SessionReport
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Twelve notebooks, nothing saved yet."""
    world = [{"path": f"/Clients/{n % 3}/n{n}", "content": source(str(n))} for n in range(12)]
    with Emulator(world=world) as emulator:
        (tmp_path / "machine").mkdir()
        yield Place(emulator, tmp_path / "machine").by_path()


def counted(place: Place, tip: str) -> int:
    """How many objects the remote reaches from the content, main and this commit of the meta branch."""
    return int(place.git("rev-list", "--objects", "--count", "backup/daily", "main", tip))


def grown(report: SessionReport) -> Growth:
    assert report.growth is not None, report
    return report.growth


def test_the_counts_of_all_sessions_add_up_to_what_the_remote_has(place: Place) -> None:
    """Up to the commit that records the end, object for object; on new machines, too, and with notes in between."""
    first = place.sync()
    assert grown(first).objects == grown(first).total_objects == counted(place, "nbvault/meta~1")
    total = grown(first).objects
    machine = place
    for number in range(4):
        place.emulator.edit(f"/Clients/0/n{number * 3}", source(f"edited {number}"), editor="ann@example.com")
        machine = machine if number % 2 else place.another_machine(place.folder.parent / f"other{number}")
        report = machine.sync()
        total += grown(report).objects
        found = grown(report)
        assert (found.total_objects, found.exact) == (total, True)
        assert total == counted(place, "nbvault/meta~1"), number
        assert 0 < found.pack_bytes < found.total_pack_bytes


def test_a_session_that_changes_nothing_still_grows_a_little(place: Place) -> None:
    """Its record, and that of the one before it."""
    place.sync()
    report = place.sync()
    assert 0 < grown(report).objects < 12
    assert grown(report).total_objects == counted(place, "nbvault/meta~1")


def test_the_record_in_the_vault_says_it(place: Place) -> None:
    """With the state store and the local repository gone, another machine's status knows the growth after a sync."""
    place.sync()
    place.clock.wait(DAY_S)
    report = place.sync()
    names = [name for name in place.files("nbvault/meta") if name.startswith("records/sessions-")]
    last = place.git("show", f"nbvault/meta:{max(names)}").splitlines()[-1]
    assert json.loads(last)["growth"] == grown(report)._asdict()
    other = place.another_machine(place.folder.parent / "other")
    other.sync()
    health = look_at(other.settings(), clock=place.clock)
    assert health.growth is not None
    assert health.growth.objects.now > grown(report).total_objects
    assert health.growth.basis.startswith("the plan of 1,000 new notebooks a month")


def test_a_clock_that_was_years_ahead_protects_no_old_session(place: Place) -> None:
    """What is protected is what the last session pushed, whatever one before it took for the time."""
    wrong = HastyClock(place.clock.now() + timedelta(days=3650))
    assert run_sync(place.settings(), SyncOptions(), place.screen, clock=wrong).exit_code == 0
    place.emulator.create("/Clients/2024/new", source("new"))
    report = place.sync()
    protected = look_at(place.settings(), clock=place.clock).protected
    assert protected is not None
    assert (protected.session, protected.commit) == (report.session, report.head)


def test_what_an_interrupted_session_pushed_is_counted_by_the_next(place: Place) -> None:
    """Nothing is lost from the sum: the count goes on where the last end was recorded."""
    place.sync()
    place.emulator.batch(
        [{"op": "create", "path": f"/Clients/9/n{n}", "content": source(f"new {n}")} for n in range(8)]
    )
    place.emulator.faults({"kind": "status", "status": 401, "after": 6, "match": {"endpoint": "export"}})
    broken = place.sync(changes={"sync.large": 1, "sync.batch_size": 2, "sync.push_every": 2})
    assert broken.status.value != "complete"
    place.emulator.faults()
    report = place.sync()
    assert grown(report).total_objects == counted(place, "nbvault/meta~1")
    assert grown(report).exact

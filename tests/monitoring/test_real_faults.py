"""Rules whose fault is made, not planted: on a real vault and the emulator; each is told once and over once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from fault_places import source
from monitoring.conftest import Listener

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
VICTIM = f"{FOLDER}/00_ingest_ledger"


def heard(listener: Listener) -> list[str]:
    """What was said since, without how long it lasted; successes and their like left out."""
    return [subject.partition(", ")[0] for subject in listener.heard() if "complete:" not in subject]


def hours(listener: Listener) -> None:
    """The checks of three hours, by which whatever is told twice would be."""
    for _ in range(3):
        listener.place.clock.wait(3600)
        listener.check()


def test_a_credential_in_a_notebook(listener: Listener) -> None:
    """Saved with a token: told after the session, without the token; the next session finds no new one: over."""
    token = "dapi" + "0a1b2c3d" * 4
    listener.place.emulator.edit(VICTIM, source(f"token = '{token}'"))
    listener.sync()
    assert token not in "".join(listener.slack.texts())
    hours(listener)
    assert heard(listener) == ["MEDIUM: Credentials were found in notebooks"]
    listener.sync()
    hours(listener)
    assert heard(listener) == ["Over: Credentials were found in notebooks"]


def test_a_workspace_that_throttles(listener: Listener) -> None:
    """It refuses many requests and the session is complete all the same: told; the next one in peace: over."""
    busy = {"kind": "status", "status": 429, "match": {"endpoint": "list", "times": 6}}
    listener.place.emulator.faults(busy)
    listener.changes["alerts.throttled"] = 0.05
    report = listener.sync({"workspace.retry_s": 60})
    listener.place.assert_whole(report)
    hours(listener)
    assert heard(listener) == ["LOW: The workspace refuses many requests"]
    listener.place.emulator.faults()
    listener.sync()
    hours(listener)
    assert heard(listener) == ["Over: The workspace refuses many requests"]


def test_a_repository_over_its_limit(listener: Listener) -> None:
    """What the last session counted is over the limit: told; the limit is raised: over."""
    listener.sync()
    assert heard(listener) == []
    listener.changes["alerts.objects"] = 10
    listener.check()
    hours(listener)
    assert heard(listener) == ["LOW: The repository grows large"]
    del listener.changes["alerts.objects"]
    listener.check()
    hours(listener)
    assert heard(listener) == ["Over: The repository grows large"]


def test_a_trail_that_somebody_changed(listener: Listener) -> None:
    """A line of the index is another: told; it is put back: over."""
    listener.sync()
    assert heard(listener) == []
    alter(listener, "UPDATE audit_log SET actor = actor || '!' WHERE seq = 2")
    listener.check()
    hours(listener)
    assert heard(listener) == ["CRITICAL: The audit trail is broken"]
    alter(listener, "UPDATE audit_log SET actor = rtrim(actor, '!') WHERE seq = 2")
    listener.check()
    hours(listener)
    assert heard(listener) == ["Over: The audit trail is broken"]


def alter(listener: Listener, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(listener.place.folder / "state.db")) as connection:
        assert connection.execute(statement, values).rowcount == 1
        connection.commit()

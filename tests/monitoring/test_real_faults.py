"""Rules whose fault is made, not planted: on a real vault and the emulator; each is told once and over once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from fault_places import source
from monitoring.conftest import Listener
from nbvault.auth import AuthenticationManager
from nbvault.opening import opened_vault
from nbvault.recovery.receipt import Receipt
from nbvault.recovery.restorer import Request, Restorer
from nbvault.restoring import restorer_on
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import ClientOptions

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


OTHER = f"{FOLDER}/01_clean_ledger"
REFUSED = {"kind": "status", "status": 403, "match": {"endpoint": "import"}}
TOLD, OVER = ["CRITICAL: A restore did not end well"], ["Over: A restore did not end well"]


@contextmanager
def restorer(listener: Listener) -> Iterator[Restorer]:
    """As the commands open it, with this place's clock."""
    settings, clock = listener.settings(), listener.place.clock
    clock.wait(60)

    def connect() -> WorkspaceClient:
        return WorkspaceClient(AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock)

    with opened_vault(settings, clock=clock) as vault:
        vault.refresh()
        with restorer_on(vault, settings, connect, clock=clock) as found:
            yield found


def restore(listener: Listener, *paths: str) -> Receipt:
    with restorer(listener) as found:
        return found.apply(found.plan(Request(paths)))


def undo(listener: Listener, name: str) -> Receipt:
    with restorer(listener) as found:
        return found.apply(found.undo(name))


def resume(listener: Listener, name: str) -> Receipt:
    with restorer(listener) as found:
        return found.apply(found.resume(name))


def refused(listener: Listener, *paths: str) -> str:
    """A restore of deleted notebooks that the workspace refuses: it wrote nothing. Its id; the fault is over."""
    listener.sync()
    for path in paths:
        listener.place.emulator.delete(path)
    listener.place.emulator.faults(REFUSED)
    receipt = restore(listener, *paths)
    listener.place.emulator.faults()
    assert (receipt.exit_code, receipt.counts()) == (3, {"entries": len(paths), "failed": len(paths)})
    return receipt.intent.restore


@pytest.mark.parametrize("way", ["undo", "resume", "again"])
def test_a_restore_that_wrote_nothing(listener: Listener, way: str) -> None:
    """The workspace refuses the import: told; undone with nothing to take back, finished, or done again: over."""
    name = refused(listener, VICTIM)
    hours(listener)
    assert heard(listener) == TOLD
    if way == "undo":
        dealt = undo(listener, name)
        assert (dealt.recorded, dealt.intent.undo_of, dealt.counts()) == (True, name, {"entries": 0})
    else:
        dealt = resume(listener, name) if way == "resume" else restore(listener, VICTIM)
        assert dealt.counts() == {"entries": 1, "restored": 1}
    assert dealt.exit_code == 0
    hours(listener)
    assert heard(listener) == OVER


def test_a_restore_that_is_made_good_piece_by_piece(listener: Listener) -> None:
    """Neither a restore of another place nor one of a part of it ends it; what brings back the last place does."""
    name = refused(listener, VICTIM, OTHER)
    listener.place.emulator.delete(f"{FOLDER}/02_reconcile_ledger")
    restore(listener, f"{FOLDER}/02_reconcile_ledger")
    restore(listener, OTHER)
    hours(listener)
    assert heard(listener) == TOLD
    restore(listener, VICTIM)
    hours(listener)
    assert heard(listener) == OVER
    assert [undo(listener, name).recorded, undo(listener, name).recorded] == [True, True]


def test_an_undo_that_is_not_complete_ends_nothing(listener: Listener) -> None:
    """One of two was restored and edited since, so that undo leaves it: both are told of until it is taken back."""
    listener.sync()
    for path in (VICTIM, OTHER):
        listener.place.emulator.delete(path)
    listener.place.emulator.faults({**REFUSED, "match": {"endpoint": "import", "path": OTHER}})
    partial = restore(listener, VICTIM, OTHER)
    listener.place.emulator.faults()
    listener.place.emulator.edit(VICTIM, source("edited since"))
    left = undo(listener, partial.intent.restore)
    assert (left.exit_code, left.counts()) == (3, {"entries": 1, "changed since": 1})
    hours(listener)
    assert heard(listener) == TOLD
    with restorer(listener) as found:
        assert found.apply(found.undo(partial.intent.restore, forced=True)).exit_code == 0
    hours(listener)
    assert heard(listener) == OVER

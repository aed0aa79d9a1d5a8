"""The state store without transactions and keys, as Databricks SQL has none: what is left when a process dies."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from database_places import Lake
from nbvault.errors import StateError
from nbvault.model import Problem, State
from nbvault.state.store import AuditEvent, AuditHead, StateManager

T0 = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)
GOOD = "databricks://token:t0ken@adb-1.example.net?http_path=/sql/x&catalog=main&schema=nbvault"


def events(number: int) -> list[AuditEvent]:
    return [AuditEvent(T0 + timedelta(seconds=n), "ann", "restore", f"/{n}", "done") for n in range(number)]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (GOOD.replace("&catalog=main", ""), r"lacks a right catalog.*catalog=CATALOG"),
        (GOOD.replace("nbvault", "a`b"), r"lacks a right schema"),
        (GOOD.replace("http_path=/sql/x&", ""), r"lacks a right http_path"),
        (GOOD.replace("token:t0ken@", ""), r"no token.*state.password"),
    ],
)
def test_a_url_that_lacks_something_is_refused(url: str, words: str) -> None:
    """Before anything is sent, with the form that is right and without the token."""
    with pytest.raises(StateError, match=words) as caught, StateManager(url):
        pass
    assert "t0ken" not in str(caught.value)


def test_a_trail_that_broke_off_goes_on(lake: Lake) -> None:
    """Rows written before the process died, without their head, are no tampering: the next one goes on from there."""
    told = events(100)
    head = AuditHead(100, "d", "c", 1, T0)
    with StateManager(lake.url) as store:
        lake.warehouse.dies_before = "MERGE INTO audit_heads"
        with pytest.raises(KeyboardInterrupt):
            store.follow_audit(told, head)
        assert (len(store.audit_index()), store.audit_heads()) == (100, [])
        assert store.follow_audit(told, head)
        assert ([each for _, each in store.audit_index()], store.audit_heads()) == (told, [head])


def test_a_row_that_nobody_told_is_still_tampering(lake: Lake) -> None:
    """What stands after the last head and is not the vault's is not taken for a break."""
    with StateManager(lake.url) as store:
        lake.warehouse.dies_before = "MERGE INTO audit_heads"
        with pytest.raises(KeyboardInterrupt):
            store.follow_audit(events(3), AuditHead(3, "d", "c", 1, T0))
        other = [event._replace(actor="bob") for event in events(3)]
        assert not store.follow_audit(other, AuditHead(3, "d", "c", 1, T0))


def test_problems_are_never_gone_in_between(lake: Lake) -> None:
    """A process that dies while it replaces them leaves too many, not none; the next one puts that right."""
    old = [Problem(n, f"/old/{n}", State.FAILED, "r") for n in range(60)]
    new = [Problem(n, f"/new/{n}", State.FAILED, "r") for n in range(2)]
    with StateManager(lake.url) as store:
        store.replace_problems("s1", old)
        lake.warehouse.dies_before = "DELETE FROM problems"
        with pytest.raises(KeyboardInterrupt):
            store.replace_problems("s2", new)
        assert store.problems() == new + old[2:]
        store.replace_problems("s2", new)
        assert store.problems() == new


def test_a_migration_that_broke_off_is_run_again(lake: Lake) -> None:
    """Its tables are there, its record is not: the next opener goes over the same step."""
    lake.warehouse.dies_before = "MERGE INTO schema_version"
    with pytest.raises(KeyboardInterrupt):
        StateManager(lake.url).open()
    with StateManager(lake.url) as store:
        assert store.sessions() == []


def test_two_machines_lose_no_event(lake: Lake) -> None:
    """Their numbers differ, though both saw the same last one and no lock kept them apart."""
    with StateManager(lake.url) as one, StateManager(lake.url) as other:
        one.record_audit(events(40))
        other.record_audit(events(1))
        assert one.audit() == events(40) + events(1)

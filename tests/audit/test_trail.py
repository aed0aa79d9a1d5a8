"""The audit trail: whatever is changed in the index or in the vault is found, and nothing else is."""

from __future__ import annotations

import json
import random
import sqlite3
import string
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from audit.tampering import edited, rewrite
from flow.places import Machine, Quiet, git, server_of
from nbvault.administration import rebuild_state
from nbvault.auditing import accept_trail, last_head, list_events, verify_trail
from nbvault.backup.surroundings import SyncOptions
from nbvault.errors import ConfigurationError
from nbvault.monitoring.audit import Trail, chain_faults, index_faults, parse_head
from nbvault.opening import opened_vault
from nbvault.settings import load_settings
from nbvault.state.store import AuditEvent, StateManager
from nbvault.trail import read_trail
from nbvault.wiring import run_sync

T0 = datetime(2026, 11, 21, 2, 0, tzinfo=timezone.utc)
COLUMNS = ("seq", "at", "actor", "action", "object", "result", "detail")


def events(machine: Machine) -> list[tuple[int | None, str, str]]:
    return [(each.line, each.event.action, each.event.result) for each in list_events(machine.settings())]


def store(machine: Machine) -> StateManager:
    return StateManager(machine.settings().state.connection_url())


def test_index_and_vault_hold_the_same(machine: Machine) -> None:
    """After each session the index is the vault's trail, line by line, and verify finds nothing."""
    with opened_vault(machine.settings()) as vault:
        vault.refresh()
        told = read_trail(vault).events
    with store(machine) as state:
        assert [event for _, event in state.audit_index()] == list(told)
        assert state.audit_waiting() == []
    found = verify_trail(machine.settings(), by="dana")
    assert (found.exit_code, found.index, found.head.lines) == (0, len(told), len(told))
    assert [each[1:] for each in events(machine)] == [
        *[("authenticate", "ok"), ("authenticate", "ok"), ("sync", "complete")] * 2,
        ("audit verify", "ok"),
    ]


def test_what_waits_is_told_by_the_next_session_once(machine: Machine) -> None:
    """An event that the vault was not told yet is listed without a line, and told by the next session, once."""
    with store(machine) as state:
        state.record_audit([AuditEvent(T0, "ann", "restore", "/Clients/a", "ok")])
    assert events(machine)[-1] == (None, "restore", "ok")
    machine.sync()
    machine.sync()
    assert [each for each in events(machine) if each[1] == "restore"] == [(7, "restore", "ok")]
    assert verify_trail(machine.settings()).exit_code == 0


def test_what_was_told_by_a_session_that_died_is_not_told_again(machine: Machine) -> None:
    """Where the process dies after its push and before it could settle what waits, nothing is there twice."""
    line = AuditEvent(T0, "ann", "restore", "/Clients/a", "ok")
    with store(machine) as state:
        state.record_audit([line])
    machine.sync()
    with store(machine) as state:
        # As the dead session would have left it.
        state.record_audit([line])
    machine.sync()
    assert [each for each in events(machine) if each[1] == "restore"] == [(7, "restore", "ok")]


def test_a_session_that_cannot_write_is_in_the_trail_later(machine: Machine) -> None:
    """Where the vault cannot be told, the end of the session waits in the state store and is told by the next one."""
    settings = machine.settings()
    environment = {**machine.environment(), "GT": "wrong"}
    screen = Quiet()
    report = run_sync(load_settings(machine.config, environment=environment), SyncOptions(), screen)
    assert (report.exit_code, [stage for stage in screen.stages if "audit" in stage]) == (6, [])
    assert events(machine)[-2:] == [(None, "authenticate", "refused"), (None, "sync", "failed")]
    machine.sync()
    assert ("sync", "failed") in [each[1:] for each in events(machine) if each[0]]
    assert verify_trail(settings).exit_code == 0


def test_another_machine_writes_too(machine: Machine, tmp_path: Path) -> None:
    """Lines that another machine wrote are no fault: verify enters them, and says so."""
    other = Machine(tmp_path / "other", machine.emulator)
    other.sync()
    found = verify_trail(machine.settings())
    assert (found.exit_code, found.notes) == (0, ("3 lines that other machines wrote were entered into the index.",))
    assert verify_trail(other.settings()).exit_code == 0


def test_a_lost_state_store_is_no_fault(machine: Machine) -> None:
    """Losing the state store loses nothing: a new one knows the head from now on, and verify says so."""
    machine.forget_state()
    first, second = verify_trail(machine.settings()), verify_trail(machine.settings())
    assert "seen nothing" in first.notes[0]
    assert (first.exit_code, second.exit_code, second.notes) == (0, 0, ())
    assert second.index == second.head.lines == 6


# --- the index -----------------------------------------------------------------------------------------------------


def raw(machine: Machine) -> list[tuple[Any, ...]]:
    with sqlite3.connect(machine.state) as connection:
        found = connection.execute("SELECT * FROM audit_log ORDER BY seq").fetchall()
    connection.close()
    return found


def tampered(rows: list[tuple[Any, ...]], lot: random.Random) -> list[tuple[Any, ...]]:
    """The rows with one to three things done to them that somebody with rights in the database could do."""
    changed = list(rows)
    while sorted(changed) == sorted(rows):
        for _ in range(lot.choice([1, 1, 2, 3])):
            lot.choice([_change, _delete, _insert, _reorder, _duplicate])(changed, lot)
    return changed


def _change(rows: list[tuple[Any, ...]], lot: random.Random) -> None:
    number, column = lot.randrange(len(rows)), lot.randrange(len(COLUMNS))
    row = list(rows[number])
    if column == 0:
        row[0] = max(each[0] for each in rows) + lot.randrange(1, 1000)
    elif column == 1:
        place = lot.choice([i for i, char in enumerate(row[1]) if char.isdigit() and i > 17])
        row[1] = row[1][:place] + str((int(row[1][place]) + lot.randrange(1, 10)) % 10) + row[1][place + 1 :]
    else:
        row[column] = _other(row[column], lot)
    rows[number] = tuple(row)


def _other(text: str, lot: random.Random) -> str:
    place, char = lot.randrange(len(text) + 1), lot.choice(string.printable[:95] + "é\u200b\ufeff")
    return lot.choice(
        [text[:place] + char + text[place:], text + " ", text.swapcase() + "x", text[1:] if text else "-"]
    )


def _delete(rows: list[tuple[Any, ...]], lot: random.Random) -> None:
    start = lot.randrange(len(rows))
    del rows[start : start + (lot.randrange(1, 5) if len(rows) > 6 else 1)]
    if not rows:
        rows.append((1, "2026-11-21 02:00:00.000000", "", "", "", "", ""))


def _insert(rows: list[tuple[Any, ...]], lot: random.Random) -> None:
    top = max(each[0] for each in rows)
    rows.append((top + 1, "2026-11-21 02:00:00.000000", "mallory", "sync", "s", "complete", ""))


def _reorder(rows: list[tuple[Any, ...]], lot: random.Random) -> None:
    pairs = [(i, j) for i in range(len(rows)) for j in range(i) if rows[i][1:] != rows[j][1:]]
    if not pairs:
        return _insert(rows, lot)
    i, j = lot.choice(pairs)
    rows[i], rows[j] = (rows[i][0], *rows[j][1:]), (rows[j][0], *rows[i][1:])
    return None


def _duplicate(rows: list[tuple[Any, ...]], lot: random.Random) -> None:
    rows.append((max(each[0] for each in rows) + 1, *lot.choice(rows)[1:]))


def test_a_thousand_tamperings_of_the_index_are_found(machine: Machine) -> None:
    """Whatever one to three changes, deletions, insertions, swaps and doublings do to its rows, the index is not right.

    The rows are written to the real database and read through the state store; the vault is read once.
    """
    with store(machine) as state:
        state.record_audit(
            AuditEvent(T0.replace(minute=n), f"user{n % 5}", "restore", f"/Clients/é{n}", "ok", "\\u0000" * (n % 2))
            for n in range(20)
        )
    machine.sync()
    with opened_vault(machine.settings()) as vault:
        vault.refresh()
        told = read_trail(vault).events
    right = raw(machine)
    missed = []
    with store(machine) as state, sqlite3.connect(machine.state, isolation_level=None) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        assert index_faults(state.audit_index(), told) == []
        for seed in range(1000):
            wrong = tampered(right, random.Random(seed))
            connection.execute("BEGIN")
            connection.execute("DELETE FROM audit_log")
            connection.executemany("INSERT INTO audit_log VALUES (?, ?, ?, ?, ?, ?, ?)", wrong)
            connection.execute("COMMIT")
            if not index_faults(state.audit_index(), told):
                missed.append(seed)
    connection.close()
    assert missed == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'mallory' WHERE seq = 3",
        "UPDATE audit_log SET at = 'yesterday' WHERE seq = 1",
        "UPDATE audit_log SET seq = 'three' WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)",
        "DELETE FROM audit_log",
        "INSERT INTO audit_log SELECT seq + 1, at, actor, action, object, result, detail FROM audit_log WHERE seq = 6",
    ],
)
def test_verify_finds_it_and_a_session_does_not_hide_it(machine: Machine, statement: str) -> None:
    """Verify ends with 8, also after a further session; rebuilding the index from the vault mends it."""
    with sqlite3.connect(machine.state) as connection:
        connection.execute(statement)
    connection.close()
    assert verify_trail(machine.settings()).exit_code == 8
    machine.sync()
    found = verify_trail(machine.settings())
    assert (found.exit_code, {fault.where for fault in found.faults}) == (8, {"index"})
    rebuild_state(machine.settings())
    assert verify_trail(machine.settings()).exit_code == 0
    broken = [each for each in events(machine) if each[1:] == ("audit verify", "broken")]
    assert len(broken) == 2


# --- the vault -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parents", ["on top", "instead"])
@pytest.mark.parametrize(
    "change",
    [
        edited,
        lambda lines: lines[1:],
        lambda lines: lines[:-1],
        lambda lines: [lines[0], *lines],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]],
        lambda lines: lines[:0],
        lambda lines: [*lines[:2], b"no event\n", *lines[2:]],
    ],
)
def test_a_trail_changed_in_the_vault_is_found(
    machine: Machine, change: Callable[[list[bytes]], list[bytes]], parents: str
) -> None:
    """A push that edits, drops, doubles or moves lines, with force or without: 8, and the index stays as it was."""
    before = raw(machine)
    rewrite(server_of(machine.emulator), change, parents=parents)
    found = verify_trail(machine.settings())
    assert (found.exit_code, {fault.where for fault in found.faults} & {"chain"}) == (8, {"chain"})
    assert raw(machine) == before


def test_a_branch_rewritten_with_the_same_trail_is_found(machine: Machine) -> None:
    """Also where every line is as it was: the commit that was seen is no longer in the branch."""
    rewrite(server_of(machine.emulator), list, parents="instead")
    server = server_of(machine.emulator)
    commit = git(server, "commit-tree", "nbvault/meta^{tree}", "-p", "nbvault/meta~1", stdin=b"other").decode().strip()
    git(server, "update-ref", "refs/heads/nbvault/meta", commit)
    found = verify_trail(machine.settings())
    assert found.exit_code == 8
    assert "is not in the branch" in found.faults[0].what


def test_a_changed_trail_is_found_on_a_machine_that_saw_nothing(machine: Machine, tmp_path: Path) -> None:
    """The vault's own history contradicts it (--full), and so does the head of a mail."""
    head = str(last_head(machine.settings()))
    other = Machine(tmp_path / "other", machine.emulator)
    assert verify_trail(other.settings(), head=head, full=True).exit_code == 0
    rewrite(server_of(machine.emulator), edited)
    fresh = Machine(tmp_path / "fresh", machine.emulator)
    assert verify_trail(fresh.settings()).exit_code == 0
    assert verify_trail(fresh.settings(), full=True).exit_code == 8
    assert verify_trail(fresh.settings(), head=head).exit_code == 8


def test_a_session_tells_of_a_changed_trail(machine: Machine) -> None:
    """The next session says so, and takes nothing of it into the index, which still knows what was there."""
    before = raw(machine)
    rewrite(server_of(machine.emulator), edited)
    screen = Quiet()
    assert run_sync(machine.settings(), SyncOptions(), screen).exit_code == 0
    assert [stage for stage in screen.stages if "audit verify" in stage]
    assert raw(machine) == before


def test_a_trail_that_is_explained_can_be_accepted(machine: Machine) -> None:
    """Somebody who knows why accepts it: verify is content again, and the vault says who, and what was seen before."""
    head = str(last_head(machine.settings()))
    rewrite(server_of(machine.emulator), edited)
    with pytest.raises(ConfigurationError, match="for a reason"):
        accept_trail(machine.settings(), by="dana", reason=" ", say=print)
    accept_trail(machine.settings(), by="dana", reason="a secret was removed", say=print)
    assert verify_trail(machine.settings()).exit_code == 0
    (entry,) = [each for each in list_events(machine.settings()) if each.event.action == "audit accept"]
    assert entry.line is not None
    assert (entry.event.actor, head in entry.event.detail) == ("dana", True)


def test_heads() -> None:
    """A head survives being written into a mail, and what is none is refused."""
    lines = [json.dumps({"at": "2026-11-21T02:00:00Z", "action": str(n)}).encode() + b"\n" for n in range(5)]
    head = Trail(lines[:3]).head(T0)
    assert parse_head(str(head)) == (3, head.digest)
    assert chain_faults(Trail(lines), [head]) == []
    for wrong in (lines[:2], [*lines[:2], lines[3]], lines[1:]):
        assert len(chain_faults(Trail(wrong), [head])) == 1
    for text in ("", "3", "3:", "3:xyz", f"-1:{head.digest}", f"3:{head.digest}0"):
        with pytest.raises(ConfigurationError, match="no head"):
            parse_head(text)

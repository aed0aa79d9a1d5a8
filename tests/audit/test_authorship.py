"""Authors that became known after the commit: asked for until they are told, shown wherever changes are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk
from flow.places import Machine, git, server_of
from nbvault.authorship import name_editors
from nbvault.clock import SystemClock
from nbvault.opening import read_vault
from nbvault.recovery.blame import blame
from nbvault.recovery.history import history
from nbvault.reporting.query import Query
from nbvault.reporting.walk import changes
from nbvault_emulator.audit_log import WORKSPACE_ID
from nbvault_emulator.testing import Emulator

AUDIT = {"source": "audit", "warehouse_id": "warehouse1", "workspace_id": WORKSPACE_ID}
SOURCE = "# Databricks notebook source\n# {}\n"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A workspace whose audit table is kept."""
    paths = [f"/Clients/{name}" for name in ("a", "b", "c", "old/d")]
    with Emulator(world=[{"path": path, "content": SOURCE.format(path)} for path in paths]) as running:
        running.audit()
        yield running


@pytest.fixture
def machine(emulator: Emulator, tmp_path: Path) -> Machine:
    """A computer that has synced once and asks the audit table."""
    machine = Machine(tmp_path / "machine", emulator)
    lines = ["[editors]", *(f"{key} = {json.dumps(value)}" for key, value in AUDIT.items())]
    machine.config.write_text(machine.config.read_text() + "\n".join(lines) + "\n")
    machine.sync()
    return machine


def told(machine: Machine, session: str) -> dict[str, tuple[str, str]]:
    """The changes of a session: by path, what and by whom."""
    with read_vault(machine.settings(), warn=print) as vault:
        return {each.path: (each.change.value, each.author.email) for each in changes(vault, Query(session=session))}


def name(machine: Machine) -> int:
    return name_editors(machine.settings(), say=print)


def change_everything(emulator: Emulator) -> None:
    """An edit through the API, which the listing tells nobody of; a deletion, a rename and a renamed folder."""
    emulator.edit("/Clients/a", SOURCE.format("new"), editor="ann@x", interactive=False)
    emulator.batch([{"op": "delete", "path": "/Clients/b", "editor": "ben@x"}])
    emulator.batch([{"op": "move", "from": "/Clients/c", "to": "/Clients/c2", "editor": "cy@x"}])
    emulator.batch([{"op": "move", "from": "/Clients/old", "to": "/Clients/new", "editor": "di@x"}])


NAMED = {
    "/Clients/a": ("modified", "ann@x"),
    "/Clients/b": ("deleted", "ben@x"),
    "/Clients/c2": ("renamed", "cy@x"),
    "/Clients/new/d": ("renamed", "di@x"),
}


def test_events_that_are_there_in_time(machine: Machine) -> None:
    """An edit is committed in its author's name; deletions and moves, also of folders, are named after the session."""
    change_everything(machine.emulator)
    report = machine.sync()
    assert told(machine, report.session)["/Clients/a"] == ("modified", "ann@x")
    assert name(machine) == 3
    assert told(machine, report.session) == NAMED
    assert name(machine) == 0


def test_late_events_are_filled_in_and_commits_stay(machine: Machine, tmp_path: Path) -> None:
    """Unknown until the events come; then history, blame and changes show them, on any machine; no commit changes."""
    machine.emulator.audit(delay_ms=10_000_000_000)
    change_everything(machine.emulator)
    report = machine.sync()
    unknown = "unknown@nbvault.invalid"
    assert {who for _, who in told(machine, report.session).values()} == {unknown}
    assert name(machine) == 0
    before = git(server_of(machine.emulator), "rev-list", "main", "backup/daily")
    machine.emulator.edit("/Clients/c2", SOURCE.format("again"), editor="eve@x")
    machine.sync()
    machine.emulator.audit(delay_ms=0)
    assert name(machine) == 4
    assert told(machine, report.session) == NAMED
    other = Machine(tmp_path / "other", machine.emulator)
    with read_vault(other.settings(), warn=print) as vault:
        assert history(vault, "/Clients/a")[0].author.email == "ann@x"
        assert blame(vault, "/Clients/a").lines[1].version.author.email == "ann@x"
        assert history(vault, "/Clients/b")[0].author.email == "ben@x"
        assert [each.author.email for each in history(vault, "/Clients/c2")][:2] == ["eve@x", "cy@x"]
    after = git(server_of(machine.emulator), "rev-list", "main", "backup/daily").splitlines()
    assert set(before.splitlines()) < set(after)


def test_the_commands_show_names_that_came_late(emulator: Emulator, tmp_path: Path) -> None:
    """`changes`, `history` and `blame` say unknown until the events come, and then the names, filters too."""
    desk = Desk(tmp_path / "desk", emulator)
    config = desk.folder / "nbvault.toml"
    lines = ["", "[editors]", *(f"{key} = {json.dumps(value)}" for key, value in AUDIT.items()), ""]
    config.write_text(config.read_text() + "\n".join(lines))
    assert desk.run("sync").code == 0
    emulator.audit(delay_ms=10_000_000_000)
    change_everything(emulator)
    session = desk.run("sync", "--json").json["session"]
    assert set(shown(desk, session).values()) == {"unknown@nbvault.invalid"}
    emulator.edit("/Clients/a", SOURCE.format("new") + "# third\n", editor="eve@x")
    emulator.audit(delay_ms=0)
    assert desk.run("sync").code == 0
    assert shown(desk, session) == {path: who for path, (_, who) in NAMED.items()}
    (mine,) = desk.run("changes", "--author", "ann@x", "--json").json["changes"]
    assert (mine["path"], mine["session"]) == ("/Clients/a", session)
    for path in ("/Clients/b", "/Clients/c2"):
        last = desk.run("history", path, "--json").json[0]
        assert (last["change"], last["author_email"]) == NAMED[path]
    blamed = desk.run("blame", "/Clients/a", "--json").json
    assert [line["author_email"] for line in blamed] == ["nbvault@nbvault.invalid", "ann@x", "eve@x"]


def shown(desk: Desk, session: str) -> dict[str, str]:
    """Whose `changes` says each change of a session is."""
    found = desk.run("changes", "--session", session, "--json").json["changes"]
    return {each["path"]: each["author_email"] for each in found}


def test_missing_events_name_nobody(machine: Machine) -> None:
    """Where events never come, or the table is empty, the changes stay unknown, and nothing fails."""
    machine.emulator.audit(missing=1.0)
    change_everything(machine.emulator)
    report = machine.sync()
    assert report.exit_code == 0
    assert name(machine) == 0
    assert {who for _, who in told(machine, report.session).values()} == {"unknown@nbvault.invalid"}


def test_a_warehouse_that_fails_holds_no_backup_up(machine: Machine) -> None:
    """The session is complete, with the listing's own names; asking afterwards says why it cannot."""
    machine.emulator.audit(refused="INSUFFICIENT_PERMISSIONS")
    machine.emulator.edit("/Clients/a", SOURCE.format("x"), editor="ann@x")
    report = machine.sync()
    assert report.exit_code == 0
    assert told(machine, report.session)["/Clients/a"][1] == "ann@x"


def test_a_restore_is_by_who_asked_for_it(emulator: Emulator, tmp_path: Path) -> None:
    """What nbvault wrote through the API is named after the identity of the restore, without any audit table."""
    desk = Desk(tmp_path / "desk", emulator)
    assert desk.run("sync").code == 0
    # Within five seconds of it the restore would pass for hers.
    ago = SystemClock().now() - timedelta(minutes=1)
    emulator.edit("/Clients/a", SOURCE.format("broken"), editor="ann@x", modified_at=round(ago.timestamp() * 1000))
    assert desk.run("sync").code == 0
    tag = desk.run("history", "/Clients/a", "--json").json[1]["commit"]
    assert desk.run("restore", "/Clients/a", "--at", tag, "--yes").code == 0
    assert desk.run("sync").code == 0
    found: list[dict[str, Any]] = desk.run("history", "/Clients/a", "--json").json
    assert found[0]["author_email"] == "nbvault-service@clients.example"
    assert desk.run("audit", "verify").code == 0

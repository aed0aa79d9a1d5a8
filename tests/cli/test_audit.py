"""`nbvault audit` on the command line, and what every other command leaves in the trail."""

from __future__ import annotations

import csv
import io
import json
import sqlite3

from cli_places import Desk


def trail(desk: Desk, *arguments: str) -> list[dict[str, str]]:
    """The events, as `audit list --json` tells them."""
    found: list[dict[str, str]] = desk.run("audit", "list", *arguments, "--json").json
    return found


def told(desk: Desk, *arguments: str) -> list[tuple[str, str, str]]:
    return [(each["action"], each["object"], each["result"]) for each in trail(desk, *arguments)]


def test_every_command_that_signs_in_says_so(desk: Desk) -> None:
    """Restore, verify, drill, undo and the rest: what was done, on what, how it ended, and each sign-in on the way."""
    desk.run("sync")
    here = ("authenticate", "workspace", "ok"), ("authenticate", "git", "ok")
    expected = {
        ("restore", "/Clients/2024", "--to", "/Restored/", "--yes"): ("restore", "/Clients/2024", "ok"),
        ("verify",): ("verify", "/Clients", "ok"),
        ("show", "/Clients/2024/a"): ("show", "/Clients/2024/a", "ok"),
        ("show", "/Clients/2024/none"): ("show", "/Clients/2024/none", "failed"),
        ("search", "Clients"): ("search", "Clients", "ok"),
    }
    for command, line in expected.items():
        before = len(trail(desk))
        desk.run(*command)
        found = told(desk)[before:]
        assert found[-1] == line
        assert set(found[:-1]) == (set(here) if command[0] in ("restore", "verify") else {here[1]})
    restored = next(each for each in trail(desk) if each["object"] == "workspace" and "restore" in each["detail"])
    assert restored["actor"] == "nbvault-service@clients.example"
    assert "by token env:DATABRICKS_TOKEN, for restore" in restored["detail"]
    drill = desk.run("drill", "--sample", "2")
    assert drill.code == 0
    assert [each for each in told(desk)[-4:] if each[0] == "drill"]
    desk.run("sync")
    waiting = [each for each in trail(desk) if each["line"] is None]
    # Who a restore was asked by is looked up once the session has ended; those sign-ins wait for the next one.
    assert {(each["action"], each["detail"].rpartition(", for ")[2]) for each in waiting} <= {("authenticate", "sync")}
    assert desk.run("audit", "verify").code == 0


def test_a_refused_sign_in_is_in_the_trail(desk: Desk) -> None:
    """A wrong token: the refusal and the failure of the command are kept, and no secret."""
    desk.run("sync")
    assert desk.run("verify", DATABRICKS_TOKEN="wrong-token").code == 6
    lines = trail(desk)[-2:]
    assert [(each["action"], each["result"]) for each in lines] == [("authenticate", "refused"), ("verify", "failed")]
    assert "wrong-token" not in json.dumps(lines)


def test_commands_that_only_look_leave_nothing(desk: Desk) -> None:
    """doctor, status, estimate and the lists are run by who watches: they add nothing to the trail."""
    desk.run("sync")
    before = told(desk)
    for command in (["doctor"], ["status"], ["problems", "list"], ["audit", "list"]):
        desk.run(*command)
    assert told(desk) == before


def test_list_and_export(desk: Desk) -> None:
    """Filters by time, actor, action and object; CSV that a spreadsheet does not compute, and JSON lines; to a file."""
    desk.run("sync")
    desk.run("search", "=cmd|calc")
    assert [line[0] for line in told(desk, "--action", "SYNC")] == ["sync"]
    assert told(desk, "--object", "git*")[0][1] == "git"
    assert told(desk, "--until", "2020-01-01") == []
    assert len(told(desk, "--since", "2020-01-01", "--limit", "2")) == 2
    assert told(desk, "--actor", "nobody") == []
    rows = list(csv.DictReader(io.StringIO(desk.run("audit", "export").out)))
    assert list(rows[0]) == ["line", "at", "actor", "action", "object", "result", "detail"]
    assert next(row for row in rows if row["action"] == "search")["object"] == "'=cmd|calc"
    done = desk.run("audit", "export", "--format", "jsonl", "--output", "trail.jsonl", "--action", "sync")
    assert (done.code, done.out) == (0, "")
    lines = (desk.folder / "trail.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["sync"]
    assert desk.run("audit", "list", "--since", "tomorrowish").code == 7


def test_verify_ends_with_8_and_says_where(desk: Desk) -> None:
    """A changed row: 8, in words and as JSON; with a head of a mail as well."""
    desk.run("sync")
    right = desk.run("audit", "verify", "--json")
    assert (right.code, right.json["ok"], right.json["lines"], right.json["faults"]) == (0, True, 3, [])
    assert desk.run("audit", "verify", "--head", right.json["head"], "--full").code == 0
    assert desk.run("audit", "verify", "--head", "3:" + "0" * 64).code == 8
    assert desk.run("audit", "verify", "--head", "many").code == 7
    with sqlite3.connect(desk.folder / "nbvault.db") as connection:
        connection.execute("UPDATE audit_log SET actor = 'mallory' WHERE seq = 3")
    connection.close()
    wrong = desk.run("audit", "verify", "--json")
    assert (wrong.code, wrong.json["ok"]) == (8, False)
    assert wrong.json["faults"] == [{"where": "index", "line": 3, "what": "differs in actor"}]
    assert "state rebuild" in desk.run("audit", "verify").out
    assert desk.run("state", "rebuild").code == 0
    assert desk.run("audit", "verify").code == 0

"""Whose a change was, by the audit table: right, or unknown; never somebody else."""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nbvault.errors import ConfigurationError
from nbvault.workspace.audit_events import SAME_MOMENT_MS, Act, Acts, act_of, read_export

T0 = 1_763_690_400_000
HOUR = 3_600_000
ODD = [
    "/Clients/<script>",
    "/Clients/a b/é#?&%+x ",
    '/Clients/"quoted" \\ back',
    "/Clients/New Notebook 2026-05-04 13:54:24",
]


def row(
    action: str, params: Mapping[str, Any], *, at: object = T0, actor: str = "ann@x", **more: Any
) -> dict[str, Any]:
    """A row as the statement gives it: every value a string."""
    told = {"event_id": "e", "event_time": str(at), "user_identity.email": actor, "action_name": action}
    return {**told, "request_params": json.dumps(params), "status_code": "200", **more}


def edit(object_id: int, path: str, at_ms: int, actor: str) -> Act:
    return Act(at_ms, actor, "modifyNotebook", object_id, path)


def test_ten_thousand_edits_by_fifty_people() -> None:
    """With events late, missing, doubled and out of order, each name is right; all are named once all has come."""
    lot = random.Random(6)
    people = [f"user{n}@x" for n in range(50)]
    last = dict.fromkeys(range(2000), T0)
    edits = []
    for _ in range(10_000):
        number = lot.randrange(2000)
        # Two saves of one notebook are further apart than a save and its time in the listing.
        last[number] += lot.randrange(2 * SAME_MOMENT_MS + 1, 3 * HOUR)
        edits.append((number, last[number], lot.choice(people)))
    events = [edit(n, f"/Clients/n{n}", at + lot.randrange(-900, 900), who) for n, at, who in edits]
    events = [event for event in events for _ in range(2 if lot.random() < 0.2 else 1)]
    lot.shuffle(events)
    early = [event for event in events if lot.random() > 0.3]
    by_now, in_the_end = Acts(early), Acts(events)
    named = [(by_now.editor(n, f"/Clients/n{n}", at), who) for n, at, who in edits]
    assert [pair for pair in named if pair[0] is not None and pair[0].email != pair[1]] == []
    known = sum(person is not None for person, _ in named)
    assert 6500 < known < 8500
    found = [in_the_end.editor(n, f"/Clients/n{n}", at) for n, at, _ in edits]
    assert [person.email if person else None for person in found] == [who for _, _, who in edits]


def test_two_people_at_one_moment_are_nobody() -> None:
    """Where two saved at the same distance from the notebook's time, no one is named; the nearer one is otherwise."""
    acts = Acts([edit(1, "/n", T0 - 10, "ann"), edit(1, "/n", T0 + 10, "ben"), edit(2, "/m", T0, "ann")])
    assert acts.editor(1, "/n", T0) is None
    near = acts.editor(1, "/n", T0 + 9)
    assert (near.email if near else "") == "ben"
    assert acts.editor(2, "/m", T0 + SAME_MOMENT_MS + 1) is None
    assert acts.editor(2, "/m", 0) is None
    assert Acts([]).editor(1, "/n", T0) is None


def test_deletions_and_moves() -> None:
    """By the notebook itself, or by a folder above it; what happened before the last look does not count."""
    rows = [
        row("deleteNotebook", {"path": "/C/f/a", "notebookId": "1"}, actor="ann"),
        row("deleteFolder", {"path": "/C/f"}, actor="ben", at=T0 + 5),
        row("renameNotebook", {"parentPath": "/C", "oldName": "x", "newName": "y", "notebookId": "3"}, actor="cy"),
        row("moveNotebook", {"oldPath": "/C/y", "newPath": "/D/y", "notebookId": "3"}, actor="di", at=T0 + 7),
        row("renameFolder", {"parentPath": "/C", "oldName": "old", "newName": "new", "folderId": "9"}, actor="ed"),
    ]
    acts = Acts(act for each in rows if (act := act_of(each)))
    assert acts.count == 5

    def name(person: Any) -> str:
        return person.email if person else ""

    assert name(acts.remover(1, "/C/f/a", since_ms=T0)) == "ann"
    assert name(acts.remover(2, "/C/f/deep/b", since_ms=T0)) == "ben"
    assert name(acts.remover(2, "/C/f/deep/b", since_ms=T0 + 6)) == ""
    assert name(acts.remover(2, "/C/fg/b", since_ms=T0)) == ""
    assert name(acts.mover(3, "/C/x", "/D/y", since_ms=T0)) == "di"
    assert name(acts.mover(3, "/C/x", "/C/y", since_ms=T0)) == "cy"
    assert name(acts.mover(4, "/C/old/n", "/C/new/n", since_ms=T0)) == "ed"
    assert name(acts.mover(4, "/C/older/n", "/C/new/n", since_ms=T0)) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        row("modifyNotebook", {"path": "/n", "notebookId": "1"}, status_code="403"),
        row("runCommand", {"path": "/n", "notebookId": "1"}),
        row("modifyNotebook", {"path": "/n", "notebookId": "1"}, at="yesterday"),
        row("modifyNotebook", {"path": "/n", "notebookId": "1"}, actor=""),
        row("modifyNotebook", {}),
        row("modifyNotebook", {}, request_params="{broken"),
        row("modifyNotebook", {}, request_params=None),
        {},
    ],
)
def test_what_cannot_be_read_or_failed_is_no_act(wrong: dict[str, Any]) -> None:
    """A refused attempt, another kind of event, or nonsense names nobody and stops nothing."""
    assert act_of(wrong) is None


LONG, DEEP = "9" * 5000, "[" * 100_000


def test_a_line_that_python_refuses_is_left_out(tmp_path: Path) -> None:
    """A number of thousands of digits, or lists in lists without end, is junk like any other, and fails no session."""
    good = row("modifyNotebook", {"path": "/a", "notebookId": "7"})
    rows = [row("modifyNotebook", {"path": "/a"}, at=LONG), row("modifyNotebook", {"path": "/a", "notebookId": LONG})]
    junk = [DEEP, '{"event_time": ' + LONG + "}", json.dumps({**good, "request_params": '{"path": ' + DEEP})]
    lines = tmp_path / "audit.jsonl"
    lines.write_text("\n".join([*map(json.dumps, rows), *junk, json.dumps(good)]), "utf-8")
    assert list(read_export(lines)) == [
        Act(T0, "ann@x", "modifyNotebook", 0, "/a"),
        Act(T0, "ann@x", "modifyNotebook", 7, "/a"),
    ]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_an_export_that_is_no_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Nobody may ever write into a pipe, and a session that waits for it would not even obey a signal."""
    place = tmp_path / "audit.jsonl"
    make(place)
    with pytest.raises(ConfigurationError, match=r"cannot be read.*editors\.file"):
        list(read_export(place))


def test_an_export_of_the_table(tmp_path: Path) -> None:
    """JSON lines with structs, and CSV with JSON in a cell, with odd names, give the same acts; junk is left out."""
    nested = [
        {
            "event_time": f"2026-11-21T02:00:0{n}.000+00:00",
            "user_identity": {"email": "ann@x", "subject_name": None},
            "action_name": "modifyNotebook",
            "request_params": {"path": f"/Workspace{path}", "notebookId": str(n)},
            "response": {"status_code": 200},
        }
        for n, path in enumerate(ODD)
    ]
    lines = tmp_path / "audit.jsonl"
    lines.write_text("\n".join([*map(json.dumps, nested), "no json", "[]", ""]), encoding="utf-8")
    table = tmp_path / "audit.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(nested[0]))
        writer.writeheader()
        for each in nested:
            writer.writerow({key: json.dumps(v) if isinstance(v, dict) else v for key, v in each.items()})
    found = list(read_export(lines))
    assert [act.path for act in found] == [path.rstrip("/") for path in ODD]
    assert list(read_export(table)) == found
    with pytest.raises(ConfigurationError, match=r"cannot be read.*editors\.file"):
        list(read_export(tmp_path / "none.csv"))

"""A workspace that moves while it is read, and what of it may be hidden: identity, permissions, tokens."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from fault_places import Place, source
from nbvault.model import State

A = "/Clients/2024/ENG-1001/NOTEBOOKS"
B = "/Clients/2024/ENG-1002/NOTEBOOKS"
X = "00_ingest_ledger"
SLOW_B = {"kind": "latency", "ms": 250, "match": {"endpoint": "list", "path": B}}


def do(when: str, what: Any, **match: Any) -> dict[str, Any]:
    """The world changes just before or after a request."""
    return {"kind": "do", "do": what, "when": when, "match": {"nth": 1, **match}}


def counts(place: Place, *faults: dict[str, Any], **changes: Any) -> tuple[int, int, int, int]:
    """Sync under faults, whole at the end; added, modified, renamed, deleted."""
    place.emulator.faults(*faults)
    report = place.sync(changes=changes)
    place.assert_whole(report)
    assert report.counts.listed == len(place.world())
    place.emulator.faults()
    again = place.sync()
    place.assert_whole(again)
    assert again.counts.saved == again.counts.deleted == 0
    found = report.counts
    return found.added, found.modified, found.renamed, found.deleted


def test_moved_out_of_a_folder_not_yet_read(place: Place) -> None:
    """Seen nowhere at first, because its new folder was read before: found when that is read again."""
    move = {"op": "move", "from": f"{B}/{X}", "to": f"{A}/from B"}
    assert counts(place, SLOW_B, do("after", move, endpoint="list", path=A)) == (0, 0, 1, 0)


def test_moved_into_a_folder_not_yet_read(place: Place) -> None:
    """Seen twice: it is where it is seen when both folders are read again."""
    move = {"op": "move", "from": f"{A}/{X}", "to": f"{B}/from A"}
    assert counts(place, SLOW_B, do("after", move, endpoint="list", path=A)) == (0, 0, 1, 0)


def test_a_new_notebook_seen_twice(place: Place) -> None:
    """The same for one that the vault does not know yet, and whose first path is exported in vain."""
    place.emulator.create(f"{A}/new", source("new"))
    move = {"op": "move", "from": f"{A}/new", "to": f"{B}/new"}
    assert counts(place, SLOW_B, do("after", move, endpoint="list", path=A)) == (1, 0, 0, 0)


def test_gone_between_listing_and_export(place: Place) -> None:
    """A notebook deleted after it was listed leaves the count of listed, and is deleted."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    gone = {"op": "delete", "path": f"{B}/{X}"}
    assert counts(place, do("before", gone, endpoint="export", path=f"{B}/{X}")) == (0, 0, 0, 1)


def test_a_new_one_gone_between_listing_and_export(place: Place) -> None:
    """The same for one that the vault does not know: nothing has happened."""
    place.emulator.create(f"{B}/new", source("new"))
    gone = {"op": "delete", "path": f"{B}/new"}
    assert counts(place, do("before", gone, endpoint="export", path=f"{B}/new")) == (0, 0, 0, 0)


def test_moved_between_listing_and_export(place: Place) -> None:
    """Its export answers 404 under the old path; it is found and saved under the new one."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    move = {"op": "move", "from": f"{B}/{X}", "to": f"{B}/elsewhere"}
    assert counts(place, do("before", move, endpoint="export", path=f"{B}/{X}")) == (0, 0, 1, 0)


def test_moved_to_another_folder_between_listing_and_export(place: Place) -> None:
    """The same where the new folder was listed before it came."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    move = {"op": "move", "from": f"{B}/{X}", "to": f"{A}/elsewhere"}
    assert counts(place, do("before", move, endpoint="export", path=f"{B}/{X}")) == (0, 0, 1, 0)


def test_edited_between_listing_and_export(place: Place) -> None:
    """What is saved is newer than its listed times, so the next session looks again and finds it the same."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    edit = {"op": "edit", "path": f"{B}/{X}", "content": source("edited twice")}
    assert counts(place, do("before", edit, endpoint="export", path=f"{B}/{X}")) == (0, 1, 0, 0)


def test_edited_just_after_its_export(place: Place) -> None:
    """The times are those listed before the export, so the next session finds the edit."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    edit = {"op": "edit", "path": f"{B}/{X}", "content": source("edited twice")}
    place.emulator.faults(do("after", edit, endpoint="export", path=f"{B}/{X}"))
    assert place.sync().counts.modified == 1
    second = place.sync()
    assert second.counts.modified == 1
    place.assert_whole(second)


def test_a_folder_moves_in_mid_scan(place: Place) -> None:
    """It answers 404, and its notebooks are found, as renamed, where it went."""
    move = {"op": "move", "from": "/Clients/2024/ENG-1002", "to": "/Clients/2025/moved"}
    inside = sum(path.startswith("/Clients/2024/ENG-1002/") for path in place.world())
    assert counts(place, do("before", move, endpoint="list", path=B)) == (0, 0, inside, 0)


def test_a_folder_moves_in_mid_scan_into_one_that_was_read(place: Place) -> None:
    """The same where the folder it went into had been listed before."""
    move = {"op": "move", "from": B, "to": f"{A}/deep"}
    inside = sum(path.startswith(B) for path in place.world())
    faults = [SLOW_B, do("after", move, endpoint="list", path=A)]
    assert counts(place, *faults) == (0, 0, inside, 0)


def test_a_folder_is_deleted_in_mid_scan(place: Place) -> None:
    """A 404 whose parent, listed again, no longer shows the folder: what was in it is deleted."""
    inside = sum(path.startswith(B) for path in place.world())
    gone = {"op": "delete", "path": B, "recursive": True}
    assert counts(place, do("before", gone, endpoint="list", path=B)) == (0, 0, 0, inside)


def test_a_folder_that_goes_away_and_comes_back_in_mid_scan(place: Place) -> None:
    """Thought to be gone, shown again by the next listing of its parent: it is listed, and nothing is deleted."""
    away, back = {"op": "move", "from": B, "to": "/away"}, {"op": "move", "from": "/away", "to": B}
    parent = "/Clients/2024/ENG-1002"
    faults = [
        do("before", away, endpoint="list", path=B),
        {"kind": "do", "do": back, "when": "after", "match": {"nth": 2, "endpoint": "list", "path": parent}},
    ]
    assert counts(place, *faults) == (0, 0, 0, 0)


def test_replaced_between_listing_and_export(place: Place) -> None:
    """Deleted and created again at its path meanwhile: saved is what is there, and the id of it."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    again = [{"op": "delete", "path": f"{B}/{X}"}, {"op": "create", "path": f"{B}/{X}", "content": source("another")}]
    place.emulator.faults(do("before", again, endpoint="export", path=f"{B}/{X}"))
    place.assert_whole(place.sync())
    place.emulator.faults()
    place.assert_whole(place.sync())
    ids = {each["path"]: each["object_id"] for each in place.emulator.world("/Clients")}
    assert {row["path"]: row["id"] for row in place.rows()} == ids


def tombstones(place: Place) -> set[int]:
    """The ids that the vault has as deleted."""
    files = [path for path in place.files("nbvault/meta") if path.startswith("inventory/")]
    lines = [json.loads(line) for path in files for line in place.git("show", f"nbvault/meta:{path}").splitlines()]
    return {line["id"] for line in lines if "gone" in line}


def test_another_in_the_place_of_one_that_moved_is_no_proof(place: Place) -> None:
    """Both happen after its folder and its new one were listed; a 404 elsewhere shows the other: it is looked for."""
    place.emulator.edit(f"{B}/{X}", source("edited"))
    y = "01_clean_ledger"
    moves = [
        {"op": "move", "from": f"{B}/{X}", "to": f"{B}/renamed"},
        {"op": "move", "from": f"{B}/{y}", "to": f"{A}/from B"},
        {"op": "create", "path": f"{B}/{y}", "content": source("another")},
    ]
    assert counts(place, do("before", moves, endpoint="export", path=f"{B}/{X}")) == (1, 0, 2, 0)
    assert tombstones(place) == set()


def test_another_in_the_place_of_one_that_moved_while_others_are_proven_gone(place: Place) -> None:
    """The same between the two listings by which somebody else's deletion is proven."""
    y = "01_clean_ledger"
    place.emulator.delete(f"{B}/{X}")
    moves = [
        {"op": "move", "from": f"{B}/{y}", "to": f"{A}/from B"},
        {"op": "create", "path": f"{B}/{y}", "content": source("another")},
    ]
    again = {"nth": 2, "endpoint": "list"}
    faults = [
        {"kind": "do", "do": moves, "when": "after", "match": {**again, "path": A}},
        {"kind": "latency", "ms": 400, "match": {**again, "path": B}},
        # The folder of the one that is gone is not the last one that is listed.
        {"kind": "latency", "ms": 250, "match": {"nth": 1, "endpoint": "list", "path": B}},
        {"kind": "latency", "ms": 500, "match": {"nth": 1, "endpoint": "list", "path": "/Clients/2025"}},
    ]
    assert counts(place, *faults) == (1, 0, 1, 1)


def test_what_cannot_be_proven_gone_is_kept_and_said(place: Place) -> None:
    """As often as it is looked for, another one moves: the last is carried, and what took its place waits."""
    gone, *others = sorted(path for path in place.world() if path.startswith(f"{B}/"))[:4]
    place.emulator.delete(gone)
    slow = [{"kind": "latency", "ms": 300, "match": {"endpoint": "list", "path": B}}]
    slow += [{"kind": "latency", "ms": 500, "match": {"nth": 1, "endpoint": "list", "path": "/Clients/2025"}}]
    for number, path in enumerate(others, start=2):
        moves = [
            {"op": "move", "from": path, "to": f"{A}/moved {number}"},
            {"op": "create", "path": path, "content": source("another")},
        ]
        slow.append(
            {"kind": "do", "do": moves, "when": "after", "match": {"nth": number, "endpoint": "list", "path": A}}
        )
    place.emulator.faults(*slow)
    report = place.sync()
    assert (report.exit_code, report.counts.deleted, report.counts.failed) == (3, 1, 1), report
    assert [each.path for each in report.problems if each.state is State.FAILED] == [others[-1]]
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_what_moved_to_a_place_that_is_not_proven_free_waits(place: Place) -> None:
    """A notebook that moved took it, and a new one that one's: both wait for the next session, and none is deleted."""
    gone, *others = sorted(path for path in place.world() if path.startswith(f"{B}/"))[:4]
    comer = "/Clients/2025/comer"
    place.emulator.create(comer, source("it moves"))
    place.assert_whole(place.sync())
    place.emulator.delete(gone)
    faults = [{"kind": "latency", "ms": 300, "match": {"endpoint": "list", "path": B}}]
    faults += [{"kind": "latency", "ms": 500, "match": {"nth": 1, "endpoint": "list", "path": "/Clients/2025"}}]
    for number, path in enumerate(others, start=2):
        new = {"op": "create", "path": path, "content": source("another")}
        moves = [{"op": "move", "from": path, "to": f"{A}/moved {number}"}, new]
        if path == others[-1]:
            moves[1:] = [{"op": "move", "from": comer, "to": path}, {**new, "path": comer}]
        faults.append(do("after", moves, endpoint="list", path=A, nth=number))
        if path == others[-1]:
            faults.append(
                {"kind": "latency", "ms": 300, "match": {"nth": number, "endpoint": "list", "path": "/Clients/2025"}}
            )
    place.emulator.faults(*faults)
    report = place.sync()
    assert (report.exit_code, report.counts.deleted) == (3, 1), report
    assert {each.path for each in report.problems if each.state is State.FAILED} == {others[-1], comer}
    assert len(tombstones(place)) == 1
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_a_new_notebook_that_moves_on_before_its_export(place: Place) -> None:
    """The vault has no row for it, and its new folder was listed before: it is looked for all the same."""
    place.emulator.create(f"{B}/new", source("new"))
    move = {"op": "move", "from": f"{B}/new", "to": f"{A}/new"}
    assert counts(place, do("before", move, endpoint="export", path=f"{B}/new")) == (1, 0, 0, 0)


def test_moved_into_a_folder_that_cannot_be_read(place: Place) -> None:
    """It was seen nowhere, and is deleted with a word of where it may be; it comes back as a rename."""
    place.emulator.move(f"{A}/{X}", f"{B}/from A")
    place.emulator.faults({"kind": "status", "status": 403, "match": {"endpoint": "list", "path": B}})
    report = place.sync()
    assert (report.exit_code, report.counts.deleted) == (3, 1)
    told = "Of 1 deleted, those that were moved into a folder that could not be read come back when it is."
    assert told in report.notes
    place.emulator.faults()
    back = place.sync()
    assert (back.counts.renamed, back.counts.added) == (1, 0)
    place.assert_whole(back)


# --- permissions -----------------------------------------------------------------------------------------------------


def test_a_folder_hidden_from_a_plain_identity_is_held(place: Place) -> None:
    """What is in it is held (exit 4), and only that: another deletion on the same day is believed."""
    before = place.saved()
    place.emulator.delete(f"{A}/{X}")
    place.emulator.edit(f"{A}/01_clean_ledger", source("edited"))
    place.emulator.faults({"kind": "hole", "path": B})
    report = place.sync()
    inside = {path for path in before if path.startswith(B)}
    assert (report.exit_code, report.status.value) == (4, "partial"), report
    assert (report.counts.deleted, report.counts.held_deletions, report.counts.saved) == (1, len(inside), 1)
    assert set(place.held(report.session)) == inside
    assert place.saved() == place.world()
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_a_folder_that_only_an_admin_misses_is_deleted_and_comes_back(place: Place) -> None:
    """An admin sees all, so what it does not see is gone; should it come back, it is renamed from its tombstones."""
    inside = {path for path in place.world() if path.startswith(B)}
    place.emulator.faults({"kind": "hole", "path": B, "admin": True})
    report = place.sync()
    assert (report.exit_code, report.counts.deleted) == (0, len(inside))
    assert set(place.saved()) == set(place.world()) - inside
    place.emulator.faults()
    back = place.sync()
    assert (back.counts.renamed, back.counts.added) == (len(inside), 0)
    place.assert_whole(back)


def test_an_identity_that_loses_its_admin_rights_in_mid_run_proves_nothing(place: Place) -> None:
    """Admin at the start only: a folder that vanished is held."""
    lost = [{"op": "faults", "faults": [{"kind": "hole", "path": B}]}]
    place.emulator.faults(do("after", lost, endpoint="scim"))
    report = place.sync()
    assert (report.exit_code, report.counts.deleted) == (4, 0), report
    assert place.saved() == place.world()


def test_an_identity_that_cannot_be_asked_again_proves_nothing(place: Place) -> None:
    """The workspace does not say at the end whether we are admin: the folder is held, the rest is saved."""
    place.emulator.delete(B)
    place.emulator.edit(f"{A}/{X}", source("edited"))
    before = place.saved()
    place.emulator.faults({"kind": "status", "status": 500, "match": {"endpoint": "scim", "after": 1}})
    report = place.sync()
    inside = {path for path in before if path.startswith(B)}
    assert (report.exit_code, report.counts.held_deletions, report.counts.modified) == (4, len(inside), 1), report
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_trusted_deletions_need_no_admin(place: Place) -> None:
    """With sync.deletions = trust a folder that vanished is deleted, whoever looks."""
    place.emulator.delete(B)
    place.emulator.faults({"kind": "identity", "admin": False})
    report = place.sync(changes={"sync.deletions": "trust"})
    place.assert_whole(report)
    assert report.counts.deleted


def test_a_hidden_notebook_is_deleted_and_comes_back(place: Place) -> None:
    """A complete listing that does not show a notebook proves that it is gone; back again it is a rename."""
    place.emulator.faults({"kind": "hole", "path": f"{B}/{X}"})
    report = place.sync()
    assert (report.exit_code, report.counts.deleted) == (0, 1)
    place.emulator.faults()
    back = place.sync()
    assert (back.counts.renamed, back.counts.added) == (1, 0)
    place.assert_whole(back)


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_that_expires_prints_no_traceback(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Many exports wait for the names of their editors at that moment; none leaves an error that nobody looked at."""
    edited = sorted(path for path in place.world() if path.startswith("/Clients/2024"))
    for after in (18, 24, 30):
        place.emulator.batch([{"op": "edit", "path": path, "content": source(f"edited {after}")} for path in edited])
        place.emulator.faults({"kind": "token-expired", "after": after})
        assert place.sync().exit_code == 6
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("code", [401, 403])
def test_an_expired_token_ends_the_session_before_it_begins(place: Place, code: int) -> None:
    """Exit 6, nothing claimed, nothing moved; with a new token all is well."""
    tip = place.tip("main")
    place.emulator.edit(f"{A}/{X}", source("edited"))
    place.emulator.faults({"kind": "token-expired", "after": 0, "status": code})
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert report.exit_code == 6
    assert place.tip("main") == tip
    place.emulator.faults()
    place.assert_whole(place.sync())


def test_a_token_that_expires_in_a_first_sync_keeps_what_was_saved(fresh: Place) -> None:
    """Exit 6; what was exported is in the vault, `main` does not claim it, and the next session only does the rest."""
    fresh.emulator.faults({"kind": "token-expired", "after": 70})
    report = fresh.sync(changes={"sync.max_in_flight": 4})
    fresh.assert_nothing_claimed(report)
    assert report.exit_code == 6
    assert not fresh.tip("main")
    kept = len(fresh.files("backup/daily")) - 3
    assert kept > 30
    fresh.emulator.faults()
    second = fresh.sync()
    assert second.resumed
    assert (second.requests.export, second.counts.unchanged) == (80 - kept, kept)
    fresh.assert_whole(second)


def test_a_token_that_expires_in_a_later_sync_keeps_what_was_saved(place: Place) -> None:
    """The same where the vault is full: edits that were exported are not exported again."""
    edited = sorted(path for path in place.world() if path.startswith("/Clients/2024"))
    place.emulator.batch([{"op": "edit", "path": path, "content": source("edited")} for path in edited])
    place.emulator.faults({"kind": "token-expired", "after": 40})
    report = place.sync(changes={"sync.max_in_flight": 4})
    place.assert_nothing_claimed(report)
    assert report.exit_code == 6
    place.emulator.faults()
    second = place.sync()
    assert second.resumed
    assert second.requests.export < len(edited)
    place.assert_whole(second)

"""Restores from the page: exact, with proof, with a way back; and what stands in their way."""

from __future__ import annotations

import threading

import pytest

from nbvault_emulator.testing import Emulator
from recovery.places import HEAD
from web.places import ANN, BOB, MOVED, OPEN, PROXY, ROOT, Browser, Desk, Page, serving, sums

KEEP = f"{ROOT}{OPEN}/keep"
PLAN = f"{ROOT}{OPEN}/plan"


@pytest.fixture(scope="module")
def local(page: Page) -> Browser:
    return page.local()


def test_a_version_goes_where_its_notebook_is_today(local: Browser, emulator: Emulator) -> None:
    """A version of before a rename is written to the present path, proven, and taken back by undo."""
    before = sums(emulator)
    first = local.json("/api/history", path=MOVED)[-1]["commit"]
    receipt = local.restore(MOVED, at=first)
    assert [(e["target"], e["result"], e["verified"]) for e in receipt["entries"]] == [(MOVED, "restored", True)]
    assert set(sums(emulator)) == set(before)
    undone = local.ended(local.post("/api/undo", {"restore": receipt["restore"]}))
    assert local.ended(local.post(f"/api/tasks/{undone['task']}/apply", None))["result"]["status"] == "complete"
    assert sums(emulator) == before


def test_a_plan_is_carried_out_once(local: Browser) -> None:
    """A second press of the button, or a reload, does not write twice."""
    first = local.json("/api/history", path=MOVED)[-1]["commit"]
    plan = local.ended(local.post("/api/restores", {"paths": [MOVED], "at": first, "to": f"{ROOT}/once/copy"}))
    answers = [local.post(f"/api/tasks/{plan['task']}/apply", None) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 400]
    assert local.ended(answers[0])["result"]["status"] == "complete"


def test_it_is_done_with_the_persons_own_rights(desk: Desk, emulator: Emulator) -> None:
    """What the workspace forbids to a person, the page cannot do for that person."""
    with serving(desk, **PROXY) as page:
        ann, bob = (page.person(emulator.user_token(who)) for who in (ANN, BOB))
        emulator.faults({"kind": "forbid", "path": f"{ROOT}/closed", "user": ANN})
        refused = ann.restore(KEEP, to=f"{ROOT}/closed/copy")
        assert [entry["result"] for entry in refused["entries"]] == ["failed"]
        receipt = bob.restore(KEEP, to=f"{ROOT}/closed/copy")
        assert (receipt["status"], receipt["by"]) == ("complete", BOB)
        emulator.faults()


def test_two_people_restoring_one_notebook(desk: Desk, emulator: Emulator) -> None:
    """Both press at the same time: one restores, the other does so, too, afterwards or is told who has it in hand."""
    with serving(desk, **PROXY) as page:
        people = [page.person(emulator.user_token(who)) for who in (ANN, BOB)]
        first = people[0].json("/api/history", path=MOVED)[-1]["commit"]
        plans = [p.ended(p.post("/api/restores", {"paths": [MOVED], "at": first})) for p in people]
        emulator.faults({"kind": "latency", "ms": 500, "match": {"endpoint": "import"}})
        begun = [p.post(f"/api/tasks/{t['task']}/apply", None) for p, t in zip(people, plans, strict=True)]
        ends = [p.ended(answer) for p, answer in zip(people, begun, strict=True)]
        emulator.faults()
        done = [end for end in ends if end["stage"] == "done"]
        refused = [end for end in ends if end["stage"] == "failed"]
        assert done
        assert {each["result"]["status"] for each in done} <= {"complete", "partial"}
        assert all("has 1 of these notebooks in hand" in each["error"] for each in refused)
        people[0].restore(MOVED)


def test_the_workspace_is_down(desk: Desk, emulator: Emulator) -> None:
    """History, previews and comparisons still work; a plan says in words why it does not."""
    with serving(desk, NBVAULT_WORKSPACE__RETRY_S="0.2") as page:
        local = page.local()
        emulator.faults({"kind": "drop", "match": {"endpoint": ["list", "get-status", "export", "scim", "import"]}})
        assert len(local.json("/api/history", path=MOVED)) == 3
        assert local.get("/compare", path=MOVED).status_code == 200
        failed = local.ended(local.post("/api/restores", {"paths": [MOVED]}))
        assert (failed["stage"], "Traceback" in failed["error"], bool(failed["error"])) == ("failed", False, True)
        emulator.faults()
        assert local.ended(local.post("/api/restores", {"paths": [MOVED]}))["stage"] == "done"


def test_the_vault_moves_on_meanwhile(desk: Desk, emulator: Emulator) -> None:
    """While sessions write, every answer is of one state; afterwards the page shows the new one."""
    with serving(desk) as page:
        local = page.local()
        stop, statuses = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                statuses.append(local.get("/api/history", path=PLAN).status_code)

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(2):
            desk.write(f"{OPEN}/plan", f"plan = {number + 10}")
            desk.sync()
            page.refreshed()
        stop.set()
        reader.join()
        assert set(statuses) == {200}
        assert "plan = 11" in local.json("/api/source", path=PLAN)["text"]


@pytest.mark.parametrize("path", ["/Users/somebody/private", "/", "/Repos", f"{ROOT}/../Users/x", "", "\0", "x" * 4000])
def test_paths_outside_the_root(local: Browser, path: str) -> None:
    """Nothing outside the backed-up root can be looked at or restored from the vault, and nothing breaks."""
    for address in ("/api/history", "/api/source", "/api/download", "/notebook", "/version", "/blame"):
        assert local.get(address, path=path).status_code in (400, 404, 422), address
    assert local.post("/api/restores", {"paths": [path]}).status_code in (400, 404, 422)


def test_large_and_binary_notebooks(desk: Desk, emulator: Emulator) -> None:
    """Ten megabytes and bytes that are no text are shown as far as it makes sense, and downloaded exactly."""
    large = HEAD + "x = '" + "A" * 4000 + "'\n"
    big, odd = f"{ROOT}{OPEN}/big", f"{ROOT}{OPEN}/odd"
    content = (large * (9_900_000 // len(large)))[:9_900_000]
    emulator.create(big, content)
    emulator.create(odd, HEAD.encode() + b"\x00\xff\xfe\x80 binary \x1b[31m\n")
    desk.sync()
    with serving(desk) as page:
        local = page.local()
        answer = local.get("/version", path=big)
        assert (answer.status_code, len(answer.content) < 3_000_000) == (200, True)
        assert local.get("/compare", path=big).status_code == 200
        assert local.get("/blame", path=big).status_code == 404
        assert local.get("/download", path=big).content == content.encode()
        shown = local.get("/version", path=odd)
        assert (shown.status_code, "\x1b" in shown.text, "\x00" in shown.text) == (200, False, False)
        download = local.get("/download", path=odd)
        assert download.content.startswith(HEAD.encode())
        assert download.headers["content-disposition"].startswith("attachment")
        assert download.headers["content-type"] == "application/octet-stream"


def test_a_version_beside_the_live_notebook(local: Browser, emulator: Emulator, desk: Desk) -> None:
    """Answered at once with a task; its result tells what somebody changed since, cell by cell, and writes nothing."""
    live = f"{ROOT}{OPEN}/live"
    emulator.create(live, f"{HEAD}a = 1\n\n# COMMAND ----------\n\nb = 2", editor=ANN)
    desk.sync()
    with serving(desk) as page:
        local = page.local()
        same = local.ended(local.post("/api/compare", {"path": live}))
        assert [each["kind"] for each in same["result"]["cells"]] == ["same"]
        emulator.edit(live, f"{HEAD}a = 1\n\n# COMMAND ----------\n\nb = 3", editor=BOB)
        before = sums(emulator)
        began = local.submit("/compare-live", path=live)
        assert (began.status_code, began.headers["location"].startswith("/tasks/")) == (303, True)
        told = local.ended(began)
        assert [each["kind"] for each in told["result"]["cells"]] == ["same", "changed"]
        shown = local.get(began.headers["location"]).text
        assert "Cell 2 changed" in shown
        emulator.delete(live)
        gone = local.ended(local.post("/api/compare", {"path": live}))
        assert gone["result"]["to"] == "the workspace has none now"
        assert {path for path in before if path != live} == set(sums(emulator))

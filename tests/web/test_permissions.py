"""What somebody may not see in the workspace is shown nowhere: no page, comparison, search, plan, or answer."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi.routing import APIRoute

from nbvault_emulator.testing import Emulator
from web.places import (
    ANN,
    BOB,
    ETL,
    MARK,
    MOVED,
    OPEN,
    PROXY,
    ROOT,
    SECRET,
    TEXT,
    Browser,
    Desk,
    Page,
    hide,
    serving,
    until,
)

PRICES = f"{ROOT}{SECRET}/{MARK}_prices"
HIDDEN = [
    PRICES,
    f"{ROOT}{SECRET}/{MARK}_gone",
    f"{ROOT}/2025/ENG-SECRET",
    f"{ROOT}{OPEN}/wanderer",
    f"/Workspace{PRICES}",
    f"{ROOT}{OPEN}/../../ENG-SECRET/NOTEBOOKS/{MARK}_prices",
]
WORDS = (MARK, TEXT, "ENG-SECRET")


def routes(page: Page) -> Iterator[tuple[str, str]]:
    """Every route of the application, by method and address."""
    app = page.app._app
    pending: list[Any] = list(app.routes)
    while pending:
        route = pending.pop()
        inner = getattr(route, "original_router", None)
        if inner is not None:
            pending += inner.routes
        elif isinstance(route, APIRoute):
            yield from ((method, route.path) for method in sorted(route.methods))


def leaks(answer: httpx.Response, said: str) -> list[str]:
    """The secret words in an answer that the question did not hold."""
    shown = html.unescape(unquote(answer.text))
    for part in sorted(said.split("/"), key=len, reverse=True):
        shown = shown.replace(part, "") if len(part) > 2 else shown
    return [word for word in WORDS if word.casefold() in shown.casefold()]


def test_the_walk_reaches_every_route(behind_proxy: Page) -> None:
    """The walk below is over all there is, not over a list that somebody forgot to extend."""
    found = set(routes(behind_proxy))
    assert {("GET", "/notebook"), ("GET", "/api/history"), ("POST", "/restore/plan"), ("POST", "/api/search")} <= found
    assert len(found) > 40


def asked(browser: Browser, method: str, route: str, path: str) -> list[httpx.Response]:
    """A route asked about a path in every way that it takes one."""
    address = route.replace("{task_id}", "x").replace("{session}", "x").replace("{restore}", "x")
    query = {"path": path, "folder": path, "q": path.rpartition("/")[2], "from": "", "to": "", "at": ""}
    if method == "GET":
        return [browser.get(address, **query), browser.get(address, path=path)]
    form = {"path": path, "place": path, "text": "price", "restore": path, "everything": "1"}
    bodies = [{"paths": [path]}, {"path": path}, {"text": "price", "path": path}, {"restore": path}]
    return [browser.submit(address, **form), *(browser.post(address, body) for body in bodies)]


@pytest.mark.parametrize("path", HIDDEN)
def test_no_route_tells_of_what_is_hidden(behind_proxy: Page, ann: Browser, path: str) -> None:
    """Every route, asked about a hidden notebook or folder, tells no more than was asked; nor do its tasks."""
    told = []
    for method, route in sorted(routes(behind_proxy)):
        if route in ("/enter", "/sign-in", "/healthz"):
            continue
        for answer in asked(ann, method, route, path):
            assert answer.status_code < 500, (method, route, answer.text)
            told += [(method, route, word) for word in leaks(answer, path)]
    for task in ann.json("/api/tasks"):
        ended = until(lambda name=task["task"]: _over(ann, name))
        told += [("task", ended["title"], word) for word in WORDS if word in str(ended["result"])]
        told += [("task page", ended["title"], word) for word in leaks(ann.get(f"/tasks/{task['task']}"), path)]
    assert told == []


def _over(browser: Browser, name: str) -> Any:
    task = browser.json(f"/api/tasks/{name}")
    return task if task["stage"] in ("done", "failed") else None


@pytest.mark.parametrize("everything", [False, True])
def test_a_search_for_what_is_hidden_ends_like_one_for_what_is_nowhere(everything: bool, ann: Browser) -> None:
    """Nothing that is told of the search says that the text, or the place, is in the vault."""

    def told(text: str, path: str) -> Any:
        body = {"text": text, "all_versions": everything, "path": path}
        ended = ann.ended(ann.post("/api/search", body))
        return {key: value for key, value in ended.items() if key not in ("task", "title", "began", "ended")}

    nowhere = told("in no notebook at all", "")
    assert told(TEXT, "") == nowhere
    for place in (PRICES, PRICES + "x", f"{ROOT}{SECRET}"):
        assert told(TEXT, place) == nowhere


def test_who_may_see_it_sees_it(bob: Browser) -> None:
    """The same questions are answered to somebody who has the right."""
    assert bob.get("/notebook", path=PRICES).status_code == 200
    assert TEXT in bob.json("/api/source", path=PRICES)["text"]
    found = [each["path"] for each in bob.json("/api/notebooks", q=MARK, state="any")["notebooks"]]
    assert found == sorted(f"{ROOT}{SECRET}/{MARK}_{name}" for name in ("gone", "prices", "wanderer"))


def test_what_is_hidden_and_what_never_was_get_the_same_answer(ann: Browser) -> None:
    """Nobody learns by asking what there is."""
    hidden, nowhere = ann.get("/api/history", path=PRICES), ann.get("/api/history", path=PRICES + "x")
    assert (hidden.status_code, nowhere.status_code) == (404, 404)
    assert hidden.json()["error"].replace(PRICES, "") == nowhere.json()["error"].replace(PRICES + "x", "")


def test_lists_leave_out_what_is_hidden(ann: Browser, bob: Browser) -> None:
    """Tree, search by path and search in texts show the rest, and the same to whoever may see all of it."""
    assert ann.json("/api/tree", folder=f"{ROOT}/2025")["folders"] == [f"{ROOT}/2025/ENG-OPEN"]
    assert bob.json("/api/tree", folder=f"{ROOT}/2025")["folders"] == [
        f"{ROOT}/2025/ENG-OPEN",
        f"{ROOT}/2025/ENG-SECRET",
    ]
    assert ann.json("/api/notebooks", q=MARK, state="any")["notebooks"] == []
    assert [each["path"] for each in ann.json("/api/notebooks", q="etl load")["notebooks"]] == []
    assert [each["path"] for each in ann.json("/api/notebooks", q="load")["notebooks"]] == [MOVED]
    for everything in (False, True):
        body = {"text": TEXT, "all_versions": everything}
        assert ann.ended(ann.post("/api/search", body))["result"]["matches"] == []
        assert len(bob.ended(bob.post("/api/search", body))["result"]["matches"]) > 0


def test_a_deleted_notebook_goes_by_its_folder(ann: Browser, bob: Browser) -> None:
    """Who sees everything in a folder sees what was deleted there; who sees nothing of it does not."""
    gone, secret = f"{ROOT}{OPEN}/gone", f"{ROOT}{SECRET}/{MARK}_gone"
    assert ann.get("/notebook", path=gone).status_code == 200
    assert ann.get("/notebook", path=secret).status_code == 404
    assert bob.get("/notebook", path=secret).status_code == 200


def test_a_folder_as_of_a_day_leaves_out_what_lives_in_a_hidden_one_now(ann: Browser, bob: Browser, desk: Desk) -> None:
    """A notebook that was here and was moved into a hidden folder is not given back to those who may not see it."""
    body = {"paths": [f"{ROOT}{OPEN}"], "at": desk.diary[0].at, "to": "/Users/ann/day/"}
    planned = {
        who: browser.ended(browser.post("/api/restores", body))["result"] for who, browser in (("a", ann), ("b", bob))
    }
    names = {who: sorted(e["path"].rpartition("/")[2] for e in plan["entries"]) for who, plan in planned.items()}
    assert names == {"a": ["etl", "gone", "keep", "plan"], "b": ["etl", "gone", "keep", "plan", "wanderer"]}


def test_an_earlier_place_in_a_hidden_folder_is_not_named(desk: Desk, emulator: Emulator) -> None:
    """A notebook that came out of a hidden folder shows its history, but not where it was."""
    cid = "cid@clients.example"
    desk.write(f"{SECRET}/{MARK}_wanderer", f"moved = '{TEXT} still'\n", editor=BOB)
    with serving(desk, **PROXY) as page:
        hide(emulator, ANN, cid)
        emulator.move(f"{ROOT}{SECRET}/{MARK}_wanderer", f"{ROOT}{OPEN}/returned")
        desk.sync()
        page.refreshed()
        person = page.person(emulator.user_token(cid))
        versions = person.json("/api/history", path=f"{ROOT}{OPEN}/returned")
        paths = [each["path"] for each in versions]
        assert paths[0] == f"{ROOT}{OPEN}/returned"
        assert None in paths
        assert not [path for path in paths if path and "SECRET" in path]
        oldest_hidden = next(each["commit"] for each in versions if each["path"] is None)
        body = {"paths": [f"{ROOT}{OPEN}/returned"], "at": oldest_hidden}
        refused = person.post("/api/restores", body)
        assert (refused.status_code, "SECRET" in refused.text) == (404, False)
        told = person.json("/api/changes")["changes"]
        assert [each for each in told if "SECRET" in str(each)] == []


def test_somebody_elses_restores_and_tasks_are_not_there(ann: Browser, bob: Browser) -> None:
    """A task and a receipt belong to whoever began it."""
    plan = bob.ended(bob.post("/api/restores", {"paths": [PRICES], "to": "/Users/bob/copy"}))
    for address in (f"/tasks/{plan['task']}", f"/api/tasks/{plan['task']}"):
        assert ann.get(address).status_code == 404
    assert ann.post(f"/api/tasks/{plan['task']}/apply", None).status_code == 404
    done = bob.ended(bob.post(f"/api/tasks/{plan['task']}/apply", None))["result"]
    assert (done["status"], done["by"]) == ("complete", BOB)
    assert ann.json("/api/restores") == []
    assert ann.get(f"/restores/{done['restore']}").status_code == 404
    assert ann.post("/api/undo", {"restore": done["restore"]}).status_code == 404
    assert [each["restore"] for each in bob.json("/api/restores")] == [done["restore"]]


def test_a_right_that_is_taken_away_ends_within_minutes(desk: Desk, emulator: Emulator) -> None:
    """What was allowed is asked again after `web.access_s`; a result that was made before is not shown either."""
    dora = "dora@clients.example"
    with serving(desk, **PROXY, NBVAULT_WEB__ACCESS_S="0.2") as page:
        hide(emulator, ANN)
        person = page.person(emulator.user_token(dora))
        plan = person.ended(person.post("/api/restores", {"paths": [PRICES], "to": "/Users/dora/copy"}))
        assert person.get(f"/tasks/{plan['task']}").status_code == 200
        hide(emulator, ANN, dora)
        until(lambda: person.get("/notebook", path=PRICES).status_code == 404)
        assert person.get(f"/tasks/{plan['task']}").status_code == 404
        assert person.post(f"/api/tasks/{plan['task']}/apply", None).status_code == 404
        assert person.get("/notebook", path=MOVED).status_code == 200


def test_where_the_workspace_does_not_answer_nothing_new_is_shown(desk: Desk, emulator: Emulator) -> None:
    """Denied by default: to somebody of whom nothing is known yet, nothing is shown; what was known before still is."""
    eva, fay = "eva@clients.example", "fay@clients.example"
    with serving(desk, **PROXY, NBVAULT_WEB__ACCESS_S="0.1") as page:
        known = page.person(emulator.user_token(eva))
        assert known.get("/notebook", path=MOVED).status_code == 200
        stranger = page.client(**{"X-Forwarded-Access-Token": emulator.user_token(fay)})
        emulator.faults({"kind": "status", "status": 503, "match": {"endpoint": ["list", "scim", "get-status"]}})
        assert known.get("/notebook", path=MOVED).status_code == 200
        answer = stranger.get("/api/history", path=MOVED)
        assert (answer.status_code, ETL in answer.text) == (503, False)
        hide(emulator, ANN)

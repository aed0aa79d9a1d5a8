"""Nobody waits in front of an empty page: what takes long says how far it is, and is asked for once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvault.clock import SystemClock
from nbvault.gitstore.restores import BRANCH
from nbvault.reporting.query import Query, last_week
from nbvault.reporting.walk import changes
from nbvault.settings import load_settings
from nbvault.web.kept import Kept
from nbvault.web.workspaces import AT_ONCE, EACH_AT_ONCE, Workspaces
from nbvault.workspace.client import WorkspaceClient
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD
from web.places import ANN, BOB, ETL, MARK, MOVED, OPEN, PROXY, ROOT, Browser, Desk, Page, hide, serving, until

HASTY = {"NBVAULT_WEB__PATIENCE_S": "0.000001"}
"""No workspace answers in that time."""


@pytest.fixture
def hasty(desk: Desk) -> Iterator[Page]:
    hide(desk.emulator, ANN)
    with serving(desk, **PROXY, **HASTY) as made:
        yield made
    desk.emulator.faults()


def came(browser: Browser, address: str, **query: str) -> object:
    """What an address of the API gives when it is no longer being asked for."""

    def look() -> list[object] | None:
        answer = browser.get(address, **query)
        assert answer.status_code in (200, 202), answer.text
        return [answer.json()] if answer.status_code == 200 else None

    return until(look)[0]


def test_the_api_says_how_far_it_is_and_then_gives_the_answer(hasty: Page, emulator: Emulator) -> None:
    """A person who was never here is answered at once with 202, and soon with what a patient person gets."""
    bob = hasty.person(emulator.user_token(BOB))
    first = bob.get("/api/notebooks", q="load")
    assert (first.status_code, first.headers["retry-after"], first.json()["total"]) == (202, "1", 1)
    told = came(bob, "/api/notebooks", q="load")
    assert isinstance(told, dict)
    assert [each["path"] for each in told["notebooks"]] == [MOVED]


def test_a_page_says_how_far_it_is_and_comes_back_by_itself(hasty: Page, emulator: Emulator) -> None:
    """The page names its own address to come back to; a part of a page brings the question along with it."""
    bob = hasty.person(emulator.user_token(BOB))
    whole = bob.get("/notebooks", q="load")
    assert (whole.status_code, 'data-again="/notebooks?q=load"' in whole.text) == (202, True)
    other = hasty.person(emulator.user_token("carl@example.com"))
    part = other.client.get("/notebooks?q=load", headers={"HX-Request": "true", "HX-Target": "results"})
    assert part.status_code == 202
    assert part.text.startswith('<div id="results" hx-get="/notebooks?q=load" hx-trigger="load delay:150ms"')


def test_haste_shows_nothing_that_patience_hides(hasty: Page, emulator: Emulator) -> None:
    """What is hidden from a person is in no early answer, and not in the last one."""
    ann = hasty.person(emulator.user_token(ANN))
    assert MARK not in ann.get("/notebooks", q="NOTEBOOKS").text
    told = came(ann, "/api/notebooks", state="any", q="NOTEBOOKS")
    assert isinstance(told, dict)
    assert told["notebooks"]
    assert MARK not in str(told)


def test_what_the_git_server_is_asked_for_comes_too(hasty: Page, emulator: Emulator) -> None:
    """A history that was not ready at once is there for whoever asks again."""
    bob = hasty.person(emulator.user_token(BOB))
    found: list[int] = []

    def look() -> bool:
        found.append(bob.get("/notebook", path=ETL).status_code)
        return bool(hasty.site.library._histories._known)

    until(look)
    assert (found[0], set(found) <= {200, 202}) == (202, True)


def test_one_question_opens_a_notebook(behind_proxy: Page, emulator: Emulator) -> None:
    """To show a notebook, the person is asked about its folder and those further up, each once; nobody else is."""
    person = behind_proxy.person(emulator.user_token("dora@example.com"))
    emulator.reset_requests()
    assert person.get("/notebook", path=MOVED).status_code == 200
    assert person.get("/version", path=MOVED).status_code == 200
    assert emulator.requests()["list"] == {"200": len([ROOT, *OPEN.split("/")[1:]]) - 1}


def test_changes_come_in_pages(behind_proxy: Page, bob: Browser) -> None:
    """The pages of the API one after another hold what the whole does, in its order."""
    whole = bob.json("/api/changes", limit=1000)
    assert whole["after"] is None
    pages, after = [], 0
    while after is not None:
        told = bob.json("/api/changes", limit=2, after=after)
        pages += told["changes"]
        after = told["after"]
    assert pages == whole["changes"]


def test_totals_are_of_what_may_be_seen(ann: Browser, bob: Browser) -> None:
    """Who changed how much, and where, counts nothing that is hidden."""
    assert f"{ROOT}/2025/ENG-SECRET" in bob.get("/changes/totals").text
    told = ann.get("/changes/totals").text
    assert (f"{ROOT}{OPEN}" in told, "SECRET" in told) == (True, False)


async def test_so_many_questions_at_once_and_no_more(tmp_path: Path) -> None:
    """The workspace has few requests in flight, however many people ask however much; all are answered."""
    settings = load_settings(
        environment={"NBVAULT_WORKSPACE__HOST": "http://127.0.0.1:9", "NBVAULT_VAULT__REMOTE": str(tmp_path)},
        cwd=tmp_path,
    )
    workspaces = Workspaces(settings, clock=SystemClock())
    now, most, full = Counter[str](), Counter[str](), asyncio.Event()

    async def ask(token: str) -> None:
        async def question(_: WorkspaceClient) -> None:
            for name in (token, "all"):
                now[name] += 1
                most[name] = max(most[name], now[name])
            if now["all"] == AT_ONCE:
                full.set()
            await full.wait()
            await asyncio.sleep(0)
            for name in (token, "all"):
                now[name] -= 1

        await workspaces.ask(token, question)

    people = [f"token-{number}" for number in range(4)]
    await asyncio.gather(*(ask(person) for person in people for _ in range(20)))
    await workspaces.close()
    assert (most["all"], max(most[person] for person in people)) == (AT_ONCE, EACH_AT_ONCE)


def test_what_several_want_at_once_is_made_once() -> None:
    """Whoever wants what is being made waits for it; who wants it later gets the same."""
    kept: Kept[object] = Kept(5)
    begun, go_on, made = threading.Event(), threading.Event(), []

    def make() -> object:
        begun.set()
        assert go_on.wait(30)
        made.append(object())
        return made[-1]

    got: list[object] = []
    people = [threading.Thread(target=lambda: got.append(kept.get("key", make))) for _ in range(3)]
    people[0].start()
    assert begun.wait(30)
    for each in people[1:]:
        each.start()
    go_on.set()
    for each in people:
        each.join()
    assert got == [made[0]] * 3
    assert kept.get("key", make) is made[0]


def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    """What could not be made is tried again by the next."""
    kept: Kept[int] = Kept(5)

    def fail() -> int:
        raise KeyError("not now")

    with pytest.raises(KeyError, match="not now"):
        kept.get("key", fail)
    assert kept.get("key", lambda: 7) == 7


def test_large_answers_are_not_kept() -> None:
    """What is not worth its memory is made again."""
    kept: Kept[bytes] = Kept(5, worth=lambda data: len(data) < 3)
    assert [kept.get(size, lambda size=size: b"x" * size) for size in (2, 4)] == [b"xx", b"xxxx"]
    assert (kept.peek(2), kept.peek(4)) == (b"xx", None)


def test_the_last_weeks_changes_are_there_before_somebody_asks(behind_proxy: Page) -> None:
    """Without a single request, the page has read what whoever opens the changes sees first."""
    library = behind_proxy.site.library
    until(lambda: library._changes._known)
    ((tip, query),) = library._changes._known
    assert (tip, query) == (library.snapshot.tip, last_week(behind_proxy.site.clock.now()))


def test_a_part_of_what_was_read_beforehand_is_not_read_again(page: Page) -> None:
    """A shorter period inside the last week has the very changes that a walk through the history gives."""
    library, local = page.site.library, page.local()
    until(lambda: library._fetched_for)
    snapshot, walked = library.snapshot, 0
    for since, end in (("2d", ""), ("2d", "1d"), ("1h", ""), ("3w", ""), ("2d", "1d")):
        query = Query.of_texts(since=since, until=end, now=page.site.clock.now())
        known = library._part_of_the_known(snapshot, query)
        walked += known is None
        told = known if known is not None else library._changes_of(snapshot, query)
        assert [each.change for each in told] == list(changes(snapshot.vault, query))
    assert walked == 1
    assert local.json("/api/changes", since="7d")["changes"] is not None


def test_a_list_asks_about_as_much_as_fills_it(tmp_path: Path) -> None:
    """A page of two notebooks out of many folders asks about the folders of three, and not about all."""
    paths = [f"{ROOT}/2025/E{number}/NOTEBOOKS/load" for number in range(9)]
    world = [{"path": path, "content": f"{HEAD}x = 1"} for path in paths]
    with Emulator(world=world) as emulator:
        desk = Desk(emulator, tmp_path)
        desk.sync()
        with serving(desk, **PROXY) as page:
            person = page.person(emulator.user_token("dora@example.com"))
            emulator.reset_requests()
            first = person.json("/api/notebooks", q="load", limit=2)
            assert [each["path"] for each in first["notebooks"]] == paths[:2]
            # The root and the year, and for each of three notebooks its folder.
            assert emulator.requests()["list"] == {"200": 2 + 3}
            rest = person.json("/api/notebooks", q="load", after=first["after"])
            assert [each["path"] for each in rest["notebooks"]] == paths[2:]


def test_a_restore_hides_nothing_from_who_made_it(desk: Desk, emulator: Emulator) -> None:
    """A copy beside the original is new in its folder: its receipt is shown at once, whoever looked there before."""
    with serving(desk, **PROXY) as page:
        person = page.person(emulator.user_token("gwen@example.com"))
        # Only the person is asked about the folder, and the service when the receipt is looked at.
        assert person.get("/notebook", path=f"{ROOT}{OPEN}/keep").status_code == 200
        made = person.restore(f"{ROOT}{OPEN}/keep", to=f"{ROOT}{OPEN}/beside")["restore"]
        assert [each["restore"] for each in person.json("/api/restores")] == [made]
        assert person.get(f"/restores/{made}").status_code == 200
        emulator.delete(f"{ROOT}{OPEN}/beside")


def test_restores_are_there_before_somebody_asks(behind_proxy: Page, bob: Browser) -> None:
    """Once a restore has ended, the list that has it is read already; and it is the one that is shown."""
    receipt = bob.restore(f"{ROOT}{OPEN}/keep", to=f"{ROOT}{OPEN}/copy")
    deeds = behind_proxy.site.to_do
    known = deeds._lists.peek(behind_proxy.site.library.snapshot.vault.refs[BRANCH])
    assert known is not None
    assert receipt["restore"] == known[0].intent.restore
    assert receipt["restore"] == bob.json("/api/restores")[0]["restore"]

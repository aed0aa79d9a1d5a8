"""The state of things at a glance: protected or not, what runs, what comes, sessions and their charts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvault.settings import load_settings
from nbvault.state.store import StateManager
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD
from web.places import OPEN, PROXY, ROOT, Browser, Desk, Page, serving

KEEP = f"{ROOT}{OPEN}/keep"


@pytest.fixture(scope="module")
def local(page: Page) -> Browser:
    return page.local()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Desk]:
    """A workspace with one notebook, for tests that make sessions go wrong."""
    with Emulator(world=[{"path": KEEP, "content": f"{HEAD}kept = True"}]) as emulator:
        yield Desk(emulator, tmp_path)


def test_protected_is_said_in_one_line(local: Browser) -> None:
    """After a good session the first page, and the API, say that all is saved and confirmed, and at which commit."""
    told = local.json("/api/status")
    assert (told["mood"], told["words"].split(":")[0], told["remote_reachable"]) == ("good", "Protected", True)
    home = local.get("/").text
    assert '<p class="state good" role="status">' in home
    assert told["protected"]["commit"][:12] in home
    assert "Never proven restorable" in home
    assert "No session runs now" in home


def test_a_session_that_could_not_save_everything_is_no_good_news(own: Desk) -> None:
    """What could not be saved is a warning in that line, and the session's page names the notebook and the reason."""
    own.sync()
    own.emulator.edit(KEEP, f"{HEAD}kept = False")
    own.emulator.faults({"kind": "status", "status": 500, "match": {"endpoint": "export"}})
    with pytest.raises(AssertionError):
        own.sync()
    own.emulator.faults()
    with serving(own) as page:
        local = page.local()
        told, newest = local.json("/api/status"), local.json("/api/sessions")[0]
        assert (told["mood"], newest["status"], newest["failed"]) == ("warn", "partial", 1)
        shown = local.get(f"/sessions/{newest['session']}").text
        assert "Open problems" in shown
        assert KEEP.rpartition("/")[2] in shown
        problems = local.json(f"/api/sessions/{newest['session']}")["problems"]
        assert [each["path"] for each in problems] == [KEEP]


def test_a_session_that_runs_shows_how_far_it_is(own: Desk) -> None:
    """While a session runs, the first page says so with its counts, and asks again by itself every few seconds."""
    own.sync()
    with serving(own, NBVAULT_WEB__TEXTS_MB="0") as page:
        local = page.local()
        settings = load_settings(environment=own.environment(), cwd=own.folder)
        with StateManager(settings.state.connection_url(), clock=page.site.clock) as state:
            session = "20990101T000000Z-abcdef"
            state.session_started(session, workspace_path=ROOT, started_at=page.site.clock.now(), holder={})
            state.session_progress(session, total=1200, processed=345, saved=300, failed=6, bytes_processed=7)
        page.site.watch._running = (float("-inf"), ())
        part = local.get("/running").text
        assert ('hx-trigger="every 3s"' in part, "345 of 1,200" in part, "6 failed" in part) == (True, True, True)
        (running,) = local.json("/api/status")["running"]
        assert (running["session"], running["done"], running["listed"]) == (session, 345, 1200)


def test_the_charts_have_every_session(local: Browser, page: Page) -> None:
    """Durations, changes, ends and sizes: one value for each session that ended, oldest first."""
    page.refreshed()
    told, sessions = local.json("/api/metrics"), local.json("/api/sessions", limit=400)
    assert {len(values) for values in told.values()} == {len(sessions)}
    assert told["at"] == sorted(told["at"])
    assert all(told["good"])
    assert told["bytes"][-1] > 0
    counts = [each["counts"] for each in reversed(sessions)]
    assert told["changes"] == [each.get("saved", 0) + each.get("deleted", 0) for each in counts]
    listed = local.get("/sessions").text
    assert all(each["session"] in listed for each in sessions[:10])


def test_an_open_alert_is_for_administrators(own: Desk) -> None:
    """What is wrong is on the first page of whoever may see everything, and on nobody else's."""
    own.sync()
    with serving(own, **PROXY) as page:
        own.emulator.user("olga", groups=["admins"])
        olga, dora = (page.person(own.emulator.user_token(who)) for who in ("olga", "dora"))
        assert "<h2>Alerts</h2>" in olga.get("/").text
        assert "<h2>Alerts</h2>" not in dora.get("/").text
        assert [who.get("/alerts").status_code for who in (olga, dora)] == [200, 403]


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("/nowhere", 404, "There is no such page"),
        (f"/notebook?path={ROOT}/no/such", 404, "There is no notebook or folder"),
        ("/version", 422, "Something is wrong or missing in the request: path"),
        ("/sessions/none", 404, "No session none is known"),
        ("/restore", 400, "Nothing is chosen"),
        ("/changes?since=someday", 400, "is no time"),
    ],
)
def test_errors_are_told_in_words(local: Browser, address: str, code: int, words: str) -> None:
    """Whatever goes wrong, a page says what, and keeps the way to all other pages."""
    answer = local.get(address)
    assert answer.status_code == code
    assert words in answer.text
    assert 'aria-label="Main"' in answer.text

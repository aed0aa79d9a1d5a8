"""What happened: changes with their exports, alerts with a test, the audit trail with its search and exports."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from nbvault_emulator.testing import Emulator
from told_places import loopback
from web.places import ANN, BOB, MOVED, OPEN, ROOT, Browser, Desk, Page, serving


@pytest.fixture(scope="module")
def local(page: Page) -> Browser:
    return page.local()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_changes_as_a_file_are_those_on_the_page(local: Browser) -> None:
    """The CSV has what the API tells, of the same period, person and folder, and nothing else."""
    for asked in ({"since": "30d"}, {"since": "30d", "author": BOB}, {"since": "30d", "place": f"{ROOT}{OPEN}"}):
        told = local.json("/api/changes", limit=1000, **asked)["changes"]
        answer = local.get("/changes", format="csv", **asked)
        assert answer.headers["content-disposition"] == 'attachment; filename="changes.csv"'
        assert [each["path"] for each in rows(answer.text)] == [each["path"] for each in told]
        assert told or asked.get("author")
    by_bob = local.json("/api/changes", since="30d", author=BOB)["changes"]
    assert {each["author_email"] for each in by_bob} <= {BOB}


def test_a_period_ends_where_it_is_said_to(local: Browser, desk: Desk) -> None:
    """A day has the changes of that day's session and no other."""
    for day in desk.diary[:3]:
        date = day.at[:10]
        told = local.json("/api/changes", since=date, until=date, limit=1000)["changes"]
        assert {each["session"] for each in told} <= {day.report.session}
    whole = local.json("/api/changes", since="2000-01-01", limit=1000)["changes"]
    assert MOVED in {each["path"] for each in whole}


@pytest.fixture
def told(desk: Desk) -> Iterator[tuple[Page, list[str]]]:
    with loopback() as here, serving(desk, NBVAULT_SLACK__WEBHOOK="env:HOOK", HOOK=here.url("/hook")) as page:
        yield page, here.texts()
        assert [each.path for each in here.asked] == ["/hook"]
        assert "local" in here.texts()[0]


def test_a_test_alert_is_sent_and_said_so(told: tuple[Page, list[str]]) -> None:
    """One button, one message by that channel, in the name of who pressed it; one that is not set up says so."""
    page, _ = told
    local = page.local()
    answer = local.submit("/alerts/test", channel="slack")
    assert (answer.status_code, "slack: Slack took it" in answer.text) == (200, True)
    assert "anything" not in local.get("/alerts", told="anything").text
    refused = local.submit("/alerts/test", channel="teams")
    assert (refused.status_code, "not configured" in refused.text) == (400, True)
    page.refreshed()
    (event,) = local.json("/api/audit", action="alerts test")
    assert (event["actor"], event["object"], event["result"]) == ("local", "slack", "ok")


def test_the_audit_trail_is_searched_and_taken_along(local: Browser, emulator: Emulator) -> None:
    """By who, what and on what; as CSV and as JSON lines, each with exactly what the search found."""
    assert ANN
    local.restore(MOVED, to=f"{ROOT}/audited/copy")
    emulator.delete(f"{ROOT}/audited/copy")
    every = local.json("/api/audit")
    assert every
    for asked in ({}, {"action": every[-1]["action"]}, {"actor": every[0]["actor"]}, {"about": "nothing-like-that"}):
        told = local.json("/api/audit", **asked)
        as_csv = local.get("/audit", format="csv", **asked)
        lines = local.get("/audit", format="jsonl", **asked).text.splitlines()
        assert as_csv.headers["content-disposition"] == 'attachment; filename="audit.csv"'
        assert [json.loads(line)["action"] for line in lines] == [each["action"] for each in told]
        assert [each["action"] for each in rows(as_csv.text)] == [each["action"] for each in told]
        assert f"{len(told):,} events" in local.get("/audit", **asked).text
    assert told == []

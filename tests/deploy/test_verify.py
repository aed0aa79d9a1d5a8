"""`deploy verify`: each thing that is missing is named, and with all of them there is a report to hand over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk, notebooks
from nbvault.deployment import Handover, _alerts, _session, verify_deployment
from nbvault.settings import load_settings
from nbvault.setup.deploy.bundle import ALERTS, DRILL, SYNC, VERIFY, Planned
from nbvault_emulator.testing import Emulator
from told_places import loopback

COMMANDS = frozenset({"sync", "verify", "drill"})
NOTHING = frozenset({"alert channel"})


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(world=notebooks("/Clients/2024/a", "/Clients/2024/b")) as running:
        yield running


@pytest.fixture(scope="module")
def desk(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A vault with a complete session and a drill."""
    desk = Desk(tmp_path_factory.mktemp("verify") / "desk", emulator)
    assert desk.run("sync").code == 0
    assert desk.run("drill").code == 0
    return desk


def settings_of(desk: Desk, **variables: str) -> Any:
    return load_settings(desk.folder / "nbvault.toml", environment={**desk.variables, **variables})


def put(
    emulator: Emulator, planned: Planned, *, result: str = "SUCCESS", prefix: str = "", paused: bool = False
) -> int:
    """The job as a bundle makes it, and a run of it."""
    state = "PAUSED" if paused else "UNPAUSED"
    schedule = {"quartz_cron_expression": planned.cron, "timezone_id": "UTC", "pause_status": state}
    number = emulator.job(prefix + planned.name, schedule=schedule)
    if result:
        emulator.job_run(number, result)
    return number


def looked(desk: Desk, prefix: str, **variables: str) -> Handover:
    settings = settings_of(desk, **variables)
    return verify_deployment(settings, commands=COMMANDS, prefix=prefix, warn=lambda _text: None)


def wrong(found: Handover) -> set[str]:
    return {check.name for check in found.checks if not check.ok} - NOTHING


def test_all_is_there(desk: Desk, emulator: Emulator) -> None:
    """Jobs, schedules, runs, session, drill and a test of a channel are found, on the command line too."""
    for planned in (SYNC, VERIFY, DRILL, ALERTS):
        put(emulator, planned)
    untold = desk.run("deploy", "verify", "--json")
    assert (untold.code, [c["name"] for c in untold.json["checks"] if not c["ok"]]) == (8, ["alert channel"])
    with loopback() as slack:
        hook = {"NBVAULT_SLACK__WEBHOOK": "env:HOOK", "HOOK": slack.url("/services/T/B/x")}
        assert desk.run("alerts", "test", "slack", **hook).code == 0
    ended = desk.run("deploy", "verify", "--json", "--report", "handover.md")
    assert ended.code == 0, ended
    found = {check["name"]: check for check in ended.json["checks"]}
    assert [name for name, check in found.items() if not check["ok"]] == []
    assert {"nbvault sync: schedule", "nbvault drill: last run", "last session", "restore drill"} <= set(found)
    page = (desk.folder / "handover.md").read_text()
    assert ("deployment ready" in page, "| restore drill | ok |" in page) == (True, True)


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ("job", {"nbvault sync"}),
        ("second", {"nbvault sync"}),
        ("paused", {"nbvault sync: schedule"}),
        ("no run", {"nbvault sync: last run"}),
        ("failed", {"nbvault sync: last run"}),
    ],
)
def test_each_thing_that_a_job_lacks(desk: Desk, emulator: Emulator, missing: str, names: set[str]) -> None:
    """No job or two, a paused schedule, no run or a failed one: that is named, nothing else, and the end is 8."""
    prefix = f"[{missing}] "
    for planned in (VERIFY, DRILL):
        put(emulator, planned, prefix=prefix)
    results = {"no run": "", "failed": "FAILED"}
    for _ in range({"job": 0, "second": 2}.get(missing, 1)):
        result = results.get(missing, "SUCCESS")
        put(emulator, SYNC, prefix=prefix, paused=missing == "paused", result=result)
    found = looked(desk, prefix)
    assert (wrong(found), found.exit_code) == ({prefix + name for name in names}, 8)
    assert "NOT READY" in found.markdown()


def test_a_verify_that_was_not_due_yet_fails_nothing(desk: Desk, emulator: Emulator) -> None:
    """The weekly and the monthly job have not run on the first day: said, and no failure."""
    prefix = "[first day] "
    put(emulator, SYNC, prefix=prefix)
    for planned in (VERIFY, DRILL):
        put(emulator, planned, prefix=prefix, result="")
    found = looked(desk, prefix)
    names = {"[first day] nbvault verify: last run", "[first day] nbvault drill: last run"}
    assert (wrong(found), found.exit_code) == (names, 0)


def test_nothing_is_backed_up_yet(desk: Desk, emulator: Emulator, tmp_path: Path) -> None:
    """A vault without a session and without a drill: both are named, though the jobs are all well."""
    prefix = "[empty] "
    for planned in (SYNC, VERIFY, DRILL):
        put(emulator, planned, prefix=prefix)
    empty = {"NBVAULT_VAULT__REMOTE": emulator.repository("empty"), "NBVAULT_VAULT__PATH": str(tmp_path / "v.git")}
    found = looked(desk, prefix, **empty)
    assert (wrong(found), found.exit_code) == ({"last session", "restore drill"}, 8)


def test_what_does_not_answer_is_no_report_of_well(desk: Desk) -> None:
    """A refused token fails the look at the jobs with its own exit code, and the vault is looked at all the same."""
    found = looked(desk, "", DATABRICKS_TOKEN="dapi-wrong")
    assert (wrong(found), found.exit_code) == ({"jobs"}, 6)
    assert any(check.name == "last session" and check.ok for check in found.checks)


NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("status", "hours", "ok"), [("complete", 10, True), ("partial", 10, False), ("complete", 26, False)]
)
def test_the_last_session_is_complete_and_of_today(status: str, hours: int, ok: bool) -> None:
    """Partial, or older than 25 hours, is not ready; a dry run is none."""
    ended = (NOW - timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    record = {"session": "s", "status": status, "ended_at": ended, "head": "c", "dry_run": False}
    assert _session([record, {**record, "dry_run": True, "status": "failed"}], NOW).ok == ok


def test_the_alert_channel() -> None:
    """Not there in this version: said without a failure; there and never tried, or tried in vain: a failure."""
    now = _alerts([], COMMANDS)
    assert (now.ok, now.exit_code) == (False, 0)
    with_it = COMMANDS | {"alerts"}
    assert "No alert channel is configured in this version" in now.detail
    assert _alerts([], with_it).exit_code == 8
    tried = {"action": "alerts test", "at": "2026-11-21T02:00:00Z", "result": "ok", "detail": "mail"}
    assert (_alerts([tried], with_it).ok, _alerts([tried | {"result": "failed"}], with_it).exit_code) == (True, 8)

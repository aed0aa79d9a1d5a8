"""Whole sessions, real vaults and the command line: what people hear of each fault, and that nothing lies to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk, notebooks
from fault_places import Place, source
from monitoring.conftest import SECRET, Listener
from nbvault.alarms import Trouble
from nbvault.alerting import after_session, open_alerts, told_in, try_channel
from nbvault.clock import iso
from nbvault.errors import ConfigurationError
from nbvault.monitoring.deliveries import Outbox, new_delivery
from nbvault.notify.message import Message
from nbvault.state.store import SessionRow, StateManager
from nbvault.state.values import Result
from nbvault_emulator.testing import Emulator
from told_places import Loopback, loopback, mail_server

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
VICTIM = f"{FOLDER}/00_ingest_ledger"
OF_THE_CREDENTIALS = "credentials-end"


SUCCESS = "Backup complete: {0} saved of {1}"


def test_a_success_is_told_with_its_numbers(listener: Listener) -> None:
    """Files, rate, duration and commit of a complete session, and nothing else."""
    listener.place.emulator.edit(VICTIM, source("edited"))
    report = listener.sync()
    (asked,) = listener.slack.asked
    text = asked.body["attachments"][0]["blocks"][1]["text"]["text"]
    assert listener.heard() == [SUCCESS.format(1, report.counts.listed)]
    assert {f"Commit: {report.head}", f"Session: {report.session}", "Saved: 1"} <= set(text.splitlines())
    assert "files a second" in text
    with StateManager(listener.settings().state.connection_url()) as state:
        assert f"Audit trail: {state.audit_heads()[-1]}" in text.splitlines()
    assert listener.notes == []


def at(endpoint: str, path: str = "", **fault: Any) -> dict[str, Any]:
    """A fault of one endpoint, or of one path there."""
    return {**fault, "match": {"endpoint": endpoint, **({"path": path} if path else {})}}


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a notebook": (at("export", VICTIM, kind="status", status=500), {}, "partial"),
    "a folder": (at("list", FOLDER, kind="status", status=403), {}, "partial"),
    "the root": (at("list", "/Clients", kind="status", status=500), {}, "nothing-listed"),
    "nonsense": (at("list", FOLDER, kind="status", status=200, body="<html>"), {}, "partial"),
    "the token": ({"kind": "status", "status": 401}, {}, "last-failed"),
    "dropped": (at("export", VICTIM, kind="drop"), {}, "partial"),
    "no time": (at("list", kind="latency", ms=300), {"sync.time_limit_s": 0.5}, "time-limit"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_success_over_a_fault_of_the_workspace(fault: str, listener: Listener) -> None:
    """The fault's own alert is told, and no success; when it is gone, its end, and then the success."""
    planted, changes, rule = FAULTS[fault]
    listener.place.emulator.edit(VICTIM, source("edited"))
    listener.place.emulator.faults(planted)
    listener.changes |= changes
    report = listener.sync()
    assert report.exit_code != 0, report
    raised = listener.heard()
    assert [subject for subject in raised if "complete:" in subject] == []
    assert rule in [each.rule for each in open_alerts(listener.settings())]
    listener.place.emulator.faults()
    for name in changes:
        del listener.changes[name]
    listener.day(0.01)
    good = listener.sync()
    listener.place.assert_whole(good)
    heard = listener.heard()
    assert SUCCESS.format(good.counts.saved, good.counts.listed) in heard
    assert len([subject for subject in heard if subject.startswith("Over: ")]) == len(raised)
    assert open_alerts(listener.settings()) == []


def test_no_success_over_a_fault_of_the_remote(listener: Listener) -> None:
    """The remote is gone: the failure is told, though the vault cannot be asked; when it is back, its end."""
    moved = listener.place.server.rename(listener.place.server.with_name("elsewhere"))
    report = listener.sync()
    assert (report.status.value, listener.heard()) == ("failed", ["CRITICAL: The last backup failed"])
    moved.rename(listener.place.server)
    listener.day(0.01)
    good = listener.sync()
    assert listener.heard() == ["Over: The last backup failed, after 14 minutes", SUCCESS.format(0, good.counts.listed)]


def test_held_deletions(listener: Listener) -> None:
    """Held: critical, told once, no success; accepted: over, and then the success."""
    for each in list(listener.place.world())[:60]:
        listener.place.emulator.delete(each)
    report = listener.sync()
    assert (report.exit_code, listener.heard()) == (4, ["CRITICAL: Deletions are held"])
    listener.day(0.01)
    listener.sync(accept_deletions="last")
    assert [subject.partition(":")[0] for subject in listener.heard()] == ["Over", "Backup complete"]


def test_a_dead_job(listener: Listener) -> None:
    """Nothing runs any more: the hourly check says so after 25 hours, a day later again, and when it is over."""
    listener.sync()
    listener.heard()
    listener.day(1)
    assert (listener.check().exit_code, listener.heard()) == (0, [])
    for _ in range(5):
        listener.day(0.25)
        listener.check()
    again = "CRITICAL: There is no recent complete backup, for 24 hours now"
    assert listener.heard() == ["CRITICAL: There is no recent complete backup", again]
    listener.sync()
    assert [subject.partition(":")[0] for subject in listener.heard()] == ["Over", "Backup complete"]


def test_a_lost_state_store_and_another_machine(listener: Listener, slack: Loopback, tmp_path: Path) -> None:
    """Neither tells again what was told, nor takes back what only the lost store knew; the vault has both."""
    listener.place.emulator.faults({"kind": "status", "status": 401})
    listener.sync()
    assert listener.heard() == ["CRITICAL: The last backup failed"]
    listener.place.emulator.faults()
    for each in listener.place.folder.glob("state.db*"):
        each.unlink()
    assert (listener.check().report.raised, listener.heard()) == ((), [])
    other = Listener(listener.place.another_machine(tmp_path / "other"), slack)
    found = other.check()
    assert ([each.rule for each in found.report.open], other.heard()) == (["last-failed"], [])
    other.day(0.01)
    assert other.sync().exit_code == 0
    assert [subject.partition(":")[0] for subject in other.heard()] == ["Over", "Backup complete"]
    listener.check()
    assert (open_alerts(listener.settings()), listener.heard()) == ([], [])
    lines = listener.place.git("grep", "-h", "", "nbvault/meta", "--", "records/alerts-*").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["raised", "over"]


def test_an_empty_vault(fresh_listener: Listener) -> None:
    """Never synced: critical; a first session: over. Nothing else is said of a vault that is empty."""
    assert (fresh_listener.check().exit_code, fresh_listener.heard()) == (0, ["CRITICAL: There was never a backup"])
    fresh_listener.sync()
    assert [subject.partition(":")[0] for subject in fresh_listener.heard()] == ["Over", "Backup complete"]


@pytest.fixture
def fresh_listener(tmp_path: Path, slack: Loopback) -> Iterator[Listener]:
    with Emulator(notebooks=20, years=1, engagements=1) as emulator:
        (tmp_path / "machine").mkdir()
        yield Listener(Place(emulator, tmp_path / "machine").by_path(), slack)


def conversion(at: datetime, **more: Any) -> list[dict[str, Any]]:
    """A conversion that was begun, and a line of it."""
    names = ("root", "target", "url", "provider", "branch", "own_credential", "by")
    began = {"conversion": "c1", "event": "began", "at": iso(at), **dict.fromkeys(names, "x")}
    began |= {"credential": 0, "views": [], "folders": []}
    return [began, {"conversion": "c1", "event": "stage", "at": iso(at), "by": "x", "object": "x", **more}]


def test_what_is_planted_in_the_records_is_seen(listener: Listener) -> None:
    """A conversion that failed, a drill that did not go well, and their good ends, as their commands record them."""
    now = listener.place.clock.now()
    listener.plant(conversions=conversion(now, problem="refused"), drills=[{"at": iso(now), "exit_code": 3}])
    listener.check()
    titles = ["CRITICAL: A conversion failed", "HIGH: It is not proven that the vault can be restored"]
    assert listener.heard() == titles
    settled = {"conversion": "c1", "event": "stage", "at": iso(now), "by": "x", "object": "x", "stage": "converted"}
    listener.plant(conversions=[settled], drills=[{"at": iso(now), "exit_code": 0}])
    listener.check()
    assert sorted(subject.partition(",")[0] for subject in listener.heard()) == [
        "Over: A conversion failed",
        "Over: It is not proven that the vault can be restored",
    ]


def test_a_vault_that_cannot_be_read(listener: Listener) -> None:
    """The check says so, ends with 3, judges what the last fetch shows, and neither begins nor ends an alert by it."""
    listener.place.server.rename(listener.place.server.with_name("elsewhere"))
    found = listener.check()
    assert (found.exit_code, found.report.raised, listener.heard()) == (3, (), [])
    assert "The remote cannot be asked" in found.notes[0]
    listener.day(2)
    listener.check()
    assert listener.heard() == ["CRITICAL: There is no recent complete backup"]


def test_a_broken_channel_does_not_touch_the_sync(listener: Listener) -> None:
    """A channel that is down: the session's end is what it was, the failure is said without the address, and kept."""
    listener.slack.always = (500, {}, "down")
    report = listener.sync()
    listener.place.assert_whole(report)
    (note,) = listener.notes
    assert note.startswith("slack was not told (Backup complete")
    assert "geheim" not in note
    with StateManager(listener.settings().state.connection_url()) as state:
        (kept,) = state.alerts.deliveries()
    assert (kept.result, kept.detail) == (Result.WAITING, "Slack answered 500: down.")
    listener.slack.always = (200, {}, "ok")
    listener.heard()
    listener.check()
    assert listener.heard() == [SUCCESS.format(report.counts.saved, report.counts.listed)]


@pytest.mark.parametrize(
    ("sender", "detail"), [("", "cannot be told user and password"), ("geheim@x..y", "(HeaderParseError)")]
)
def test_mail_settings_that_make_no_mail_do_not_touch_the_sync(sender: str, detail: str, listener: Listener) -> None:
    """A password or sender that no mail can have: the session is complete, Slack is told, and the note quotes none."""
    listener.place.environment["PW"] = "geheimes-pässwort"
    with mail_server(user="u", password="pw") as post:
        mail = {"host": "127.0.0.1", "port": post.port, "security": "none", "to": "a@b.example", "user": "u"}
        mail = {f"email.{name}": value for name, value in mail.items()}
        listener.changes |= {**mail, "email.password": "env:PW", "alerts.success": "email,slack"}
        report = listener.place.sync(changes=listener.changes)
        settings = listener.settings()
        if sender:
            # What the settings refuse today may be in a way that they do not know.
            section = settings.email.model_copy(update={"sender": sender, "user": "", "password": None})
            settings = settings.model_copy(update={"email": section})
        after_session(settings, report, say=listener.notes.append, clock=listener.place.clock)
    listener.place.assert_whole(report)
    assert [subject.partition(":")[0] for subject in listener.heard()] == ["Backup complete"]
    (note,) = listener.notes
    assert (detail in note, "geheim" in note) == (True, False)


class Broken:
    """A channel with a fault that nobody thought of."""

    def send(self, _message: Any) -> str:
        raise RuntimeError("https://hooks.example.com/geheim")


def test_a_channel_with_an_unknown_fault_stops_no_other(listener: Listener) -> None:
    """Whatever one channel raises, its message waits, only the kind is told, and the others are tried."""
    clock = listener.place.clock
    with StateManager(listener.settings().state.connection_url()) as state:
        outbox = Outbox(state.alerts, {"slack": Broken(), "teams": Broken()}, clock=clock)
        outbox.put(new_delivery(name, "x", Message("It is wrong"), at=clock.now()) for name in outbox.channels)
        tried = outbox.deliver()
    said = "The channel failed in a way that nbvault did not expect (RuntimeError)."
    assert [(each.channel, each.result, each.detail) for each in tried] == [
        ("slack", Result.WAITING, said),
        ("teams", Result.WAITING, said),
    ]


def test_nothing_after_a_session_changes_its_end(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where looking at alerts fails in a way that nobody thought of, that is said by its kind, and nothing else."""

    def failing(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("https://hooks.example.com/geheim")

    # A mock: this is about the faults that no test knows how to provoke.
    monkeypatch.setattr("nbvault.alerting.look_around", failing)
    listener.place.assert_whole(listener.sync())
    assert listener.notes == ["Alerts could not be looked at: an error that nbvault did not expect (RuntimeError)"]


def test_a_state_store_that_cannot_be_used(listener: Listener) -> None:
    """People are told all the same; that it is so is noted."""
    listener.changes["state.url"] = f"sqlite:///{listener.place.folder}/missing/state.db"
    listener.day(2)
    found = listener.check()
    assert (found.exit_code, listener.heard()) == (3, ["CRITICAL: There is no recent complete backup"])
    assert any("The state store cannot be read" in note for note in found.notes)
    assert (listener.check().report.raised, listener.heard()) == ((), [])


def test_odd_names_in_a_mail(listener: Listener) -> None:
    """A notebook called like a header, with markup and 200 characters, makes one line in a mail about it."""
    odd = f"{FOLDER}/<script>alert(1)<!-- {'ö' * 150} -->"
    listener.place.emulator.create(odd, source("x"))
    listener.place.emulator.faults({"kind": "status", "status": 500, "match": {"endpoint": "export", "path": odd}})
    with mail_server() as post:
        mail = {"email.host": "127.0.0.1", "email.port": post.port, "email.security": "none", "email.to": "a@b.example"}
        listener.changes = {**mail, "alerts.stale_days": 1}
        listener.sync()
        listener.day(2)
        listener.sync()
    subjects = post.subjects()
    assert "[nbvault] MEDIUM: Notebooks are stale in the vault" in subjects
    (stale,) = (found for found in post.mails if "stale" in str(found["Subject"]))
    plain, page = (part.get_content() for part in stale.iter_parts())
    assert odd in plain
    assert "<script>" not in page


def test_a_test_is_recorded(listener: Listener) -> None:
    """What came of it is in the vault's audit trail, where `deploy verify` looks; a failed one as failed."""
    settings = listener.settings()
    good = try_channel(settings, "slack", by="ann", say=listener.notes.append, clock=listener.place.clock)
    listener.slack.always = (404, {}, "no_team")
    bad = try_channel(settings, "slack", by="ann", say=listener.notes.append, clock=listener.place.clock)
    assert ((good.sent, good.recorded), (bad.sent, bad.recorded)) == ((True, True), (False, True))
    lines = listener.place.git("grep", "-h", "alerts test", "nbvault/meta", "--", "records/audit-*").splitlines()
    kept = [json.loads(line) for line in lines]
    assert [(each["actor"], each["object"], each["result"]) for each in kept] == [
        ("ann", "slack", "ok"),
        ("ann", "slack", "failed"),
    ]
    assert kept[1]["detail"].startswith("Slack answered 404: no_team.")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("slak", "There is no channel 'slak'.", "Did you mean slack?"),
        ("teams", "The channel teams is not configured.", "Set it up in the section [teams]"),
    ],
)
def test_a_channel_that_is_none(name: str, message: str, hint: str, listener: Listener) -> None:
    """Misspelt: the nearest is named; known but not set up: where that is done; both end with 7."""
    with pytest.raises(ConfigurationError) as caught:
        try_channel(listener.settings(), name, by="ann", say=print)
    assert (caught.value.message, caught.value.hint.startswith(hint)) == (message, True)


def test_what_the_vault_says_adds_up() -> None:
    """Lines of an alert become one incident: begun, told again, over."""
    base = {"alert": "a-1", "rule": "partial", "severity": "high", "session": "s", "message": "m"}
    since, again, end = (f"2026-11-2{day}T02:00:00.000Z" for day in (1, 2, 3))
    lines = [{**base, "event": "raised", "at": since, "since": since}]
    lines.append({**base, "event": "repeated", "at": again, "since": since})
    (open_,) = told_in(lines)
    (over,) = told_in([*lines, {**base, "event": "over", "at": end, "since": since}])
    assert [iso(open_.raised_at), iso(open_.told_at), open_.cleared_at] == [since, again, None]
    assert (iso(over.told_at), iso(over.cleared_at or over.raised_at)) == (again, end)


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path) -> None:
    """Check, list and test as a person runs them; a rule that is none, and one that nobody is told of."""
    with Emulator(world=notebooks("/Clients/2024/a")) as emulator, loopback() as slack:
        desk = Desk(tmp_path / "desk", emulator)
        silent = desk.run("alerts", "check")
        assert (silent.code, "No channel is configured, so nobody was told" in silent.out) == (3, True)
        hook = {"NBVAULT_SLACK__WEBHOOK": "env:HOOK", "HOOK": slack.url(SECRET)}
        listed = desk.run("alerts", "list", "--json", **hook)
        assert [each["rule"] for each in listed.json] == ["never-synced"]
        wrong = desk.run("alerts", "list", "--rule", "never-sinced", **hook)
        assert (wrong.code, "Did you mean never-synced?" in wrong.err) == (7, True)
        assert desk.run("alerts", "test", "slack", **hook).code == 0
        assert desk.run("sync", **hook).code == 0
        checked = desk.run("alerts", "check", "--json", **hook)
        assert (checked.code, checked.json["open"], checked.json["channels"]) == (0, [], ["slack"])
        slack.always = (404, {}, "down")
        emulator.faults({"kind": "status", "status": 401})
        failed = desk.run("sync", NBVAULT_NETWORK__CHECK_TIMEOUT_S="1", **hook)
        assert (failed.code, "geheim" in failed.out + failed.err) == (6, False)
        nobody = desk.run("alerts", "check", "--json", **hook)
        assert (nobody.code, nobody.json["deliveries"][0]["result"]) == (1, "waiting")


def test_a_password_that_no_mail_server_takes(tmp_path: Path) -> None:
    """The command ends as its session did, complete or failed, and the other channel is told both times."""
    with Emulator(world=notebooks("/Clients/2024/a")) as emulator, loopback() as slack, mail_server(user="u") as post:
        desk = Desk(tmp_path / "desk", emulator)
        email = {"HOST": "127.0.0.1", "PORT": str(post.port), "SECURITY": "none", "TO": "a@b.c", "USER": "u"}
        both = {f"NBVAULT_EMAIL__{name}": value for name, value in email.items()}
        both |= {"NBVAULT_EMAIL__PASSWORD": "env:PW", "PW": "pässwort", "NBVAULT_SLACK__WEBHOOK": "env:HOOK"}
        both |= {"HOOK": slack.url(SECRET), "NBVAULT_ALERTS__SUCCESS": "email,slack"}
        good = desk.run("sync", "--json", **both)
        assert (good.code, good.json["status"], "Backup complete" in slack.texts()[0]) == (0, "complete", True)
        tested = desk.run("alerts", "test", "email", **both)
        assert (tested.code, "did not expect" in tested.err) == (1, False)
        bad = desk.run("sync", "--json", DATABRICKS_TOKEN="wrong", NBVAULT_NETWORK__CHECK_TIMEOUT_S="1", **both)
        assert (bad.code, "CRITICAL: The last backup failed" in slack.texts()[1]) == (6, True)


def test_a_session_that_could_not_begin(tmp_path: Path) -> None:
    """There is no git on this machine: the failure is told, though no session had a name."""
    with Emulator(world=notebooks("/Clients/2024/a")) as emulator, loopback() as slack:
        desk = Desk(tmp_path / "desk", emulator)
        hook = {"NBVAULT_SLACK__WEBHOOK": "env:HOOK", "HOOK": slack.url(SECRET)}
        assert desk.run("sync", PATH="/nowhere", **hook).code == 7
        assert "CRITICAL: The last backup failed" in slack.texts()[0]


def test_a_session_that_found_another_says_nothing_of_the_backup(listener: Listener) -> None:
    """Exit 5 is no failed backup, wherever it is kept."""
    now = listener.place.clock.now()
    row = SessionRow("20270101T000000Z-ffffff", now, status_failed(), ended_at=now, metadata={"exit_code": 5})
    with StateManager(listener.settings().state.connection_url()) as state:
        state.session_ended(row)
    assert [each.rule for each in listener.check().report.open] == []


def status_failed() -> Any:
    from nbvault.model import Status

    return Status.FAILED


def test_every_rule_is_in_the_guide() -> None:
    """docs/alerts.md has a row for each rule, with its severity."""
    from nbvault.monitoring.rules import RULES

    page = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text()
    missing = [rule.name for rule in RULES if f"| `{rule.name.value}` | {rule.severity.value} |" not in page]
    assert (missing, page.count("\n| `")) == ([], len(Trouble))


def test_repeats_wait_a_day_across_machines(listener: Listener, slack: Loopback, tmp_path: Path) -> None:
    """A machine that is new each hour, as a job cluster is, repeats nothing within a day."""
    listener.day(2)
    listener.check()
    for hour in range(3):
        listener.place.clock.wait(timedelta(hours=1).total_seconds())
        Listener(listener.place.another_machine(tmp_path / str(hour)), slack).check()
    assert listener.heard() == ["CRITICAL: There is no recent complete backup"]

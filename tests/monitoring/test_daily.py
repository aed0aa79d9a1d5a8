"""The change report of the day by mail: what is in it, that it comes once, and that nothing is left out or claimed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk, notebooks
from fault_places import source
from monitoring.conftest import Listener
from nbvault.administration import under_lease
from nbvault.alerting import Outcome
from nbvault.daily import day_of
from nbvault.model import SessionReport
from nbvault.settings import load_settings
from nbvault.state.store import StateManager
from nbvault.state.values import Result
from nbvault_emulator.testing import Emulator
from told_places import Loopback, Post, mail_server

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
VICTIM = f"{FOLDER}/00_ingest_ledger"
LEADS = ["lead@b.example", "head@b.example"]


@pytest.fixture
def post() -> Iterator[Post]:
    with mail_server() as running:
        yield running


@pytest.fixture
def reader(listener: Listener, post: Post) -> Listener:
    """Somebody who gets the report; alerts go elsewhere."""
    listener.changes = mailed(post) | {"alerts.off": json.dumps(["drill"])}
    return listener


def mailed(post: Post) -> dict[str, Any]:
    server = {"email.host": "127.0.0.1", "email.port": post.port, "email.security": "none"}
    people = {"email.to": "admin@b.example", "email.changes_to": ",".join(LEADS)}
    severities = dict.fromkeys(("alerts.critical", "alerts.high", "alerts.medium", "alerts.low"), "slack")
    return {**server, **people, **severities}


def events(reader: Listener) -> list[str]:
    """What the vault knows of the reports."""
    place = reader.place
    files = [name for name in sorted(place.files("nbvault/meta")) if name.startswith("records/mails-")]
    lines = [line for name in files for line in place.git("show", f"nbvault/meta:{name}").splitlines()]
    return [json.loads(line)["event"] for line in lines]


def texts(mail: EmailMessage) -> tuple[str, str]:
    plain, page = (part.get_content() for part in mail.iter_parts())
    return plain, page


def silent_sync(reader: Listener) -> SessionReport:
    """A session after which nobody gets a report."""
    wanted = reader.changes.pop("email.changes_to")
    report = reader.sync()
    reader.changes["email.changes_to"] = wanted
    return report


def tomorrow(reader: Listener) -> Outcome:
    reader.day(1)
    return reader.check()


def test_the_report_of_a_day(reader: Listener, post: Post) -> None:
    """Who changed what since the last report, with the heads that an auditor asks for, to those who wanted it."""
    reader.place.emulator.edit(VICTIM, source("edited"))
    report = reader.sync()
    (envelope,) = post.envelopes
    assert envelope.rcpt_tos == LEADS
    (mail,) = post.mails
    assert str(mail["Subject"]).startswith("[nbvault] Changes in /Clients since ")
    assert str(mail["Subject"]).endswith(": 0 added, 1 modified, 0 renamed, 0 deleted")
    plain, page = texts(mail)
    assert (plain.count(VICTIM), page.count(VICTIM), "Note:" in plain) == (1, 1, False)
    with StateManager(reader.settings().state.connection_url()) as state:
        heads = [str(head) for head in state.audit_heads()]
    (told,) = (line.removeprefix("Audit trail: ") for line in plain.splitlines() if line.startswith("Audit trail"))
    assert told in heads
    assert f"Last complete backup: {report.session}, complete" in plain
    assert events(reader) == ["claimed", "sent"]


def test_it_comes_once(reader: Listener, post: Post, tmp_path: Path) -> None:
    """Each hour a check, each on a machine that is new: one report a day."""
    reader.sync()
    for hour in range(3):
        reader.place.clock.wait(3600)
        other = Listener(reader.place.another_machine(tmp_path / str(hour)), reader.slack)
        other.changes = reader.changes
        assert other.check().exit_code == 0
    assert len(post.mails) == 1
    assert tomorrow(reader).exit_code == 0
    assert len(post.mails) == 2


def test_it_comes_without_a_backup(reader: Listener, post: Post) -> None:
    """The night's sync failed: the report says so; the next one tells of what the sync after it found, once."""
    reader.sync()
    reader.place.emulator.faults({"kind": "status", "status": 401})
    reader.place.emulator.edit(VICTIM, source("edited"))
    reader.day(1)
    reader.sync()
    reader.place.emulator.faults()
    plain, page = texts(post.mails[-1])
    assert len(post.mails) == 2
    assert ("No backup has saved anything since the last report" in plain, "did not save everything" in page) == (
        True,
        True,
    )
    assert "failed" in plain
    reader.day(1)
    reader.sync()
    tomorrow(reader)
    assert [texts(mail)[0].count(VICTIM) for mail in post.mails] == [0, 0, 1, 0]


def test_a_server_that_is_down(reader: Listener, post: Post) -> None:
    """Nobody could be told, the vault knows of no try; the next check delivers it."""
    silent_sync(reader)
    reader.changes["email.port"] = 1
    found = reader.check()
    assert (found.exit_code, [each.kind for each in found.report.undelivered]) == (1, ["changes"])
    assert found.report.undelivered[0].detail.startswith("No mail can be sent by 127.0.0.1:1: Connection refused.")
    assert events(reader) == []
    reader.changes["email.port"] = post.port
    assert (reader.check().exit_code, len(post.mails), events(reader)) == (0, 1, ["claimed", "sent"])


def test_mail_that_is_not_taken(reader: Listener, post: Post) -> None:
    """The server answers and takes nothing: tried again by the next check, delivered once."""
    post.says = "452 mailbox full"
    reader.sync()
    assert events(reader) == ["claimed", "failed"]
    post.says = ""
    assert (reader.check().exit_code, reader.check().exit_code) == (0, 0)
    assert (len(post.mails), events(reader)) == (1, ["claimed", "failed", "claimed", "sent"])


def test_one_of_the_readers_is_unknown(reader: Listener, post: Post) -> None:
    """The others have it, and do not get it again each hour; the check that met it says who did not."""
    post.refused = {LEADS[1]}
    found = reader.check()
    assert (found.exit_code, [each.result for each in found.report.undelivered]) == (3, [Result.PARTLY])
    assert LEADS[1] in found.report.undelivered[0].detail
    assert (reader.check().exit_code, len(post.mails), events(reader)) == (0, 1, ["claimed", "sent"])


def test_a_process_that_died(reader: Listener, post: Post) -> None:
    """It may have sent its mail: that day has no second one, and the next day's tells of both days."""
    reader.check()
    reader.day(1)
    post.envelopes.clear()
    reader.place.emulator.edit(VICTIM, source("edited"))
    report = silent_sync(reader)
    day = day_of(reader.settings(), reader.place.clock.now())
    at = reader.place.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
    reader.plant(mails=[{"day": day, "event": "claimed", "at": at, "last": report.session}])
    reader.check()
    assert len(post.mails) == 0
    tomorrow(reader)
    assert [texts(mail)[0].count(VICTIM) for mail in post.mails] == [1]


def test_a_session_that_runs(reader: Listener, post: Post) -> None:
    """Who has the lease is not disturbed: the report waits for the next check, which nobody must look at."""
    settings, clock = reader.settings(), reader.place.clock
    with under_lease(settings, say=reader.notes.append, clock=clock):
        found = reader.check()
    assert (found.exit_code, reader.notes[-1]) == (0, "The change report waits for a session to end.")
    assert (reader.check().exit_code, len(post.mails)) == (0, 1)


def test_the_hour(reader: Listener) -> None:
    """A day begins at the hour that was asked for, in UTC."""
    settings, now = reader.settings(), reader.place.clock.now()
    early, late = (now.replace(hour=hour, minute=59) for hour in (5, 6))
    assert day_of(settings, early) < day_of(settings, late) == f"{now:%Y-%m-%d}"


def test_on_the_command_line(tmp_path: Path, slack: Loopback, post: Post) -> None:
    """Nothing before the first backup; then a report, and `audit verify` knows the head that was mailed."""
    assert slack.asked == []
    names = {f"NBVAULT_{key.replace('.', '__').upper()}": str(value) for key, value in mailed(post).items()}
    with Emulator(world=notebooks("/Clients/2024/a")) as emulator:
        desk = Desk(tmp_path / "desk", emulator)
        assert (desk.run("alerts", "check", **names).code, post.mails) == (0, [])
        assert desk.run("sync", **names).code == 0
        checked = desk.run("alerts", "check", "--json", **names)
        assert (checked.code, checked.json["deliveries"]) == (0, [])
        plain, _ = texts(post.mails[0])
        (head,) = (line.split(": ")[1] for line in plain.splitlines() if line.startswith("Audit trail: "))
        assert desk.run("audit", "verify", "--head", head, **names).code == 0
    assert "1 added" in plain


def test_readers_need_a_server(tmp_path: Path) -> None:
    """Who asks for the report without a mail server is told so."""
    with pytest.raises(Exception, match="must have a host where somebody is to get the change report"):
        load_settings(environment={"NBVAULT_EMAIL__CHANGES_TO": "lead@b.example"}, cwd=tmp_path)

"""Real databases for the state store; a place of a backup, and somebody who is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from database_places import postgres, postgresql_url, sqlite_url, url
from fault_places import DAY_S, Place, Template
from nbvault.administration import noting, write_note
from nbvault.alerting import Outcome as Checked
from nbvault.alerting import after_session, check_alerts
from nbvault.model import SessionReport
from nbvault.state.store import AuditEvent
from told_places import Loopback, loopback

__all__ = ["Listener", "postgres", "postgresql_url", "sqlite_url", "url"]
SECRET = "/services/T0/B0/geheim"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A small world and its vault after the first sync, made once."""
    return Template.make(tmp_path_factory.mktemp("template"))


@pytest.fixture
def place(template: Template, tmp_path: Path) -> Iterator[Place]:
    """80 notebooks, all saved by a first sync a day ago; the remote is a folder."""
    with template.copy(tmp_path / "place") as copied:
        yield copied.by_path()


@pytest.fixture
def slack() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


class Listener:
    """Somebody with a Slack channel, and what was said there about a place's backup."""

    def __init__(self, place: Place, slack: Loopback) -> None:
        self.place = place
        self.slack = slack
        self.notes: list[str] = []
        place.environment["HOOK"] = slack.url(SECRET)
        self.changes: dict[str, Any] = {"slack.webhook": "env:HOOK", "alerts.success": "slack"}

    def sync(self, changes: dict[str, Any] | None = None, **options: Any) -> SessionReport:
        """A session as the command line runs one: its alerts are looked at when it has ended."""
        report = self.place.sync(changes={**self.changes, **(changes or {})}, **options)
        after_session(self.settings(), report, say=self.notes.append, clock=self.place.clock)
        return report

    def check(self) -> Checked:
        """What the hourly job does."""
        return check_alerts(self.settings(), say=self.notes.append, clock=self.place.clock)

    def settings(self) -> Any:
        return self.place.settings(self.changes)

    def heard(self) -> list[str]:
        """The subjects since this was asked last."""
        found = [each.body["attachments"][0]["blocks"][0]["text"]["text"] for each in self.slack.asked]
        self.slack.asked.clear()
        return found

    def day(self, days: float = 1) -> None:
        self.place.clock.wait(days * DAY_S)

    def plant(self, **records: list[dict[str, Any]]) -> None:
        """Put lines into the vault's records, as the commands that make them do."""
        now = self.place.clock.now()
        event = AuditEvent(now, "ann", "plant", "", "ok")
        with noting(self.settings(), say=self.notes.append, clock=self.place.clock) as (vault, _):
            write_note(self.settings(), vault, [event], records=records)


@pytest.fixture
def listener(place: Place, slack: Loopback) -> Listener:
    return Listener(place, slack)

"""A running session seen from elsewhere: `status --watch`, and the line in Slack; both end with it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk, notebooks
from nbvault.administration import Seen, watch_session
from nbvault.cli.following import EVERY_S, FAILURES_IN_A_ROW, LiveLine, last_word
from nbvault.cli.watch import in_words
from nbvault.clock import SystemClock
from nbvault.model import Counts, SessionReport, Status
from nbvault.notify.errors import DeliveryFailed
from nbvault.settings import Settings, load_settings
from nbvault.state.store import SessionRow, StateManager
from nbvault_emulator.testing import Emulator
from told_places import loopback

SESSION = "20261121T020000Z-1a2b3c"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environment={"NBVAULT_VAULT__REMOTE": "remote.git"}, cwd=tmp_path)


@pytest.fixture
def state(settings: Settings) -> Iterator[StateManager]:
    """A state store in which a session of some other machine runs."""
    with StateManager(settings.state.connection_url()) as opened:
        begin(opened, settings, {"machine": "elsewhere", "pid": 1})
        yield opened


def begin(state: StateManager, settings: Settings, holder: dict[str, Any]) -> None:
    now, remote = SystemClock().now(), str(settings.vault.remote)
    state.session_started(SESSION, workspace_path="/Clients", started_at=now, holder=holder, repo_id=remote)


class Between(SystemClock):
    """A clock at whose waits something happens."""

    def __init__(self, *deeds: Any) -> None:
        self._deeds = list(deeds)

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self._deeds.pop(0)()


def test_it_is_followed_to_its_end(settings: Settings, state: StateManager) -> None:
    """Each look shows how far it is, the last one how it ended, and then there is no more to wait for."""

    def further() -> None:
        state.session_progress(SESSION, total=10, processed=4, saved=3, failed=1, bytes_processed=9)

    def ended() -> None:
        row = state.session(SESSION)
        assert row is not None
        state.session_ended(replace(row, status=Status.PARTIAL, ended_at=row.started_at + timedelta(minutes=1)))

    looks = list(watch_session(settings, clock=Between(further, ended)))
    assert [(seen.row.processed, seen.row.status, seen.runs) for seen in looks] == [
        (0, Status.RUNNING, True),
        (4, Status.RUNNING, True),
        (4, Status.PARTIAL, False),
    ]
    assert in_words(looks[-1], 0, SystemClock()) == f"Session {SESSION} ended partial."
    assert "4 of 10 objects known so far (40 %), 2 a second, about 3 seconds left, 1 failed" in in_words(
        looks[1], 2, SystemClock()
    )


def test_a_killed_session_is_not_waited_for(settings: Settings) -> None:
    """Its process was on this machine and is gone: said at the first look; while it lives, it is waited for."""
    from nbvault.gitstore.process import this_process

    machine = this_process(settings.vault.path).machine.split()[0]
    with StateManager(settings.state.connection_url()) as state:
        begin(state, settings, {"machine": machine, "pid": os.getpid()})
        looks = watch_session(settings, clock=Between(lambda: None))
        assert [next(looks).killed, next(looks).killed] == [False, False]
        begin(state, settings, {"machine": machine, "pid": 2**22 + 1})
        (seen,) = watch_session(settings, clock=Between())
    assert (seen.killed, "was killed" in in_words(seen, 0, SystemClock())) == (True, True)


def test_nothing_runs(settings: Settings) -> None:
    """No session, or only one of another vault in the same store: nothing to follow."""
    assert list(watch_session(settings)) == []
    with StateManager(settings.state.connection_url()) as state:
        state.session_started(
            SESSION, workspace_path="/", started_at=SystemClock().now(), holder={}, repo_id="another.git"
        )
    assert list(watch_session(settings)) == []


def test_odd_words_do_not_steer_the_terminal() -> None:
    """An error with an escape in it is shown as text."""
    now = SystemClock().now()
    row = SessionRow("s", now, Status.FAILED, error_log=({"path": "", "reason": "\x1b[2J"},))
    assert in_words(Seen(row), 0, SystemClock()) == "Session s ended failed: \\x1b[2J."


def test_on_the_command_line(tmp_path: Path) -> None:
    """Nothing runs: 0 and a word; a real session: followed to its end; Ctrl-C: 9; Slack's line ends with the truth."""
    with Emulator(world=notebooks("/Clients/2024/a", "/Clients/b")) as emulator, loopback() as slack:
        desk = Desk(tmp_path / "desk", emulator)
        none = desk.run("status", "--watch")
        assert (none.code, none.out) == (0, "No session runs now, as far as the state store knows.\n")
        slack.always = (200, {}, '{"ok": true, "channel": "C1", "ts": "1.2"}')
        bot = {"NBVAULT_SLACK__TOKEN": "env:BOT", "NBVAULT_SLACK__CHANNEL": "C1", "BOT": "xoxb-geheim"}
        bot["NBVAULT_WORKSPACE__RETRY_S"] = "600"
        emulator.faults({"kind": "status", "status": 503, "match": {"endpoint": "list"}})
        running = desk.start("sync", NBVAULT_SLACK__API=slack.url("/api"), **bot)
        assert running.stderr is not None
        while " began at " not in running.stderr.readline():
            pass
        stopped, following = desk.start("status", "--watch"), desk.start("status", "--watch", "--json")
        assert stopped.stdout is not None
        assert "objects known so far" in stopped.stdout.readline()
        stopped.send_signal(signal.SIGINT)
        assert desk.ended(stopped).code == 9
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["status"] == "running"
        emulator.faults()
        followed = desk.ended(following)
        assert (desk.ended(running).code, followed.code, followed.json["status"]) == (0, 0, "complete")
        session = followed.json["session"]
    texts = [asked.body["text"] for asked in slack.asked]
    assert texts[-1].endswith(f"Session {session} ended complete. 2 saved, 0 failed, 0 deleted")
    assert "geheim" not in "".join(slack.texts())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.COMPLETE, "ended complete. 1 saved, 0 failed, 0 deleted"),
        (Status.PARTIAL, "ended PARTIAL: not everything is saved. 1 saved, 0 failed, 0 deleted, 7 deletions held"),
        (Status.FAILED, "ended FAILED: refused"),
        (Status.INTERRUPTED, "ended INTERRUPTED: what was finished is kept, the next run goes on. 1 saved"),
    ],
)
def test_the_last_word_is_the_truth(status: Status, words: str) -> None:
    """The line ends with how the session ended, and calls nothing complete that was not."""
    now = SystemClock().now()
    held = 7 if status is Status.PARTIAL else 0
    counts = Counts(listed=1, saved=1, added=1, held_deletions=held)
    error = "refused" if status is Status.FAILED else ""
    told = last_word(SessionReport(SESSION, status, 0, now, now, counts=counts, error=error))
    assert told.startswith(f"Session {SESSION} {words}")
    assert ("complete" in told) == (status is Status.COMPLETE)


class Refusing:
    """A line that Slack does not take."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0

    def show(self, _text: str) -> None:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DeliveryFailed("down"), "down"),
        (RuntimeError("https://geheim"), "an error that nbvault did not expect (RuntimeError)"),
    ],
)
def test_a_line_that_is_refused_is_given_up(error: Exception, said: str) -> None:
    """It is told once, tried three times, and the session does not wait for it, nor fail by it."""
    line, notes = Refusing(error), list[str]()
    live = LiveLine(line, clock=SystemClock(), say=notes.append)
    for number in range(5):
        live.say(f"stage {number}")
        live._write()
    assert (line.tries, notes) == (FAILURES_IN_A_ROW, [f"The line in Slack cannot be written: {said}"])
    assert EVERY_S >= 60 / 50

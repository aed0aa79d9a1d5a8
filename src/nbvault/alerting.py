"""Alerts put together: the facts from vault and state store, the channels of the settings, the AlertManager.

The state store keeps what is open; the vault keeps what people were told (`records/alerts-*.jsonl`), so that a machine
that is thrown away each hour, or a store that was lost, tells nothing twice and takes nothing back that it cannot know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from nbvault.administration import noting, write_note
from nbvault.alarms import TESTED, ChannelName, Trouble
from nbvault.channels import channels_of, policy_of
from nbvault.clock import Clock, SystemClock, iso, parse_iso
from nbvault.daily import is_due, mail_changes
from nbvault.errors import ConfigurationError, LockedError, NbvaultError, SessionInterrupted
from nbvault.gitstore.meta import Record
from nbvault.ids import new_id
from nbvault.lookout import Look, look_around
from nbvault.model import SessionReport, Status
from nbvault.monitoring import wording
from nbvault.monitoring.alerts import AlertManager, CheckReport
from nbvault.monitoring.deliveries import Outbox, Tried, new_delivery
from nbvault.settings import Settings, named
from nbvault.state.alert_book import AlertBook
from nbvault.state.store import AuditEvent, SessionRow, StateManager
from nbvault.state.values import Incident, Result
from nbvault.trail import broken

RECORDS = "alerts"
"""The vault's records of what people were told."""
ACTOR = "nbvault"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to. `notes` says what could not be looked at; `channels` who could be told."""

    report: CheckReport
    notes: tuple[str, ...]
    channels: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where all was looked at and told; 3 where something was not; 1 where nobody could be told."""
        undelivered = self.report.undelivered
        if undelivered and not any(each.result.is_told for each in self.report.tried):
            return 1
        silent = self.report.open and not self.channels
        return 3 if undelivered or self.notes or silent else 0


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a test. `recorded` says that the vault's audit trail has it."""

    channel: str
    sent: bool
    detail: str
    recorded: bool


# --- looking ---------------------------------------------------------------------------------------------------------


def open_alerts(settings: Settings) -> list[Incident]:
    """What is wrong now, as the last check saw it; the most important first.

    Raises:
        StateError: the state store cannot be read.
    """
    order = [each.value for each in Trouble]
    with StateManager(settings.state.connection_url()) as state:
        found = state.alerts.open()
    return sorted(found, key=lambda each: order.index(each.rule) if each.rule in order else len(order))


def recent_alerts(settings: Settings, *, limit: int = 50) -> list[Incident]:
    """The last alerts, newest first, open or over.

    Raises:
        StateError: the state store cannot be read.
    """
    with StateManager(settings.state.connection_url()) as state:
        return state.alerts.recent(limit)


def rule_named(name: str) -> Trouble:
    """The rule of this name.

    Raises:
        ConfigurationError: there is none; the hint names the nearest.
    """
    try:
        return Trouble(name)
    except ValueError:
        raise ConfigurationError(f"There is no rule {name!r}.", hint=named(name, Trouble)) from None


# --- checking --------------------------------------------------------------------------------------------------------


def check_alerts(settings: Settings, *, say: Say, clock: Clock | None = None) -> Outcome:
    """Look at vault, state store and credentials, and tell people what began, goes on, or is over.

    Nothing that is out of reach keeps the rest from being looked at; where the state store is, one in memory does.

    Raises:
        ConfigurationError: the settings cannot be what they name.
    """
    return _check(settings, credentials=True, say=say, clock=clock or SystemClock())


def after_session(settings: Settings, report: SessionReport, *, say: Say, clock: Clock | None = None) -> None:
    """Tell at once what a session brought: alerts, and its success where that is asked for.

    Neither a failure nor a signal changes the end of the session.
    """
    clock = clock or SystemClock()
    if report.dry_run:
        return
    try:
        if not channels_of(settings, clock=clock):
            return
        outcome = _check(settings, credentials=False, report=report, say=say, clock=clock)
    except (NbvaultError, KeyboardInterrupt) as error:
        say(f"Alerts could not be looked at: {error or 'interrupted'}")
        return
    except Exception as error:  # noqa: BLE001 - a session that has ended must end as it did
        # Only the kind: the text may hold an address that is a secret.
        say(f"Alerts could not be looked at: an error that nbvault did not expect ({type(error).__name__})")
        return
    for each in outcome.report.undelivered:
        say(f"{each.channel} was not told ({each.subject}): {each.detail}")


def could_not_begin(settings: Settings, error: NbvaultError, *, say: Say, clock: Clock | None = None) -> None:
    """Enter a session that ended before it had a name as one that failed, and tell of it.

    Not one that found another at work, or that somebody stopped; nothing of this changes how it ended.
    """
    clock = clock or SystemClock()
    if isinstance(error, LockedError | SessionInterrupted):
        return
    now = clock.now()
    failed = SessionReport(new_id(now), Status.FAILED, error.exit_code, now, now, error=str(error))
    row = SessionRow.of_report(failed, workspace_path=settings.workspace.root, repo_id=str(settings.vault.remote))
    try:
        with StateManager(settings.state.connection_url(), clock=clock) as state:
            state.session_ended(row)
    except NbvaultError as trouble:
        say(f"The state store does not know of this failure: {trouble}")
    after_session(settings, failed, say=say, clock=clock)


def _check(
    settings: Settings, *, credentials: bool, report: SessionReport | None = None, say: Say, clock: Clock
) -> Outcome:
    notes: list[str] = []
    with _opened_book(settings, notes, clock=clock) as (usable, state):
        outbox = Outbox(state.alerts, channels_of(usable, clock=clock), clock=clock)
        look = look_around(
            usable, state, credentials=credentials, notes=notes, clock=clock, audit=lambda _, *seen: broken(*seen)
        )
        manager = AlertManager(state.alerts, outbox, policy_of(usable), clock=clock)
        if report is not None and wording.is_success(report):
            _queue_success(usable, outbox, report, _heads(state, look), clock=clock)
        done = manager.check(look.facts, elsewhere=told_in(look.told))
        lines = _untold(state.alerts, {each.alert_id: each for each in told_in(look.told)})
        if lines and look.fresh:
            _note(usable, lines, say=say, clock=clock)
        tried = _mail_changes(usable, state, look, done, notes=notes, say=say, clock=clock)
    return Outcome(replace(done, tried=done.tried + tried), tuple(notes), tuple(outbox.channels))


def _heads(state: StateManager, look: Look) -> list[tuple[str, str]]:
    """What an auditor compares the vault with later: the commit of its records, and the head of the audit trail."""
    heads = state.audit_heads()
    found = [("Vault records", look.meta)] if look.meta else []
    return [*found, ("Audit trail", str(heads[-1]))] if heads else found


def _mail_changes(
    settings: Settings, state: StateManager, look: Look, done: CheckReport, *, notes: list[str], say: Say, clock: Clock
) -> tuple[Tried, ...]:
    """The change report of the day, where it is due; a mail server that has just failed is left alone."""
    mail = ChannelName.EMAIL.value
    if not look.fresh or any(each.channel == mail and not each.result.is_told for each in done.tried):
        return ()
    if not is_due(settings, look.mailed, now=clock.now()):
        return ()
    try:
        tried = mail_changes(settings, state.alerts, look.facts, clock=clock)
    except LockedError:
        say("The change report waits for a session to end.")
        return ()
    except NbvaultError as error:
        notes.append(f"The change report was not sent: {error}")
        return ()
    return (tried,) if tried else ()


def _queue_success(
    settings: Settings, outbox: Outbox, report: SessionReport, heads: Sequence[tuple[str, str]], *, clock: Clock
) -> None:
    message = wording.success(report, heads)
    wanted = [channel for channel in settings.alerts.success if channel in outbox.channels]
    outbox.put(new_delivery(channel, "success", message, at=clock.now()) for channel in wanted)


@contextmanager
def _opened_book(settings: Settings, notes: list[str], *, clock: Clock) -> Iterator[tuple[Settings, StateManager]]:
    """The state store, and settings that name it; where it cannot be used, an empty one in memory."""
    try:
        state = StateManager(settings.state.connection_url(), clock=clock)
        state.open()
    except NbvaultError as error:
        notes.append(f"The state store cannot be read: {error}")
        memory = settings.state.model_copy(update={"url": "sqlite://", "password": None})
        settings = settings.model_copy(update={"state": memory})
        state = StateManager("sqlite://", clock=clock)
        state.open()
    try:
        yield settings, state
    finally:
        state.close()


# --- what the vault remembers ----------------------------------------------------------------------------------------


def told_in(lines: Sequence[Record]) -> list[Incident]:
    """The alerts that lines of the vault's records add up to."""
    found: dict[str, Incident] = {}
    for line in lines:
        at, alert_id, over = parse_iso(str(line["at"])), str(line["alert"]), line["event"] == "over"
        before = found.get(alert_id)
        found[alert_id] = Incident(
            alert_id,
            str(line["rule"]),
            str(line["severity"]),
            str(line["session"]),
            str(line["message"]),
            raised_at=parse_iso(str(line["since"])),
            told_at=before.told_at if before and over else at,
            cleared_at=at if over else None,
        )
    return list(found.values())


def _untold(book: AlertBook, told: Mapping[str, Incident]) -> list[Record]:
    """What the vault does not say yet of alerts that people were told of."""
    lines = []
    for each in book.known().values():
        there = told.get(each.alert_id)
        if there is None:
            if any(delivery.result.is_told for delivery in book.of_alert(each.alert_id)):
                lines.append(_line("raised", each, each.told_at))
                lines += [_line("over", each, each.cleared_at)] if each.cleared_at else []
        elif each.cleared_at and not there.cleared_at:
            lines.append(_line("over", each, each.cleared_at))
        elif not each.cleared_at and not there.cleared_at and iso(each.told_at) != iso(there.told_at):
            lines.append(_line("repeated", each, each.told_at))
    return lines


def _line(event: str, incident: Incident, at: datetime) -> Record:
    return {
        "alert": incident.alert_id,
        "event": event,
        "at": iso(at),
        "rule": incident.rule,
        "severity": incident.severity,
        "session": incident.session,
        "message": incident.message,
        "since": iso(incident.raised_at),
    }


def _note(settings: Settings, lines: Sequence[Record], *, say: Say, clock: Clock) -> None:
    """Write what people were told into the vault; what cannot be written now is written by the next check."""
    now = clock.now()
    events = [
        AuditEvent(
            now, ACTOR, f"alert {line['event']}", str(line["alert"]), str(line["severity"]), str(line["message"])
        )
        for line in lines
    ]
    try:
        with noting(settings, say=say, clock=clock) as (vault, store):
            write_note(settings, vault, events, state=store, records={RECORDS: lines}, clock=clock)
    except NbvaultError as error:
        say(f"What was told is not in the vault's audit trail yet: {error}")


# --- testing ---------------------------------------------------------------------------------------------------------


def try_channel(settings: Settings, name: str, *, by: str, say: Say, clock: Clock | None = None) -> Tested:
    """Send a message by one channel, and write into the vault's audit trail what came of it.

    Raises:
        ConfigurationError: there is no such channel, or it is not configured.
    """
    clock = clock or SystemClock()
    known = [each.value for each in ChannelName]
    if name not in known:
        raise ConfigurationError(f"There is no channel {name!r}.", hint=named(name, ChannelName))
    channels = channels_of(settings, clock=clock)
    if name not in channels:
        hint = f"Set it up in the section [{name}]; docs/alerts.md says how."
        raise ConfigurationError(f"The channel {name} is not configured.", hint=hint)
    now = clock.now()
    with _opened_book(settings, [], clock=clock) as (usable, state):
        outbox = Outbox(state.alerts, channels, clock=clock)
        delivery = new_delivery(name, "test", wording.trial(name, by=by, at=now), at=now)
        result, detail = outbox.attempt(name, wording.trial(name, by=by, at=now))
        sent, ended = result is Result.SENT, result if result.is_told else Result.GIVEN_UP
        state.alerts.queue([delivery])
        state.alerts.settle(delivery.delivery_id, ended, detail, at=clock.now())
        event = AuditEvent(now, by, TESTED, name, "ok" if sent else "failed", detail)
        recorded = _record(usable, event, say=say, clock=clock)
    return Tested(name, sent, detail, recorded)


def _record(settings: Settings, event: AuditEvent, *, say: Say, clock: Clock) -> bool:
    try:
        with noting(settings, say=say, clock=clock) as (vault, store):
            write_note(settings, vault, [event], state=store, clock=clock)
    except NbvaultError as error:
        say(f"The test could not be recorded in the vault: {error}")
        return False
    return True

"""The change report of the day by mail: sent once, by whichever machine comes first, also where there was no backup.

What was reported is known by the vault, for a machine may be new each hour. A report tells of the sessions after the
last one that a report has told of, so that none is left out, however late it is sent. Order: the vault is told that we
are about to send (`claimed`), under its lease; the mail goes out; the vault is told what came of it (`sent`, `failed`).
Who dies in between leaves that day without another try: the report of the next day then tells of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nbvault.administration import noting, write_note
from nbvault.alarms import ChannelName
from nbvault.channels import email_of
from nbvault.clock import Clock, iso
from nbvault.errors import ConfigurationError, NbvaultError, VaultError
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.vault import Vault
from nbvault.model import Status
from nbvault.monitoring.deliveries import Outbox, Tried, new_delivery
from nbvault.monitoring.facts import Facts, Session
from nbvault.notify.email import EmailChannel
from nbvault.notify.errors import DeliveryFailed
from nbvault.notify.message import Message
from nbvault.opening import opened_vault
from nbvault.reporting.page import Mail, daily
from nbvault.reporting.query import Query
from nbvault.reporting.walk import began
from nbvault.settings import Settings
from nbvault.state.alert_book import AlertBook
from nbvault.state.store import AuditEvent, StateManager
from nbvault.state.values import Result
from nbvault.trail import read_trail

MAILS = "mails"
"""The vault's records of change reports by mail."""
MAIL_MONTHS = 2
CLAIMED, SENT, FAILED = "claimed", "sent", "failed"
KIND = "changes"
# What is older is no news; `nbvault changes` has it.
LONGEST = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Made:
    """A report that can be sent: its day, the last session that it tells of, and its text."""

    day: str
    last: str
    mail: Mail

    def message(self) -> Message:
        """As the mail channel takes it."""
        subject = self.mail.subject.removeprefix("nbvault: ")
        return Message(subject[:1].upper() + subject[1:], whole_text=self.mail.text, whole_html=self.mail.html)


def day_of(settings: Settings, now: datetime) -> str:
    """The day whose report is the newest that may be sent: it begins at `email.changes_h`, in UTC."""
    return f"{now - timedelta(hours=settings.email.changes_h):%Y-%m-%d}"


def is_due(settings: Settings, lines: Sequence[Record], *, now: datetime) -> bool:
    """Whether somebody wants the day's report, and nobody has sent it or tried to and not said that it failed."""
    day = day_of(settings, now)
    events = [line["event"] for line in lines if line["day"] == day]
    return bool(settings.email.changes_to) and events[-1:] in ([], [FAILED])


def mail_changes(settings: Settings, book: AlertBook, facts: Facts, *, clock: Clock) -> Tried | None:
    """Make the day's report, claim it, send it, and say so in the vault; None where there is none, or another has it.

    Where it is not taken, the next check makes and claims it anew.

    Args:
        facts: What is known of the sessions.

    Raises:
        LockedError: a session runs; nothing was sent.
        NbvaultError: the vault cannot be read or written, or the settings are not in order.
    """
    made = _made(settings, facts, clock=clock)
    if made is None:
        return None
    channel = _readers(settings, clock=clock)
    try:
        # A server that is down leaves no trace in the vault, however often it is tried.
        channel.look()
    except DeliveryFailed as error:
        return Tried(ChannelName.EMAIL.value, KIND, made.message().subject, Result.WAITING, str(error))
    if not _claim(settings, made, clock=clock):
        return None
    tried = _send(channel, book, made, clock=clock)
    event = SENT if tried.result.is_told else FAILED
    try:
        with noting(settings, say=_silent, clock=clock) as where:
            _note(settings, where, made, event, tried.detail, clock=clock)
    except NbvaultError as error:
        # The claim stays: nobody sends it again today, and the next report tells of its sessions once more.
        return tried._replace(detail=f"{tried.detail} (the vault was not told: {error.message})")
    return tried


# --- making ----------------------------------------------------------------------------------------------------------


def _made(settings: Settings, facts: Facts, *, clock: Clock) -> Made | None:
    now = clock.now()
    with opened_vault(settings, want_tree=False, clock=clock) as vault:
        vault.refresh()
        records = read_records(vault.meta, "sessions", blobs=vault.blobs, months=2)
        if not vault.meta.content or not records:
            return None
        before, last = _told_before(vault), max(str(each["session"]) for each in records)
        saved = [str(each["session"]) for each in records if each["status"] != Status.FAILED.value]
        since = max(began(before), now - LONGEST) if before else now - timedelta(days=1)
        notes, more = _notes(facts, is_news=max(saved, default="") > before), [*_facts(facts), *_heads(vault, now)]
        query = Query(since, after=before, last=last)
        return Made(day_of(settings, now), last, daily(vault, now=now, query=query, notes=notes, facts=more))


def _told_before(vault: Vault) -> str:
    """The last session that a report has told of; empty where there was no report, or none lately."""
    lines = read_records(vault.meta, MAILS, blobs=vault.blobs, months=MAIL_MONTHS)
    return max((str(line["last"]) for line in lines if line["event"] == SENT), default="")


def _notes(facts: Facts, *, is_news: bool) -> list[str]:
    """What keeps the report from being all that changed."""
    notes = (
        [] if is_news else ["No backup has saved anything since the last report: what changed since then is not known."]
    )
    last = facts.last
    if last is not None and not last.is_complete:
        notes.append(f"The last backup did not save everything ({_told(last)}): what it missed is not in this report.")
    return notes


def _heads(vault: Vault, now: datetime) -> list[tuple[str, str]]:
    """What an auditor compares the vault with later; from the vault, for a new machine has seen no head before."""
    try:
        head = str(read_trail(vault).head(now))
    except VaultError as error:
        head = f"cannot be read: {error.message}"
    return [("Vault records", vault.meta.tip), ("Audit trail", head)]


def _facts(facts: Facts) -> list[tuple[str, str]]:
    complete = next((each for each in reversed(facts.sessions) if each.is_complete), None)
    named = (("Last backup", facts.last), ("Last complete backup", complete))
    return [(name, _told(session)) for name, session in named if session]


def _told(session: Session) -> str:
    ended = f", ended {iso(session.ended_at)}" if session.ended_at else ""
    return f"{session.session}, {session.status.value}{', deletions held' if session.held else ''}{ended}"


# --- sending ---------------------------------------------------------------------------------------------------------


def _readers(settings: Settings, *, clock: Clock) -> EmailChannel:
    section = settings.email
    # Who sends is the same as for every other mail.
    changed = {"to": section.changes_to, "sender": section.sender or section.to[0]}
    channel = email_of(settings.model_copy(update={"email": section.model_copy(update=changed)}), clock=clock)
    if channel is None:
        raise ConfigurationError("There is no mail server for the change report.", hint="Set email.host.")
    return channel


def _claim(settings: Settings, made: Made, *, clock: Clock) -> bool:
    """Tell the vault that we are about to send; False where somebody else was quicker."""
    with noting(settings, say=_silent, clock=clock) as (vault, state):
        lines = read_records(vault.meta, MAILS, blobs=vault.blobs, months=MAIL_MONTHS)
        if not is_due(settings, lines, now=clock.now()):
            return False
        _note(settings, (vault, state), made, CLAIMED, clock=clock)
    return True


def _send(channel: EmailChannel, book: AlertBook, made: Made, *, clock: Clock) -> Tried:
    """Try it, and enter it as what it came to: it must not wait in an outbox that another machine does not see."""
    name, message = ChannelName.EMAIL.value, made.message()
    result, detail = Outbox(book, {name: channel}, clock=clock).attempt(name, message)
    delivery = new_delivery(name, KIND, message, at=clock.now())
    book.queue([delivery])
    book.settle(delivery.delivery_id, result if result.is_told else Result.GIVEN_UP, detail, at=clock.now())
    return Tried(name, KIND, message.subject, result, detail)


def _note(
    settings: Settings, where: tuple[Vault, StateManager], made: Made, event: str, detail: str = "", *, clock: Clock
) -> None:
    vault, state = where
    now = clock.now()
    done = AuditEvent(now, "nbvault", f"change report {event}", made.day, "failed" if event == FAILED else "ok", detail)
    line = {"day": made.day, "event": event, "at": iso(now), "last": made.last}
    write_note(settings, vault, [done], state=state, records={MAILS: [line]}, clock=clock)


def _silent(_: str) -> None:
    """Who has the lease is no matter of the report."""

"""AlertManager: from what the rules say to what people are told; one message for an incident, one when it is over.

Order of writes: an alert is entered with what is to be told of it, then it is told, then that it was. A process that
dies anywhere leaves work for the next check: at worst somebody is told twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from nbvault.alarms import Severity
from nbvault.clock import Clock
from nbvault.ids import new_id
from nbvault.monitoring.deliveries import Outbox, Tried, new_delivery
from nbvault.monitoring.facts import Facts
from nbvault.monitoring.rules import CLOCKS_DIFFER, RULES, Rule, Thresholds, Verdict, judge, session_time
from nbvault.monitoring.wording import over, raised
from nbvault.notify.message import Message
from nbvault.state.values import Delivery, Incident, Result

KEPT = timedelta(days=90)


class Book(Protocol):
    """Where alerts are kept."""

    def open(self) -> list[Incident]:
        """What is wrong now, oldest first."""

    def known(self) -> dict[str, Incident]:
        """Every alert that is kept, by its id."""

    def begin(self, incident: Incident, told: Sequence[Delivery] = ()) -> bool:
        """Enter an alert and what is to be told of it; False where its rule has an open one or its id is known."""

    def change(self, incident: Incident, told: Sequence[Delivery] = ()) -> None:
        """Put an alert as it is now in the place of what was known of it; newer deliveries overtake those waiting."""

    def forget(self, before: datetime) -> None:
        """Delete what was over before a moment."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is told of what: channels by severity, how often again, what is not looked at."""

    routes: Mapping[Severity, Sequence[str]]
    limits: Thresholds = field(default_factory=Thresholds)
    repeat: timedelta = timedelta(days=1)
    off: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What one check came to: what began, was told again, or ended with it; what is open now; what was delivered."""

    at: datetime
    raised: tuple[Incident, ...] = ()
    repeated: tuple[Incident, ...] = ()
    over: tuple[Incident, ...] = ()
    open: tuple[Incident, ...] = ()
    tried: tuple[Tried, ...] = ()

    @property
    def undelivered(self) -> tuple[Tried, ...]:
        """What could not be delivered to all, and waits for the next check or was given up."""
        return tuple(each for each in self.tried if each.result is not Result.SENT)


class AlertManager:
    """Keeps the alerts of one vault, and sees that people hear of them.

    Args:
        book: Where alerts are kept.
        outbox: Who delivers; a channel without a place in it is not configured.
        policy: Who is told of what.
    """

    def __init__(self, book: Book, outbox: Outbox, policy: Policy, *, clock: Clock) -> None:
        self._book = book
        self._outbox = outbox
        self._policy = policy
        self._clock = clock

    def check(self, facts: Facts, *, elsewhere: Iterable[Incident] = ()) -> CheckReport:
        """Judge the facts, enter what begins and ends, and deliver what is to be told.

        Args:
            elsewhere: Alerts that the vault tells of, which other machines, or a store that was lost, have raised.

        Raises:
            StateError: the book cannot be written.
        """
        self._adopt(elsewhere)
        now = facts.now
        known = {each.rule: each for each in reversed(self._book.open())}
        raised_, repeated, over_ = list[Incident](), list[Incident](), list[Incident]()
        for rule, verdict in judge(facts, self._policy.limits, off=self._policy.off):
            incident = known.get(rule.name.value)
            if incident is None and verdict.fires:
                raised_ += self._begin(rule, verdict, now)
            elif incident is not None and verdict.fires:
                repeated += self._go_on(rule, incident, verdict, now)
            elif incident is not None and _is_news(incident, verdict, now):
                over_.append(self._end(rule, incident, verdict, now))
        self._drop_what_is_off(known, now)
        tried = self._outbox.deliver()
        self._book.forget(now - KEPT)
        return CheckReport(now, tuple(raised_), tuple(repeated), tuple(over_), tuple(self._book.open()), tried)

    def _adopt(self, elsewhere: Iterable[Incident]) -> None:
        """What is known here by its id stays as it is, but that it was over elsewhere is believed."""
        known = self._book.known()
        for each in elsewhere:
            here = known.get(each.alert_id)
            if here is None and each.cleared_at is None:
                self._book.begin(each)
            elif here is not None and here.cleared_at is None and each.cleared_at is not None:
                self._book.change(replace(here, cleared_at=each.cleared_at))

    def _begin(self, rule: Rule, verdict: Verdict, now: datetime) -> list[Incident]:
        name = f"{rule.name.value}-{new_id(now)}"
        severity, session = rule.severity.value, verdict.session
        begun = Incident(name, rule.name.value, severity, session, verdict.detail, raised_at=now, told_at=now)
        message = raised(rule, begun, again=False, now=now)
        return [begun] if self._book.begin(begun, self._addressed(rule, begun, "raised", message, now)) else []

    def _go_on(self, rule: Rule, incident: Incident, verdict: Verdict, now: datetime) -> list[Incident]:
        ahead = incident.told_at > now + CLOCKS_DIFFER
        due = now - incident.told_at >= self._policy.repeat
        # After a clock that was ahead, silence lasts no longer than usual from now on.
        told_at = now if due or ahead else incident.told_at
        session = max(incident.session, verdict.session)
        later = replace(incident, message=verdict.detail, session=session, told_at=told_at)
        message = raised(rule, later, again=True, now=now)
        if later != incident:
            self._book.change(later, self._addressed(rule, later, "repeated", message, now) if due else [])
        return [later] if due else []

    def _end(self, rule: Rule, incident: Incident, verdict: Verdict, now: datetime) -> Incident:
        ended = replace(incident, cleared_at=now)
        message = over(rule, ended, verdict.detail)
        self._book.change(ended, self._addressed(rule, ended, "over", message, now))
        return ended

    def _addressed(self, rule: Rule, incident: Incident, kind: str, message: Message, now: datetime) -> list[Delivery]:
        """The message for each channel of the route."""
        return [
            new_delivery(channel, kind, message, at=now, alert_id=incident.alert_id) for channel in self._channels(rule)
        ]

    def _drop_what_is_off(self, known: Mapping[str, Incident], now: datetime) -> None:
        names = {rule.name.value for rule in RULES} - set(self._policy.off)
        for incident in known.values():
            if incident.rule not in names:
                self._book.change(replace(incident, cleared_at=now))

    def _channels(self, rule: Rule) -> list[str]:
        wanted = dict.fromkeys(self._policy.routes.get(rule.severity, ()))
        return [channel for channel in wanted if channel in self._outbox.channels]


def _is_news(incident: Incident, verdict: Verdict, now: datetime) -> bool:
    """Whether a verdict that all is well knows of the session on which the incident stands, or of a later one."""
    if not verdict.session or verdict.session >= incident.session:
        return True
    began = session_time(incident.session)
    return began is not None and began > now + CLOCKS_DIFFER

"""What happened when we signed in, for the audit trail: who, how, until when, accepted or refused; never the secret."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from nbvault.clock import Clock, SystemClock
from nbvault.settings import Settings

# A server that refuses for hours would else fill the trail with one sentence.
MOST_EVENTS = 200


@dataclass(frozen=True, slots=True)
class AuthEvent:
    """One event. `system` is ``workspace``, ``git`` or a secret store; `identity` is empty where nobody told us."""

    at: datetime
    system: str
    action: str
    result: str
    identity: str = ""
    detail: str = ""


class Witness:
    """Keeps the events of one process in order; safe to use from several threads."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._events: list[AuthEvent] = []

    def saw(self, system: str, action: str, result: str, *, identity: str = "", detail: str = "") -> None:
        """Keep an event; of one that says no more than the last of its system, only an identity that is new."""
        event = AuthEvent(self._clock.now(), system, action, result, identity, detail)
        with self._lock:
            place = next((n for n in reversed(range(len(self._events))) if self._events[n].system == system), None)
            if place is not None and _said(self._events[place]) == _said(event):
                known = self._events[place].identity
                if identity in ("", known):
                    return
                if not known:
                    # Who it was is told only now.
                    self._events[place] = replace(self._events[place], identity=identity)
                    return
            if len(self._events) < MOST_EVENTS:
                self._events.append(event)

    def take(self) -> tuple[AuthEvent, ...]:
        """The events since this was asked last, oldest first."""
        with self._lock:
            fresh, self._events = tuple(self._events), []
            return fresh


def witness_of(settings: Settings, *, clock: Clock | None = None) -> Witness:
    """The witness of everybody who signs in by these settings."""
    found: Witness = settings.kept("witness", lambda: Witness(clock=clock))
    return found


def _said(event: AuthEvent) -> tuple[str, str, str]:
    return event.action, event.result, event.detail

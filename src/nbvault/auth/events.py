"""What happened when we signed in, for the audit trail: who, how, until when, accepted or refused; never the secret."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from nbvault.clock import Clock, SystemClock

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
        self._taken = 0

    def saw(self, system: str, action: str, result: str, *, identity: str = "", detail: str = "") -> None:
        """Keep an event; one that says the same as the last of its system is not kept again."""
        event = AuthEvent(self._clock.now(), system, action, result, identity, detail)
        with self._lock:
            last = next((seen for seen in reversed(self._events) if seen.system == system), None)
            if len(self._events) < MOST_EVENTS and (last is None or _said(last) != _said(event)):
                self._events.append(event)

    def take(self) -> tuple[AuthEvent, ...]:
        """The events since this was asked last, oldest first."""
        with self._lock:
            fresh = tuple(self._events[self._taken :])
            self._taken = len(self._events)
            return fresh


def _said(event: AuthEvent) -> tuple[str, str, str, str]:
    return event.action, event.result, event.identity, event.detail

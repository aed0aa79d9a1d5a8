"""The outbox: what is to be told waits in the state store until a channel has taken it, and is tried a bounded time.

One channel that is broken stops no other: each is tried by itself, and after it has failed in one run it is left
alone until the next.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from nbvault.clock import Clock
from nbvault.errors import NbvaultError
from nbvault.ids import stamp
from nbvault.notify.errors import DeliveryFailed
from nbvault.notify.message import Message
from nbvault.state.values import Delivery, Result

TRIES = 3
PAUSE_S = 2.0
# Nobody waits longer than that for one channel; whoever asks for more is asked again by the next check.
LONGEST_PAUSE_S = 30.0
GIVE_UP_AFTER = timedelta(days=3)
_NUMBERS = itertools.count()


class Channel(Protocol):
    """A way to tell people."""

    def send(self, message: Message) -> str:
        """Deliver it once, and say what became of it; a NbvaultError where it was not taken."""


class Book(Protocol):
    """Where deliveries are kept."""

    def queue(self, items: Iterable[Delivery]) -> None:
        """Enter what is to be delivered."""

    def waiting(self) -> list[Delivery]:
        """What was not delivered yet, oldest first."""

    def claim(self, delivery_id: str, now: datetime) -> bool:
        """Take a delivery upon oneself; False where another process has it."""

    def settle(self, delivery_id: str, result: Result, detail: str, *, at: datetime) -> None:
        """Say what became of a delivery."""


class Tried(NamedTuple):
    """What became of one delivery in this run."""

    channel: str
    kind: str
    subject: str
    result: Result
    detail: str


def new_delivery(channel: str, kind: str, message: Message, *, at: datetime, alert_id: str = "") -> Delivery:
    """A message for a channel, not delivered yet."""
    # Those of one check sort as they were written.
    name = f"{stamp(at)}-{next(_NUMBERS):06d}-{secrets.token_hex(6)}"
    return Delivery(name, alert_id, channel, kind, message.as_json(), created_at=at, attempted_at=at)


class Outbox:
    """Delivers what waits.

    Args:
        channels: Those that are configured, by name.
        tries: How often one message is tried in a run.
    """

    def __init__(self, book: Book, channels: Mapping[str, Channel], *, clock: Clock, tries: int = TRIES) -> None:
        self._book = book
        self.channels = channels
        self._clock = clock
        self._tries = tries

    def put(self, items: Iterable[Delivery]) -> None:
        """Enter what is to be delivered by the next `deliver`."""
        self._book.queue(items)

    def deliver(self) -> tuple[Tried, ...]:
        """Try everything that waits; what fails waits for the next run, or is given up after three days.

        Raises:
            StateError: the book cannot be written.
        """
        broken: dict[str, str] = {}
        found = []
        for each in self._book.waiting():
            if each.channel not in self.channels:
                self._book.settle(each.delivery_id, Result.OVERTAKEN, "not configured any more", at=self._clock.now())
            elif why := broken.get(each.channel):
                found.append(_tried(each, Result.WAITING, why))
            elif self._book.claim(each.delivery_id, self._clock.now()):
                tried = self._one(each)
                found.append(tried)
                if not tried.result.is_told:
                    broken[each.channel] = tried.detail
        return tuple(found)

    def _one(self, delivery: Delivery) -> Tried:
        result, detail = self.attempt(delivery.channel, Message.from_json(delivery.message))
        now = self._clock.now()
        if not result.is_told and now - delivery.created_at > GIVE_UP_AFTER:
            result = Result.GIVEN_UP
        self._book.settle(delivery.delivery_id, result, detail, at=now)
        return _tried(delivery, result, detail)

    def attempt(self, channel: str, message: Message) -> tuple[Result, str]:
        """Try one message on one channel, some times; what became of it, and what the other side said."""
        pause_s = PAUSE_S
        for left in reversed(range(self._tries)):
            try:
                return Result.SENT, self.channels[channel].send(message)
            except DeliveryFailed as error:
                if error.partly:
                    return Result.PARTLY, str(error)
                why = error
                pause_s = max(error.after_s, pause_s)
                if not error.retryable or not left or pause_s > LONGEST_PAUSE_S:
                    break
                self._clock.wait(pause_s)
                pause_s *= 2
            except NbvaultError as error:
                return Result.WAITING, str(error)
            except Exception as error:  # noqa: BLE001 - whatever a channel does, the others are tried
                # Only the kind: its text may hold an address that is a secret.
                told = f"The channel failed in a way that nbvault did not expect ({type(error).__name__})."
                return Result.WAITING, told
        return Result.WAITING, str(why)


def _tried(delivery: Delivery, result: Result, detail: str) -> Tried:
    return Tried(delivery.channel, delivery.kind, str(delivery.message["subject"]), result, detail)

"""Microsoft Teams: an adaptive card, posted to the address of a workflow."""

from __future__ import annotations

import re
from typing import Any

from nbvault.notify.message import Message, Tone
from nbvault.notify.poster import Poster
from nbvault.settings import Secret

_COLOURS = {Tone.BAD: "Attention", Tone.WARNING: "Warning", Tone.GOOD: "Good", Tone.PLAIN: "Default"}
_MARKS = re.compile(r"([\\`*_\[\]()#|~<>])")


def literal(text: str) -> str:
    """A text in which a card finds no Markdown: no link, no picture, no emphasis."""
    return _MARKS.sub(r"\\\1", text)


def body_of(message: Message) -> dict[str, Any]:
    """A message as the trigger "When a Teams webhook request is received" takes it."""
    title = _block(message.subject, size="Medium", weight="Bolder", color=_COLOURS[message.tone])
    blocks = [title, *map(_block, message.paragraphs)]
    if message.facts:
        facts = [{"title": literal(name), "value": literal(value)} for name, value in message.facts]
        blocks.append({"type": "FactSet", "facts": facts})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": message.subject,
        "body": blocks,
    }
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


_CARD = "application/vnd.microsoft.card.adaptive"


def _block(text: str, **more: str) -> dict[str, Any]:
    return {"type": "TextBlock", "text": literal(text), "wrap": True, **more}


class TeamsChannel:
    """Posts into the chat or channel that the workflow writes to."""

    def __init__(self, webhook: Secret, poster: Poster) -> None:
        self._webhook = webhook
        self._poster = poster

    def send(self, message: Message) -> str:
        """Deliver it once.

        Raises:
            DeliveryFailed: the workflow did not take it.
            NbvaultError: the settings or the secret are not in order.
        """
        self._poster.post(self._poster.address_of(self._webhook), body_of(message))
        return "the workflow of Teams took it"

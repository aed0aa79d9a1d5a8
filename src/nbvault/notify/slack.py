"""Slack: messages by an incoming webhook, and one line that follows a running session, by a bot's token."""

from __future__ import annotations

import json
from typing import Any

from nbvault.notify.errors import DeliveryFailed
from nbvault.notify.message import Message
from nbvault.notify.poster import Poster
from nbvault.settings import Secret, SlackSection

# What Slack allows in a block of text; a header holds 150.
_LONGEST = 2900


def escaped(text: str) -> str:
    """A text in which Slack finds no link, no mention and no command."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def body_of(message: Message) -> dict[str, Any]:
    """A message as an incoming webhook takes it; plain text throughout, so that no name is formatted."""
    lines = [*message.paragraphs, *(f"{name}: {value}" for name, value in message.facts)]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(message.subject[:150])}]
    if lines:
        blocks.append({"type": "section", "text": _plain("\n".join(lines)[:_LONGEST])})
    text = escaped(message.subject)
    return {"text": text, "attachments": [{"color": message.tone.colour, "blocks": blocks, "fallback": text}]}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


class SlackChannel:
    """Sends to the channel that the webhook belongs to."""

    def __init__(self, webhook: Secret, poster: Poster) -> None:
        self._webhook = webhook
        self._poster = poster

    def send(self, message: Message) -> str:
        """Deliver it once.

        Raises:
            DeliveryFailed: Slack did not take it.
            NbvaultError: the settings or the secret are not in order.
        """
        self._poster.post(self._poster.address_of(self._webhook), body_of(message))
        return "Slack took it"


class SlackLine:
    """One message in a channel, changed as things go on."""

    def __init__(self, section: SlackSection, poster: Poster) -> None:
        self._section = section
        self._poster = poster
        self._place: dict[str, str] = {}

    def show(self, text: str) -> None:
        """Write the line, or write it anew.

        Raises:
            DeliveryFailed: Slack did not take it.
            NbvaultError: the secret is not in order.
        """
        body = {"text": escaped(text)}
        if self._place:
            self._call("chat.update", {**self._place, **body})
            return
        found = self._call("chat.postMessage", {"channel": self._section.channel, **body})
        self._place = {"channel": str(found.get("channel", self._section.channel)), "ts": str(found.get("ts", ""))}

    def look(self) -> str:
        """Whom Slack takes the token for; writes nothing.

        Raises:
            NbvaultError: as `show`.
        """
        return f"Slack knows the bot as {self._call('auth.test', {}).get('user', 'somebody')}"

    def _call(self, method: str, body: dict[str, str]) -> dict[str, Any]:
        token = self._section.token.reveal() if self._section.token else ""
        answer = self._poster.post(f"{self._section.api}/{method}", body, bearer=token)
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise DeliveryFailed("Slack's answer is none of its API.", hint="Check slack.api.")
        if not found.get("ok"):
            error = str(found.get("error", "it does not say why"))[:100]
            hint = (
                "Check slack.token and slack.channel; the bot needs the right chat:write, and must be in the channel."
            )
            raise DeliveryFailed(f"Slack refuses {method}: {error}.", hint=hint, retryable=error == "ratelimited")
        return found

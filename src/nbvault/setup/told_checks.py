"""The examinations of the channels: does the mail server take us, do Slack and Teams answer. Nobody is told."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from nbvault.channels import email_of, poster_of, slack_line_of
from nbvault.settings import Secret
from nbvault.setup.examining import Around, Found
from nbvault.workspace.reach import reach
from nbvault.workspace.transport import ClientOptions

_TRY = "'nbvault alerts test {0}' shows that a message arrives."
_NOT = "Not configured; docs/alerts.md says how."


def mail_server(around: Around) -> Found:
    """It answers, speaks TLS that is verified, and takes user and password; nothing is sent."""
    email = email_of(around.settings, clock=around.clock, timeout_s=around.patience_s)
    if email is None:
        return Found(_NOT)
    return Found(f"{email.look()}.", hint=_TRY.format("email"))


def slack(around: Around) -> Found:
    """The webhook is an address whose host answers, and the bot's token is known; nothing is posted."""
    section = around.settings.slack
    told = [_host(around, section.webhook, "Slack", "slack.webhook")] if section.webhook else []
    line = slack_line_of(around.settings, timeout_s=around.patience_s)
    told += [f"{line.look()}."] if line else []
    return Found(" ".join(told), hint=_TRY.format("slack") if section.webhook else "") if told else Found(_NOT)


def teams(around: Around) -> Found:
    """The webhook is an address whose host answers; nothing is posted."""
    webhook = around.settings.teams.webhook
    if webhook is None:
        return Found(_NOT)
    return Found(_host(around, webhook, "Microsoft Teams", "teams.webhook"), hint=_TRY.format("teams"))


def _host(around: Around, webhook: Secret, service: str, key: str) -> str:
    """That the host of a webhook answers; the rest of its address is a secret and stays here."""
    settings = around.settings
    parts = urlsplit(poster_of(settings, service, key).address_of(webhook))
    options = ClientOptions.of(settings)
    asyncio.run(reach(f"{parts.scheme}://{parts.netloc}/", key=key, options=options))
    return f"{service} answers at {parts.hostname}."

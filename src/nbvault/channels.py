"""The channels and the policy that the settings name."""

from __future__ import annotations

from datetime import timedelta

from nbvault.alarms import ChannelName, Severity
from nbvault.clock import Clock
from nbvault.monitoring.alerts import Policy
from nbvault.monitoring.deliveries import Channel
from nbvault.monitoring.rules import Thresholds
from nbvault.notify.email import EmailChannel
from nbvault.notify.poster import Poster
from nbvault.notify.slack import SlackChannel, SlackLine
from nbvault.notify.teams import TeamsChannel
from nbvault.settings import Settings


def email_of(settings: Settings, *, clock: Clock, timeout_s: float = 10.0) -> EmailChannel | None:
    """E-mail, where it is configured."""
    if not settings.email.host:
        return None
    return EmailChannel(settings.email, clock=clock, ca_file=settings.ca_file, timeout_s=timeout_s)


def poster_of(settings: Settings, service: str, key: str, *, timeout_s: float = 10.0) -> Poster:
    """Who posts to a service, trusting whom the settings trust."""
    return Poster(service, key, ca_file=settings.ca_file, proxy_for=settings.proxy_for, timeout_s=timeout_s)


def channels_of(settings: Settings, *, clock: Clock) -> dict[str, Channel]:
    """Every channel that is configured, by its name."""
    found: dict[str, Channel] = {}
    if email := email_of(settings, clock=clock):
        found[ChannelName.EMAIL.value] = email
    if settings.slack.webhook:
        found[ChannelName.SLACK.value] = SlackChannel(
            settings.slack.webhook, poster_of(settings, "Slack", "slack.webhook")
        )
    if settings.teams.webhook:
        found[ChannelName.TEAMS.value] = TeamsChannel(
            settings.teams.webhook, poster_of(settings, "Microsoft Teams", "teams.webhook")
        )
    return found


def slack_line_of(settings: Settings, *, timeout_s: float = 10.0) -> SlackLine | None:
    """The line that follows a running session, where it is configured."""
    if not settings.slack.token:
        return None
    return SlackLine(settings.slack, poster_of(settings, "Slack", "slack.token", timeout_s=timeout_s))


def policy_of(settings: Settings) -> Policy:
    """Who is told of what, and from when on."""
    alerts = settings.alerts
    return Policy(
        routes={severity: getattr(alerts, severity.value) for severity in Severity},
        limits=Thresholds(
            complete=timedelta(hours=alerts.complete_h),
            failed_of_five=alerts.failed_of_five,
            credentials=timedelta(days=alerts.credential_days),
            drill=timedelta(days=alerts.drill_days),
            success_rate=alerts.success_rate,
            success_window=timedelta(days=alerts.success_days),
            stale=timedelta(days=alerts.stale_days),
            size_bytes=alerts.size_gb * 1e9,
            objects=alerts.objects,
            throttled=alerts.throttled,
        ),
        repeat=timedelta(hours=alerts.repeat_h),
        off=alerts.off,
    )

"""`nbvault alerts`: what is wrong, and who is told of it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.clock import iso

if TYPE_CHECKING:
    from nbvault.alerting import Outcome
    from nbvault.state.values import Incident

_COLOURS = {"critical": "red", "high": "red", "medium": "yellow"}


@click.group("alerts")
@config_option
def command() -> None:
    """What is wrong, and who is told of it."""


@command.command("check")
@config_option
@json_option
def check(*, as_json: bool) -> int:
    """Look whether somebody must know, and tell them; on a schedule of its own, every hour.

    Ends with 0 if everything was looked at and everybody was told, also where something is wrong; with 3 if something
    could not be looked at or somebody could not be told, with 1 if nobody could.
    """
    from nbvault.alerting import check_alerts

    outcome = check_alerts(load(), say=output.note)
    with output.unless_nobody_reads():
        if as_json:
            output.emit(_outcome_json(outcome))
        else:
            _tell(outcome)
    return outcome.exit_code


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over, the last 50.")
@click.option("--rule", metavar="NAME", default="", help="Only those of this rule.")
@config_option
@json_option
def list_alerts(*, everything: bool, rule: str, as_json: bool) -> None:
    """What is wrong, as the last check saw it."""
    from nbvault.alerting import open_alerts, recent_alerts, rule_named

    wanted = rule_named(rule).value if rule else ""
    settings = load()
    found = recent_alerts(settings) if everything else open_alerts(settings)
    chosen = [each for each in found if wanted in ("", each.rule)]
    if as_json:
        output.emit([incident_json(each) for each in chosen])
        return
    for each in chosen:
        _tell_incident(each)
    if not chosen:
        output.say("There are no alerts.")


@command.command("test")
@click.argument("channel", metavar="email|slack|teams")
@click.option("--by", metavar="NAME", help="Who asks; otherwise the user of this machine.")
@config_option
@json_option
def test(*, channel: str, by: str | None, as_json: bool) -> int:
    """Send a message by CHANNEL, and record in the vault what came of it.

    Ends with 0 if it was taken and that is recorded, 3 if it could not be recorded, 1 if it was not taken.
    """
    from nbvault.alerting import try_channel

    tested = try_channel(load(), channel, by=by or getpass.getuser(), say=output.note)
    if as_json:
        fields = {"channel": tested.channel, "sent": tested.sent, "detail": tested.detail}
        output.emit({**fields, "recorded": tested.recorded})
    else:
        output.say(shown(f"{tested.channel}: {tested.detail}"), style="green" if tested.sent else "red")
    if not tested.sent:
        return 1
    return 0 if tested.recorded else 3


def incident_json(incident: Incident) -> dict[str, Any]:
    """An alert for programs."""
    return {
        "alert": incident.alert_id,
        "rule": incident.rule,
        "severity": incident.severity,
        "message": incident.message,
        "session": incident.session or None,
        "raised_at": iso(incident.raised_at),
        "told_at": iso(incident.told_at),
        "cleared_at": iso(incident.cleared_at) if incident.cleared_at else None,
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    report = outcome.report
    tried = [{**each._asdict(), "result": each.result.value} for each in report.tried]
    return {
        "at": iso(report.at),
        "exit_code": outcome.exit_code,
        "open": [incident_json(each) for each in report.open],
        "raised": [each.alert_id for each in report.raised],
        "repeated": [each.alert_id for each in report.repeated],
        "over": [each.alert_id for each in report.over],
        "deliveries": tried,
        "channels": list(outcome.channels),
        "notes": list(outcome.notes),
    }


def _tell(outcome: Outcome) -> None:
    report = outcome.report
    for each in report.over:
        output.say(shown(f"Over: {each.rule}."), style="green")
    for each in report.open:
        _tell_incident(each)
    if not report.open:
        output.say("Nothing is known to be wrong.", style="green")
    sent = len(report.tried) - len(report.undelivered)
    output.say(f"{number(sent, 'message')} sent, {number(len(report.undelivered), 'message')} not.")
    for tried in report.undelivered:
        output.say(shown(f"{tried.channel} was not told ({tried.subject}): {tried.detail}"), style="red")
    for note in outcome.notes:
        output.say(shown(note), style="yellow")
    if report.open and not outcome.channels:
        output.say("No channel is configured, so nobody was told: docs/alerts.md says how.", style="red")


def _tell_incident(incident: Incident) -> None:
    end = f", over at {iso(incident.cleared_at)}" if incident.cleared_at else ""
    style = "" if incident.cleared_at else _COLOURS.get(incident.severity, "")
    output.say(f"{incident.severity}: {incident.rule}, since {iso(incident.raised_at)}{end}", style=style)
    output.say(f"  {shown(incident.message)}")

"""What people are told, in words: an alert, its end, a session that is complete, a test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from nbvault.alarms import Severity
from nbvault.clock import iso
from nbvault.model import SessionReport, Status
from nbvault.monitoring.rules import Rule, span
from nbvault.notify.message import Message, Tone
from nbvault.state.values import Incident

_TONES = {Severity.CRITICAL: Tone.BAD, Severity.HIGH: Tone.BAD, Severity.MEDIUM: Tone.WARNING, Severity.LOW: Tone.PLAIN}


def raised(rule: Rule, incident: Incident, *, again: bool, now: datetime) -> Message:
    """An alert that began, or one that goes on."""
    lasting = f", for {span(max(now - incident.raised_at, timedelta(0)))} now" if again else ""
    return Message(
        f"{rule.severity.value.upper()}: {rule.title}{lasting}",
        [incident.message, rule.remedy],
        _facts(rule, incident),
        _TONES[rule.severity],
    )


def over(rule: Rule, incident: Incident, detail: str) -> Message:
    """An alert that ended. It says what is well now, not that anything else is."""
    ended = incident.cleared_at or incident.raised_at
    lasted = span(max(ended - incident.raised_at, timedelta(0)))
    facts = [*_facts(rule, incident), ("Over at", iso(ended)), ("It was", incident.message)]
    return Message(f"Over: {rule.title}, after {lasted}", [detail], facts, Tone.GOOD)


def _facts(rule: Rule, incident: Incident) -> list[tuple[str, str]]:
    return [
        ("Rule", rule.name.value),
        ("Severity", rule.severity.value),
        ("Since", iso(incident.raised_at)),
        ("Alert", incident.alert_id),
    ]


def is_success(report: SessionReport) -> bool:
    """Whether a session may be told as a success: everything is saved, and the remote has confirmed it."""
    whole = report.status is Status.COMPLETE and report.exit_code == 0
    return whole and report.pushed and bool(report.head) and not report.dry_run and not report.error


def success(report: SessionReport, more: Sequence[tuple[str, str]] = ()) -> Message:
    """A complete session: files, rate, duration, commit.

    Args:
        more: Further facts to be told with it.

    Raises:
        ValueError: it was none.
    """
    if not is_success(report):
        raise ValueError(f"session {report.session} ended {report.status.value} with {report.exit_code}")
    counts = report.counts
    seconds = max((report.ended_at - report.started_at).total_seconds(), 0.001)
    left = sum(bool(problem.acknowledged_by) for problem in report.problems)
    accepted = [f"{left:,} notebooks are not saved, which somebody has accepted."] if left else []
    told = (
        f"{counts.added:,} added, {counts.modified:,} modified, {counts.renamed:,} renamed, {counts.deleted:,} deleted"
    )
    facts = [
        ("Session", report.session),
        ("Listed", f"{counts.listed:,} in {counts.folders:,} folders"),
        ("Saved", f"{counts.saved:,}"),
        ("Unchanged", f"{counts.unchanged:,}"),
        ("Skipped", f"{counts.skipped:,}"),
        ("Duration", f"{seconds:.1f} s"),
        ("Rate", f"{counts.listed / seconds:,.1f} files a second"),
        ("Commit", report.head or ""),
        ("Ended", iso(report.ended_at)),
        *more,
    ]
    return Message(
        f"Backup complete: {counts.saved:,} saved of {counts.listed:,}", [f"{told}.", *accepted], facts, Tone.GOOD
    )


def trial(channel: str, *, by: str, at: datetime) -> Message:
    """What `alerts test` sends."""
    facts = [("Channel", channel), ("Asked by", by), ("At", iso(at))]
    return Message(
        "This is a test", ["nbvault can reach you here. Nothing is wrong, and nothing was backed up."], facts
    )

"""The rules of alerts, as data: what is wrong, how bad it is, how it is seen in the facts, what to do. Pure.

A rule that cannot tell says nothing: an incident then neither begins nor ends. A verdict names the session that it
stands on, so that an incident is ended only by news, never because the record of it was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from nbvault.alarms import Severity, Trouble
from nbvault.clock import iso
from nbvault.ids import moment
from nbvault.model import Problem, State, Status
from nbvault.monitoring.facts import Facts, Session

# Clocks of two machines differ by so much, and no more is believed.
CLOCKS_DIFFER = timedelta(hours=1)
RATE_NEEDS_SESSIONS = 5
# How long an end may take after the time limit was reached.
ENDING = timedelta(minutes=15)
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on something is wrong; the defaults are those of the settings."""

    complete: timedelta = timedelta(hours=25)
    failed_of_five: int = 2
    credentials: timedelta = timedelta(days=7)
    drill: timedelta = timedelta(days=35)
    success_rate: float = 0.80
    success_window: timedelta = timedelta(days=30)
    stale: timedelta = timedelta(days=3)
    size_bytes: float = 8e9
    objects: int = 8_000_000
    throttled: float = 0.20


class Verdict(NamedTuple):
    """Whether it is wrong, in words, and the session on which that stands, if on one."""

    fires: bool
    detail: str
    session: str = ""


class Rule(NamedTuple):
    """One thing that may be wrong. `judge` gives None where the facts do not tell."""

    name: Trouble
    severity: Severity
    title: str
    remedy: str
    judge: Callable[[Facts, Thresholds], Verdict | None]


# --- how long ago ----------------------------------------------------------------------------------------------------


def span(length: timedelta) -> str:
    """A length of time in the unit that matters."""
    hours = length / timedelta(hours=1)
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return f"{hours:.0f} hours" if hours >= 2 else f"{length / timedelta(minutes=1):.0f} minutes"


def session_time(session: str) -> datetime | None:
    """When a session of this name began; None where it is no such name."""
    try:
        return moment(session)
    except ValueError:
        return None


# --- critical --------------------------------------------------------------------------------------------------------


def _no_complete_sync(facts: Facts, limits: Thresholds) -> Verdict | None:
    if not facts.sessions and (_under_way(facts) or facts.vault_known):
        return None  # that none ever was is another rule's
    known = [each for each in facts.sessions if each.is_complete and (each.in_vault or not facts.vault_known)]
    from_the_future = [each for each in known if _end(each) > facts.now + CLOCKS_DIFFER]
    believed = [each for each in known if each not in from_the_future]
    if not believed:
        return _none_complete(facts, limits, from_the_future)
    last = max(believed, key=_end)
    age = max(facts.now - _end(last), timedelta(0))
    told = f"The last complete session, {last.session}, ended {span(age)} ago, at {iso(_end(last))}."
    return Verdict(age > limits.complete, told)


def _none_complete(facts: Facts, limits: Thresholds, from_the_future: Sequence[Session]) -> Verdict | None:
    if from_the_future:
        last = from_the_future[-1]
        when = f"{last.session} says that it ended at {iso(_end(last))}, and here it is {iso(facts.now)}"
        return Verdict(True, f"No complete session can be believed: {when}. A clock is wrong.")
    began = min((each.started_at for each in facts.sessions), default=None)
    if began is not None and began <= facts.now and facts.now - began <= limits.complete:
        return None
    return Verdict(True, "No complete session is known.")


def _never_synced(facts: Facts, _limits: Thresholds) -> Verdict | None:
    if facts.sessions:
        return Verdict(False, f"Session {facts.sessions[-1].session} ended {facts.sessions[-1].status.value}.")
    if _under_way(facts):
        return None
    return Verdict(True, "The vault knows of no session.") if facts.vault_known else None


def _under_way(facts: Facts) -> bool:
    """Whether a session runs that can still be alive."""
    return any(facts.now - each.started_at <= facts.time_limit + ENDING for each in facts.running)


def _last_failed(facts: Facts, _limits: Thresholds) -> Verdict | None:
    last = facts.last
    if last is None:
        return None
    if last.status is Status.FAILED:
        return Verdict(True, f"Session {last.session} failed: {last.error or 'it does not say why'}", last.session)
    if last.status is Status.INTERRUPTED:
        return None  # it neither failed nor showed that the fault is gone
    return Verdict(False, f"Session {last.session} ended {last.status.value}.", last.session)


def _deletions_held(facts: Facts, _limits: Thresholds) -> Verdict | None:
    last = facts.last_whole
    if last is None:
        return None
    if last.held:
        told = f"Session {last.session} held {last.held:,} deletions; the vault still has those notebooks."
        return Verdict(True, told, last.session)
    return Verdict(False, f"Session {last.session} held none.", last.session)


def _said(value: str | None, well: str) -> Verdict | None:
    return None if value is None else Verdict(bool(value), value or well)


def _audit_broken(facts: Facts, _limits: Thresholds) -> Verdict | None:
    return _said(facts.audit, "The audit trail is whole.")


def _conversion_failed(facts: Facts, _limits: Thresholds) -> Verdict | None:
    return _said(facts.conversion, "The last conversion is in order.")


def _restore_failed(facts: Facts, _limits: Thresholds) -> Verdict | None:
    if facts.restores is None:
        return None
    told = " ".join(facts.restores[-SHOWN:]) or "No restore of the last days is unfinished or partial."
    return Verdict(bool(facts.restores), told)


# --- high ------------------------------------------------------------------------------------------------------------


def _partial(facts: Facts, _limits: Thresholds) -> Verdict | None:
    last = facts.last_whole
    if last is None:
        return None
    # Of deletions that are held alone the rule about them tells.
    if last.status is Status.PARTIAL and (last.exit_code != 4 or last.failed or last.unreadable):
        told = f"Session {last.session} did not save everything: {last.failed:,} notebooks failed"
        return Verdict(True, f"{told}, {last.unreadable:,} folders could not be read.", last.session)
    return Verdict(False, f"Session {last.session} saved what it should.", last.session)


def _repeated_failures(facts: Facts, limits: Thresholds) -> Verdict | None:
    if facts.last is None:
        return None
    lately = facts.sessions[-5:]
    failed = [each for each in lately if each.status is Status.FAILED]
    told = f"{len(failed)} of the last {len(lately)} sessions failed"
    told += f"; the last of them, {failed[-1].session}: {failed[-1].error}" if failed else "."
    return Verdict(len(failed) >= limits.failed_of_five, told, facts.last.session)


def _credentials_end(facts: Facts, limits: Thresholds) -> Verdict | None:
    if facts.credentials is None:
        return None
    ending = [each for each in facts.credentials if each.at - facts.now <= limits.credentials]
    told = " ".join(_until(each.system, each.at, facts.now) for each in ending)
    return Verdict(bool(ending), told or f"No credential is known to end within {span(limits.credentials)}.")


def _until(system: str, at: datetime, now: datetime) -> str:
    if at <= now:
        return f"The credential for the {system} ended at {iso(at)}."
    return f"The credential for the {system} ends in {span(at - now)}, at {iso(at)}."


def _drill(facts: Facts, limits: Thresholds) -> Verdict | None:
    if not facts.vault_known:
        return None
    if facts.drill is None:
        first = min((each.started_at for each in facts.sessions), default=None)
        if first is None:
            return None
        overdue = facts.now - first > limits.drill
        return Verdict(overdue, f"There was no drill since the first session, {span(facts.now - first)} ago.")
    age = max(facts.now - facts.drill.at, timedelta(0))
    if not facts.drill.went_well:
        return Verdict(True, f"The drill of {iso(facts.drill.at)} did not bring everything back.")
    return Verdict(age > limits.drill, f"The last drill was {span(age)} ago, and brought everything back.")


# --- medium ----------------------------------------------------------------------------------------------------------


def _success_rate(facts: Facts, limits: Thresholds) -> Verdict | None:
    since = facts.now - limits.success_window
    lately = [each for each in facts.sessions if since <= each.started_at <= facts.now + CLOCKS_DIFFER]
    if facts.last is None or len(lately) < RATE_NEEDS_SESSIONS:
        return None
    complete = sum(each.is_complete for each in lately)
    share = complete / len(lately)
    told = f"{complete} of {len(lately)} sessions of the last {span(limits.success_window)} were complete"
    return Verdict(share < limits.success_rate, f"{told} ({share:.0%}).", facts.last.session)


def _stale_notebooks(facts: Facts, limits: Thresholds) -> Verdict | None:
    if facts.problems is None:
        return None
    stale = [each for each in facts.problems if _is_stale(each, facts.now, limits.stale)]
    if not stale:
        return Verdict(False, f"No notebook has failed for more than {span(limits.stale)}.")
    told = f"{len(stale):,} notebooks have not been saved for more than {span(limits.stale)}: "
    names = [f"{each.path} (since {each.since}: {each.reason})" for each in stale[:SHOWN]]
    more = [f"and {len(stale) - SHOWN:,} more"] if len(stale) > SHOWN else []
    return Verdict(True, told + "; ".join(names + more) + ".")


def _is_stale(problem: Problem, now: datetime, limit: timedelta) -> bool:
    since = session_time(problem.since)
    failed = problem.state is State.FAILED and not problem.acknowledged_by
    return failed and since is not None and now - since > limit


def _time_limit(facts: Facts, _limits: Thresholds) -> Verdict | None:
    late = [each for each in facts.running if facts.now - each.started_at > facts.time_limit + ENDING]
    if late:
        told = f"Session {late[0].session} began {span(facts.now - late[0].started_at)} ago and has not ended"
        return Verdict(True, f"{told}; {_limit(facts)}.")
    last = facts.last
    if last is None:
        return None
    told = f"Session {last.session} took {span(last.took)}; {_limit(facts)}."
    return Verdict(last.took >= facts.time_limit, told, last.session)


def _limit(facts: Facts) -> str:
    return f"the limit is {span(facts.time_limit)}"


def _nothing_listed(facts: Facts, _limits: Thresholds) -> Verdict | None:
    last = facts.last_whole
    if last is None:
        return None
    return Verdict(last.listed == 0, f"Session {last.session} listed {last.listed:,} objects.", last.session)


def _secrets_found(facts: Facts, _limits: Thresholds) -> Verdict | None:
    last = facts.last_whole
    if last is None:
        return None
    if last.secrets:
        return Verdict(True, f"Session {last.session} found {last.secrets:,} credentials.", last.session)
    told = f"Session {last.session} found no new ones; those found before stay in the vault's history: revoke them."
    return Verdict(False, told, last.session)


# --- low -------------------------------------------------------------------------------------------------------------


def _repository_size(facts: Facts, limits: Thresholds) -> Verdict | None:
    found = facts.repository
    if found is None:
        return None
    fires = found.size_bytes > limits.size_bytes or found.objects > limits.objects
    told = f"The repository holds {found.size_bytes / 1e9:,.1f} GB and {found.objects:,} objects."
    return Verdict(fires, told, found.session)


def _throttled(facts: Facts, limits: Thresholds) -> Verdict | None:
    last = facts.last_whole
    if last is None or not last.requests:
        return None
    share = last.throttled / last.requests
    told = f"Session {last.session}: {last.throttled:,} of {last.requests:,} requests were refused ({share:.0%})."
    return Verdict(share > limits.throttled, told, last.session)


def _end(session: Session) -> datetime:
    return session.ended_at or session.started_at


_C, _H, _M, _L = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
_T = Trouble

RULES: tuple[Rule, ...] = (
    Rule(
        _T.NO_COMPLETE_SYNC,
        _C,
        "There is no recent complete backup",
        "Look at the schedule and at 'nbvault status'; then run 'nbvault sync'.",
        _no_complete_sync,
    ),
    Rule(
        _T.NEVER_SYNCED,
        _C,
        "There was never a backup",
        "Run 'nbvault doctor', then 'nbvault sync', and look at the schedule.",
        _never_synced,
    ),
    Rule(
        _T.LAST_FAILED,
        _C,
        "The last backup failed",
        "docs/troubleshooting.md explains the message; 'nbvault doctor' says what is out of order.",
        _last_failed,
    ),
    Rule(
        _T.DELETIONS_HELD,
        _C,
        "Deletions are held",
        "If they are right: nbvault sync --accept-deletions last. If not, somebody has deleted notebooks by mistake.",
        _deletions_held,
    ),
    Rule(
        _T.AUDIT_BROKEN,
        _C,
        "The audit trail is broken",
        "Run 'nbvault audit verify', keep what is there, and find out who wrote to the vault or the state store.",
        _audit_broken,
    ),
    Rule(
        _T.CONVERSION_FAILED,
        _C,
        "A conversion failed",
        "Run 'nbvault convert status'; then 'nbvault convert' goes on, or 'nbvault rollback' takes it back.",
        _conversion_failed,
    ),
    Rule(
        _T.RESTORE_FAILED,
        _C,
        "A restore did not end well",
        "Run 'nbvault restore --resume ID' to go on, 'nbvault undo ID' to take it back, or restore --abandon.",
        _restore_failed,
    ),
    Rule(
        _T.PARTIAL,
        _H,
        "The last backup is partial",
        "'nbvault problems list' says what is not saved and why.",
        _partial,
    ),
    Rule(
        _T.REPEATED_FAILURES,
        _H,
        "Backups fail again and again",
        "Run 'nbvault doctor'; docs/troubleshooting.md explains each message.",
        _repeated_failures,
    ),
    Rule(
        _T.CREDENTIALS_END,
        _H,
        "Credentials end soon",
        "Run 'nbvault credentials rotate', or make new tokens and put them where the settings say.",
        _credentials_end,
    ),
    Rule(
        _T.DRILL,
        _H,
        "It is not proven that the vault can be restored",
        "Run 'nbvault drill' and read what it says.",
        _drill,
    ),
    Rule(
        _T.SUCCESS_RATE,
        _M,
        "Too few backups are complete",
        "'nbvault status' shows how the last sessions ended.",
        _success_rate,
    ),
    Rule(
        _T.STALE_NOTEBOOKS,
        _M,
        "Notebooks are stale in the vault",
        "'nbvault problems list' says why; accept what is right with 'nbvault problems acknowledge'.",
        _stale_notebooks,
    ),
    Rule(
        _T.TIME_LIMIT,
        _M,
        "A backup takes too long",
        "See what the session's notes say of the workspace, or raise sync.time_limit_s.",
        _time_limit,
    ),
    Rule(
        _T.NOTHING_LISTED,
        _M,
        "The last backup listed nothing",
        "Check workspace.root, include and exclude, and what the identity may see.",
        _nothing_listed,
    ),
    Rule(
        _T.SECRETS_FOUND,
        _M,
        "Credentials were found in notebooks",
        "'nbvault problems secrets' names them: revoke them, and move them into a secret scope.",
        _secrets_found,
    ),
    Rule(
        _T.REPOSITORY_SIZE,
        _L,
        "The repository grows large",
        "'nbvault status' forecasts when the limits are reached; docs/rotation.md says how to go on in a new one.",
        _repository_size,
    ),
    Rule(
        _T.THROTTLED,
        _L,
        "The workspace refuses many requests",
        "Sync at another hour, or set workspace.requests_per_second.",
        _throttled,
    ),
)
"""Every rule, the most important first."""


def judge(facts: Facts, limits: Thresholds, *, off: Iterable[str] = ()) -> list[tuple[Rule, Verdict]]:
    """What each rule says that can tell, but for those that are switched off."""
    silent = set(off)
    found = [(rule, rule.judge(facts, limits)) for rule in RULES if rule.name.value not in silent]
    return [(rule, verdict) for rule, verdict in found if verdict is not None]

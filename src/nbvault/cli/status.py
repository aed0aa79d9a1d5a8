"""`nbvault status`: how the last sessions ended, what is protected, what waits for somebody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.clock import SystemClock, iso
from nbvault.model import State, Status

if TYPE_CHECKING:
    from nbvault.administration import Health, RemoteHealth
    from nbvault.state.store import AuditEvent, SessionRow

SHOWN_PROBLEMS = 5
_COLOURS = {Status.COMPLETE: "green", Status.PARTIAL: "yellow", Status.INTERRUPTED: "yellow", Status.FAILED: "red"}
_FIELDS = ("tag", "pushed", "resumed", "dry_run", "notes")


@click.command("status")
@config_option
@json_option
@click.option("--watch", "watching", is_flag=True, help="Show the session that runs, wherever it does, until it ends.")
def command(*, as_json: bool, watching: bool) -> None:
    """How the last sessions ended, what is protected, and what waits for you."""
    from nbvault.administration import look_at

    if watching:
        from nbvault.cli.watch import watch

        watch(load(), as_json=as_json)
        return
    health = look_at(load())
    if as_json:
        output.emit(_as_json(health))
    else:
        _tell(health)


def _age_s(row: SessionRow) -> float:
    """A backup is as old as the beginning of its scan."""
    return max((SystemClock().now() - row.started_at).total_seconds(), 0.0)


def _as_json(health: Health) -> dict[str, Any]:
    from nbvault.administration import held_by

    protected, held, local = health.protected, health.held, health.local
    return {
        "running": health.running,
        "protected": {
            "head": protected.commit,
            "session": protected.session,
            "at": iso(protected.started_at),
            "age_s": round(_age_s(protected), 1),
        }
        if protected
        else None,
        "drill": _drill_json(health.drill),
        "proven_restorable": _drill_json(health.proven),
        "held": {"session": held.session, "deletions": held_by(held)} if held else None,
        "problems": {
            "failed": sum(p.state is State.FAILED for p in health.problems),
            "acknowledged": sum(bool(p.acknowledged_by) for p in health.problems),
            "skipped": sum(p.state is State.SKIPPED for p in health.problems),
            "first": [problem.as_json() for problem in health.problems[:SHOWN_PROBLEMS]],
        },
        "remote": {
            "reachable": health.remote.reachable,
            "head": health.remote.head or None,
            "detail": health.remote.detail,
        },
        "local": {"bytes": local.pack_bytes, "objects": local.objects, "packs": local.packs} if local else None,
        "growth": health.growth.as_json() if health.growth else None,
        "archive": {"patterns": [frozen._asdict() for frozen in health.frozen], "notebooks": _archived(health)},
        "sessions": [_session_json(row) for row in health.sessions],
        "source": health.source,
        "epochs": _epochs_json(health),
        "successor": health.successor.remote if health.successor else None,
        "notes": list(health.notes),
    }


def _archived(health: Health) -> int:
    """How many notebooks the last session did not look at because their folders rest."""
    ended = next((row for row in health.sessions if row.status in (Status.COMPLETE, Status.PARTIAL)), None)
    return int(ended.metadata.get("counts", {}).get("archived", 0)) if ended and health.frozen else 0


def _epochs_json(health: Health) -> list[dict[str, Any]]:
    from nbvault.gitstore.epochs import Force

    lineage = health.lineage
    since = lineage.at if lineage.state is Force.BEGUN else ""
    earlier = [{"epoch": e.epoch, "remote": e.remote, "since": e.since, "until": e.until} for e in lineage.earlier]
    return [*earlier, {"epoch": lineage.epoch, "remote": None, "since": since or None, "until": None}]


def _drill_json(event: AuditEvent | None) -> dict[str, Any] | None:
    return {"at": iso(event.at), "result": event.result, "detail": event.detail} if event else None


def _session_json(row: SessionRow) -> dict[str, Any]:
    counts = row.metadata.get("counts", {"listed": row.total, "failed": row.failed})
    return {
        "session": row.session,
        "status": row.status.value,
        "exit_code": row.metadata.get("exit_code"),
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at) if row.ended_at else None,
        **counts,
        "head": row.commit,
        **{name: row.metadata.get(name) for name in _FIELDS},
        "error": _error(row),
    }


def _error(row: SessionRow) -> str:
    return next((entry["reason"] for entry in row.error_log if not entry["path"]), "")


def _tell(health: Health) -> None:
    _tell_epochs(health)
    _tell_protection(health)
    _tell_drills(health)
    if health.running:
        output.say("A session runs now.")
    _tell_waiting(health)
    _tell_sessions(health)
    if health.local:
        output.say(
            f"Local repository: {output.size(health.local.pack_bytes)} in {number(health.local.packs, 'pack')}, "
            f"{number(health.local.objects, 'object')}."
        )
    _tell_growth(health)
    for note in health.notes:
        output.say(note)


def _tell_growth(health: Health) -> None:
    from nbvault.backup.forecast import Advice

    if health.frozen:
        patterns = ", ".join(shown(frozen.pattern) for frozen in health.frozen)
        resting = number(_archived(health), "notebook")
        output.say(f"Archived, looked at once a week: {patterns}. The last session left {resting} unseen.")
    found = health.growth
    if found is None:
        return
    least = "" if found.exact else "at least "
    output.say(
        f"The vault holds {least}{output.size(found.size.now)} and {number(found.objects.now, 'object')}; with "
        f"{output.size(found.size.a_day)} and {number(round(found.objects.a_day), 'object')} a day more it reaches "
        f"10 GB {_when(found.size.reached_at)} and 10 million objects {_when(found.objects.reached_at)}."
    )
    output.say(f"That stands on {found.basis}.")
    if found.advice is not Advice.NONE:
        urgent = found.advice is Advice.ROTATE
        words = "Begin a new repository now" if urgent else "Plan for a new repository within the year"
        output.say(f"{words}: nbvault rotate --to REMOTE.", style="red" if urgent else "yellow")


def _when(at: datetime | None) -> str:
    return f"in {at:%B %Y}" if at else "not within a hundred years"


def _tell_epochs(health: Health) -> None:
    from nbvault.gitstore.epochs import Force

    if found := health.successor:
        output.say(f"This vault ended at {found.at}. It goes on at {shown(found.remote)}.", style="red")
    for epoch in health.lineage.earlier:
        output.say(f"Epoch {epoch.epoch}: {epoch.since[:10]} to {epoch.until[:10]}, at {shown(epoch.remote)}")
    lineage = health.lineage
    if lineage.earlier and lineage.state is Force.BEGUN:
        output.say(f"Epoch {lineage.epoch}: since {lineage.at[:10]}.")
    elif lineage.earlier:
        why = "the rotation into it had not ended when the vault was looked at last"
        output.say(f"Epoch {lineage.epoch}: not known to be in force; {why}.", style="yellow")


def _tell_protection(health: Health) -> None:
    protected, remote = health.protected, health.remote
    if protected:
        age = output.age(timedelta(seconds=_age_s(protected)))
        output.say(f"Protected at {protected.commit} (session {protected.session}, {age} ago).", style="green")
    else:
        output.say("Nothing is known to be protected yet.", style="yellow")
    if not remote.reachable:
        output.say(f"The remote does not answer now: {remote.detail}", style="red")
    elif protected and remote.head != protected.commit:
        _tell_another_head(protected, remote)


def _tell_another_head(protected: SessionRow, remote: RemoteHealth) -> None:
    """A rotation puts what was protected into the new repository once more; only else has somebody written."""
    head = remote.head or "nothing"
    if remote.rotated:
        output.say(f"The rotation began the remote's main with {head}; no session known here has ended there yet.")
    elif protected.repo_id not in ("", remote.name):
        output.say(
            f"That was saved to {shown(protected.repo_id)}, which is not vault.remote now. The remote's main is at "
            f"{head}; no session known here has ended there yet."
        )
    else:
        output.say(
            f"The remote's main is now at {head}: other sessions or people wrote to it. "
            "'nbvault state rebuild' brings this list up to date."
        )


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}."


def _tell_drills(health: Health) -> None:
    last, proven = health.drill, health.proven
    if proven:
        age = output.age(SystemClock().now() - proven.at)
        output.say(f"Last proven restorable {age} ago: {proven.detail}.", style="green")
    elif health.protected:
        output.say("Never proven restorable: nbvault drill restores a sample and removes it again.", style="yellow")
    if last and last is not proven:
        output.say(
            f"The last drill, of {last.at:%Y-%m-%d %H:%M} UTC, did not end well: {_sentence(last.detail)}", style="red"
        )


def _tell_waiting(health: Health) -> None:
    from nbvault.administration import held_by

    if held := health.held:
        output.say(f"{number(held_by(held), 'deletion')} held by session {held.session}.", style="yellow")
        output.say(f"If they are right: nbvault sync --accept-deletions {held.session}")
    failed = [problem for problem in health.problems if problem.state is State.FAILED]
    if failed:
        accepted = sum(bool(problem.acknowledged_by) for problem in failed)
        output.say(f"{number(len(failed), 'notebook')} not backed up, {accepted:,} of them accepted:", style="yellow")
        for problem in failed[:SHOWN_PROBLEMS]:
            output.say(f"  {shown(problem.path)}: {shown(problem.reason)}")
        output.say("All of them: nbvault problems list")


def _tell_sessions(health: Health) -> None:
    if not health.sessions:
        output.say("No session is known.")
        return
    output.say("Last sessions:" if health.source == "state" else "Last sessions (from the vault's own records):")
    for row in health.sessions:
        counts = row.metadata.get("counts", {})
        text = f"  {row.started_at:%Y-%m-%d %H:%M} UTC  {row.status.value:<11} "
        if row.status is Status.RUNNING:
            text += f"{row.processed:,} of {row.total:,} so far" if health.running else "no process here runs it"
        else:
            text += f"{counts.get('saved', 0):,} saved, {counts.get('deleted', 0):,} deleted, {row.failed:,} failed"
        text += " (dry run)" if row.metadata.get("dry_run") else ""
        error = _error(row)
        output.say(text + (f": {shown(error)}" if error else ""), style=_COLOURS.get(row.status, ""))

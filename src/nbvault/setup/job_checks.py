"""The examination of the nightly job: that it is due, comes to its end, runs as whom it should, in good hands."""

from __future__ import annotations

from collections.abc import Sequence

from nbvault.clock import iso
from nbvault.errors import WorkspaceError
from nbvault.model import Identity
from nbvault.setup.deploy.bundle import SYNC
from nbvault.setup.examining import Around, Found
from nbvault.setup.workspace_checks import asked
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import Forbidden
from nbvault.workspace.git_folders import Grant
from nbvault.workspace.jobs import Job, JobsClient, Run
from nbvault.workspace.transport import ClientOptions

_MANAGE = ("IS_OWNER", "CAN_MANAGE")
_EVERYBODY = ("users", "account users")
_UNSEEN = "Only who may manage it is shown who else may: look as an administrator."
NAMED = 5


def job(around: Around) -> Found:
    """Whether jobs may be seen; where the nightly one is deployed, what there is to say of it."""

    async def ask(workspace: WorkspaceClient) -> Found:
        options = ClientOptions.of(around.settings)
        jobs = JobsClient(around.auth, options=options, clock=around.clock, deadline=workspace.deadline)
        async with jobs:
            try:
                found = await jobs.jobs_named(SYNC.name)
                if len(found) != 1:
                    return _none_or_many(found)
                (nightly,) = found
                due = _due(nightly, await jobs.last_run(nightly.job_id))
                runner = await jobs.runs_as(nightly.job_id)
            except Forbidden as error:
                hint = "Let the backup identity see jobs, or give it CAN VIEW on the nightly one."
                raise WorkspaceError(f"Jobs may not be looked at: {error.message}", hint=hint) from error
            me = await jobs.me()
            runs = _runner(nightly, runner, me, around.settings.workspace.run_as)
            held = await _held(jobs, nightly, me)
        return Found(f"{due.detail} {runs.detail} {held.detail}", " ".join(filter(None, (runs.hint, held.hint))))

    return asked(around, ask, answers=2)


def _none_or_many(found: Sequence[Job]) -> Found:
    if not found:
        hint = "'nbvault deploy render' writes one, unless a timer elsewhere starts 'nbvault sync'."
        return Found(f"No job named {SYNC.name!r} is to be seen.", hint)
    hint = "Delete all but the one of the bundle."
    raise WorkspaceError(f"There are {len(found)} jobs named {SYNC.name!r}: both would write to one vault.", hint=hint)


def _due(nightly: Job, run: Run | None) -> Found:
    """That it is scheduled, one at a time, and ended well."""
    if nightly.paused or not nightly.cron:
        why = "is paused" if nightly.paused else "has no schedule"
        hint = "Resume it, or deploy the target prod: dev is always paused."
        raise WorkspaceError(f"Job {nightly.job_id} ({nightly.name}) {why}: no backup is made at night.", hint=hint)
    if nightly.at_once != 1:
        told = f"Job {nightly.job_id} ({nightly.name}) may have {nightly.at_once} runs at once; only one can write."
        raise WorkspaceError(told, hint="Set max_concurrent_runs to 1, or deploy the bundle again.")
    if run is not None and run.result != "SUCCESS":
        told = f"The last run of job {nightly.job_id} ({nightly.name}), {run.run_id}, ended {run.result}."
        raise WorkspaceError(told, hint=f"Look at the log of run {run.run_id} in the workspace.")
    ended = f"; its last run ended {run.result} at {iso(run.ended_at)}" if run else "; it has not run yet"
    return Found(f"Job {nightly.job_id} is due at {nightly.cron} ({nightly.zone}){ended}.")


def _runner(nightly: Job, runner: str, me: Identity, expected: str) -> Found:
    """Who runs it, against whom the configuration expects; without that, against who asks."""
    if expected and runner.casefold() != expected.casefold():
        raise WorkspaceError(
            f"Job {nightly.job_id} ({nightly.name}) runs as {runner}, not as {expected}.",
            hint="Set its run_as, or deploy with --service-principal; or correct workspace.run_as.",
        )
    if runner.casefold() == me.user_name.casefold():
        return Found(f"It runs as {runner}, which is who asks here.")
    if expected:
        return Found(f"It runs as {runner}, as workspace.run_as says.")
    hint = f"What is said here of rights holds for {me.user_name}. If {runner} is right, set workspace.run_as to it."
    return Found(f"It runs as {runner}.", hint)


async def _held(jobs: JobsClient, nightly: Job, me: Identity) -> Found:
    """Who may manage and run it: whoever may manage it may let it run anything, with the secrets of the backup."""
    try:
        grants = await jobs.permissions(nightly.job_id)
    except Forbidden:
        return Found("Who may manage and run it is not shown to us.", _UNSEEN)
    managers = [each for each in grants if each.level in _MANAGE]
    everybody = next((each for each in managers if each.principal in _EVERYBODY), None)
    if everybody:
        raise WorkspaceError(
            f"Everybody may manage job {nightly.job_id} ({nightly.name}): {everybody.principal} has {everybody.level}.",
            hint="Whoever may manage it gets at the secrets of the backup: leave that to administrators.",
        )
    runners = [each for each in grants if each.level == "CAN_MANAGE_RUN"]
    ours = {me.user_name, *me.groups, "users"}
    may = me.is_admin or any(each.principal in ours for each in (*managers, *runners))
    return Found(
        f"{_names(managers)} may manage it, {_names(runners)} may run it besides; {me.user_name} may"
        f"{'' if may else ' not'} start it."
    )


def _names(grants: Sequence[Grant]) -> str:
    names = sorted({each.principal for each in grants})
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more if names else "nobody"

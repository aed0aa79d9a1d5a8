"""Whether a deployment does what it is for: jobs, schedules, runs, the last session, alerts, the restore drill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from nbvault.alarms import TESTED
from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock, iso, parse_iso
from nbvault.errors import NbvaultError, VerificationError
from nbvault.gitstore.meta import Record, read_records
from nbvault.model import Status
from nbvault.opening import read_vault
from nbvault.settings import Settings
from nbvault.setup.deploy.bundle import SYNC, Planned, planned_jobs
from nbvault.setup.examining import Check
from nbvault.workspace.jobs import Job, JobsClient, Run
from nbvault.workspace.transport import ClientOptions

DEPLOY = "Run 'databricks bundle deploy -t prod' in the rendered folder."
_FRESH = timedelta(hours=25)


@dataclass(frozen=True, slots=True)
class Handover:
    """The report to hand over."""

    at: datetime
    host: str
    remote: str
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """That of the first check that failed; 0 where none did."""
        return next((check.exit_code for check in self.checks if check.exit_code), 0)

    def as_json(self) -> dict[str, Any]:
        """As ``deploy verify --json`` prints it."""
        return {
            "at": iso(self.at),
            "host": self.host,
            "remote": self.remote,
            "exit_code": self.exit_code,
            "checks": [check.as_json() for check in self.checks],
        }

    def markdown(self) -> str:
        """As a page."""
        end = "ready" if self.exit_code == 0 else "NOT READY"
        head = (
            f"# nbvault: deployment {end}\n\nLooked at {iso(self.at)}. Workspace: {self.host}. Vault: {self.remote}.\n"
        )
        rows = [
            f"| {c.name} | {'ok' if c.ok else '**not ok**'} | {_cell(c.detail)} | {_cell(c.hint)} |"
            for c in self.checks
        ]
        return "\n".join([head, "| check | result | found | what to do |", "|---|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


class Seen(NamedTuple):
    """A job and its last run, as the workspace shows them."""

    jobs: Sequence[Job]
    run: Run | None


class Records(NamedTuple):
    """What the vault's own records say."""

    sessions: Sequence[Record]
    drills: Sequence[Record]
    audit: Sequence[Record]


def verify_deployment(
    settings: Settings,
    *,
    commands: frozenset[str],
    prefix: str = "",
    warn: Callable[[str], None],
    clock: Clock | None = None,
) -> Handover:
    """Look at everything; nothing that is out of reach keeps the rest from being looked at. Writes nothing.

    Args:
        commands: What this version of nbvault can do.
        prefix: What stands before the names of the jobs (``[dev ann] `` in development mode).
        warn: Told what a person should know meanwhile.
    """
    clock = clock or SystemClock()
    now = clock.now()
    jobs = planned_jobs(commands)
    host, checks = _workspace(settings, [(job, prefix + job.name) for job in jobs], clock=clock)
    checks += _vault(settings, now, commands, warn=warn, clock=clock)
    return Handover(now, host, str(settings.vault.remote), tuple(checks))


def _workspace(settings: Settings, wanted: list[tuple[Planned, str]], *, clock: Clock) -> tuple[str, list[Check]]:
    try:
        host, seen = asyncio.run(_look(settings, [name for _, name in wanted], clock=clock))
    except NbvaultError as error:
        return str(settings.workspace.host or ""), [Check("jobs", False, error.message, error.hint, error.exit_code)]
    return host, [check for job, name in wanted for check in _job_checks(job, name, seen[name])]


async def _look(settings: Settings, names: Iterable[str], *, clock: Clock) -> tuple[str, dict[str, Seen]]:
    auth, options = AuthenticationManager(settings), ClientOptions.of(settings)
    workspace = JobsClient(auth, options=options, clock=clock)
    async with workspace:
        seen: dict[str, Seen] = {}
        for name in names:
            jobs = await workspace.jobs_named(name)
            seen[name] = Seen(jobs, await workspace.last_run(jobs[0].job_id) if len(jobs) == 1 else None)
        return workspace.host, seen


def _job_checks(job: Planned, name: str, seen: Seen) -> list[Check]:
    code = VerificationError.exit_code
    if len(seen.jobs) != 1:
        many = "There is no job of that name, or this identity may not see it."
        told = f"There are {len(seen.jobs)} jobs of that name: two schedules would write to one vault."
        hint = DEPLOY if not seen.jobs else "Delete all but the one of the bundle."
        return [Check(name, False, told if seen.jobs else many, hint, code)]
    found = seen.jobs[0]
    schedule, run = f"{name}: schedule", f"{name}: last run"
    return [
        Check(name, True, f"Job {found.job_id}."),
        _schedule(schedule, found, code),
        _run(run, seen.run, code if job is SYNC else 0),
    ]


def _schedule(name: str, job: Job, code: int) -> Check:
    if not job.cron:
        return Check(name, False, "It has none.", DEPLOY, code)
    told = f"{job.cron} ({job.zone})"
    if job.paused:
        return Check(
            name, False, f"{told}, paused.", "Resume it, or deploy the target prod: dev is always paused.", code
        )
    return Check(name, True, f"{told}.")


def _run(name: str, run: Run | None, code: int) -> Check:
    """A verify or drill that was never due has not failed: what counts of a drill is its record."""
    if run is None:
        return Check(
            name, False, "It has not run to its end yet.", "Start it once: databricks bundle run -t prod", code
        )
    told = f"{run.result}, ended {iso(run.ended_at)}."
    if run.result == "SUCCESS":
        return Check(name, True, told)
    return Check(name, False, told, f"Look at the log of run {run.run_id}.", VerificationError.exit_code)


def _vault(
    settings: Settings, now: datetime, commands: frozenset[str], *, warn: Callable[[str], None], clock: Clock
) -> list[Check]:
    try:
        with read_vault(settings, warn=warn, clock=clock) as vault:
            kinds = ("sessions", "drills", "audit")
            records = Records(*(read_records(vault.meta, kind, blobs=vault.blobs, months=3) for kind in kinds))
    except NbvaultError as error:
        return [Check("vault", False, error.message, error.hint, error.exit_code)]
    return [_session(records.sessions, now), _alerts(records.audit, commands), _drill(records.drills)]


def _session(sessions: Sequence[Record], now: datetime) -> Check:
    """The last one that is no dry run; a session may have several records, and the last counts."""
    name, code = "last session", VerificationError.exit_code
    last = next((each for each in reversed(sessions) if not each.get("dry_run")), None)
    if last is None:
        return Check(name, False, "The vault knows of none.", "Start the sync job once.", code)
    ended = parse_iso(str(last["ended_at"]))
    told = f"{last['session']}: {last['status']}, ended {iso(ended)}, protected at {last.get('head')}."
    if last["status"] != Status.COMPLETE.value:
        return Check(name, False, told, "nbvault status says what is not backed up.", code)
    if now - ended > _FRESH:
        return Check(name, False, f"{told} That is more than 25 hours ago.", "Look at the schedule.", code)
    return Check(name, True, told)


def _alerts(audit: Sequence[Record], commands: frozenset[str]) -> Check:
    name = "alert channel"
    last = next((each for each in reversed(audit) if each.get("action") == TESTED), None)
    if last is not None and last.get("result") == "ok":
        return Check(name, True, f"Tried {last['at']}: {last.get('detail') or 'ok'}.")
    if last is not None:
        return Check(
            name,
            False,
            f"Tried {last['at']}: {last.get('detail')}.",
            "nbvault alerts test",
            VerificationError.exit_code,
        )
    if "alerts" not in commands:
        hint = "The job's own e-mail and webhook tell of failures; a partial session only in its log and in 'status'."
        return Check(name, False, "No alert channel is configured in this version.", hint)
    return Check(name, False, "It was never tried.", "Run 'nbvault alerts test'.", VerificationError.exit_code)


def _drill(drills: Sequence[Mapping[str, Any]]) -> Check:
    name, code = "restore drill", VerificationError.exit_code
    if not drills:
        return Check(name, False, "There was none.", "Run 'nbvault drill', or start its job.", code)
    last = drills[-1]
    told = f"{last.get('drill')}, of {last.get('at')}"
    if last.get("exit_code") != 0:
        return Check(name, False, f"{told}, did not end well.", "Run 'nbvault drill' and read what it says.", code)
    return Check(name, True, f"{told}: every notebook came back as it was.")

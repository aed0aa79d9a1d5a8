"""The jobs of a workspace, as far as a report on a deployment needs them; by raw REST, read-only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import BadAnswer, as_json
from nbvault.workspace.git_folders import PRINCIPALS, Grant
from nbvault.workspace.transport import Request

_API = "/api/2.1/jobs/"
_PERMISSIONS = "/api/2.0/permissions/jobs/"


class Job(NamedTuple):
    """A job as the workspace has it. `cron` and `zone` are empty where it has no schedule.

    `at_once`: so many runs of it may be under way at the same time.
    """

    job_id: int
    name: str
    cron: str
    zone: str
    paused: bool
    at_once: int = 1


class Run(NamedTuple):
    """A run that came to an end; `result` is the service's own word, `SUCCESS` where it succeeded."""

    run_id: int
    result: str
    ended_at: datetime


class JobsClient(WorkspaceClient):
    """A workspace that is asked about its jobs; raises what `WorkspaceClient` raises."""

    async def jobs_named(self, name: str) -> list[Job]:
        """Every job of that name that this identity may see."""
        query = {"name": name, "limit": "100"}
        request = Request("other", "GET", _API + "list", f"job {name}", query)
        return await self._transport.ask(request, lambda body: _read_jobs(body, name))

    async def runs_as(self, job_id: int) -> str:
        """Who runs a job, explicitly or as who made it: a user name, or a service principal's application id."""
        request = Request("other", "GET", _API + "get", f"job {job_id}", {"job_id": str(job_id)})
        return await self._transport.ask(request, lambda body: _read_runner(body, job_id))

    async def permissions(self, job_id: int) -> tuple[Grant, ...]:
        """Who may do what with a job, inherited or not; shown only to who may manage it."""
        about = f"the permissions of job {job_id}"
        request = Request("other", "GET", f"{_PERMISSIONS}{job_id}", about)
        return await self._transport.ask(request, lambda body: tuple(_read_grants(body, about)))

    async def last_run(self, job_id: int) -> Run | None:
        """The run of a job that ended last; None if none ever did."""
        query = {"job_id": str(job_id), "completed_only": "true", "limit": "1"}
        request = Request("other", "GET", _API + "runs/list", f"runs of job {job_id}", query)
        return await self._transport.ask(request, lambda body: _read_run(body, job_id))


def _read_jobs(body: bytes, name: str) -> list[Job]:
    return [_job(each, name) for each in _entries(body, "jobs", f"job {name}")]


def _job(entry: Mapping[str, Any], name: str) -> Job:
    settings, about = entry.get("settings") or {}, entry.get("job_id")
    if not isinstance(about, int):
        raise BadAnswer(f"The list of jobs named {name} has one without an id.", path=name, status=200)
    schedule = settings.get("schedule") or {}
    cron, zone = str(schedule.get("quartz_cron_expression", "")), str(schedule.get("timezone_id", ""))
    paused, at_once = schedule.get("pause_status") == "PAUSED", settings.get("max_concurrent_runs", 1)
    return Job(about, str(settings.get("name", "")), cron, zone, paused, at_once if isinstance(at_once, int) else 1)


def _read_runner(body: bytes, job_id: int) -> str:
    data = as_json(body)
    found = data if isinstance(data, dict) else {}
    given = (found.get("settings") or {}).get("run_as") or {}
    named = found.get("run_as_user_name") or given.get("service_principal_name") or given.get("user_name")
    if not isinstance(named, str):
        raise BadAnswer(f"The answer about job {job_id} does not say who runs it.", path=str(job_id), status=200)
    return named


def _read_grants(body: bytes, what: str) -> Iterator[Grant]:
    for entry in _entries(body, "access_control_list", what):
        kind = next((key for key in PRINCIPALS if entry.get(key)), "")
        for each in entry.get("all_permissions") or []:
            yield Grant(kind, str(entry.get(kind, "")), str(each.get("permission_level")))


def _read_run(body: bytes, job_id: int) -> Run | None:
    for entry in _entries(body, "runs", f"runs of job {job_id}"):
        ended, state = entry.get("end_time"), entry.get("state") or {}
        if not isinstance(ended, int) or not isinstance(entry.get("run_id"), int):
            raise BadAnswer(f"A run of job {job_id} has no end or no id.", path=str(job_id), status=200)
        result = str(state.get("result_state") or state.get("life_cycle_state", ""))
        return Run(entry["run_id"], result, datetime.fromtimestamp(ended / 1000, timezone.utc))
    return None


def _entries(body: bytes, key: str, what: str) -> list[Mapping[str, Any]]:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    found = data.get(key, []) if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadAnswer(f"The answer about {what} is none.", path=what, status=200)
    return found

"""What the admin API changes of jobs: a job is its settings, a run its result; nothing is ever executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbvault_emulator.world import World, WorldError

Operation = dict[str, Any]
_FIRST_JOB_ID = 700_001
_FIRST_RUN_ID = 900_001
_CREATOR = "admin@clients.example"
LEVELS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER")
"""Each includes those before it."""
Acl = dict[str, tuple[str, str]]


def job_of(world: World, number: int) -> dict[str, Any]:
    """The job of that id.

    Raises:
        WorldError: there is none (400 and not 404: as the service answers).
    """
    if number not in world.jobs:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Job {number} does not exist.")
    return world.jobs[number]


def acl_of(job: Mapping[str, Any]) -> Acl:
    """Who has which permission on a job itself, by name: the kind of the principal, and the level."""
    return {str(name): (str(kind), str(level)) for name, (kind, level) in job["acl"].items()}


def runs_as(job: Mapping[str, Any]) -> str:
    """Who runs a job: whom its settings name, or who made it."""
    given = job["settings"].get("run_as") or {}
    return str(given.get("service_principal_name") or given.get("user_name") or job["creator"])


def _job(world: World, operation: Operation) -> dict[str, Any]:
    """Make a job of its `creator`, or replace the settings of the one with `job_id`."""
    settings = operation.get("settings")
    if not isinstance(settings, dict):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", "Missing required field: settings")
    number = operation.get("job_id", max(world.jobs, default=_FIRST_JOB_ID - 1) + 1)
    creator = str(operation.get("creator", _CREATOR))
    made = {"created_time": operation["at"], "creator": creator, "acl": {creator: ("user_name", "IS_OWNER")}}
    world.jobs[number] = {**world.jobs.get(number, made), "settings": settings}
    return {"job_id": number}


def _delete(world: World, operation: Operation) -> dict[str, Any]:
    if world.jobs.pop(operation.get("job_id", 0), None) is None:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Job {operation.get('job_id')} does not exist.")
    return {}


def _run(world: World, operation: Operation) -> dict[str, Any]:
    """A run of a job: with `result_state` it has ended so, without it runs."""
    number = operation.get("job_id", 0)
    job_of(world, number)
    result = operation.get("result_state")
    state = {"life_cycle_state": "TERMINATED", "result_state": result} if result else {"life_cycle_state": "RUNNING"}
    run = _FIRST_RUN_ID + len(world.job_runs)
    started = operation.get("start_time", operation["at"])
    entry = {"run_id": run, "job_id": number, "state": state, "start_time": started}
    if result:
        entry["end_time"] = operation["at"]
    world.job_runs.append(entry)
    return {"run_id": run}


def _permissions(world: World, operation: Operation) -> dict[str, Any]:
    """Give permissions on a job, or replace them; there is one owner, and never none."""
    job = job_of(world, operation.get("job_id", 0))
    there = acl_of(job)
    given: Acl = {str(name): (str(kind), str(level)) for name, kind, level in operation["acl"]}
    owned = any(level == "IS_OWNER" for _, level in given.values())
    kept = {
        name: held
        for name, held in there.items()
        if (held[1] == "IS_OWNER" and not owned) or (held[1] != "IS_OWNER" and not operation.get("replace"))
    }
    job["acl"] = {**kept, **given}
    return {}


JOB_OPERATIONS: dict[str, Callable[[World, Operation], dict[str, Any]]] = {
    "job": _job,
    "job-delete": _delete,
    "job-permissions": _permissions,
    "job-run": _run,
}

"""What the admin API changes of jobs: a job is its settings, a run its result; nothing is ever executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbvault_emulator.world import World, WorldError

Operation = dict[str, Any]
_FIRST_JOB_ID = 700_001
_FIRST_RUN_ID = 900_001


def _job(world: World, operation: Operation) -> dict[str, Any]:
    """Make a job, or replace the settings of the one with `job_id`."""
    settings = operation.get("settings")
    if not isinstance(settings, dict):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", "Missing required field: settings")
    number = operation.get("job_id", max(world.jobs, default=_FIRST_JOB_ID - 1) + 1)
    world.jobs[number] = {"created_time": operation["at"], "settings": settings}
    return {"job_id": number}


def _delete(world: World, operation: Operation) -> dict[str, Any]:
    if world.jobs.pop(operation.get("job_id", 0), None) is None:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Job {operation.get('job_id')} does not exist.")
    return {}


def _run(world: World, operation: Operation) -> dict[str, Any]:
    """A run of a job: with `result_state` it has ended so, without it runs."""
    number = operation.get("job_id", 0)
    if number not in world.jobs:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Job {number} does not exist.")
    result = operation.get("result_state")
    state = {"life_cycle_state": "TERMINATED", "result_state": result} if result else {"life_cycle_state": "RUNNING"}
    run = _FIRST_RUN_ID + len(world.job_runs)
    started = operation.get("start_time", operation["at"])
    entry = {"run_id": run, "job_id": number, "state": state, "start_time": started}
    if result:
        entry["end_time"] = operation["at"]
    world.job_runs.append(entry)
    return {"run_id": run}


JOB_OPERATIONS: dict[str, Callable[[World, Operation], dict[str, Any]]] = {
    "job": _job,
    "job-delete": _delete,
    "job-run": _run,
}

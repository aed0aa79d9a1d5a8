"""The Jobs API as far as somebody looks at jobs, and their permissions; jobs and runs are data of the admin API.

Who may do what is enforced: a job that may not be viewed is not listed, and only who may manage it sees who may.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nbvault_emulator import answers, imports
from nbvault_emulator.http import Request, Response
from nbvault_emulator.jobs_world import LEVELS, acl_of, job_of, runs_as
from nbvault_emulator.journal import Journal
from nbvault_emulator.world import User, World, WorldError

_BASE = re.compile(r"/api/2\.[12]/jobs/(list|get|runs/list)")
_PERMISSIONS = re.compile(r"/api/2\.0/permissions/jobs/(\d+)")
_PRINCIPALS = ("user_name", "group_name", "service_principal_name")
_MOST_JOBS, _MOST_RUNS = 100, 25
Query = Mapping[str, str]
Found = tuple[str, Callable[[], Response]]


def find(world: World, journal: Journal, request: Request, query: Query, user: User) -> Found | None:
    """The endpoint by which faults know a request, and who answers it; None if this API does not."""
    if found := _PERMISSIONS.fullmatch(request.path):
        number = int(found[1])
        if request.method == "GET":
            return "permissions-get", lambda: _acl(world, number, user)
        if request.method in ("PUT", "PATCH"):
            return "permissions-set", lambda: _set_acl(world, journal, number, request, user)
    named = _BASE.fullmatch(request.path) if request.method == "GET" else None
    if named is None:
        return None
    answer = {"list": _list, "get": _get, "runs/list": _runs}[named[1]]
    return "jobs-" + named[1].replace("/", "-"), lambda: answer(world, query, user)


def _list(world: World, query: Query, user: User) -> Response:
    """By creation, newest first; `name` is compared whole, whatever its case, as the service does."""
    name = query.get("name", "").casefold()
    jobs = [
        _shown(number, job)
        for number, job in sorted(world.jobs.items(), reverse=True)
        if _may(job, user, "CAN_VIEW") and (not name or job["settings"].get("name", "").casefold() == name)
    ]
    return _page("jobs", jobs, query, most=_MOST_JOBS)


def _get(world: World, query: Query, user: User) -> Response:
    number = _number(query, "job_id")
    job = _viewed(world, number, user)
    return answers.json_response({**_shown(number, job), "run_as_user_name": runs_as(job)})


def _viewed(world: World, number: int, user: User) -> dict[str, Any]:
    job = job_of(world, number)
    if not _may(job, user, "CAN_VIEW"):
        who = user.user_name
        told = f"User {who} does not have View or Admin or Manage Run or Owner permissions on job {number}"
        raise WorldError(403, "PERMISSION_DENIED", told)
    return job


def _may(job: Mapping[str, Any], user: User, level: str) -> bool:
    """Whether somebody has this permission on a job, or one that includes it."""
    enough = LEVELS[LEVELS.index(level) :]
    ours = {user.user_name, "users", *user.groups}
    return user.admin or any(name in ours and has in enough for name, (_, has) in acl_of(job).items())


def _runs(world: World, query: Query, user: User) -> Response:
    """Newest first."""
    if "job_id" in query:
        _viewed(world, _number(query, "job_id"), user)
    runs = [run for run in reversed(world.job_runs) if _fits(run, query)]
    return _page("runs", runs, query, most=_MOST_RUNS)


def _fits(run: Mapping[str, Any], query: Query) -> bool:
    ended = "result_state" in run["state"]
    if "job_id" in query and run["job_id"] != _number(query, "job_id"):
        return False
    return not (query.get("completed_only") == "true" and not ended) and not (
        query.get("active_only") == "true" and ended
    )


def _page(name: str, found: list[dict[str, Any]], query: Query, *, most: int) -> Response:
    limit = _number(query, "limit") if "limit" in query else 20
    if not 1 <= limit <= most:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"limit must be between 1 and {most}.")
    start = _number(query, "page_token") if query.get("page_token") else 0
    page: dict[str, Any] = {name: found[start : start + limit]} if found[start : start + limit] else {}
    page["has_more"] = start + limit < len(found)
    if page["has_more"]:
        page["next_page_token"] = str(start + limit)
    return answers.json_response(page)


def _number(query: Query, name: str) -> int:
    value = query.get(name, "")
    if not value.isdigit():
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"{name} must be a number.")
    return int(value)


def _shown(number: int, job: Mapping[str, Any]) -> dict[str, Any]:
    told = {"created_time": job["created_time"], "settings": {"max_concurrent_runs": 1, **job["settings"]}}
    return {"job_id": number, "creator_user_name": job["creator"], **told}


# --- permissions -----------------------------------------------------------------------------------------------------


def _managed(world: World, number: int, user: User) -> dict[str, Any]:
    if number not in world.jobs:
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"Job {number} does not exist.")
    if not _may(world.jobs[number], user, "CAN_MANAGE"):
        told = f"{user.user_name} does not have Manage permissions on Job with ID: ElasticJobId({number}). "
        raise WorldError(403, "PERMISSION_DENIED", told + "Please contact the owner or an administrator for access.")
    return world.jobs[number]


def _acl(world: World, number: int, user: User) -> Response:
    job = _managed(world, number, user)
    entries = [_entry(kind, name, {"permission_level": level}) for name, (kind, level) in acl_of(job).items()]
    inherited = {"permission_level": "CAN_MANAGE", "inherited_from_object": ["/jobs/"]}
    entries.append(_entry("group_name", "admins", inherited))
    return answers.json_response({"object_id": f"/jobs/{number}", "object_type": "job", "access_control_list": entries})


def _entry(kind: str, name: str, permission: Mapping[str, Any]) -> dict[str, Any]:
    told = {**permission, "inherited": "inherited_from_object" in permission}
    # Groups have no name to be shown by.
    shown = {} if kind == "group_name" else {"display_name": name}
    return {kind: name, **shown, "all_permissions": [told]}


def _set_acl(world: World, journal: Journal, number: int, request: Request, user: User) -> Response:
    _managed(world, number, user)
    asked = imports.json_body(request).get("access_control_list") or []
    acl = [_granted(each) for each in asked]
    journal.commit([{"op": "job-permissions", "job_id": number, "acl": acl, "replace": request.method == "PUT"}])
    return _acl(world, number, user)


def _granted(asked: Any) -> tuple[str, str, str]:
    kind = next((name for name in _PRINCIPALS if isinstance(asked, dict) and asked.get(name)), None)
    if kind is None or asked.get("permission_level") not in LEVELS:
        raise imports.invalid("An access control needs one principal and a permission level.")
    if kind == "group_name" and asked["permission_level"] == "IS_OWNER":
        raise imports.invalid("Groups can not be owners of jobs.")
    return str(asked[kind]), kind, str(asked["permission_level"])

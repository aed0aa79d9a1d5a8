"""The Jobs API as far as a report on a deployment reads it: jobs and their runs are data that the admin API puts in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nbvault_emulator import answers
from nbvault_emulator.http import Response
from nbvault_emulator.world import World, WorldError

_BASE = re.compile(r"/api/2\.[12]/jobs/(list|get|runs/list)")
_MOST_JOBS, _MOST_RUNS = 100, 25
Query = Mapping[str, str]


def find(world: World, method: str, path: str, query: Query) -> tuple[str, Callable[[], Response]] | None:
    """The endpoint by which faults know a request, and who answers it; None if this API does not."""
    found = _BASE.fullmatch(path) if method == "GET" else None
    if found is None:
        return None
    answer = {"list": _list, "get": _get, "runs/list": _runs}[found[1]]
    return "jobs-" + found[1].replace("/", "-"), lambda: answer(world, query)


def _list(world: World, query: Query) -> Response:
    """By creation, newest first; `name` is compared whole, whatever its case, as the service does."""
    name = query.get("name", "").casefold()
    jobs = [
        _shown(number, job)
        for number, job in sorted(world.jobs.items(), reverse=True)
        if not name or job["settings"].get("name", "").casefold() == name
    ]
    return _page("jobs", jobs, query, most=_MOST_JOBS)


def _get(world: World, query: Query) -> Response:
    number = _number(query, "job_id")
    return answers.json_response(_shown(number, _job(world, number)))


def _runs(world: World, query: Query) -> Response:
    """Newest first."""
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


def _job(world: World, number: int) -> dict[str, Any]:
    if number not in world.jobs:
        # 400 and not 404: as the service answers.
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Job {number} does not exist.")
    return world.jobs[number]


def _shown(number: int, job: Mapping[str, Any]) -> dict[str, Any]:
    return {"job_id": number, "creator_user_name": "admin@clients.example", **job}

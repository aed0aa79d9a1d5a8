"""The databricks-sdk's own client against the Jobs API; the admin API puts jobs and runs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import ResourceDoesNotExist
from databricks.sdk.service.jobs import PauseStatus, RunLifeCycleState, RunResultState

from nbvault_emulator.testing import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(notebooks=0) as running:
        yield running


@pytest.fixture
def sdk(emulator: Emulator) -> WorkspaceClient:
    return WorkspaceClient(host=emulator.workspace_url, token=emulator.workspace_token, auth_type="pat")


SCHEDULE: dict[str, Any] = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC", "pause_status": "PAUSED"}


def test_jobs_are_found_by_name(emulator: Emulator, sdk: WorkspaceClient) -> None:
    """By their whole name whatever its case, page after page, with their settings."""
    for number in range(25):
        emulator.job(f"other {number}")
    wanted = emulator.job("Nightly", schedule=SCHEDULE)
    assert [job.job_id for job in sdk.jobs.list(name="nightly")] == [wanted]
    assert len(list(sdk.jobs.list())) == 26
    assert list(sdk.jobs.list(name="night")) == []
    settings = sdk.jobs.get(wanted).settings
    assert settings is not None
    assert settings.schedule is not None
    assert (settings.name, settings.schedule.pause_status) == ("Nightly", PauseStatus.PAUSED)


def test_runs_come_newest_first(emulator: Emulator, sdk: WorkspaceClient) -> None:
    """Each job has its own runs, and one that still runs has no result."""
    one, other = emulator.job("one"), emulator.job("other")
    for job, result in ((one, "SUCCESS"), (other, "SUCCESS"), (one, "FAILED"), (one, "")):
        emulator.job_run(job, result)
    runs = [run.state for run in sdk.jobs.list_runs(job_id=one) if run.state]
    assert [run.result_state for run in runs] == [None, RunResultState.FAILED, RunResultState.SUCCESS]
    assert runs[0].life_cycle_state is RunLifeCycleState.RUNNING
    assert len(list(sdk.jobs.list_runs(job_id=one, completed_only=True))) == 2
    assert len(list(sdk.jobs.list_runs(job_id=one, active_only=True))) == 1


def test_what_is_not_there_is_refused(emulator: Emulator, sdk: WorkspaceClient) -> None:
    """A job that was deleted is unknown: 400 on the wire, which the SDK takes for what it means."""
    number = emulator.job("gone")
    emulator.call("POST", "/job-delete", {"job_id": number})
    with pytest.raises(ResourceDoesNotExist, match="does not exist"):
        sdk.jobs.get(number)
    assert list(sdk.jobs.list()) == []

"""The databricks-sdk's own client against the Jobs API; the admin API puts jobs and runs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, PermissionDenied, ResourceDoesNotExist
from databricks.sdk.service.jobs import (
    JobAccessControlRequest,
    JobPermissionLevel,
    PauseStatus,
    RunLifeCycleState,
    RunResultState,
)

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


def may(sdk: WorkspaceClient, job: int) -> dict[str, str]:
    """The permissions of a job by principal, as the SDK reads them."""
    entries = sdk.jobs.get_permissions(str(job)).access_control_list or []
    return {
        str(entry.user_name or entry.group_name): str(each.permission_level.value)
        for entry in entries
        for each in entry.all_permissions or []
        if each.permission_level
    }


def test_permissions_of_a_job(emulator: Emulator, sdk: WorkspaceClient) -> None:
    """Its owner, what is given and taken, and administrators, who are told as inherited; it runs as who made it."""
    job = emulator.job("nightly", creator="ann@x")
    assert may(sdk, job) == {"ann@x": "IS_OWNER", "admins": "CAN_MANAGE"}
    view = JobAccessControlRequest(group_name="users", permission_level=JobPermissionLevel.CAN_VIEW)
    sdk.jobs.update_permissions(str(job), access_control_list=[view])
    assert may(sdk, job) == {"ann@x": "IS_OWNER", "users": "CAN_VIEW", "admins": "CAN_MANAGE"}
    owner = JobAccessControlRequest(user_name="bob@x", permission_level=JobPermissionLevel.IS_OWNER)
    sdk.jobs.set_permissions(str(job), access_control_list=[owner])
    assert may(sdk, job) == {"bob@x": "IS_OWNER", "admins": "CAN_MANAGE"}
    assert sdk.jobs.get(job).run_as_user_name == "ann@x"
    group = JobAccessControlRequest(group_name="users", permission_level=JobPermissionLevel.IS_OWNER)
    with pytest.raises(InvalidParameterValue, match="owners"):
        sdk.jobs.set_permissions(str(job), access_control_list=[group])
    with pytest.raises(ResourceDoesNotExist):
        sdk.jobs.get_permissions("1")


def test_who_may_not_see_a_job(emulator: Emulator) -> None:
    """It is not listed for them and refused; its permissions are shown only to who may manage it."""
    job = emulator.job("nightly", creator="ann@x", run_as={"service_principal_name": "app"})
    eve = WorkspaceClient(host=emulator.workspace_url, token=emulator.user_token("eve@x"), auth_type="pat")
    assert list(eve.jobs.list()) == []
    with pytest.raises(PermissionDenied, match="does not have View or Admin or Manage Run or Owner permissions"):
        eve.jobs.get(job)
    emulator.job_permissions(job, **{"eve@x": "CAN_MANAGE_RUN"})
    assert (eve.jobs.get(job).run_as_user_name, len(list(eve.jobs.list()))) == ("app", 1)
    with pytest.raises(PermissionDenied, match="does not have Manage permissions on Job"):
        eve.jobs.get_permissions(str(job))
    emulator.job_permissions(job, **{"eve@x": "CAN_MANAGE"})
    assert may(eve, job)["eve@x"] == "CAN_MANAGE"

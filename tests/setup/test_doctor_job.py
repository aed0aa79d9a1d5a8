"""The doctor with a fault in the nightly job: its schedule, its runs, its identity, and who may do what with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk, notebooks
from doctor_places import Patient, only, wrong
from nbvault.setup.deploy.bundle import SYNC
from nbvault.setup.examining import Check
from nbvault_emulator.testing import Emulator

US = "nbvault-service@clients.example"
ANN = "ann@clients.example"
DUE = {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC", "pause_status": "UNPAUSED"}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(world=notebooks("/Clients/2024/a")) as running:
        yield running


@pytest.fixture
def patient(emulator: Emulator, tmp_path: Path) -> Patient:
    """Somebody who is well."""
    return Patient(tmp_path, emulator)


def put(emulator: Emulator, *, creator: str = US, **settings: Any) -> int:
    """The nightly job, as a bundle makes it."""
    return emulator.job(SYNC.name, creator=creator, **{"schedule": DUE, "max_concurrent_runs": 1, **settings})


def job_of(checks: list[Check]) -> Check:
    return next(check for check in checks if check.name == "job")


def test_no_job_is_no_fault(patient: Patient) -> None:
    """A timer elsewhere may start the backup."""
    found = job_of(patient.checks())
    assert (found.ok, "is to be seen" in found.detail) == (True, True)


def test_a_job_in_order(patient: Patient) -> None:
    """When it is due and how it ended, as whom it runs, who may manage and run it, and that we may start it."""
    number = put(patient.emulator)
    patient.emulator.job_permissions(number, **{ANN: "CAN_MANAGE_RUN", "watchers": "CAN_VIEW"})
    patient.emulator.job_run(number, "SUCCESS")
    found = job_of(patient.checks())
    assert found.ok
    assert found.detail.startswith(f"Job {number} is due at 0 0 2 * * ? (UTC); its last run ended SUCCESS at ")
    assert found.detail.endswith(
        f"It runs as {US}, which is who asks here. admins, {US} may manage it, {ANN} may run it besides; "
        f"{US} may start it."
    )
    assert found.hint == ""


@pytest.mark.parametrize(
    ("settings", "told", "hint"),
    [
        ({"schedule": {**DUE, "pause_status": "PAUSED"}}, "is paused: no backup", "Resume it"),
        ({"schedule": None}, "has no schedule", "deploy the target prod"),
        ({"max_concurrent_runs": 5}, "may have 5 runs at once", "max_concurrent_runs to 1"),
    ],
)
def test_wrong_settings(patient: Patient, settings: dict[str, Any], told: str, hint: str) -> None:
    """A paused or missing schedule, and several runs at once."""
    put(patient.emulator, **settings)
    found = only(patient.checks(), "job")
    assert (told in found.detail, hint in found.hint) == (True, True), found


def test_a_run_that_failed(patient: Patient) -> None:
    """The last one counts, and which log to read is said."""
    patient.emulator.job_run(put(patient.emulator), "FAILED")
    assert "Look at the log of run" in only(patient.checks(), "job").hint


def test_two_jobs_of_the_name(patient: Patient) -> None:
    """Both would write to one vault."""
    put(patient.emulator)
    put(patient.emulator)
    assert "Delete all but the one" in only(patient.checks(), "job").hint


def test_jobs_that_may_not_be_seen(patient: Patient) -> None:
    """The list is refused."""
    patient.emulator.faults({"kind": "status", "status": 403, "match": {"endpoint": "jobs-list"}})
    assert "CAN VIEW" in only(patient.checks(), "job").hint


def test_it_runs_as_somebody_else(patient: Patient) -> None:
    """Against `workspace.run_as` that is a fault; where nobody said whom to expect, it is only told."""
    principal = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"
    number = put(patient.emulator, run_as={"service_principal_name": principal})
    unsaid = job_of(patient.checks())
    assert (unsaid.ok, f"It runs as {principal}." in unsaid.detail) == (True, True)
    assert f"holds for {US}. If {principal} is right, set workspace.run_as to it." in unsaid.hint
    found = only(patient.checks(NBVAULT_WORKSPACE__RUN_AS=US), "job")
    assert found.detail == f"Job {number} (nbvault sync) runs as {principal}, not as {US}."
    assert ("run_as" in found.hint, "--service-principal" in found.hint) == (True, True)
    well = job_of(patient.checks(NBVAULT_WORKSPACE__RUN_AS=principal))
    assert (well.ok, "as workspace.run_as says" in well.detail) == (True, True)


def test_it_runs_as_who_made_it(patient: Patient) -> None:
    """Without `run_as` a job runs as its creator: a person who may leave."""
    put(patient.emulator, creator=ANN)
    assert f"runs as {ANN}, not as {US}" in only(patient.checks(NBVAULT_WORKSPACE__RUN_AS=US), "job").detail


@pytest.mark.parametrize("level", ["CAN_VIEW", "CAN_MANAGE_RUN"])
def test_permissions_that_we_may_not_see(patient: Patient, level: str) -> None:
    """Only who may manage the job is shown who may: said so, and no fault, for our own bundle gives CAN VIEW."""
    number = put(patient.emulator, creator=ANN)
    patient.emulator.job_permissions(number, **{"eve@clients.example": level})
    checks = patient.checks(DATABRICKS_TOKEN=patient.emulator.user_token("eve@clients.example"))
    found = job_of(checks)
    assert (wrong(checks), "is not shown to us" in found.detail) == ({}, True)
    assert "look as an administrator" in found.hint
    assert patient.emulator.requests()["permissions-get"] == {"403": 1}


def test_a_job_that_we_may_not_view(patient: Patient) -> None:
    """It is not listed for us, and that nobody is told of it is not said to be certain."""
    put(patient.emulator, creator=ANN)
    found = job_of(patient.checks(DATABRICKS_TOKEN=patient.emulator.user_token("eve@clients.example")))
    assert (found.ok, "is to be seen" in found.detail) == (True, True)


def test_everybody_may_manage_it(patient: Patient) -> None:
    """Then everybody gets at its secrets: a fault; that everybody may start it is none."""
    number = put(patient.emulator)
    patient.emulator.job_permissions(number, users="CAN_MANAGE")
    found = only(patient.checks(), "job")
    assert found.detail == f"Everybody may manage job {number} (nbvault sync): users has CAN_MANAGE."
    assert "leave that to administrators" in found.hint
    patient.emulator.job_permissions(number, users="CAN_MANAGE_RUN")
    assert "users may run it besides" in job_of(patient.checks()).detail


def test_on_the_command_line(patient: Patient, tmp_path: Path) -> None:
    """Text and JSON name the fault and the remedy, and end with its exit code."""
    put(patient.emulator, max_concurrent_runs=2)
    desk = Desk(tmp_path / "desk", patient.emulator)
    text, told = desk.run("doctor"), desk.run("doctor", "--json")
    (check,) = [each for each in told.json if each["name"] == "job"]
    assert (text.code, told.code, check["ok"]) == (1, 1, False)
    assert "may have 2 runs at once" in check["detail"]
    assert "max_concurrent_runs to 1" in " ".join((text.out + text.err).split())

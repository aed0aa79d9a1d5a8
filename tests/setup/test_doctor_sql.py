"""The doctor with a fault in what lies in SQL: a warehouse, a right, a catalog; each named with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli_places import Desk, notebooks
from doctor_places import Patient, only, wrong
from nbvault.errors import StateError
from nbvault.setup.examining import Check
from nbvault.state.store import StateManager
from nbvault_emulator.testing import Emulator

WAREHOUSE = "0123456789abcdef"
EVERYBODY = "account users"
WRITER = "writer@clients.example"
ALL_RIGHTS = {"main": ["USE_CATALOG"], "main.nbvault": ["USE_SCHEMA", "SELECT", "MODIFY", "CREATE_TABLE"]}
AUDIT = {
    "NBVAULT_EDITORS__SOURCE": "audit",
    "NBVAULT_EDITORS__WAREHOUSE_ID": WAREHOUSE,
    "NBVAULT_EDITORS__WORKSPACE_ID": "4242424242424242",
}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A workspace with a warehouse and an audit table."""
    with Emulator(world=notebooks("/Clients/2024/a")) as running:
        running.audit()
        running.warehouse(WAREHOUSE, name="tiny")
        yield running


@pytest.fixture
def patient(emulator: Emulator, tmp_path: Path) -> Patient:
    """Somebody who is well."""
    return Patient(tmp_path, emulator)


def as_nobody(patient: Patient) -> dict[str, str]:
    """The variables of a backup identity that is no administrator and was given nothing."""
    return {**AUDIT, "DATABRICKS_TOKEN": patient.emulator.user_token("nobody@clients.example")}


def detail(checks: list[Check], name: str) -> str:
    return next(check.detail for check in checks if check.name == name)


def test_an_audit_table_that_can_be_read(patient: Patient) -> None:
    """By somebody whom everybody's rights suffice; an empty one is no fault."""
    checks = patient.checks(**as_nobody(patient))
    assert wrong(checks) == {}
    assert detail(checks, "audit table") == (
        f"system.access.audit can be read by warehouse {WAREHOUSE}, for workspace 4242424242424242."
    )


@pytest.mark.parametrize(
    ("number", "told"), [("fedcba9876543210", "There is no warehouse"), ("none", "There is no warehouse none.")]
)
def test_a_warehouse_that_is_not_there(patient: Patient, number: str, told: str) -> None:
    """An id of the right form that names none, and one that is no id: the key is named."""
    found = only(patient.checks(**{**AUDIT, "NBVAULT_EDITORS__WAREHOUSE_ID": number}), "audit table")
    assert (found.detail.startswith(told), "Check editors.warehouse_id" in found.hint, found.exit_code) == (
        True,
        True,
        7,
    )


def test_a_warehouse_that_was_deleted(patient: Patient) -> None:
    """To an administrator it is gone; to others the service says the same as of one that they may not use."""
    patient.emulator.warehouse(WAREHOUSE, state="DELETED")
    assert "There is no warehouse" in only(patient.checks(**AUDIT), "audit table").detail
    found = only(patient.checks(**as_nobody(patient)), "audit table")
    assert "You do not have permission to use the SQL Warehouse" in found.detail
    assert "if it was deleted, name another in editors.warehouse_id" in found.hint


def test_a_warehouse_that_may_not_be_used(patient: Patient) -> None:
    """Without CAN USE: what to give."""
    patient.emulator.warehouse(WAREHOUSE, users=["ann@clients.example"])
    found = only(patient.checks(**as_nobody(patient)), "audit table")
    assert ("refuses us" in found.detail, "CAN USE" in found.hint) == (True, True)


def test_a_warehouse_that_stands_still(patient: Patient) -> None:
    """It is not started by who looks: rights are looked up in Unity Catalog. One that nothing starts is a fault."""
    patient.emulator.warehouse(WAREHOUSE, state="STOPPED")
    checks = patient.checks(**as_nobody(patient))
    (found,) = [check for check in checks if check.name == "audit table"]
    assert found.detail == f"system.access.audit may be read. The warehouse {WAREHOUSE} (tiny) is stopped."
    assert (found.ok, "A session starts it" in found.hint) == (True, True)
    assert "sql-statements" not in patient.emulator.requests()
    patient.emulator.warehouse(WAREHOUSE, auto_resume=False)
    assert "Start it" in only(patient.checks(**AUDIT), "audit table").hint


@pytest.mark.parametrize("state", ["RUNNING", "STOPPED"])
@pytest.mark.parametrize(
    ("name", "left", "lacks"),
    [
        ("system", [], "USE CATALOG"),
        ("system.access", ["SELECT"], "USE SCHEMA"),
        ("system.access", ["USE_SCHEMA"], "SELECT"),
    ],
)
def test_no_right_to_read_the_table(patient: Patient, state: str, name: str, left: list[str], lacks: str) -> None:
    """Each of the three rights on the way to the table, by a query and without one."""
    patient.emulator.warehouse(WAREHOUSE, state=state)
    patient.emulator.securable(name, grants={EVERYBODY: left})
    found = only(patient.checks(**as_nobody(patient)), "audit table")
    assert (lacks in found.detail, lacks in found.hint) == (True, True), found


@pytest.mark.parametrize("state", ["RUNNING", "STOPPED"])
def test_a_table_that_is_not_there(patient: Patient, state: str) -> None:
    """The schema was not enabled, or the key names none."""
    patient.emulator.warehouse(WAREHOUSE, state=state)
    patient.emulator.securable("system.access", missing=True)
    found = only(patient.checks(**AUDIT), "audit table")
    assert "editors.table" in found.hint
    assert "system" in found.detail


def test_a_warehouse_that_takes_its_time(patient: Patient) -> None:
    """A query that is not ready in the time of one answer: told as such, soon, with what to do."""
    patient.emulator.audit(runs_ms=1_000_000)
    found = only(patient.checks(**AUDIT, NBVAULT_NETWORK__CHECK_TIMEOUT_S="3"), "audit table")
    assert (found.detail, "try again" in found.hint) == ("The warehouse gave no answer in 3 s.", True)


# --- a state store on Databricks ---


def on_databricks(patient: Patient, *, schema: str = "nbvault", **rights: list[str]) -> dict[str, str]:
    """The variables of a state store there, whose identity has these rights by catalog or schema."""
    emulator = patient.emulator
    for name, privileges in rights.items():
        emulator.securable(name, grants={WRITER: privileges})
    where = f"{urlsplit(emulator.workspace_url).netloc}?http_path=/sql/1.0/warehouses/{WAREHOUSE}"
    return {
        "NBVAULT_STATE__URL": f"databricks://{where}&catalog=main&schema={schema}",
        "NBVAULT_STATE__PASSWORD": "env:WRITER_TOKEN",
        "WRITER_TOKEN": emulator.user_token(WRITER),
    }


def test_who_may_write_to_the_state_store(patient: Patient) -> None:
    """All rights, by grant, by a group or as the owner; the warehouse stands still and is left so."""
    patient.emulator.warehouse(WAREHOUSE, state="STOPPED")
    told = f"{WRITER} may write to main.nbvault. The warehouse {WAREHOUSE} (tiny) is stopped."
    variables = on_databricks(patient, **ALL_RIGHTS)
    assert detail(patient.checks(**variables), "state store") == told
    patient.emulator.securable("main.nbvault", grants={WRITER: [], "writers": ["ALL_PRIVILEGES"]})
    patient.emulator.user(WRITER, groups=["writers"])
    assert detail(patient.checks(**variables), "state store") == told
    patient.emulator.securable("main.nbvault", grants={"writers": []}, owner=WRITER)
    assert detail(patient.checks(**variables), "state store") == told
    assert "sql-statements" not in patient.emulator.requests()


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("main", "USE_CATALOG"),
        ("main.nbvault", "USE_SCHEMA"),
        ("main.nbvault", "SELECT"),
        ("main.nbvault", "MODIFY"),
        ("main.nbvault", "CREATE_TABLE"),
    ],
)
def test_a_right_that_the_state_store_lacks(patient: Patient, name: str, lacks: str) -> None:
    """Each of them is missed by name, and what an owner has to run is said; an administrator's own rights help not."""
    given = {**ALL_RIGHTS, name: [each for each in ALL_RIGHTS[name] if each != lacks]}
    found = only(patient.checks(**on_databricks(patient, **given)), "state store")
    assert lacks.replace("_", " ") in found.detail
    kind = "SCHEMA" if "." in name else "CATALOG"
    assert f"GRANT {lacks.replace('_', ' ')} ON {kind} {name} TO" in found.hint


def test_tables_that_are_there_need_no_right_to_make_them(patient: Patient) -> None:
    """`sql/schema.sql` made them: then CREATE TABLE is not asked for."""
    rights = {**ALL_RIGHTS, "main.nbvault": ["USE_SCHEMA", "SELECT", "MODIFY"]}
    patient.emulator.securable("main.nbvault.schema_version")
    patient.emulator.warehouse(WAREHOUSE, state="STOPPED")
    assert "may write to" in detail(patient.checks(**on_databricks(patient, **rights)), "state store")


@pytest.mark.parametrize("name", ["main", "main.nbvault"])
def test_a_catalog_or_schema_that_is_not_there(patient: Patient, name: str) -> None:
    """What is missing is named, and the key."""
    variables = on_databricks(patient, **ALL_RIGHTS)
    patient.emulator.securable(name, missing=True)
    found = only(patient.checks(**variables), "state store")
    assert found.detail == f"There is no {'schema' if '.' in name else 'catalog'} {name}."
    assert ("Create it" in found.hint, "state.url" in found.hint) == (True, True)


def test_the_warehouse_of_the_state_store(patient: Patient) -> None:
    """One that may not be used or was deleted, and a token that is wrong: the state store's, not the workspace's."""
    variables = on_databricks(patient, **ALL_RIGHTS)
    patient.emulator.warehouse(WAREHOUSE, users=[])
    assert "name another in state.url" in only(patient.checks(**variables), "state store").hint
    found = only(patient.checks(**{**variables, "WRITER_TOKEN": "dapi-geheim"}), "state store")
    assert ("state.password" in found.hint, found.exit_code) == (True, 6)
    assert "geheim" not in found.detail + found.hint


def test_where_a_state_store_is() -> None:
    """The warehouse is read out of the URL; a cluster has none to look at, and its token is never shown."""
    form = "databricks://token:t0ken@adb-1.example.net:444?http_path={}&catalog=main&schema=nbvault"
    lake = StateManager(form.format("/sql/1.0/warehouses/abc")).lake()
    assert lake is not None
    assert (lake.host, lake.warehouse, lake.catalog, lake.schema) == ("adb-1.example.net:444", "abc", "main", "nbvault")
    assert (lake.token, "t0ken" in repr(lake)) == ("t0ken", False)
    assert StateManager(form.format("/sql/protocolv1/o/1/1-2-x")).lake() is None
    assert StateManager("sqlite:///x.db").lake() is None
    with pytest.raises(StateError, match="http_path"):
        StateManager("databricks://token:t0ken@adb-1.example.net?catalog=main&schema=nbvault").lake()


def test_on_the_command_line(patient: Patient, tmp_path: Path) -> None:
    """Text and JSON name the fault and the remedy, and end with its exit code."""
    patient.emulator.securable("system.access", grants={EVERYBODY: ["USE_SCHEMA"]})
    desk = Desk(tmp_path / "desk", patient.emulator)
    text, told = desk.run("doctor", **as_nobody(patient)), desk.run("doctor", "--json", **as_nobody(patient))
    (check,) = [each for each in told.json if each["name"] == "audit table"]
    assert (text.code, told.code, check["ok"]) == (1, 1, False)
    assert "does not have SELECT on Table 'system.access.audit'" in check["detail"]
    assert "SELECT on the table" in check["hint"]
    assert "does not have SELECT on Table" in " ".join((text.out + text.err).split())

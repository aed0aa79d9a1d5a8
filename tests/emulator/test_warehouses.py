"""The databricks-sdk's own client against SQL warehouses, statements and Unity Catalog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied
from databricks.sdk.service.sql import State, StatementState

from nbvault_emulator.testing import Emulator

TINY, OTHER = "0123456789abcdef", "fedcba9876543210"
QUERY = "SELECT event_time FROM `system`.`access`.`audit` LIMIT 1"
EVERYBODY = "account users"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(notebooks=0) as running:
        running.audit()
        running.warehouse(TINY, name="tiny")
        yield running


def client(emulator: Emulator, who: str = "") -> WorkspaceClient:
    token = emulator.user_token(who) if who else emulator.workspace_token
    return WorkspaceClient(host=emulator.workspace_url, token=token, auth_type="pat")


def test_a_warehouse(emulator: Emulator) -> None:
    """Its state is told; who may not use it is refused in the words that are used of one that is gone, too."""
    found = client(emulator).warehouses.get(TINY)
    assert (found.name, found.state) == ("tiny", State.RUNNING)
    emulator.warehouse(TINY, state="STOPPED", users=["ann@x"])
    assert client(emulator, "ann@x").warehouses.get(TINY).state is State.STOPPED
    eve = client(emulator, "eve@x")
    for number in (TINY, OTHER):
        with pytest.raises(PermissionDenied, match="You do not have permission to use the SQL Warehouse"):
            eve.warehouses.get(number)
        with pytest.raises(PermissionDenied, match="You do not have permission to use the SQL Warehouse"):
            eve.statement_execution.execute_statement(QUERY, number)
    with pytest.raises(InvalidParameterValue, match="nosuch is not a valid endpoint id"):
        eve.statement_execution.execute_statement(QUERY, "nosuch")
    with pytest.raises(NotFound):
        client(emulator).warehouses.get(OTHER)


def test_a_statement_that_wakes_a_warehouse_waits(emulator: Emulator) -> None:
    """It is pending while the warehouse starts."""
    emulator.warehouse(TINY, state="STOPPED")
    answer = client(emulator).statement_execution.execute_statement(QUERY, TINY, wait_timeout="0s")
    assert answer.status is not None
    assert answer.status.state is StatementState.PENDING


@pytest.mark.parametrize(
    ("name", "left", "told"),
    [
        ("system", [], "User does not have USE CATALOG on Catalog 'system'. SQLSTATE: 42501"),
        ("system.access", ["SELECT"], "User does not have USE SCHEMA on Schema 'system.access'. SQLSTATE: 42501"),
        ("system.access", ["USE_SCHEMA"], "User does not have SELECT on Table 'system.access.audit'. SQLSTATE: 42501"),
    ],
)
def test_a_statement_without_a_right(emulator: Emulator, name: str, left: list[str], told: str) -> None:
    """It fails under 200, and names the right that is missing."""
    emulator.securable(name, grants={EVERYBODY: left})
    status = client(emulator).statement_execution.execute_statement(QUERY, TINY).status
    assert status is not None
    assert status.state is StatementState.FAILED
    assert status.error is not None
    assert status.error.message == f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n{told}"


def test_unity_catalog(emulator: Emulator) -> None:
    """Catalog, schema and table are shown to who may use them; effective rights tell from where they are inherited."""
    emulator.securable("main", grants={"ann@x": ["USE_CATALOG", "SELECT"]})
    emulator.securable("main.nbvault", grants={"ann@x": ["USE_SCHEMA"], "writers": ["MODIFY"]}, owner="bob@x")
    emulator.securable("main.nbvault.runs")
    ann = client(emulator, "ann@x")
    assert (ann.catalogs.get("main").name, ann.schemas.get("main.nbvault").owner) == ("main", "bob@x")
    assert ann.tables.get("main.nbvault.runs").full_name == "main.nbvault.runs"
    found = ann.grants.get_effective("schema", "main.nbvault").privilege_assignments or []
    told = {
        (str(each.principal), str(one.privilege and one.privilege.value), one.inherited_from_name)
        for each in found
        for one in each.privileges or []
    }
    assert told == {
        ("ann@x", "USE_SCHEMA", None),
        ("ann@x", "USE_CATALOG", "main"),
        ("ann@x", "SELECT", "main"),
        ("writers", "MODIFY", None),
    }
    with pytest.raises(NotFound, match=r"Schema 'main\.other' does not exist"):
        ann.schemas.get("main.other")
    with pytest.raises(PermissionDenied, match="USE CATALOG on Catalog 'main'"):
        client(emulator, "eve@x").catalogs.get("main")

"""SQL warehouses and Unity Catalog, as far as somebody looks at them: what is there, and who may do what with it.

Nothing is computed and nothing stored there; what there is, is data that the admin API puts in. Codes and words of
statements and of warehouses that may not be used follow recordings of the service; those of Unity Catalog its clients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbvault_emulator import answers
from nbvault_emulator.audit_log import DEFAULTS
from nbvault_emulator.http import Response
from nbvault_emulator.world import User, World, WorldError

EVERYBODY = "account users"
REFUSED = "You do not have permission to use the SQL Warehouse. Please contact your administrator."
WAKING_MS = 15_000
"""So long a serverless warehouse takes to start."""
_PATH = re.compile(r"/api/2\.0/sql/warehouses/([^/]+)")
_CATALOG = re.compile(r"/api/2\.1/unity-catalog/(catalogs|schemas|tables|effective-permissions/\w+)/([^/]+)")
_ID = re.compile(r"[0-9a-f]{16}")
_KINDS = ("Catalog", "Schema", "Table")
_ALL = "ALL_PRIVILEGES"
_OWNER = "admin@clients.example"
_AUDIT: dict[str, dict[str, Any]] = {
    "system": {"grants": {EVERYBODY: ["USE_CATALOG"]}},
    "system.access": {"grants": {EVERYBODY: ["USE_SCHEMA", "SELECT"]}},
    "system.access.audit": {},
}
Operation = dict[str, Any]
Query = Mapping[str, str]


def find(world: World, method: str, path: str, query: Query, user: User) -> tuple[str, Callable[[], Response]] | None:
    """The endpoint by which faults know a request, and who answers it; None if these APIs do not."""
    if method != "GET":
        return None
    if found := _PATH.fullmatch(path):
        return "sql-warehouses", lambda: _look_at(world, found[1], user)
    if found := _CATALOG.fullmatch(path):
        kind, name = found[1], found[2]
        return "unity-catalog", lambda: _securable(world, kind, name, query, user)
    return None


# --- what is changed -------------------------------------------------------------------------------------------------


def _warehouse(world: World, operation: Operation) -> dict[str, Any]:
    """Make or change a warehouse; with `"state": "DELETED"` it is none any more."""
    number = str(operation["id"])
    known: Operation = {key: operation[key] for key in ("name", "state", "users", "auto_resume") if key in operation}
    world.warehouses[number] = {"state": "RUNNING", **world.warehouses.get(number, {}), **known}
    return {"id": number}


def _put_securable(world: World, operation: Operation) -> dict[str, Any]:
    """Make or change a catalog, schema or table: `grants` by principal replace those of that principal."""
    name = str(operation["name"]).lower()
    if not 1 <= len(name.split(".")) <= len(_KINDS):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"{name} is no name of a catalog, schema or table.")
    there = _there(world, name) or {}
    changed: Operation = {key: operation[key] for key in ("owner", "missing") if key in operation}
    grants = {**there.get("grants", {}), **operation.get("grants", {})}
    world.securables[name] = {**there, **changed, "grants": grants}
    return {"name": name}


WAREHOUSE_OPERATIONS: dict[str, Callable[[World, Operation], dict[str, Any]]] = {
    "warehouse": _warehouse,
    "securable": _put_securable,
}


# --- warehouses ------------------------------------------------------------------------------------------------------


def usable(world: World, number: str, user: User) -> dict[str, Any]:
    """The warehouse of that id, which this user may use.

    Raises:
        WorldError: it may not; that there is none is not told from that, unless the id is no id at all.
    """
    known = number == (world.audit or DEFAULTS)["warehouse"] or number in world.warehouses
    if not known and not _ID.fullmatch(number):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"{number} is not a valid endpoint id.")
    found = world.warehouses.get(number, {})
    users = found.get("users")
    allowed = users is None or user.admin or not {user.user_name, *user.groups}.isdisjoint(users)
    if not known or found.get("state") == "DELETED" or not allowed:
        raise WorldError(403, "PERMISSION_DENIED", REFUSED)
    return found


def sleeps(warehouse: Mapping[str, Any]) -> bool:
    """Whether a statement has to wait until it has started."""
    return bool(warehouse.get("state", "RUNNING") != "RUNNING")


def _look_at(world: World, number: str, user: User) -> Response:
    gone = world.warehouses.get(number, {"state": "DELETED"})["state"] == "DELETED"
    if user.admin and gone and _ID.fullmatch(number):
        # Terraform's provider takes 404 for a warehouse that is gone; who may see all warehouses is told so.
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"SQL warehouse {number} does not exist.")
    return answers.json_response(_shown(number, usable(world, number, user)))


def _shown(number: str, warehouse: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "name": warehouse.get("name", "nbvault"),
        "cluster_size": "2X-Small",
        "state": warehouse.get("state", "RUNNING"),
        "auto_stop_mins": 10,
        "auto_resume": warehouse.get("auto_resume", True),
        "enable_serverless_compute": True,
        "odbc_params": {"path": f"/sql/1.0/warehouses/{number}", "protocol": "https", "port": 443},
    }


# --- Unity Catalog ---------------------------------------------------------------------------------------------------


def refusal(world: World, table: str, user: User) -> tuple[str, str]:
    """Why a statement may not read a table: the message of the engine and its SQLSTATE, or nothing."""
    for name, needed, _kind in _way(table):
        if _there(world, name) is None:
            if needed == "USE_CATALOG":
                told = f"[NO_SUCH_CATALOG_EXCEPTION] Catalog '{name}' was not found. SQLSTATE: 42704"
                return told, "42704"
            quoted = ".".join(f"`{part}`" for part in table.split("."))
            told = f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {quoted} cannot be found. SQLSTATE: 42P01"
            return told, "42P01"
        if not _holds(world, name, needed, user):
            denied = f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n{_denied(name, needed)} SQLSTATE: 42501"
            return denied, "42501"
    return "", ""


def _way(name: str) -> Iterator[tuple[str, str, str]]:
    """The securables down to one, each with the privilege that is needed for the way to the end, and its kind."""
    parts = name.lower().split(".")
    for count, needed in enumerate(("USE_CATALOG", "USE_SCHEMA", "SELECT")[: len(parts)], 1):
        yield ".".join(parts[:count]), needed, _KINDS[count - 1]


def _denied(name: str, needed: str) -> str:
    return f"User does not have {needed.replace('_', ' ')} on {_KINDS[name.count('.')]} '{name}'."


def _there(world: World, name: str) -> dict[str, Any] | None:
    found = world.securables.get(name)
    if found is None and name in _AUDIT and (name != "system.access.audit" or world.audit is not None):
        found = _AUDIT[name]
    return None if found is None or found.get("missing") else found


def _granted(world: World, name: str) -> Iterator[tuple[str, str, str]]:
    """Principal, privilege, and the securable above from which it is inherited (empty: it is given on this one)."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        at = ".".join(parts[:count])
        for principal, privileges in ((_there(world, at) or {}).get("grants") or {}).items():
            for privilege in privileges:
                yield principal, privilege, "" if at == name else at


def _holds(world: World, name: str, privilege: str, user: User) -> bool:
    ours = {user.user_name, EVERYBODY, *user.groups}
    above = [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 2)]
    if any((_there(world, each) or {}).get("owner", _OWNER) in ours for each in above):
        return True
    return any(who in ours and what in (privilege, _ALL) for who, what, _ in _granted(world, name))


def _securable(world: World, kind: str, name: str, query: Query, user: User) -> Response:
    name = name.lower()
    for each, needed, what in _way(name):
        if _there(world, each) is None:
            raise WorldError(404, f"{what.upper()}_DOES_NOT_EXIST", f"{what} '{each}' does not exist.")
        # Who may not use it is not shown it.
        if not _holds(world, each, needed, user):
            raise WorldError(403, "PERMISSION_DENIED", _denied(each, needed))
    if kind.startswith("effective-permissions"):
        return answers.json_response(_effective(world, name, query.get("principal", "")))
    owner = (_there(world, name) or {}).get("owner", _OWNER)
    last = name.rpartition(".")[2]
    return answers.json_response({"name": last, "full_name": name, "owner": owner})


def _effective(world: World, name: str, principal: str) -> dict[str, Any]:
    assigned: dict[str, list[dict[str, str]]] = {}
    for who, privilege, inherited in _granted(world, name):
        if principal and who != principal:
            continue
        entry = {"privilege": privilege}
        if inherited:
            entry |= {"inherited_from_type": _KINDS[inherited.count(".")].upper(), "inherited_from_name": inherited}
        assigned.setdefault(who, []).append(entry)
    found = [{"principal": who, "privileges": privileges} for who, privileges in assigned.items()]
    return {"privilege_assignments": found} if found else {}

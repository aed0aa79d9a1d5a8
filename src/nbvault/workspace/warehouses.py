"""SQL warehouses and Unity Catalog, asked without starting a warehouse: what is there, and what we may do with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from nbvault.model import Identity
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import BadAnswer, Forbidden, NotFound, Refused, as_json
from nbvault.workspace.statements import is_no_id, no_warehouse, not_ours
from nbvault.workspace.transport import Request

ALL = "ALL_PRIVILEGES"
EVERYBODY = "account users"
_WAREHOUSES = "/api/2.0/sql/warehouses/"
_CATALOG = "/api/2.1/unity-catalog/"
_KINDS = ("catalog", "schema", "table")
_GONE = ("DELETED", "DELETING")


class Warehouse(NamedTuple):
    """A SQL warehouse; `wakes`: a query starts it where it stands still."""

    warehouse_id: str
    name: str
    state: str
    wakes: bool

    @property
    def runs(self) -> bool:
        """Whether a query is answered at once."""
        return self.state == "RUNNING"


class Need(NamedTuple):
    """What somebody has to hold on a catalog, schema or table, which is known by its full name."""

    name: str
    privileges: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Catalog, schema or table."""
        return _KINDS[self.name.count(".")]


async def find_warehouse(workspace: WorkspaceClient, number: str, *, key: str) -> Warehouse:
    """The warehouse of that id, which this identity may use.

    Args:
        key: The setting that names it, for what to do.

    Raises:
        ConfigurationError: there is none.
        StatementFailed: it may not be used; the service does not tell this from a warehouse that is gone.
    """
    request = Request("other", "GET", _WAREHOUSES + quote(number, safe=""), f"the warehouse {number}")
    try:
        found = await workspace.ask(request, lambda body: _object(body, request.path))
    except NotFound as error:
        raise no_warehouse(number, key) from error
    except Refused as error:
        if not is_no_id(error):
            raise
        raise no_warehouse(number, key) from error
    except Forbidden as error:
        raise not_ours(number, key, error) from error
    state = str(found.get("state", ""))
    if state in _GONE:
        raise no_warehouse(number, key)
    return Warehouse(number, str(found.get("name", "")), state, found.get("auto_resume") is not False)


async def exists(workspace: WorkspaceClient, name: str) -> bool:
    """Whether a catalog, schema or table is there, as far as this identity is shown it.

    Raises:
        Forbidden: it may not see what lies there.
    """
    try:
        await _look_up(workspace, name)
    except NotFound:
        return False
    return True


async def lacking(workspace: WorkspaceClient, who: Identity, needs: Iterable[Need]) -> list[Need]:
    """Of these privileges those that Unity Catalog does not show us to hold: not by ourselves, by a group that the
    workspace knows us to be in, or as the owner.

    Raises:
        Forbidden: we may not see who holds what.
        NotFound: one of the securables is not there.
    """
    ours = {who.user_name, EVERYBODY, *who.groups}
    found = []
    owned = False
    for need in needs:
        owned = owned or await _look_up(workspace, need.name) in ours
        held = await _held(workspace, need, ours)
        missing = () if owned or ALL in held else tuple(each for each in need.privileges if each not in held)
        if missing:
            found.append(Need(need.name, missing))
    return found


async def _look_up(workspace: WorkspaceClient, name: str) -> str:
    """The owner of a securable."""
    kind = _KINDS[name.count(".")]
    request = Request("other", "GET", f"{_CATALOG}{kind}s/{quote(name, safe='')}", f"the {kind} {name}")
    return str((await workspace.ask(request, lambda body: _object(body, request.path))).get("owner", ""))


async def _held(workspace: WorkspaceClient, need: Need, ours: set[str]) -> set[str]:
    endpoint = f"{_CATALOG}effective-permissions/{need.kind}/{quote(need.name, safe='')}"
    about = f"the grants on {need.kind} {need.name}"
    request = Request("other", "GET", endpoint, about, {"max_results": "0"})
    held: set[str] = set()
    while True:
        page = await workspace.ask(request, lambda body: _object(body, about))
        for entry in _entries(page, "privilege_assignments", about):
            if entry.get("principal") in ours:
                held |= {str(each.get("privilege")) for each in _entries(entry, "privileges", about)}
        token = page.get("next_page_token")
        if not token:
            return held
        request = request._replace(query={**request.query, "page_token": str(token)})


def _object(body: bytes, what: str) -> dict[str, Any]:
    found = as_json(body)
    if not isinstance(found, dict):
        raise BadAnswer(f"The answer about {what} is none.", path=what, status=200)
    return found


def _entries(data: Mapping[str, Any], key: str, what: str) -> list[Mapping[str, Any]]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadAnswer(f"The answer about {what} is none.", path=what, status=200)
    return found

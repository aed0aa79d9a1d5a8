"""The examinations of what lies in SQL: the audit table, and a state store on Databricks. No warehouse is started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import Identity
from nbvault.settings import EditorsSource
from nbvault.setup.examining import Around, Found
from nbvault.setup.workspace_checks import asked
from nbvault.state.database import Lake
from nbvault.state.migrations import MIGRATIONS
from nbvault.state.store import StateManager
from nbvault.workspace.acts_source import acts_of, warehouse_of, workspace_id
from nbvault.workspace.audit_table import may_read
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import Forbidden
from nbvault.workspace.statements import Statements
from nbvault.workspace.warehouses import Need, Warehouse, exists, find_warehouse, lacking

_EDITORS, _STATE = "editors.warehouse_id", "state.url"
_SLEEPS = "A session starts it; what only a query shows was not looked at."
_TO_SEE = ("USE_CATALOG", "USE_SCHEMA", "SELECT")
_BY_GROUP = "What comes by a group that the workspace does not know is not seen here."


def audit_table(around: Around) -> Found:
    """Whether the audit table can be asked whose changes are; where it is not to be, that is in order."""
    editors = around.settings.editors
    if editors.source is EditorsSource.LISTING:
        return Found("Not used: editors are those that the listing tells (editors.source).")

    async def ask(workspace: WorkspaceClient) -> Found:
        if editors.source is EditorsSource.EXPORT:
            acts = await acts_of(around.settings, workspace, clock=around.clock)
            return Found(f"{editors.file} tells {acts.count if acts else 0:,} things that people did to notebooks.")
        number = workspace_id(around.settings, workspace.host)
        warehouse = await find_warehouse(workspace, warehouse_of(around.settings), key=_EDITORS)
        if not warehouse.runs:
            await _may_select(workspace, editors.table)
            return _sleeping(warehouse, f"{editors.table} may be read")
        statements = Statements(workspace, editors.warehouse_id, clock=around.clock, patience_s=around.patience_s)
        seen = await may_read(statements, editors.table)
        hint = "" if seen else "It is empty: new events come minutes to hours late."
        return Found(f"{editors.table} can be read by warehouse {editors.warehouse_id}, for workspace {number}.", hint)

    return asked(around, ask, answers=2)


async def _may_select(workspace: WorkspaceClient, table: str) -> None:
    """That Unity Catalog lets us read a table, without a query."""
    catalog, schema, _ = _levels(table)
    await _all_there(workspace, (catalog, schema, table), key="editors.table")
    needs = (Need(catalog, ("USE_CATALOG",)), Need(schema, ("USE_SCHEMA",)), Need(table, ("SELECT",)))
    await _need(workspace, await workspace.me(), needs)


def _levels(table: str) -> tuple[str, str, str]:
    catalog, _, rest = table.partition(".")
    return catalog, f"{catalog}.{rest.partition('.')[0]}", table


def state_store(around: Around) -> Found:
    """It opens, and is not of a newer nbvault; nothing is written to it. On Databricks: who we are there may write."""
    settings = around.settings
    store = StateManager(settings.state.connection_url(), clock=around.clock)
    lake = store.lake()
    looked = _look_at(around, lake) if lake else None
    if looked and not looked.warehouse.runs:
        return _sleeping(looked.warehouse, f"{looked.who} may write to {looked.schema}")
    version = store.version()
    by = f", which {looked.who} may write to" if looked else ""
    if not version:
        return Found(f"{settings.state.url} is not there yet{by}; the first session makes it.")
    due = len(MIGRATIONS) - version
    later = f"; the next session brings it up to date ({due} steps)" if due else ""
    return Found(f"{settings.state.url} opens{by}, with schema {version}{later}.")


class _Looked(NamedTuple):
    who: str
    schema: str
    warehouse: Warehouse


def _look_at(around: Around, lake: Lake) -> _Looked:
    """The warehouse, the catalog and the schema of the state store, as the identity that writes to it."""
    schema = f"{lake.catalog}.{lake.schema}"

    async def ask(workspace: WorkspaceClient) -> _Looked:
        warehouse = await find_warehouse(workspace, lake.warehouse, key=_STATE)
        who = await workspace.me()
        await _all_there(workspace, (lake.catalog, schema), key=_STATE, to=who.user_name)
        made = await exists(workspace, f"{schema}.{lake.table}")
        wanted = ("USE_SCHEMA", "SELECT", "MODIFY", *(() if made else ("CREATE_TABLE",)))
        needs = (Need(lake.catalog, ("USE_CATALOG",)), Need(schema, wanted))
        await _need(workspace, who, needs, to=who.user_name)
        return _Looked(who.user_name, schema, warehouse)

    return asked(around, ask, answers=2, auth=_Writer(lake, str(around.settings.workspace.host or "")))


class _Writer:
    """Signs in where the state store is, with its own token."""

    def __init__(self, lake: Lake, workspace_host: str) -> None:
        same = workspace_host.partition("://")[2] == lake.host
        self.host = workspace_host if same else f"https://{lake.host}"
        self._token = lake.token

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> dict[str, str]:
        raise AuthenticationError(
            f"The state store's warehouse at {self.host} does not accept the token.",
            hint="Check the token that state.password refers to: it may have expired.",
        )

    def accepted(self, identity: str = "") -> None:
        """Nobody keeps an account of this look."""


async def _all_there(workspace: WorkspaceClient, names: Iterable[str], *, key: str, to: str = "") -> None:
    for name in names:
        try:
            there = await exists(workspace, name)
        except Forbidden as error:
            raise _missing([_to_see(name)], to=to) from error
        if not there:
            hint = f"Create it, or name another in {key}; who may not browse its catalog is not shown it either."
            raise WorkspaceError(f"There is no {_to_see(name).kind} {name}.", hint=hint)


def _to_see(name: str) -> Need:
    return Need(name, (_TO_SEE[name.count(".")],))


async def _need(workspace: WorkspaceClient, who: Identity, needs: Sequence[Need], *, to: str = "") -> None:
    try:
        missing = await lacking(workspace, who, needs)
    except Forbidden as error:
        raise _missing(needs, to=to) from error
    if missing:
        raise _missing(missing, to=to)


def _missing(needs: Sequence[Need], *, to: str) -> WorkspaceError:
    told = " and ".join(f"{_words(need)} on {need.kind} {need.name}" for need in needs)
    who = f"`{to}`" if to else "the identity of the backup"
    grants = " ".join(f"GRANT {_words(need)} ON {need.kind.upper()} {need.name} TO {who};" for need in needs)
    return WorkspaceError(f"We are not shown to have {told}.", hint=f"{grants} {_BY_GROUP}")


def _words(need: Need) -> str:
    return ", ".join(each.replace("_", " ") for each in need.privileges)


def _sleeping(warehouse: Warehouse, told: str) -> Found:
    """What to say of a warehouse that does not run: it is started by sessions, not by who looks."""
    about = f"The warehouse {warehouse.warehouse_id} ({warehouse.name}) is {warehouse.state.lower()}"
    if not warehouse.wakes:
        raise WorkspaceError(f"{about}, and no query starts it.", hint="Start it, or let it start by itself.")
    return Found(f"{told}. {about}.", _SLEEPS)

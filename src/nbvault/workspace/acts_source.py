"""Where the acts come from that tell whose a change was: the audit table, an export of it, or nowhere."""

from __future__ import annotations

import re
from datetime import timedelta

from nbvault.clock import Clock
from nbvault.errors import ConfigurationError
from nbvault.settings import EditorsSource, Settings
from nbvault.workspace.audit_events import Acts, read_export
from nbvault.workspace.audit_table import audited_acts
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.statements import Statements

_OF_AZURE = re.compile(r"https://adb-(\d+)\.\d+\.azuredatabricks\.net")


async def acts_of(settings: Settings, workspace: WorkspaceClient, *, clock: Clock) -> Acts | None:
    """What was done in the last `editors.days`, as far as it is told by now; None where nobody is to be asked.

    Raises:
        ConfigurationError: a key is missing, or names what is not there.
        WorkspaceError: the warehouse does not tell.
    """
    editors = settings.editors
    if editors.source is EditorsSource.LISTING:
        return None
    if editors.source is EditorsSource.EXPORT:
        if editors.file is None:
            raise ConfigurationError("editors.file is missing.", hint="Name the export of the audit table.")
        return Acts(read_export(editors.file))
    until = clock.now()
    statements = Statements(workspace, warehouse_of(settings), clock=clock)
    number, first = workspace_id(settings, workspace.host), until - timedelta(days=editors.days)
    return Acts(await audited_acts(statements, editors.table, number, first, until + timedelta(days=1)))


def warehouse_of(settings: Settings) -> str:
    """The warehouse that is asked.

    Raises:
        ConfigurationError: none is named.
    """
    if not settings.editors.warehouse_id:
        raise ConfigurationError("editors.warehouse_id is missing.", hint="Name the SQL warehouse that is to be asked.")
    return settings.editors.warehouse_id


def workspace_id(settings: Settings, host: str) -> str:
    """Which rows of the table are of this workspace, for it holds those of all in the region.

    Raises:
        ConfigurationError: neither the settings nor the address tell.
    """
    found = _OF_AZURE.match(host)
    if settings.editors.workspace_id or found:
        return settings.editors.workspace_id or (found[1] if found else "")
    raise ConfigurationError(
        "editors.workspace_id is missing.",
        hint="It is the number after ?o= in the address of the workspace; an address with adb- tells it by itself.",
    )

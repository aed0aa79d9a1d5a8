"""Proving the vault: against the workspace as it is now, and by restoring from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock
from nbvault.model import NotebookFormat
from nbvault.settings import Settings
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import NotFound
from nbvault.workspace.transport import ClientOptions


def connected(settings: Settings, *, clock: Clock) -> WorkspaceClient:
    """A client for the workspace, to be entered; its requests end at the time limit of a session."""
    deadline = clock.monotonic() + settings.sync.time_limit_s
    return WorkspaceClient(
        AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock, deadline=deadline
    )


def exporter(settings: Settings, *, clock: Clock | None = None) -> Callable[[str, NotebookFormat], bytes | None]:
    """What gives the bytes of a notebook in the workspace; it connects when it is called."""

    async def export(path: str, form: NotebookFormat) -> bytes | None:
        async with connected(settings, clock=clock or SystemClock()) as workspace:
            try:
                return await workspace.export(path, form=form)
            except NotFound:
                return None

    return lambda path, form: asyncio.run(export(path, form))

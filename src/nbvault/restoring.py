"""The parts of a restore put together: the vault, the branch of receipts, the workspace as somebody sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock
from nbvault.gitstore.process import is_alive, this_process
from nbvault.gitstore.restores import opened_restores
from nbvault.gitstore.vault import Vault
from nbvault.opening import opened_vault
from nbvault.recovery.restorer import Restorer, Workspace
from nbvault.settings import Settings
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import ClientOptions

Connect = Callable[[], AbstractAsyncContextManager[Workspace]]


@contextmanager
def opened_restorer(settings: Settings, *, say: Callable[[str], None]) -> Iterator[Restorer]:
    """Vault, branch and workspace for a restore, as the remote has them now.

    Args:
        say: Told what a person should know of what cannot be read.

    Raises:
        NbvaultError: as `wiring.opened_vault`, `Vault.refresh`, `opened_restores`.
    """
    clock = SystemClock()

    def connect() -> WorkspaceClient:
        return WorkspaceClient(AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock)

    with opened_vault(settings, say=say) as vault:
        vault.refresh()
        with restorer_on(vault, settings, connect, clock=clock) as restorer:
            yield restorer


@contextmanager
def restorer_on(vault: Vault, settings: Settings, connect: Connect, *, clock: Clock) -> Iterator[Restorer]:
    """The same on a vault that is open and refreshed already.

    Raises:
        NbvaultError: the vault has ended, or as `opened_restores`.
    """
    vault.past.refuse_unless_in_force()
    with opened_restores(vault, clock=clock) as branch:
        yield Restorer(vault, branch, connect, clock, this_process(settings.vault.path), is_alive)

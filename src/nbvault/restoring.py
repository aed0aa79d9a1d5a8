"""The parts of a restore put together: the vault, the branch of receipts, the workspace as somebody sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from importlib import import_module
from threading import Thread

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock
from nbvault.gitstore.process import is_alive, this_process
from nbvault.gitstore.restores import BRANCH, RestoreBranch, opened_restores, unseen_restores
from nbvault.gitstore.vault import Vault
from nbvault.opening import opened_vault
from nbvault.recovery.restorer import Restorer, Workspace
from nbvault.settings import Settings

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

    def connect() -> AbstractAsyncContextManager[Workspace]:
        from nbvault.workspace.client import WorkspaceClient
        from nbvault.workspace.transport import ClientOptions

        return WorkspaceClient(AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock)

    with opened_vault(settings, want_tree=False, say=say) as vault, ExitStack() as stack:
        # While the remote answers, what takes as long: the HTTP client is loaded, the branch's repository opened.
        with ThreadPoolExecutor(1, thread_name_prefix="nbvault-branch") as beside:
            Thread(target=import_module, args=["nbvault.workspace.client"], name="nbvault-load").start()
            opening = beside.submit(stack.enter_context, unseen_restores(vault, clock=clock))
            vault.refresh()
        vault.past.refuse_unless_in_force()
        branch = opening.result()
        branch.see(vault.refs.get(BRANCH, ""))
        yield _restorer(vault, branch, settings, connect, clock=clock)


@contextmanager
def restorer_on(vault: Vault, settings: Settings, connect: Connect, *, clock: Clock) -> Iterator[Restorer]:
    """The same on a vault that is open and refreshed already.

    Raises:
        NbvaultError: the vault has ended, or as `opened_restores`.
    """
    vault.past.refuse_unless_in_force()
    with opened_restores(vault, clock=clock) as branch:
        yield _restorer(vault, branch, settings, connect, clock=clock)


def _restorer(vault: Vault, branch: RestoreBranch, settings: Settings, connect: Connect, *, clock: Clock) -> Restorer:
    return Restorer(vault, branch, connect, clock, this_process(settings.vault.path), is_alive)

"""The parts of a restore put together: the vault, the branch of receipts, the workspace as somebody sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock
from nbvault.gitstore.process import is_alive, this_process
from nbvault.gitstore.restores import BRANCH, RestoreBranch, opened_restores, unseen_restores
from nbvault.gitstore.vault import Vault
from nbvault.opening import opened_vault
from nbvault.recovery.scout import Scout, worth_a_look
from nbvault.settings import Settings

if TYPE_CHECKING:
    from nbvault.recovery.restorer import Restorer, Workspace

Connect = Callable[[], AbstractAsyncContextManager["Workspace"]]


@contextmanager
def opened_restorer(
    settings: Settings, *, say: Callable[[str], None], looking_at: Sequence[str] = ()
) -> Iterator[Restorer]:
    """Vault, branch and workspace for a restore, as the remote has them now.

    Args:
        say: Told what a person should know of what cannot be read.
        looking_at: The paths that will be restored, each to its own place.

    Raises:
        NbvaultError: as `wiring.opened_vault`, `Vault.refresh`, `opened_restores`.
    """
    clock = SystemClock()

    def connect() -> AbstractAsyncContextManager[Workspace]:
        from nbvault.workspace.client import WorkspaceClient
        from nbvault.workspace.transport import ClientOptions

        return WorkspaceClient(AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock)

    with ExitStack() as stack:
        # While the remote answers, what takes as long: the workspace is looked at, the branch's repository opened.
        targets = worth_a_look(settings.workspace.root, looking_at)
        scout = stack.enter_context(Scout(connect, targets)) if targets else None
        vault = stack.enter_context(opened_vault(settings, want_tree=False, say=say))
        with ThreadPoolExecutor(1, thread_name_prefix="nbvault-branch") as beside:
            opening = beside.submit(stack.enter_context, unseen_restores(vault, clock=clock))
            beside.submit(import_module, "nbvault.recovery.restorer")
            vault.refresh()
        vault.past.refuse_unless_in_force()
        branch = opening.result()
        branch.see(vault.refs.get(BRANCH, ""))
        yield _restorer(vault, branch, settings, connect, clock=clock, scout=scout)


@contextmanager
def restorer_on(vault: Vault, settings: Settings, connect: Connect, *, clock: Clock) -> Iterator[Restorer]:
    """The same on a vault that is open and refreshed already.

    Raises:
        NbvaultError: the vault has ended, or as `opened_restores`.
    """
    vault.past.refuse_unless_in_force()
    with opened_restores(vault, clock=clock) as branch:
        yield _restorer(vault, branch, settings, connect, clock=clock)


def _restorer(
    vault: Vault,
    branch: RestoreBranch,
    settings: Settings,
    connect: Connect,
    *,
    clock: Clock,
    scout: Scout | None = None,
) -> Restorer:
    from nbvault.recovery.restorer import Restorer

    return Restorer(vault, branch, connect, clock, this_process(settings.vault.path), is_alive, scout=scout)

"""Opening a vault: for reading, which needs nothing of what a session needs, or for writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock
from nbvault.errors import RemoteUnreachable
from nbvault.gitstore.cache import Cache, open_cache, opened_as_it_is
from nbvault.gitstore.lineage import ended
from nbvault.gitstore.remote import Remote, remote_url
from nbvault.gitstore.runner import Git, require_git
from nbvault.gitstore.upkeep import ProcessLock, clean_leftovers, fetch_turn
from nbvault.gitstore.vault import Vault
from nbvault.settings import Settings


@contextmanager
def opened_vault(
    settings: Settings,
    *,
    writing: bool = False,
    rotating: bool = False,
    want_tree: bool = True,
    say: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
    auth: AuthenticationManager | None = None,
) -> Iterator[Vault]:
    """The vault that the settings name, not refreshed yet.

    Args:
        writing: Hold the process lock of the local repository, mend it, and move its branches. Otherwise it is taken
            as it is, also while a sync runs on it; only where there is none is one made.
        want_tree: As `Vault` has it.
        rotating: Also a vault that has ended, or not begun, may be written to.
        say: Told what a reader should know of what cannot be read.
        auth: Who signs in to the remote, and remembers it; otherwise one of these settings.

    Raises:
        ConfigurationError: no git, no usable path, or a remote that cannot be one.
        LockedError: another process writes to this local repository, or is about to make it.
    """
    environment = settings.process_environment
    require_git(environment)
    path = settings.vault.path
    url = remote_url(str(settings.vault.remote), base=path.parent)
    lock = ProcessLock(path.with_name(path.name + ".lock"), clock=clock)
    there = None if writing else opened_as_it_is(path, url=url, base_environment=environment)
    if there is None:
        lock.acquire()
    try:
        if there is None and (path / "objects").is_dir():
            with fetch_turn(path):
                clean_leftovers(Git(path, environment))
        cache = Cache(there) if there else open_cache(path, url=url, base_environment=environment, clock=clock)
        if not writing:
            lock.release()
        auth = auth or AuthenticationManager(settings, clock=clock)
        remote = Remote(cache.git, url, token=auth.git_token, answered=auth.git_answered, clock=clock)
        root, branch = settings.workspace.root, settings.vault.branch
        yield Vault(
            cache.git,
            remote,
            root,
            branch,
            writing=writing,
            made_now=cache.created,
            rotating=rotating,
            want_tree=want_tree,
            earlier=frozenset(remote_url(each, base=path.parent) for each in settings.vault.earlier),
            say=say,
        )
    finally:
        lock.release()


@contextmanager
def read_vault(
    settings: Settings, *, warn: Callable[[str], None], want_tree: bool = True, clock: Clock | None = None
) -> Iterator[Vault]:
    """The vault for reading, as the remote has it or, where that does not answer, as of the last fetch.

    Args:
        warn: Told that what is shown may be old.
        want_tree: As `Vault` has it.

    Raises:
        RemoteUnreachable: the remote does not answer, and nothing was fetched before.
        NbvaultError: as `opened_vault` and `Vault.refresh`.
    """
    with opened_vault(settings, say=warn, want_tree=want_tree, clock=clock) as vault:
        try:
            vault.refresh()
        except RemoteUnreachable as error:
            vault.refresh_offline()
            if not vault.meta.tip:
                raise
            warn(f"{error.message} What follows is the vault as of the last fetch.")
        if successor := vault.meta.successor:
            warn(f"{ended(successor, trusted=vault.past.trusts(successor.remote))} What follows is this vault's.")
        yield vault


def locked_by_another(settings: Settings) -> bool:
    """Whether a session writes to the local repository at this moment."""
    path: Path = settings.vault.path
    return ProcessLock(path.with_name(path.name + ".lock")).is_held()

"""The vault, kept open and in memory; looked after by a thread, so that nobody who reads waits for the remote."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from nbvault.clock import Clock
from nbvault.errors import ConfigurationError, GitError, NbvaultError, RemoteUnreachable
from nbvault.gitstore.standing import Standing
from nbvault.gitstore.upkeep import write_commit_graph
from nbvault.gitstore.vault import Vault
from nbvault.opening import locked_by_another, opened_vault
from nbvault.recovery.indexed import IndexedNotebooks
from nbvault.settings import Settings
from nbvault.web.catalogue import Catalogue
from nbvault.web.refusals import NotThere

_GRAPH_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the vault, from the beginning of an answer to its end.

    `seen_at` is when the remote was asked last; `notes` say what a reader should know, such as that it did not answer.
    """

    vault: Vault
    notebooks: IndexedNotebooks
    catalogue: Catalogue
    seen_at: datetime
    notes: tuple[str, ...] = ()

    @property
    def tip(self) -> str:
        """The commit of the meta branch that it shows."""
        return self.vault.meta.tip


class WarmVault:
    """Gives the newest snapshot. `open` and `close` belong to one thread; the rest may be called from any."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._stack = ExitStack()
        self._first: Vault | None = None
        self._snapshot: Snapshot | None = None
        self._trouble: NbvaultError | None = None
        self._refreshing = threading.Lock()
        # When the last look that came to its end began.
        self._looked_s = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="nbvault-warm", daemon=True)

    def open(self) -> None:
        """Open the vault and read it once; does nothing if it is open.

        Raises:
            NbvaultError: it cannot be opened at all. One without a backup, or out of reach, is looked at again later.
        """
        if self._first is not None:
            return
        self._first = self._stack.enter_context(opened_vault(self._settings, say=self._say, clock=self._clock))
        self._first.standing = Standing(self._first.git)
        self._stack.callback(self._first.standing.close)
        try:
            self.refresh()
        except NbvaultError as error:
            self._trouble = error
        self._thread.start()

    def close(self) -> None:
        """Look after it no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._stack.close()

    @property
    def snapshot(self) -> Snapshot:
        """The newest state.

        Raises:
            NotThere: nothing has been backed up yet.
            NbvaultError: it could not be read so far.
        """
        if self._snapshot is not None:
            return self._snapshot
        if isinstance(self._trouble, ConfigurationError) or self._trouble is None:
            raise NotThere("The vault holds no backup yet.", hint="Come back after the first one.")
        raise self._trouble

    def refresh(self) -> Snapshot:
        """The vault as the remote has it now; where that does not answer, as it was fetched last.

        Who had to wait while another looked that began later gets what that one found.

        Raises:
            NbvaultError: as `Vault.refresh`.
        """
        asked_s = self._clock.monotonic()
        with self._refreshing:
            if self._snapshot is not None and self._looked_s > asked_s:
                return self._snapshot
            began_s = self._clock.monotonic()
            before = self._snapshot
            vault = self._next(before)
            notes: list[str] = []
            try:
                vault.refresh()
                vault.whole_history()
            except RemoteUnreachable as error:
                vault.refresh_offline()
                if not vault.meta.tip:
                    raise
                notes.append(f"{error.message} What you see is the vault as of the last fetch.")
            now = self._clock.now() if not notes or before is None else before.seen_at
            if before and before.tip == vault.meta.tip:
                # The same backup; but others may have restored meanwhile, and the remote may be back.
                made = replace(before, vault=vault, seen_at=now, notes=tuple(notes))
            else:
                notebooks = IndexedNotebooks.of(vault)
                stale = [problem.object_id for problem in vault.meta.problems if problem.stale]
                made = Snapshot(vault, notebooks, Catalogue(notebooks, stale=stale), now, tuple(notes))
                self._index_history(vault)
            self._snapshot, self._trouble, self._looked_s = made, None, began_s
            return made

    def _next(self, before: Snapshot | None) -> Vault:
        """A vault beside the one that is being read, which takes over what it knows."""
        first = before.vault if before else self._first
        if first is None:
            raise ConfigurationError("The vault is not open.")
        made = Vault(
            first.git,
            first.remote,
            first.root,
            first.branch,
            earlier=first.earlier,
            say=first.say,
            standing=first.standing,
        )
        if before:
            made.meta, made.blob_at, made.damaged = first.meta, first.blob_at, first.damaged
        return made

    def _index_history(self, vault: Vault) -> None:
        """What lets git answer `history` in milliseconds; a sync on this machine does it itself."""
        if not vault.is_shallow and not locked_by_another(self._settings):
            with suppress(GitError):
                write_commit_graph(vault.git, budget_s=_GRAPH_S)

    def _look_after(self) -> None:
        while not self._stop.wait(self._settings.web.refresh_s):
            try:
                self.refresh()
            except NbvaultError as error:
                self._trouble = error
                _log.warning("The vault could not be looked at: %s", error)
            except Exception:  # noqa: BLE001 - this thread must live as long as the page
                _log.exception("The vault could not be looked at.")

    def _say(self, text: str) -> None:
        _log.info("%s", text)

"""The texts of all versions, fetched before somebody opens them: gently, piece by piece, never more than allowed."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator

from nbvault.clock import Clock
from nbvault.errors import NbvaultError, VaultError
from nbvault.gitstore.blobs import missing_objects
from nbvault.gitstore.reader import blob_log
from nbvault.gitstore.upkeep import fetch_turn, remove_old_leftovers
from nbvault.gitstore.vault import Vault
from nbvault.settings import Settings
from nbvault.web.refusals import NotThere
from nbvault.web.warm import Snapshot, WarmVault

# Whoever waits for the turn to fetch waits for one request at most: a second or two.
A_REQUEST = 2000
LEAST_FREE = 0.1
_MB = 1024 * 1024
_ID_BYTES = 20
_log = logging.getLogger(__name__)


class Stock:
    """Fetches what is missing, from a thread of its own.

    Killed anywhere, what has been fetched is there. What it does not fetch is fetched when it is read.

    Args:
        request: So many texts are asked for at once.
    """

    def __init__(self, settings: Settings, warm: WarmVault, *, clock: Clock, request: int = A_REQUEST) -> None:
        self._most_bytes = settings.web.texts_mb * _MB
        self._pause_s = settings.web.refresh_s
        self._warm = warm
        self._clock = clock
        self._request = request
        self._stop = threading.Event()
        self._begin = threading.Event()
        self._vault: Vault | None = None
        # The content commit of which, and of all before it, every text is here.
        self._whole = ""
        self._thread = threading.Thread(target=self._look_after, name="nbvault-stock", daemon=True)

    def open(self) -> None:
        """Make ready; does nothing where no texts are wanted."""
        if self._most_bytes:
            self._thread.start()

    def begin(self) -> None:
        """What people look at first has been fetched: go on with the rest."""
        self._begin.set()

    def close(self) -> None:
        """Fetch no more; what is under way is broken off."""
        self._stop.set()
        self._begin.set()
        if vault := self._vault:
            vault.git.stop()
        if self._thread.is_alive():
            self._thread.join()

    def fill(self) -> bool:
        """Fetch what is missing now; returns whether all is here.

        Raises:
            NotThere: nothing has been backed up yet.
            NbvaultError: the Git server, or git, fails.
        """
        snapshot = self._warm.snapshot
        content = snapshot.vault.meta.content
        if content == self._whole:
            return True
        vault = self._vault = _gentle(snapshot)
        remove_old_leftovers(vault.git, now=self._clock.now())
        fetched, lost = 0, False
        for oids in self._missing(vault, content):
            if self._stop.is_set() or not self._has_room(vault):
                return False
            try:
                with fetch_turn(vault.git.repo):
                    vault.past.fetch_objects(oids)
                fetched += len(oids)
            except VaultError as error:
                # The server refuses a request for one object that it does not have; who opens a text is told of that.
                lost = True
                _log.warning("%d texts could not be fetched beforehand: %s", len(oids), error)
        if self._stop.is_set():
            return False
        self._whole = content
        _log.info("The texts of all versions have been fetched: %d now.", fetched)
        return not lost

    def _missing(self, vault: Vault, content: str) -> Iterator[list[str]]:
        """The texts that are not here, those of the newest versions first, as many at once as are asked for."""
        texts = self._texts(vault, content)
        rest: list[str] = []
        for start in range(0, len(texts), self._request * _ID_BYTES):
            part = texts[start : start + self._request * _ID_BYTES]
            rest += missing_objects(
                vault.git, [part[at : at + _ID_BYTES].hex() for at in range(0, len(part), _ID_BYTES)]
            )
            if len(rest) >= self._request:
                yield list(dict.fromkeys(rest))
                rest = []
        if rest:
            yield list(dict.fromkeys(rest))

    def _texts(self, vault: Vault, content: str) -> bytes:
        """The ids of all texts, one behind the other: so the git that walks has ended before the first one fetches."""
        found = bytearray()
        for _, changes in blob_log(vault.git, content, exclude=[self._whole] if self._whole else []):
            for each in changes:
                found += bytes.fromhex(each.new_oid)
            if self._stop.is_set():
                break
        return bytes(found)

    def _has_room(self, vault: Vault) -> bool:
        disk = shutil.disk_usage(vault.git.repo)
        if disk.free < LEAST_FREE * disk.total:
            _log.warning("No more texts are fetched beforehand: the disk is nearly full.")
            return False
        packs = (vault.git.repo / "objects" / "pack").glob("*")
        if sum(path.stat().st_size for path in packs if path.is_file()) >= self._most_bytes:
            _log.info("No more texts are fetched beforehand: web.texts_mb is reached.")
            return False
        return True

    def _look_after(self) -> None:
        self._begin.wait()
        while not self._stop.is_set():
            try:
                self.fill()
            except NotThere:
                pass
            except NbvaultError as error:
                if not self._stop.is_set():
                    _log.info("Texts could not be fetched beforehand: %s", error)
            except Exception:  # noqa: BLE001 - this thread must live as long as the page
                _log.exception("Texts could not be fetched beforehand.")
            self._stop.wait(self._pause_s)


def _gentle(snapshot: Snapshot) -> Vault:
    """The vault for a git that gives way to every other one, and can be ended alone."""
    vault = snapshot.vault
    git = vault.git.gently()
    made = Vault(git, vault.remote.seen_from(git), vault.root, vault.branch, earlier=vault.earlier, say=vault.say)
    made.meta = vault.meta
    return made

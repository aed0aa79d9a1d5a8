"""How the backup is, looked at in the background: health, sessions, what runs now."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from nbvault.administration import Health, look_at
from nbvault.alerting import open_alerts
from nbvault.backup.sessions import growth_of
from nbvault.clock import Clock
from nbvault.errors import NbvaultError, StateError
from nbvault.gitstore.meta import read_records
from nbvault.settings import Settings
from nbvault.state.store import SessionRow, StateManager
from nbvault.state.values import Incident
from nbvault.web.warm import WarmVault

SESSIONS = 400
MONTHS = 14
_RUNNING_S = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen last: sessions newest first, the repository's bytes after each where known, and open alerts."""

    health: Health | None = None
    sessions: tuple[SessionRow, ...] = ()
    bytes_after: Mapping[str, int] = field(default_factory=dict)
    alerts: tuple[Incident, ...] = ()


class Watch:
    """Looks now and then, from a thread of its own."""

    def __init__(self, settings: Settings, warm: WarmVault, *, clock: Clock) -> None:
        self._settings = settings
        self._warm = warm
        self._clock = clock
        self._state = StateManager(settings.state.connection_url(), clock=clock)
        self._running: tuple[float, Sequence[SessionRow]] = (float("-inf"), ())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="nbvault-watch", daemon=True)
        self.seen = Seen()
        # What else is to be known before somebody asks; for this thread.
        self.beside: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._state.close()

    def running(self) -> Sequence[SessionRow]:
        """The sessions that run now, as of two seconds ago at most; may block for one query."""
        now_s = self._clock.monotonic()
        if now_s - self._running[0] > _RUNNING_S:
            found: Sequence[SessionRow] = ()
            with suppress(StateError):
                self._state.open()
                found = self._state.running()
            self._running = (now_s, found)
        return self._running[1]

    def look(self) -> None:
        """Look once."""
        health = look_at(self._settings, clock=self._clock)
        records = self._records()
        rows: Sequence[SessionRow] = ()
        with suppress(StateError):
            self._state.open()
            rows = self._state.sessions(limit=SESSIONS)
        if not rows:
            rows = [SessionRow.of_record(record) for record in reversed(list(records.values()))][:SESSIONS]
        alerts: Sequence[Incident] = ()
        with suppress(StateError):
            alerts = open_alerts(self._settings)
        sizes = {name: found.total_pack_bytes for name, record in records.items() if (found := growth_of(record))}
        self.seen = Seen(health, tuple(rows), sizes, tuple(alerts))

    def _records(self) -> dict[str, Mapping[str, object]]:
        try:
            vault = self._warm.snapshot.vault
            found = read_records(vault.meta, "sessions", blobs=vault.blobs, months=MONTHS)
        except NbvaultError:
            return {}
        return {str(record["session"]): record for record in found}

    def _look_after(self) -> None:
        while True:
            try:
                self.look()
                self.beside()
            except NbvaultError as error:
                _log.warning("How the backup is could not be seen: %s", error)
            except Exception:  # noqa: BLE001 - this thread must live as long as the page
                _log.exception("How the backup is could not be seen.")
            if self._stop.wait(self._settings.web.refresh_s):
                return

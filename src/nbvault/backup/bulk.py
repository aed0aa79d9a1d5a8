"""Folder export in one session: what the vault allows, what the session finds out, and what the vault is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from nbvault.backup import probe
from nbvault.backup.probe import SMALL, Finding, Picker, Probe
from nbvault.backup.trust import KIND, Result, Trust, finding, trust_of
from nbvault.clock import iso
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.vault import Vault
from nbvault.settings import Bulk

ACTION = "folder export"
"""The action in the audit trail, for a probe and for trust that was lost."""
# Of files that there are, not of months that passed: the newest line is in them however old it is.
_FILES = 3


def day_of(moment: datetime) -> int:
    """Days since 1970 in UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)).days


def lines_of(vault: Vault) -> list[Record]:
    """What was found on workspaces, oldest first."""
    return read_records(vault.meta, KIND, blobs=vault.blobs, months=_FILES)


class BulkSession:
    """`export.bulk` in one session; outlives its attempts, so that trust once lost stays lost."""

    def __init__(self, mode: Bulk, *, native: bool, began: datetime) -> None:
        self._mode = mode
        self._native = native
        self._found: Finding | None = None
        self._written = False
        self.day = day_of(began)
        self.trust = Trust()
        self.picker: Picker | None = None

    def begin(self, vault: Vault, host: str) -> None:
        """Before each attempt: what the vault's records allow, and where to begin anew."""
        if not self.trust.broken:
            lines = lines_of(vault) if self._mode is Bulk.ON else []
            self.trust = trust_of(self._mode, host, lines, native=self._native)
        self._found, self._written = None, False
        self.picker = Picker(SMALL, day=self.day) if self._mode is Bulk.PROBE else None

    async def probe(self, workspace: probe.Workspace) -> None:
        """Compare the archives of some folders with single exports, where the setting asks for it.

        Raises:
            AuthenticationError, DeadlineExceeded: the session cannot go on.
        """
        if self.picker is not None and self.picker.chosen():
            self._found = await Probe(workspace, day=self.day).run(self.picker)

    def notes(self) -> list[str]:
        """What the report says of it."""
        if self._found is None:
            return self.trust.notes()
        verdict = self._found.reason or 'that is proof enough to set export.bulk = "on"'
        return [f"Folder export was probed: {' '.join(self._found.sentences())} Verdict: {verdict}."]

    def records(self, *, at: datetime, by: str, session: str) -> Mapping[str, Sequence[Record]]:
        """The lines for the vault, once; nothing where nothing was found out."""
        lines = [] if self._written else self._lines(at, by, session)
        self._written = True
        return {KIND: lines} if lines else {}

    def forgotten(self) -> None:
        """What was written into the vault is gone again: `records` gives it once more."""
        self._written = False

    def audit(self, *, at: datetime, by: str) -> list[Record]:
        """The same for the audit trail."""
        return [
            {"at": iso(at), "actor": by, "action": ACTION, "object": line["host"], "result": line["result"]}
            | {"detail": line["reason"] or "proven"}
            for line in self._lines(at, by, "")
        ]

    def _lines(self, at: datetime, by: str, session: str) -> list[Record]:
        host = self.trust.host
        if self._found is not None:
            return [finding(at, by, host, self._found.result, session=session, **self._found.record())]
        if self.trust.broken:
            return [finding(at, by, host, Result.DISTRUSTED, session=session, reason=self.trust.broken)]
        return []

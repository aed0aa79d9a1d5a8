"""Notebooks with a secret in them: reported, or held back while everything else is saved.

What we know is found before the commit (`HeldBack.screen`). The remote may know more kinds, and refuse a push: then the
commits with them were never pushed. They are dropped, and the workspace is judged anew; what this session has already
exported is remembered by its rows, so that nothing is exported twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nbvault.backup.detect import times_differ
from nbvault.backup.screen import screen
from nbvault.clock import iso
from nbvault.gitstore.blobs import missing_objects
from nbvault.gitstore.findings import Finding
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.publish import SecretsRefused
from nbvault.gitstore.reader import blob_in
from nbvault.gitstore.vault import Vault
from nbvault.model import ListedObject, Row, Secret
from nbvault.settings import Screening

REASON = "held back for a secret"


@dataclass(slots=True)
class HeldBack:
    """What a session may not push, by blob id, and what it has exported before it was told so.

    Args:
        policy: What becomes of a notebook in which we find a credential.
        allowed: Fingerprints of those that may pass.
    """

    policy: Screening = Screening.REPORT
    allowed: frozenset[str] = frozenset()
    reasons: dict[str, str] = field(default_factory=dict)
    _exported: dict[int, tuple[Row, str]] = field(default_factory=dict)
    _found: dict[int, tuple[Secret, ...]] = field(default_factory=dict)
    _unrecorded: set[int] = field(default_factory=set)

    def screen(self, listed: ListedObject, blob: str, data: bytes) -> None:
        """Look for credentials in bytes that are about to be committed."""
        if self.policy is Screening.OFF:
            return
        number, held = listed.object_id, self.policy is Screening.HOLD
        found = tuple(Secret(number, listed.path, *each, held) for each in screen(data, allowed=self.allowed))
        if not found:
            if number in self._found:
                del self._found[number]
            return
        self._found[number] = found
        if held:
            self.reasons[blob] = f"{REASON}: " + ", ".join(sorted(map(str, found)))
        else:
            self._unrecorded.add(number)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What was found in this session, by path."""
        return tuple(sorted((each for found in self._found.values() for each in found), key=lambda each: each[1:4]))

    def records(self, session: str, *, at: datetime) -> dict[str, list[Record]]:
        """What was found since this was asked last, for the commit that saves it: who is killed then loses none."""
        wanted, self._unrecorded = self._unrecorded, set()
        found = [each for number in sorted(wanted) for each in self._found.get(number, ())]
        return {"findings": [{"at": iso(at), "session": session, **each.as_json()} for each in found]} if found else {}

    def learn(self, refused: SecretsRefused, vault: Vault) -> bool:
        """Take in what the remote found in unpushed commits; whether any of it is new.

        False means that holding back would not help: nothing is named, or nothing that a session could leave out.
        """
        before = len(self.reasons)
        by_blob: dict[str, list[Finding]] = {}
        for finding in refused.findings:
            if blob := _blob_of(finding, vault):
                by_blob.setdefault(blob, []).append(finding)
        for blob, findings in by_blob.items():
            self.reasons.setdefault(blob, _reason(findings))
        return len(self.reasons) > before

    def remember(self, rows: Mapping[int, Row], blob_at: Mapping[str, str], vault: Vault) -> None:
        """Keep what was exported and is not in the vault, now that its commits are dropped.

        Args:
            rows: The rows that those commits described.
            blob_at: The blobs of their paths.
        """
        fresh = {
            row.object_id: (row, blob_at[row.repo_path])
            for row in rows.values()
            if vault.meta.rows.get(row.object_id) != row and row.repo_path in blob_at
        }
        lost = set(missing_objects(vault.git, {blob for _, blob in fresh.values()}))
        # Its records were dropped with them.
        self._unrecorded |= {number for number, found in self._found.items() if not found[0].held}
        self._exported |= {number: found for number, found in fresh.items() if found[1] not in lost}

    def exported(self, listed: ListedObject) -> tuple[Row, str] | None:
        """The row and the blob of a notebook that this session has exported as it is listed now."""
        found = self._exported.get(listed.object_id)
        if found is None:
            return None
        row, _ = found
        same = (row.path, row.language) == (listed.path, listed.language) and not times_differ(listed, row)
        return found if same else None


def recorded_secrets(vault: Vault) -> list[tuple[str, Secret]]:
    """The credentials that sessions found and saved with their notebooks, the newest session first, each with that."""
    found = [
        (str(each["session"]), Secret(each["id"], each["path"], *(each[name] for name in Secret._fields[2:])))
        for each in read_records(vault.meta, "findings", blobs=vault.blobs)
    ]
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def _blob_of(finding: Finding, vault: Vault) -> str:
    """The blob that holds a finding, if it is a notebook's; the commit is ours and was not pushed."""
    if finding.path not in vault.blob_at:
        return ""
    there = blob_in(vault.git, finding.commit, finding.path) if finding.commit else ""
    return there or vault.blob_at[finding.path]


def _reason(findings: Iterable[Finding]) -> str:
    """The same words whenever the same secret is found, so that an acknowledgement holds."""
    told = sorted({(finding.line, finding.kind) for finding in findings})
    return f"{REASON}: the remote's push protection found " + ", ".join(f"{kind} in line {n}" for n, kind in told)

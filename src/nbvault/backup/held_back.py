"""Notebooks that the remote refuses for a secret in them: held back, while everything else is saved.

The commits with them were never pushed. They are dropped, and the workspace is judged anew; what this session has
already exported is remembered by its rows, so that nothing is exported twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nbvault.backup.detect import times_differ
from nbvault.gitstore.findings import Finding
from nbvault.gitstore.publish import SecretsRefused
from nbvault.gitstore.reader import blob_in, missing_objects
from nbvault.gitstore.vault import Vault
from nbvault.model import ListedObject, Row

REASON = "held back for a secret"


@dataclass(slots=True)
class HeldBack:
    """What a session may not push, by blob id, and what it has exported before it was told so."""

    reasons: dict[str, str] = field(default_factory=dict)
    _exported: dict[int, tuple[Row, str]] = field(default_factory=dict)

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
        self._exported |= {number: found for number, found in fresh.items() if found[1] not in lost}

    def exported(self, listed: ListedObject) -> tuple[Row, str] | None:
        """The row and the blob of a notebook that this session has exported as it is listed now."""
        found = self._exported.get(listed.object_id)
        if found is None:
            return None
        row, _ = found
        same = (row.path, row.language) == (listed.path, listed.language) and not times_differ(listed, row)
        return found if same else None


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

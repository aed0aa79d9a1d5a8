"""What is measured of a session, as values that every exporter takes. Pure.

No name of a notebook, a folder or a person is in it: where metrics go, others may look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from nbvault.model import Stage, Status

_KINDS = ("added", "modified", "renamed", "deleted")
_STATES = ("saved", "unchanged", "skipped", "failed")
_REQUESTS = ("list", "export", "export_folder", "other")
_TROUBLE = ("throttled", "timed_out", "retried", "slow")


class Sample(NamedTuple):
    """One number: `name` as OpenTelemetry writes it, `unit` as UCUM does."""

    name: str
    unit: str
    about: str
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """The last session, and when one was complete last (None if never)."""

    session: str
    status: Status
    started_at: datetime
    ended_at: datetime
    counts: Mapping[str, int]
    requests: Mapping[str, float]
    bytes_exported: int = 0
    exit_code: int = 0
    secrets: int = 0
    repository_objects: int = 0
    repository_bytes: int = 0
    stages: Sequence[Stage] = ()
    last_success: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """How long it took."""
        return (self.ended_at - self.started_at).total_seconds()

    def samples(self) -> Iterator[Sample]:
        """Every number of it, those of one name next to each other."""
        yield self._one("session.duration", "s", "How long the last session took", self.duration_s)
        ended = self.ended_at.timestamp()
        yield self._one("session.end", "s", "When the last session ended, as Unix time", ended)
        for status in (Status.COMPLETE, Status.PARTIAL, Status.INTERRUPTED, Status.FAILED):
            about = "How the last session ended: 1 for its status"
            yield self._one("session.status", "1", about, float(status is self.status), status=status.value)
        yield self._one("session.exit_code", "1", "The exit code of the last session", self.exit_code)
        if self.last_success is not None:
            about = "When the last complete session ended, as Unix time"
            yield self._one("last_success", "s", about, self.last_success.timestamp())
        yield from self._stages()
        yield self._one("objects.listed", "{object}", "Objects listed", self.counts.get("listed", 0))
        for state in _STATES:
            yield self._one("objects", "{object}", "Objects by final state", self.counts.get(state, 0), state=state)
        for kind in _KINDS:
            yield self._one("changes", "{notebook}", "Changes by kind", self.counts.get(kind, 0), kind=kind)
        yield self._one("deletions.held", "{notebook}", "Deletions held", self.counts.get("held_deletions", 0))
        yield self._one("secrets", "{credential}", "Credentials found in notebooks", self.secrets)
        for kind in _REQUESTS:
            yield self._one("requests", "{request}", "Requests to the workspace", self.requests.get(kind, 0), kind=kind)
        for trouble in _TROUBLE:
            about = "Requests to the workspace that met trouble"
            yield self._one("requests.trouble", "{request}", about, self.requests.get(trouble, 0), trouble=trouble)
        yield self._one("exported", "By", "Bytes taken from the workspace", self.bytes_exported)
        if self.repository_objects:
            yield self._one("repository.objects", "{object}", "Objects in the repository", self.repository_objects)
            yield self._one("repository.size", "By", "Bytes of the repository's packs", self.repository_bytes)

    def _stages(self) -> Iterator[Sample]:
        sums: dict[str, float] = {}
        for stage in self.stages:
            sums[stage.name] = sums.get(stage.name, 0.0) + stage.duration_s
        for name, duration_s in sums.items():
            yield self._one("stage.duration", "s", "How long a stage of the last session took", duration_s, stage=name)

    def _one(self, name: str, unit: str, about: str, value: float, **labels: str) -> Sample:
        return Sample(f"nbvault.{name}", unit, about, value, {**self.labels, **labels})

"""What goes into the state store and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from nbvault.clock import iso, parse_iso
from nbvault.errors import LockedError
from nbvault.ids import moment
from nbvault.model import Counts, Problem, SessionReport, State, Status

ERROR_LOG_LIMIT = 200


class AuditEvent(NamedTuple):
    """Something that was done: by whom, on what, with what result."""

    at: datetime
    actor: str
    action: str
    object: str
    result: str
    detail: str = ""

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> AuditEvent:
        """The event that a line of the vault's audit records tells."""
        texts = (str(record.get(name, "")) for name in ("actor", "action", "object", "result", "detail"))
        return cls(parse_iso(record["at"]), *texts)

    def as_record(self) -> dict[str, str]:
        """The inverse, to the millisecond."""
        return {**self._asdict(), "at": iso(self.at)}

    @property
    def as_told(self) -> tuple[str, ...]:
        """By what two events are the same, in the vault and here."""
        return (iso(self.at), *self[1:])


class AuditHead(NamedTuple):
    """How far the vault's trail went when it was seen: so many lines, and the SHA-256 of them.

    `commit` is the tip of the meta branch then, in the repository of `epoch`.
    """

    lines: int
    digest: str
    commit: str
    epoch: int
    seen_at: datetime

    def __str__(self) -> str:
        return f"{self.lines}:{self.digest}"


@dataclass(frozen=True, slots=True)
class Incident:
    """One time that something was wrong, from when it was seen to when it was over. `told_at` is when it was told last.

    `session` is the session that it stands on, empty where it stands on none.
    """

    alert_id: str
    rule: str
    severity: str
    session: str
    message: str
    raised_at: datetime
    told_at: datetime
    cleared_at: datetime | None = None


class Result(str, Enum):
    """What became of a delivery.

    `WAITING` ones are tried again, `OVERTAKEN` ones were made needless by events; `PARTLY` means that some have it and
    the others never will, for another try would tell the first ones twice.
    """

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    PARTLY = "partly sent"
    GIVEN_UP = "given up"
    OVERTAKEN = "overtaken"

    @property
    def is_told(self) -> bool:
        """Whether somebody has it."""
        return self in (Result.SENT, Result.PARTLY)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one channel. `kind` is why it was written: raised, repeated, over, success, changes, test."""

    delivery_id: str
    alert_id: str
    channel: str
    kind: str
    message: Mapping[str, Any]
    created_at: datetime
    attempted_at: datetime
    attempts: int = 0
    result: Result = Result.WAITING
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session as the state store shows it. Times are aware, in UTC.

    `processed` counts all objects in a final state, `successful` those saved or unchanged. `metadata` holds the rest of
    the report, and who held the lease; `error_log` the first 200 things that went wrong.
    """

    session: str
    started_at: datetime
    status: Status
    workspace_path: str = ""
    repo_id: str = ""
    ended_at: datetime | None = None
    total: int = 0
    processed: int = 0
    successful: int = 0
    failed: int = 0
    bytes_processed: int = 0
    checkpoint_at: datetime | None = None
    checkpoint: Mapping[str, Any] | None = None
    error_log: Sequence[Mapping[str, str]] = ()
    commit: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_backup(self) -> bool:
        """Whether it was one: no dry run, and no session that found another one at work."""
        return not self.metadata.get("dry_run") and self.metadata.get("exit_code") != LockedError.exit_code

    @classmethod
    def of_report(cls, report: SessionReport, *, workspace_path: str = "", repo_id: str = "") -> SessionRow:
        """The row of a session that ended as the report says."""
        counts = report.counts
        return cls(
            session=report.session,
            started_at=report.started_at,
            status=report.status,
            workspace_path=workspace_path,
            repo_id=repo_id,
            ended_at=report.ended_at,
            total=counts.listed,
            processed=counts.saved + counts.unchanged + counts.skipped + counts.failed,
            successful=counts.saved + counts.unchanged,
            failed=counts.failed,
            bytes_processed=report.bytes_exported,
            error_log=_error_log(report),
            commit=report.head,
            metadata=_metadata(report),
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any], *, workspace_path: str = "", repo_id: str = "") -> SessionRow:
        """The row of a session as a line of the vault's session records tells it; what it leaves out is 0 or empty."""
        counts = {name: record.get(name, 0) for name in _COUNTS}
        ended = record.get("ended_at")
        return cls(
            session=record["session"],
            started_at=parse_iso(record["started_at"]) if "started_at" in record else moment(record["session"]),
            status=Status(record["status"]),
            workspace_path=workspace_path,
            repo_id=repo_id,
            ended_at=parse_iso(ended) if ended else None,
            total=counts["listed"],
            processed=counts["saved"] + counts["unchanged"] + counts["skipped"] + counts["failed"],
            successful=counts["saved"] + counts["unchanged"],
            failed=counts["failed"],
            bytes_processed=record.get("bytes_exported", 0),
            error_log=_recorded_errors(record),
            commit=record.get("head"),
            metadata={"counts": counts} | {name: record[name] for name in _KEPT if name in record},
        )


_COUNTS = tuple(each.name for each in fields(Counts))
_KEPT = (
    "exit_code",
    "requests",
    "commits",
    "tag",
    "pushed",
    "resumed",
    "dry_run",
    "notes",
    "secrets",
    "growth",
    "authors",
)


def _recorded_errors(record: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    entries = [{"path": "", "reason": record["error"]}] if record.get("error") else []
    unreadable = record.get("unreadable_folders", ())
    return tuple((entries + [_unreadable(path) for path in unreadable])[:ERROR_LOG_LIMIT])


def _unreadable(path: str) -> dict[str, str]:
    return {"path": path, "reason": "folder could not be read"}


def _error_log(report: SessionReport) -> tuple[dict[str, str], ...]:
    entries = [{"path": "", "reason": report.error}] if report.error else []
    entries += [_unreadable(path) for path in report.unreadable_folders]
    entries += [_error_of(problem) for problem in report.problems if problem.state is State.FAILED]
    return tuple(entries[:ERROR_LOG_LIMIT])


def _error_of(problem: Problem) -> dict[str, str]:
    return {"path": problem.path, "reason": problem.reason}


def _metadata(report: SessionReport) -> dict[str, Any]:
    return {
        "exit_code": report.exit_code,
        "counts": asdict(report.counts),
        "requests": asdict(report.requests),
        "commits": report.commits,
        "tag": report.tag,
        "pushed": report.pushed,
        "resumed": report.resumed,
        "dry_run": report.dry_run,
        "notes": list(report.notes),
        "secrets": len(report.secrets),
        "growth": report.growth._asdict() if report.growth else None,
        "authors": dict(report.authors),
    }

"""How a session ended: the counts, the status, the exit code, and the record of it, from one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nbvault.auth import AuthEvent
from nbvault.backup.conclusion import Published
from nbvault.backup.detect import Verdict
from nbvault.backup.problems import carry_on, failures, unacknowledged
from nbvault.backup.survey import Findings, Survey
from nbvault.backup.weather import weather
from nbvault.clock import EPOCH, iso
from nbvault.errors import NbvaultError, SessionInterrupted
from nbvault.gitstore.meta import Record
from nbvault.gitstore.vault import Vault
from nbvault.model import Counts, Growth, Problem, RequestCounts, Secret, SessionReport, Status
from nbvault.workspace.errors import DeadlineExceeded

SECRETS_TOLD = 20


@dataclass(slots=True)
class Ending:
    """What is known of a session when it ends.

    `complete_view` says that the whole workspace was looked at, so that the problems are all there are.
    """

    session: str
    began: datetime
    now: Callable[[], datetime]
    survey: Survey | None
    stats: RequestCounts
    actor: str = "nbvault"
    resumed: bool = False
    dry_run: bool = False
    slice_day: int | None = None
    left_behind: Sequence[str] = ()
    accepted: str = ""
    counts: Counts = field(default_factory=Counts)
    problems: tuple[Problem, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    unproven: int = 0
    notes: list[str] = field(default_factory=list)
    commits: int = 0
    authors: Mapping[str, int] = field(default_factory=dict)
    complete_view: bool = False
    growth: Growth | None = None
    secrets: tuple[Secret, ...] = ()

    def found(self, findings: Findings, verdict: Verdict, *, deleted: int, problems_before: Sequence[Problem]) -> None:
        """Enter the result of a survey that came to its end."""
        if self.survey is None:
            return
        ledger = self.survey.ledger
        ledger.count(self.counts)
        self.counts.folders = sum(record.state.value == "read" for record in self.survey.scanner.folders.values())
        self.counts.deleted, self.counts.held_deletions = deleted, len(verdict.held)
        self.counts.out_of_scope, self.counts.archived = findings.out_of_scope, findings.archived
        self.problems = carry_on(ledger.problems(), problems_before, session=self.session)
        self.unreadable = self.survey.scanner.unreadable()
        self.unproven = len(findings.unproven)
        self.notes += [f"Deletions held: {reason}." for reason in verdict.reasons]
        self.notes += [f"{path} could not be read, its content is kept: {why}" for path, why in self.unreadable.items()]
        if self.unreadable and deleted:
            moved = "those that were moved into a folder that could not be read come back when it is"
            self.notes.append(f"Of {deleted:,} deleted, {moved}.")
        if self.unproven:
            self.notes.append(f"{self.unproven} notebooks moved or vanished while we looked; the next session decides.")
        self.complete_view = True

    def interrupted_after(self, vault: Vault) -> None:
        """Count only what was finished, of a session that did not come to its end."""
        if self.survey is None:
            return
        self.survey.ledger.count(self.counts)
        counts = self.counts
        counts.listed = counts.saved + counts.unchanged + counts.skipped + counts.failed
        self.problems = carry_on(self.survey.ledger.problems(), vault.meta.problems, session=self.session)

    @property
    def status(self) -> Status:
        """Complete or partial, for a session that came to its end."""
        partial = self.counts.held_deletions or self.unreadable or self.unproven or unacknowledged(self.problems)
        return Status.PARTIAL if partial else Status.COMPLETE

    def failures(self) -> tuple[Problem, ...]:
        """The problems that the vault remembers."""
        return failures(self.problems)

    def report(self, end: End) -> SessionReport:
        """The whole truth in one value; where the session failed, with zero counts."""
        failed = end.status is Status.FAILED
        counts = Counts() if failed else self.counts
        counts.drift, counts.conflicts = len(end.drift), len(end.conflicts)
        secrets = () if failed else self.secrets
        drift = [f"People changed {path} in the vault; it is set back, and stays in history." for path in end.drift]
        return SessionReport(
            session=self.session,
            status=end.status,
            exit_code=end.exit_code,
            started_at=self.began,
            ended_at=self.now(),
            counts=counts,
            unreadable_folders=() if failed else tuple(self.unreadable),
            problems=() if failed else self.problems,
            requests=self.stats,
            bytes_exported=self.survey.exporter.bytes_exported if self.survey else 0,
            commits=self.commits + end.commits,
            head=end.head or None,
            tag=end.tag or None,
            pushed=end.pushed,
            resumed=self.resumed,
            error=end.error,
            dry_run=self.dry_run,
            notes=(*self.notes, *weather(self.stats), *_told(secrets), *drift),
            growth=self.growth,
            secrets=secrets,
            authors=self.authors,
        )

    def records(self, report: SessionReport, *, content: str) -> list[Record]:
        """The lines for the vault: this session's, and one for each that died before it."""
        done = report.status in (Status.COMPLETE, Status.PARTIAL)
        look = (self.began - EPOCH).days if done else None
        own = {**report.as_json(), "slice": self.slice_day if done else None, "look": look, "content": content}
        own["problems"] = len(report.problems)
        own["authors"] = dict(report.authors)
        # They have records of their own, and problems.
        del own["findings"]
        died = {"status": Status.INTERRUPTED.value, "exit_code": 9, "ended_at": iso(self.began)}
        return [{"session": name, **died, "error": "it was killed"} for name in self.left_behind] + [own]

    def audit(self, report: SessionReport, signed_in: Sequence[AuthEvent] = ()) -> list[Record]:
        """What was done, by whom, on what, with what result; how we signed in comes first."""
        events = [("take over lease", name, "it was killed") for name in self.left_behind]
        events += [("accept deletions", self.accepted, f"{report.counts.deleted} deleted")] if self.accepted else []
        events.append(("sync", self.session, report.status.value))
        detail = report.error or f"{report.counts.saved} saved, {report.counts.deleted} deleted, head {report.head}"
        at = iso(report.ended_at)
        return [_as_record(event, self.actor) for event in signed_in] + [
            {"at": at, "actor": self.actor, "action": action, "object": what, "result": result, "detail": detail}
            for action, what, result in events
        ]


def _told(secrets: Sequence[Secret]) -> Iterator[str]:
    """What people should know of the credentials that were found; never those themselves."""
    if not secrets:
        return
    became = "held back" if secrets[0].held else "saved all the same"
    many = len({secret.object_id for secret in secrets})
    where = "one notebook" if many == 1 else f"{many:,} notebooks"
    yield (
        f"Credentials in the source of {where}, {became}: revoke them, and move them into a secret scope. "
        "`nbvault problems secrets` names them."
    )
    for secret in secrets[:SECRETS_TOLD]:
        yield f"{secret.path}: {secret}"


def _as_record(event: AuthEvent, actor: str) -> Record:
    return {
        "at": iso(event.at),
        "actor": event.identity or actor,
        "action": event.action,
        "object": event.system,
        "result": event.result,
        "detail": event.detail,
    }


@dataclass(frozen=True, slots=True)
class End:
    """The last word on a session."""

    status: Status
    exit_code: int
    error: str = ""
    head: str = ""
    tag: str = ""
    pushed: bool = False
    commits: int = 0
    drift: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def ended_well(ending: Ending, published: Published) -> End:
    """The end of a session whose every ref the remote has confirmed."""
    code = 0 if ending.status is Status.COMPLETE else (4 if ending.counts.held_deletions else 3)
    return End(
        ending.status,
        code,
        head=published.head,
        tag=published.tag,
        pushed=True,
        commits=published.commits,
        drift=published.drift,
        conflicts=published.conflicts,
    )


def ended_badly(error: NbvaultError, *, head: str = "", pushed: bool = False) -> End:
    """The end of a session that could not go on."""
    if isinstance(error, SessionInterrupted | DeadlineExceeded):
        return End(Status.INTERRUPTED, SessionInterrupted.exit_code, str(error), head=head, pushed=pushed)
    return End(Status.FAILED, error.exit_code, str(error))

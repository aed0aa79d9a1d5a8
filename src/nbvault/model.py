"""The words of the product as values: what the workspace shows, what the vault knows, how a session ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from nbvault.clock import iso


class Language(str, Enum):
    """The language of a notebook, as the workspace names it."""

    PYTHON = "PYTHON"
    SQL = "SQL"
    SCALA = "SCALA"
    R = "R"

    @property
    def extension(self) -> str:
        """The extension of its SOURCE form in the vault, with the dot."""
        return _EXTENSIONS[self]


_EXTENSIONS = {Language.PYTHON: ".py", Language.SQL: ".sql", Language.SCALA: ".scala", Language.R: ".r"}


_HEADERS = {b"--": Language.SQL, b"//": Language.SCALA}


def source_language(source: bytes, listed: Language | None) -> Language:
    """The language that a SOURCE export is written in: what the workspace lists, or what the header line says.

    The workspace lists every notebook of IPYNB format as PYTHON, whatever its language; then the header tells
    (docs.databricks.com/en/notebooks/notebook-format).
    """
    if listed not in (None, Language.PYTHON):
        return listed
    return next((known for mark, known in _HEADERS.items() if source.startswith(mark + _HEADER)), Language.PYTHON)


_HEADER = b" Databricks notebook source"


class NotebookFormat(str, Enum):
    """The format in which a notebook's bytes are kept."""

    SOURCE = "SOURCE"
    IPYNB = "IPYNB"


NOTEBOOK = "NOTEBOOK"
DIRECTORY = "DIRECTORY"
REPO = "REPO"


class ListedObject(NamedTuple):
    """One entry of a folder's listing. Times are milliseconds since 1970; 0 where the workspace gave none."""

    object_id: int
    kind: str
    path: str
    language: Language | None = None
    modified_at_ms: int = 0
    interactive_at_ms: int = 0
    interactive_user_id: str = ""


class Identity(NamedTuple):
    """Whom the workspace takes us for."""

    user_id: str
    user_name: str
    is_admin: bool
    groups: tuple[str, ...] = ()


class Person(NamedTuple):
    """An author or committer as Git writes one."""

    name: str
    email: str


UNKNOWN = Person("unknown", "unknown@nbvault.invalid")
NBVAULT = Person("nbvault", "nbvault@nbvault.invalid")


class Row(NamedTuple):
    """What the vault knows of one living notebook. The times are those listed *before* the export.

    `since` is the session in which the notebook took this repository path.
    """

    object_id: int
    path: str
    repo_path: str
    language: Language
    modified_at_ms: int
    interactive_at_ms: int
    editor: str
    format: NotebookFormat
    since: str


class Frozen(NamedTuple):
    """A pattern of workspace folders that are closed: they are listed weekly. `at` is a time as text."""

    pattern: str
    by: str
    at: str


class Growth(NamedTuple):
    """What a session added to the repository, and all sessions until then; bytes as they lie in packs.

    `exact` is false where something could not be counted, and the sums are a lower bound.
    """

    objects: int = 0
    pack_bytes: int = 0
    total_objects: int = 0
    total_pack_bytes: int = 0
    exact: bool = True


class Tombstone(NamedTuple):
    """What the vault remembers of a deleted notebook: where it last was, its last blob, and who says so."""

    object_id: int
    path: str
    repo_path: str
    blob: str
    session: str
    since: str


class Rename(NamedTuple):
    """A notebook's move from one path to another in a session."""

    object_id: int
    session: str
    old_path: str
    new_path: str
    old_repo_path: str
    new_repo_path: str
    old_since: str


class State(str, Enum):
    """The final state of a listed object: every one has exactly one."""

    SAVED = "saved"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


class Status(str, Enum):
    """How a session ended; `running` until then."""

    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Problem:
    """An object that was not backed up in a session, and why.

    `since` is when this object first had it; `acknowledged_by` is empty until an administrator accepts it.
    """

    object_id: int
    path: str
    state: State
    reason: str
    since: str = ""
    stale: bool = False
    acknowledged_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """The problem as ``sync --json`` and ``problems list --json`` print it."""
        found = {"path": self.path, "state": self.state.value, "reason": self.reason, "id": self.object_id}
        return found | {"since": self.since, "stale": self.stale, "acknowledged_by": self.acknowledged_by}


@dataclass(slots=True)
class Counts:
    """The ledger in numbers.

    ``listed = saved + unchanged + skipped + failed`` and ``saved = added + modified + renamed``. Besides, in rows that
    were carried on unseen: `out_of_scope`, and `archived` in frozen folders that were not listed.
    """

    listed: int = 0
    folders: int = 0
    saved: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    added: int = 0
    modified: int = 0
    renamed: int = 0
    deleted: int = 0
    held_deletions: int = 0
    drift: int = 0
    conflicts: int = 0
    out_of_scope: int = 0
    archived: int = 0

    def add_up(self) -> bool:
        """Whether every listed object is in exactly one state."""
        return (
            self.listed == self.saved + self.unchanged + self.skipped + self.failed
            and self.saved == self.added + self.modified + self.renamed
        )


SLOW_S = 2.0
"""An answer of the workspace that takes longer is worth a word; a quick one takes a tenth of a second."""


@dataclass(slots=True)
class RequestCounts:
    """Requests sent to the workspace, by kind, and what became of them.

    `throttled` counts the answers 429, `timed_out` those that did not come in time, `retried` what was sent again, for
    whatever reason, `slow` good answers that took over `SLOW_S`; `slowest_s` is how long the slowest took.
    """

    list: int = 0
    export: int = 0
    export_folder: int = 0
    other: int = 0
    throttled: int = 0
    timed_out: int = 0
    retried: int = 0
    slow: int = 0
    slowest_s: float = 0.0

    @property
    def sent(self) -> int:
        """All of them."""
        return self.list + self.export + self.export_folder + self.other

    def answered(self, took_s: float) -> None:
        """A good answer came after so many seconds."""
        self.slow += took_s > SLOW_S
        if took_s > self.slowest_s:
            self.slowest_s = round(took_s, 3)

    def add(self, others: RequestCounts) -> None:
        """Count what was sent from elsewhere, too."""
        slowest_s = max(self.slowest_s, others.slowest_s)
        for kind in fields(self):
            setattr(self, kind.name, getattr(self, kind.name) + getattr(others, kind.name))
        self.slowest_s = slowest_s


FINDINGS_SHOWN = 1000
"""So many of the credentials that a session found are in its report; all are counted, and in the vault's records."""


@dataclass(frozen=True, slots=True)
class SessionReport:
    """The whole truth about one session; printed, stored and recorded from this one value.

    `authors`: how many files were written or removed in whose name, by e-mail; stored and recorded, not printed.
    """

    session: str
    status: Status
    exit_code: int
    started_at: datetime
    ended_at: datetime
    counts: Counts = field(default_factory=Counts)
    unreadable_folders: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    requests: RequestCounts = field(default_factory=RequestCounts)
    bytes_exported: int = 0
    commits: int = 0
    head: str | None = None
    tag: str | None = None
    pushed: bool = False
    resumed: bool = False
    error: str = ""
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    growth: Growth | None = None
    secrets: tuple[Secret, ...] = ()
    authors: Mapping[str, int] = field(default_factory=dict)

    def evolve(self, **changes: Any) -> SessionReport:
        """The same report with some fields replaced."""
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """The report as ``sync --json`` prints it."""
        found: dict[str, Any] = {
            "session": self.session,
            "status": self.status.value,
            "exit_code": self.exit_code,
            "started_at": iso(self.started_at),
            "ended_at": iso(self.ended_at),
            "duration_s": round((self.ended_at - self.started_at).total_seconds(), 3),
            **asdict(self.counts),
            "unreadable_folders": list(self.unreadable_folders),
            "problems": [problem.as_json() for problem in self.problems],
            "requests": asdict(self.requests),
            "bytes_exported": self.bytes_exported,
            "commits": self.commits,
            "head": self.head,
            "tag": self.tag,
            "pushed": self.pushed,
            "resumed": self.resumed,
            "dry_run": self.dry_run,
            "notes": list(self.notes),
            "growth": self.growth._asdict() if self.growth else None,
            "secrets": len(self.secrets),
            "findings": [secret.as_json() for secret in self.secrets[:FINDINGS_SHOWN]],
        }
        return found | ({"error": self.error} if self.error else {})


class Stage(NamedTuple):
    """A part of a session, and when it was: ``open``, ``survey`` (listing and exporting), ``commit``, ``publish``."""

    name: str
    started_at: datetime
    ended_at: datetime

    @property
    def duration_s(self) -> float:
        """How long it took."""
        return (self.ended_at - self.started_at).total_seconds()


class Secret(NamedTuple):
    """A credential that was found in a notebook, as it may be shown: `masked`, and named by its `fingerprint`.

    `held`: the notebook was not committed for it.
    """

    object_id: int
    path: str
    rule: str
    line: int
    masked: str
    fingerprint: str
    held: bool = False

    def __str__(self) -> str:
        return f"{self.rule} in line {self.line}: {self.masked} (fingerprint {self.fingerprint})"

    def as_json(self) -> dict[str, Any]:
        """The finding as ``sync --json`` and ``problems secrets --json`` print it."""
        return {"id": self.object_id, **{k: v for k, v in self._asdict().items() if k != "object_id"}}


class FileChange(NamedTuple):
    """One path of a Git tree set to a blob, or removed where `blob` is empty."""

    path: str
    blob: str = ""


def index_by_id(rows: Iterable[Row]) -> dict[int, Row]:
    """Rows by object id."""
    return {row.object_id: row for row in rows}

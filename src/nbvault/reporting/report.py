"""The report of a period as one value: totals over everything, and the part that is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbvault.clock import iso
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.vault import Vault
from nbvault.model import Person
from nbvault.recovery.history import Change
from nbvault.reporting.details import Detailed, Looker
from nbvault.reporting.query import Query
from nbvault.reporting.walk import Correction, NotebookChange, began, changes

SHOWN = 2000
COUNTED = 5000
KEPT = 300
_KINDS = tuple(change.value for change in Change)


@dataclass(slots=True)
class Totals:
    """Changes counted by kind, and by kind for each person, folder and language."""

    kinds: Counter[str] = field(default_factory=Counter)
    people: dict[Person, Counter[str]] = field(default_factory=dict)
    folders: dict[str, Counter[str]] = field(default_factory=dict)
    languages: dict[str, Counter[str]] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    _known: dict[str, Person] = field(default_factory=dict)

    def add(self, change: NotebookChange) -> None:
        """Count one change."""
        kind = change.change.value
        self.kinds[kind] += 1
        self.sessions.add(change.session)
        for counters, name in ((self.folders, change.folder), (self.languages, change.language)):
            counters.setdefault(name, Counter())[kind] += 1
        self._of(change.author)[kind] += 1

    def _of(self, person: Person) -> Counter[str]:
        """The counts of a person, who is one by the e-mail: the audit table tells no other name."""
        email = person.email.casefold()
        known = self._known.setdefault(email, person)
        if known.name == known.email and person.name != person.email:
            self._known[email] = person
            self.people[person] = self.people.pop(known, Counter())
        return self.people.setdefault(self._known[email], Counter())

    @property
    def count(self) -> int:
        """All changes."""
        return self.kinds.total()

    def as_json(self) -> dict[str, Any]:
        """Counts by kind; the busiest people, folders and languages first."""
        return {
            "changes": self.count,
            **kinds(self.kinds),
            "sessions": len(self.sessions),
            "people": [{"author": who.name, "author_email": who.email, **kinds(n)} for who, n in busiest(self.people)],
            "folders": [{"folder": name, **kinds(n)} for name, n in busiest(self.folders)],
            "languages": [{"language": name, **kinds(n)} for name, n in busiest(self.languages)],
        }


def kinds(counter: Counter[str]) -> dict[str, int]:
    """The counts of each kind of change, also of those that did not happen."""
    return {kind: counter[kind] for kind in _KINDS}


def busiest(counters: dict[Any, Counter[str]]) -> list[tuple[Any, Counter[str]]]:
    """What has most changes first, else by name."""
    return sorted(counters.items(), key=lambda item: (-item[1].total(), item[0]))


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A session of the period, as a compliance report tells it: also one that changed nothing, or that failed."""

    session: str
    started_at: str
    status: str
    head: str
    tag: str
    counts: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """As the JSON report shows it."""
        found = {"session": self.session, "started_at": self.started_at, "status": self.status}
        return {**found, "head": self.head or None, "tag": self.tag or None, **self.counts}


@dataclass(slots=True)
class Report:
    """A change report: `shown` are the newest changes, `totals` count all.

    `sessions` are given for compliance only. `notes` say what a reader would not expect. `head` and `records` are the
    tips of ``main`` and ``nbvault/meta`` that it was read from.
    """

    query: Query
    root: str
    at: datetime
    head: str
    records: str
    totals: Totals
    shown: list[Detailed]
    sessions: list[SessionLine] | None = None
    notes: list[str] = field(default_factory=list)
    is_whole: bool = True

    @property
    def left_out(self) -> int:
        """Changes that are counted and not shown."""
        return self.totals.count - len(self.shown)

    @property
    def exit_code(self) -> int:
        """3 if something could not be read, else 0."""
        return 0 if self.is_whole else 3

    def head_json(self) -> dict[str, Any]:
        """Everything but totals and changes, as the JSON report shows it."""
        found: dict[str, Any] = {"root": self.root, "at": iso(self.at), "head": self.head or None}
        found |= {"records": self.records or None, "asked": self.query.as_json()}
        if self.sessions is not None:
            found["sessions"] = [line.as_json() for line in self.sessions]
        return found


def begun(vault: Vault, query: Query, *, now: datetime, compliance: bool = False) -> Report:
    """A report without any changes yet, for who streams them."""
    lines = sessions_of(vault, query) if compliance else None
    return Report(query, vault.root, now, vault.main, vault.meta.tip, Totals(), [], lines)


def report(
    vault: Vault,
    query: Query,
    *,
    now: datetime,
    shown: int = SHOWN,
    counted: int = COUNTED,
    kept: int = KEPT,
    compliance: bool = False,
    corrected: Correction | None = None,
) -> Report:
    """The whole report of what a query means.

    Args:
        shown: So many of the newest changes are in it; all are counted.
        counted: Of so many, what became of cells and lines.
        kept: Of so many, the cells themselves.
        compliance: With the sessions of the period.
        corrected: As `changes` takes it.

    Raises:
        ConfigurationError, RemoteUnreachable: as `changes`.
    """
    made = begun(vault, query, now=now, compliance=compliance)
    looker = Looker(vault, counted=min(counted, shown), kept=kept)
    stream = iter(counting(changes(vault, query, corrected=corrected), made.totals))
    made.shown = list(looker.look(first(stream, shown)))
    for _ in stream:
        pass
    finish(made, vault, looker)
    return made


def streamed(
    vault: Vault, made: Report, *, counted: int = COUNTED, corrected: Correction | None = None
) -> Iterator[Detailed]:
    """Every change of a report, however many, as it is read; totals and notes are whole when it has ended.

    Raises:
        ConfigurationError, RemoteUnreachable: as `changes`.
    """
    looker = Looker(vault, counted=counted)
    yield from looker.look(counting(changes(vault, made.query, corrected=corrected), made.totals))
    finish(made, vault, looker)


def counting(found: Iterable[NotebookChange], totals: Totals) -> Iterator[NotebookChange]:
    """The same changes, counted as they pass."""
    for change in found:
        totals.add(change)
        yield change


def first(stream: Iterator[NotebookChange], count: int) -> Iterator[NotebookChange]:
    """The next few of a stream, which goes on after them."""
    for _ in range(count):
        change = next(stream, None)
        if change is None:
            return
        yield change


def finish(made: Report, vault: Vault, looker: Looker) -> None:
    """Say what is missing, once all changes have passed."""
    if looker.trouble:
        made.notes.append(f"Cells and lines are not told of every change: {looker.trouble}")
        made.is_whole = False
    if looker.asked and looker.left_out:
        made.notes.append(f"Cells and lines are counted for the newest changes only, not for {looker.left_out:,} more.")
    for gap in vault.past.gaps:
        made.notes.append(gap.told())
        made.is_whole = False


def sessions_of(vault: Vault, query: Query) -> list[SessionLine]:
    """The sessions of a period by their records, oldest first; the last record of each counts."""
    records: dict[str, Record] = {}
    for record in read_records(vault.meta, "sessions", blobs=vault.blobs):
        name = str(record["session"])
        at = began(name)
        meant = name == query.session if query.session else True
        if meant and (not query.since or at >= query.since) and (not query.until or at <= query.until):
            records[name] = record
    return [_line(record) for _, record in sorted(records.items())]


def _line(record: Record) -> SessionLine:
    names = ("listed", "added", "modified", "renamed", "deleted", "failed", "held_deletions")
    counts = {name: int(record.get(name, 0)) for name in names}
    head, tag = str(record.get("head") or ""), str(record.get("tag") or "")
    return SessionLine(str(record["session"]), str(record["started_at"]), str(record["status"]), head, tag, counts)

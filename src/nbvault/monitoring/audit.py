"""The audit trail judged: the index against the vault's lines, and these against what was seen of them before.

A *head* is a number of lines and the SHA-256 of them all. Whoever has kept one can tell for ever whether these lines
are still what they were, and in their place; so a vault that is rewritten contradicts every head that was seen before.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from nbvault.errors import ConfigurationError, VaultError
from nbvault.gitstore import records
from nbvault.state.values import AuditEvent, AuditHead

SHOWN_FAULTS = 50
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Trail:
    """The trail as the vault has it at a commit of the meta branch: each line as bytes, and what it says."""

    lines: Sequence[bytes] = ()
    events: Sequence[AuditEvent] = ()
    commit: str = ""
    epoch: int = 1

    def head(self, at: datetime) -> AuditHead:
        """How far it goes, as it is to be remembered."""
        return AuditHead(len(self.lines), digests(self.lines, [len(self.lines)])[len(self.lines)], *self._where, at)

    @property
    def _where(self) -> tuple[str, int]:
        return self.commit, self.epoch


def trail_of(lines: Sequence[bytes], *, commit: str, epoch: int) -> Trail:
    """A trail from its lines.

    Raises:
        VaultError: a line is no event.
    """
    items = list(records.load_lines(lines, name="audit trail"))
    if len(items) != len(lines):
        raise VaultError("The vault's audit trail is damaged: it has empty lines.")
    return Trail(lines, [_event(number, item) for number, item in enumerate(items, 1)], commit, epoch)


def _event(number: int, item: dict[str, Any]) -> AuditEvent:
    try:
        return AuditEvent.of_record(item)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise VaultError(f"The vault's audit trail is damaged in line {number}: it has no time.") from error


def digests(lines: Sequence[bytes], lengths: Iterable[int]) -> dict[int, str]:
    """The SHA-256 of the first so many lines, for each length that there is."""
    wanted, found = set(lengths), {}
    summed = hashlib.sha256()
    for number, line in enumerate((b"", *lines)):
        summed.update(line)
        if number in wanted:
            found[number] = summed.copy().hexdigest()
    return found


class Fault(NamedTuple):
    """Something that is not as it was: `where` is ``chain`` or ``index``, `line` the place in the trail, from 1."""

    where: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `audit verify` found. `faults` are counted in full in `count`, and the first fifty told."""

    head: AuditHead
    index: int
    heads: int
    waiting: int
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    count: int = field(default=0)

    @property
    def exit_code(self) -> int:
        return 8 if self.count else 0

    def as_json(self) -> dict[str, Any]:
        """The result as ``audit verify --json`` prints it."""
        return {
            "ok": not self.count,
            "exit_code": self.exit_code,
            "lines": self.head.lines,
            "head": str(self.head),
            "commit": self.head.commit or None,
            "index": self.index,
            "heads_seen": self.heads,
            "waiting": self.waiting,
            "faults": [fault._asdict() for fault in self.faults],
            "fault_count": self.count,
            "notes": list(self.notes),
        }


def chain_faults(trail: Trail, heads: Sequence[AuditHead], history: Collection[str] | None = None) -> list[Fault]:
    """Where the vault contradicts what was seen of it.

    Args:
        history: Every commit of the meta branch, where it was looked at: a head seen in this epoch must be among them.
    """
    found, known = [], digests(trail.lines, (head.lines for head in heads))
    for head in heads:
        when = f"at {head.seen_at:%Y-%m-%d %H:%M} UTC"
        if head.lines not in known:
            found.append(Fault("chain", len(trail.lines) + 1, f"{head.lines} lines were seen {when}; some are gone"))
        elif known[head.lines] != head.digest:
            found.append(Fault("chain", head.lines, f"the first {head.lines} lines are not those seen {when}"))
        elif history is not None and head.epoch == trail.epoch and head.commit and head.commit not in history:
            found.append(Fault("chain", head.lines, f"commit {head.commit[:12]}, seen {when}, is not in the branch"))
    return found


def index_faults(rows: Sequence[tuple[Any, AuditEvent]], told: Sequence[AuditEvent]) -> list[Fault]:
    """Where the index is not the vault's lines, one for one and in their order."""
    found: list[Fault] = []
    times = Counter(seq for seq, _ in rows)
    by_number: dict[Any, AuditEvent] = dict(rows)
    for number, event in enumerate(told, 1):
        row = by_number.pop(number, _MISSING)
        if row is _MISSING:
            found.append(Fault("index", number, "the line is missing"))
        elif row != event:
            differ = [name for name, a, b in zip(event._fields, row, event, strict=True) if a != b]  # type: ignore[call-overload]
            found.append(Fault("index", number, f"differs in {', '.join(differ)}"))
        if times[number] > 1:
            found.append(Fault("index", number, "the line is there more than once"))
    found += [Fault("index", _place(seq), f"line {seq!r} is not in the vault") for seq in by_number]
    return found


def _place(seq: Any) -> int:
    return seq if isinstance(seq, int) else 0


def parse_head(text: str) -> tuple[int, str]:
    """A head as `str` of one gives it, such as a mail has it.

    Raises:
        ConfigurationError: it is none.
    """
    lines, _, digest = text.strip().partition(":")
    if not (lines.isascii() and lines.isdigit() and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
        raise ConfigurationError(
            f"{text!r} is no head of an audit trail.", hint="Copy it from the daily summary or `nbvault audit verify`."
        )
    return int(lines), digest


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted; `actor`, `action` and `object` may hold ``*`` and ``?``, and mean any case."""

    actor: str = ""
    action: str = ""
    object: str = ""

    def takes(self, event: AuditEvent) -> bool:
        """Whether an event is wanted."""
        pairs = ((self.actor, event.actor), (self.action, event.action), (self.object, event.object))
        return all(not wanted or fnmatchcase(has.casefold(), wanted.casefold()) for wanted, has in pairs)

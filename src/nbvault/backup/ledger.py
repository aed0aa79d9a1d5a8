"""The ledger of a session: every listed object, in exactly one state at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from nbvault.model import UNKNOWN, Counts, ListedObject, NotebookFormat, Person, Problem, Row, State


class Kind(Enum):
    """What a saved notebook is, against what the vault knew of it before the session."""

    ADDED = "added"
    MODIFIED = "modified"
    RENAMED = "renamed"
    UNCHANGED = "unchanged"


_WEIGHT = [Kind.UNCHANGED, Kind.MODIFIED, Kind.RENAMED, Kind.ADDED]


@dataclass(slots=True)
class Outcome:
    """What became of one listed object that is not simply unchanged.

    `blob`, `extension` and `editor` are set once its content is known; `state` is empty until it is decided.
    `from_archive`: its bytes are from the archive of its folder, and not compared with its own export. `stays`: its
    row, if it has one, keeps its place, whatever path is listed: that is, or may be, another's.
    """

    listed: ListedObject
    row: Row | None = None
    state: State | None = None
    blob: str = ""
    size_bytes: int = 0
    reason: str = ""
    form: NotebookFormat = NotebookFormat.SOURCE
    extension: str = ""
    contested: bool = False
    from_archive: bool = False
    stays: bool = False
    editor: Person = UNKNOWN


@dataclass(slots=True)
class Ledger:
    """Who was seen, and what became of each.

    `unchanged` holds ids only, since there are many of them; `outcomes` holds the others until a commit has settled
    them, and `settled` what those ids were. `rows`, which commits keep up to date, tell where those are.
    """

    rows: Mapping[int, Row] = field(default_factory=dict)
    unchanged: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    settled: dict[int, Kind] = field(default_factory=dict)
    listed: int = 0
    skipped_out_of_scope: int = 0

    def __contains__(self, object_id: object) -> bool:
        """Whether an object was seen in this session and still counts."""
        return object_id in self.outcomes or object_id in self.unchanged or object_id in self.settled

    def seen_at(self, object_id: int) -> str | None:
        """The path at which an object was seen last; None if it was not seen."""
        outcome = self.outcomes.get(object_id)
        if outcome is not None:
            return outcome.listed.path
        return self.rows[object_id].path if object_id in self else None

    def mark_unchanged(self, object_id: int) -> None:
        """An object is where its row says, and what its row says."""
        self.listed += object_id not in self
        self.outcomes.pop(object_id, None)
        self.unchanged.add(object_id)

    def put(self, outcome: Outcome) -> Outcome:
        """Enter what is to be done with an object, in place of what was entered before."""
        object_id = outcome.listed.object_id
        self.listed += object_id not in self
        self.unchanged.discard(object_id)
        self.outcomes[object_id] = outcome
        return outcome

    def forget(self, object_id: int) -> None:
        """An object that vanished after it was listed leaves the count of listed."""
        self.listed -= object_id in self
        self.outcomes.pop(object_id, None)
        self.unchanged.discard(object_id)
        self.settled.pop(object_id, None)

    def settle(self, object_id: int, kind: Kind) -> None:
        """A commit holds this object; one that was settled before (it moved in mid-scan) keeps the weightier kind."""
        before = self.settled.get(object_id)
        self.outcomes.pop(object_id, None)
        if before is None or _WEIGHT.index(before) < _WEIGHT.index(kind):
            self.settled[object_id] = kind

    def count(self, counts: Counts) -> None:
        """Enter the states of all listed objects into ``counts``."""
        tally = Counter(kind for object_id, kind in self.settled.items() if object_id not in self.outcomes)
        states = Counter(outcome.state for outcome in self.outcomes.values())
        counts.listed = self.listed
        counts.added, counts.modified, counts.renamed = tally[Kind.ADDED], tally[Kind.MODIFIED], tally[Kind.RENAMED]
        counts.saved = counts.added + counts.modified + counts.renamed
        counts.unchanged = len(self.unchanged) + tally[Kind.UNCHANGED]
        counts.skipped, counts.failed = states[State.SKIPPED], states[State.FAILED]

    def in_state(self, state: State) -> Iterator[Outcome]:
        return (outcome for outcome in self.outcomes.values() if outcome.state is state)

    def problems(self) -> list[Problem]:
        """Every object that was skipped or failed, by path."""
        chosen = [o for o in self.outcomes.values() if o.state in (State.SKIPPED, State.FAILED)]
        found = [
            Problem(o.listed.object_id, o.listed.path, o.state, o.reason, stale=o.row is not None)
            for o in chosen
            if o.state is not None
        ]
        return sorted(found, key=lambda problem: problem.path)

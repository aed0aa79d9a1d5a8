"""Who made a change, where that became known after its commit: lines of the meta branch; commits stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.vault import Vault
from nbvault.model import Person

EDITORS = "editors"
"""The kind of these records."""


class Question(NamedTuple):
    """A change whose author is not known. `modified_ms` is 0 where it would not be the right one any more."""

    session: str
    change: str
    path: str
    old_path: str
    object_id: int
    modified_ms: int
    blob: str

    @property
    def key(self) -> tuple[str, str, str]:
        """By what it is found again."""
        return self.session, self.change, self.path

    def as_record(self) -> dict[str, Any]:
        """The question as a line; one with ``by`` answers it."""
        return self._asdict()


class Authors:
    """What is known by now, and what is still to be asked."""

    def __init__(self, lines: Iterable[Record]) -> None:
        self._answers: dict[tuple[str, str, str], Person] = {}
        self._questions: dict[tuple[str, str, str], Question] = {}
        for line in lines:
            if line.get("by"):
                key = str(line["session"]), str(line["change"]), str(line["path"])
                self._answers[key] = Person(str(line["by"]), str(line["by"]))
            else:
                found = _question(line)
                self._questions[found.key] = found

    @classmethod
    def of(cls, vault: Vault) -> Authors:
        """Those of a vault that was refreshed."""
        return cls(read_records(vault.meta, EDITORS, blobs=vault.blobs))

    def of_change(self, session: str, change: str, path: str) -> Person | None:
        """Who made a change (``added``, ``modified``, ``renamed``, ``deleted``); None where only the commit tells."""
        return self._answers.get((session, change, path))

    def knows(self, question: Question) -> bool:
        """Whether it was asked before."""
        return question.key in self._questions

    def open(self) -> Iterator[Question]:
        """What nobody has answered yet."""
        return (found for key, found in self._questions.items() if key not in self._answers)


def _question(line: Mapping[str, Any]) -> Question:
    return Question(
        session=str(line["session"]),
        change=str(line["change"]),
        path=str(line["path"]),
        old_path=str(line.get("old_path", "")),
        object_id=int(line.get("object_id", 0)),
        modified_ms=int(line.get("modified_ms", 0)),
        blob=str(line.get("blob", "")),
    )

"""Whether the zip of a folder may stand for single exports: what probes found, and what a session finds out itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from nbvault.backup.archive import Layout
from nbvault.clock import iso
from nbvault.gitstore.meta import Record
from nbvault.settings import Bulk

KIND = "probes"
"""The kind of the vault's records that keep what was found, one line each; the last one of a workspace counts."""

# One notebook in so many stays compared with its own export, each on its day.
ONE_IN = 100
PROBE_HINT = "nbvault doctor --probe"


class Result(str, Enum):
    """What a line of the records says: proven, not proven, or found to be wrong while it was used."""

    OK = "ok"
    FAILED = "failed"
    DISTRUSTED = "distrusted"


def place(object_id: int, day: int) -> int:
    """Where a notebook stands in the queue for comparison on a day; 0 is compared, each comes to it every `ONE_IN`."""
    return (zlib.crc32(str(object_id).encode()) + day) % ONE_IN


@dataclass(slots=True)
class Trust:
    """What one session may take from archives.

    `layout` is what was proven, None where nothing was; `why_not` then says why, and `hint` what to do. `broken` is the
    proof of the contrary, found in this session; `unusable` are the reasons why single archives were not used.
    """

    mode: Bulk = Bulk.OFF
    host: str = ""
    layout: Layout | None = None
    why_not: str = ""
    hint: str = ""
    broken: str = ""
    given_up: str = ""
    unusable: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether archives are taken from now on."""
        return self.layout is not None and not (self.broken or self.given_up)

    def notes(self) -> list[str]:
        """What the report says of it; nothing where all is as asked."""
        if self.mode is not Bulk.ON:
            return []
        notes = [f"Notebooks were exported one by one: {self.why_not} {self.hint}"] if self.layout is None else []
        if self.broken:
            notes.append(
                f"Folder export is not used any more: {self.broken}. Everything that this session had taken from "
                f"archives was exported again, one by one; `nbvault sync --full` does so for what earlier sessions "
                f"saved. `{PROBE_HINT}` decides whether it is used again."
            )
        if self.given_up:
            notes.append(f"Folder export was given up for this session: {self.given_up}.")
        elif self.unusable and not self.broken:
            count, first = len(self.unusable), self.unusable[0]
            notes.append(f"The archives of {count:,} folders could not be used, the first one because {first}.")
        return notes


def finding(at: datetime, by: str, host: str, result: Result, **more: Any) -> dict[str, Any]:
    """A line of the records."""
    return {"at": iso(at), "by": by, "host": host, "result": result.value, **more}


def trust_of(mode: Bulk, host: str, lines: Sequence[Record], *, native: bool) -> Trust:
    """What the records (oldest first) allow on this workspace."""
    trust = Trust(mode, host)
    if mode is not Bulk.ON:
        return trust
    if native:
        trust.why_not = 'Archives hold SOURCE text only, and export.format is "native".'
        trust.hint = 'Set export.bulk = "off" or export.format = "source".'
        return trust
    trust.hint = f"`{PROBE_HINT}` decides whether it is used."
    last = last_finding(host, lines)
    if last is None:
        trust.why_not = f"Folder export has not been proven on {host} yet."
    elif last.get("result") != Result.OK.value or last.get("layout") not in {layout.value for layout in Layout}:
        trust.why_not = f"Folder export was found wrong on {last.get('at')}: {last.get('reason')}."
    else:
        trust.layout = Layout(last["layout"])
    return trust


def last_finding(host: str, lines: Iterable[Record]) -> Record | None:
    """The last line about a workspace."""
    return next((line for line in reversed(list(lines)) if line.get("host") == host), None)

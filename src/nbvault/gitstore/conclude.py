"""Conclusions: one commit on ``main`` for each session that changed something, on top of whatever people pushed there.

There is no three-way merge. The tree is that of the remote's tip with every managed path set to ours, so the vault is
right and people's other files stay; what people changed at managed paths remains in history and is reported as drift.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nbvault.clock import iso, parse_iso
from nbvault.gitstore.reader import TreeDifference, diff_trees, log
from nbvault.gitstore.runner import Git
from nbvault.ids import stamp
from nbvault.model import Counts, FileChange, Rename, Status

MAIN = "refs/heads/main"
DAILY = "refs/heads/backup/daily"
SCAN_STARTED = "Nbvault-Scan-Started"
EPOCH = "Nbvault-Epoch"
"""The trailer of the commit with which the main branch of a later epoch begins."""
RENAMES_IN_TRAILERS = 100

ATTRIBUTES = b"# Notebooks are kept byte for byte.\n* -text\n"
IGNORE = b""
README = b"""# A backup of Databricks notebooks

This repository is written by nbvault every night. `main` has one commit for each session that changed something;
`backup/daily` has the changes in the names of the people who made them. You may add files of your own; what you
change in a notebook's file is set back by the next session (and stays in the history).

`nbvault history PATH`, `nbvault show PATH --at TIME` and `nbvault restore PATH` give notebooks back.
"""


@dataclass(frozen=True, slots=True)
class Composition:
    """How a tip of people's must change to hold our content.

    `start` is the commit to whose tree `changes` apply: the tip, or ours where nothing of theirs is to be kept, which
    is said in one line however much has changed. `removed` are the paths that the tip has and the result must not.
    `drift`: managed paths that people changed since the last conclusion; `conflicts`: those that the workspace
    changed, too.
    """

    base: str
    start: str
    changes: tuple[FileChange, ...] = ()
    removed: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the tip is right as it is."""
        return self.start == self.base and not self.changes


def compose(git: Git, *, tip: str, ours: str, previous: str, managed: Container[str]) -> Composition:
    """What to change in the tree of ``tip`` so that every managed path is as in ``ours``.

    Args:
        tip: The commit that people may have moved; its other files stay.
        ours: The commit whose managed paths are right.
        previous: The last commit whose managed paths were ours, from which drift is measured; empty if there is none.
        managed: Every repository path of an old or a new row.
    """
    differs, foreign, removed = False, list[TreeDifference](), list[str]()
    for difference in diff_trees(git, tip, ours):
        if difference.path not in managed:
            foreign.append(difference)
            continue
        differs = True
        if not difference.new_oid:
            removed.append(difference.path)
    drift, conflicts = _drift(git, tip=tip, ours=ours, previous=previous, managed=managed)
    if not foreign:
        start = ours if differs else tip
        return Composition(tip, start, removed=tuple(removed), drift=tuple(drift), conflicts=tuple(conflicts))
    changes = [FileChange(d.path, d.new_oid) for d in diff_trees(git, tip, ours) if d.path in managed]
    blocking = _in_the_way(
        [d.path for d in foreign if not d.new_oid], [change.path for change in changes if change.blob]
    )
    return Composition(
        base=tip,
        start=tip,
        changes=(*(FileChange(path) for path in blocking), *changes),
        removed=(*blocking, *removed),
        drift=(*blocking, *drift),
        conflicts=(*blocking, *conflicts),
    )


def _drift(
    git: Git, *, tip: str, ours: str, previous: str, managed: Container[str]
) -> tuple[Sequence[str], Sequence[str]]:
    if not previous or previous == tip:
        return (), ()
    drift = [d.path for d in diff_trees(git, previous, tip) if d.path in managed]
    ours_changed = {d.path for d in diff_trees(git, previous, ours)} if drift else set()
    return drift, [path for path in drift if path in ours_changed]


def _in_the_way(foreign: Sequence[str], ours: Sequence[str]) -> list[str]:
    """People's files where a folder of ours must be, or below a file of ours: no tree can hold both."""
    files = set(ours)
    folders = {above for path in ours for above in folders_above(path)}
    return [path for path in foreign if path in folders or any(above in files for above in folders_above(path))]


def folders_above(path: str) -> list[str]:
    """Every folder on the way to a file, the topmost first."""
    return [path[:position] for position, char in enumerate(path) if char == "/"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a conclusion says of its session; `taken_up` are sessions that saved something and died before their own."""

    session: str
    scan_started: datetime
    status: Status
    counts: Counts
    renames: Sequence[Rename] = field(default_factory=tuple)
    message: str = ""
    taken_up: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        """The commit message: subject, the administrator's own words, trailers."""
        counts = self.counts
        kinds = [(counts.modified, "modified"), (counts.added, "added"), (counts.deleted, "deleted")]
        kinds.append((counts.renamed, "renamed"))
        changed = ", ".join(f"{number:,} {word}" for number, word in kinds if number)
        changed = changed or ("" if self.taken_up else "nothing changed")
        if self.taken_up:
            changed += f"{', and ' if changed else ''}what an interrupted session had saved"
        subject = f"Backup {self.scan_started:%Y-%m-%d %H:%M} UTC: {changed}"
        trailers = "\n".join([*self._facts(), *self._moves()])
        return "\n\n".join([subject, *([self.message] if self.message else []), trailers]) + "\n"

    def _facts(self) -> list[str]:
        counts = self.counts
        facts = {
            "Session": self.session,
            "Scan-Started": iso(self.scan_started),
            "Status": self.status.value,
            "Listed": counts.listed,
            "Saved": counts.saved,
            "Unchanged": counts.unchanged,
            "Skipped": counts.skipped,
            "Failed": counts.failed,
            "Added": counts.added,
            "Modified": counts.modified,
            "Renamed-Count": counts.renamed,
            "Deleted": counts.deleted,
            "Held": counts.held_deletions,
        }
        taken_up = [f"Nbvault-Taken-Up: {session}" for session in self.taken_up]
        return [f"Nbvault-{name}: {value}" for name, value in facts.items()] + taken_up

    def _moves(self) -> list[str]:
        moves = [(r.old_repo_path, r.new_repo_path) for r in self.renames if r.old_repo_path != r.new_repo_path]
        return [f"Nbvault-Renamed: {json.dumps(move)}" for move in moves[:RENAMES_IN_TRAILERS]]


def last_conclusion(git: Git, tip: str) -> str:
    """The newest commit that ``tip`` reaches and with which nbvault ended a session; empty if there is none.

    Not only on the first-parent line: people may have merged the other way round.
    """
    return next((entry.sha for entry in log(git, tip) if SCAN_STARTED in entry.commit.trailers), "")


def tag_name(scan_started: datetime, taken: Collection[str]) -> str:
    """``backup/20261121T020000Z``, or with ``-2`` and so on where that is taken."""
    name = f"backup/{stamp(scan_started)}"
    number = 1
    chosen = name
    while chosen in taken:
        number += 1
        chosen = f"{name}-{number}"
    return chosen


def scan_started(trailers: dict[str, list[str]]) -> datetime | None:
    """When the scan of a conclusion began; None for other commits."""
    values = trailers.get(SCAN_STARTED)
    return parse_iso(values[-1]) if values else None

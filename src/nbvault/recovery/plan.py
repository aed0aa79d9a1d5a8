"""What a restore would do to every notebook. Pure: from what is wanted, what is there, and what the vault knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from nbvault.model import NOTEBOOK, Language, ListedObject
from nbvault.recovery.contents import format_of, language_of

ABSENT = "absent"
"""What an undo expects where the restore left nothing behind."""


class Action(str, Enum):
    """What is to be done with a target; docs/restore.md has each in words."""

    CREATE = "create"
    OVERWRITE = "overwrite"
    REPLACE = "replace"
    DELETE = "delete"
    IDENTICAL = "identical"
    KEPT = "kept"
    CLASH = "clash"
    BLOCKED = "blocked"

    @property
    def writes(self) -> bool:
        """Whether it changes the workspace."""
        return self in _WRITING


_WRITING = frozenset({Action.CREATE, Action.OVERWRITE, Action.REPLACE, Action.DELETE})


class Overwrite(str, Enum):
    """Which notebooks that are there may be overwritten."""

    NEVER = "never"
    CHANGED = "changed"
    ALWAYS = "always"


class Wanted(NamedTuple):
    """What is to be at a target.

    `path` is where it was; an empty `blob` wants the target gone. `expect` is the blob that must be there now (an undo
    takes back only what the restore wrote), `ABSENT`, or empty for whatever is there.
    """

    path: str
    target: str
    blob: str
    extension: str
    expect: str = ""


class Known(NamedTuple):
    """What the vault knows of a living notebook whose id, path and times are those of the last backup."""

    blob: str
    extension: str


@dataclass(frozen=True, slots=True)
class Live:
    """The workspace as far as it matters: what is at the targets, and what is wrong with their folders."""

    objects: Mapping[str, ListedObject] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    barred: Mapping[str, str] = field(default_factory=dict)


class Entry(NamedTuple):
    """One line of a plan. `number` is its place; the line counts are None where they are not cheaply known."""

    number: int
    path: str
    target: str
    blob: str
    extension: str
    action: Action
    reason: str = ""
    live: ListedObject | None = None
    expect: str = ""
    lines_added: int | None = None
    lines_removed: int | None = None


def make_plan(
    wanted: Iterable[Wanted],
    live: Live,
    *,
    known: Callable[[ListedObject], Known | None] = lambda _listed: None,
    overwrite: Overwrite = Overwrite.CHANGED,
) -> list[Entry]:
    """An entry for each wanted notebook, sorted by target; every target has exactly one action.

    Args:
        wanted: Their targets are distinct.
        known: What the vault knows of a listed notebook, or None where its content could be another by now.
    """
    ordered = sorted(wanted, key=lambda each: each.target)
    folders = _Folders(live, {each.target for each in ordered if each.blob})
    found = []
    for number, want in enumerate(ordered):
        there = live.objects.get(want.target)
        barred = folders.why_not(parent_of(want.target))
        action, reason = (Action.BLOCKED, barred) if barred else _decide(want, there, known, overwrite)
        entry = Entry(number, want.path, want.target, want.blob, want.extension, action, reason, there, want.expect)
        found.append(entry)
    return found


def parent_of(path: str) -> str:
    """The folder that holds an object."""
    return path.rpartition("/")[0] or "/"


def folders_above(path: str) -> list[str]:
    """Every folder on the way to an object, the nearest first, the root left out."""
    found = []
    while (path := parent_of(path)) != "/":
        found.append(path)
    return found


class _Folders:
    """Why nothing can be put into a folder."""

    def __init__(self, live: Live, targets: set[str]) -> None:
        self._live = live
        self._targets = targets
        self._known: dict[str, str] = {}

    def why_not(self, folder: str) -> str:
        """Empty if nothing is known against it."""
        if folder not in self._known:
            self._known[folder] = self._live.barred.get(folder) or self._taken(folder)
        return self._known[folder]

    def _taken(self, folder: str) -> str:
        inner = next((above for above in (folder, *folders_above(folder)) if above in self._targets), "")
        return f"a notebook is to be at {inner}" if inner else ""


def _decide(
    want: Wanted, there: ListedObject | None, known: Callable[[ListedObject], Known | None], overwrite: Overwrite
) -> tuple[Action, str]:
    if there is None:
        return (Action.CREATE, "") if want.blob else (Action.IDENTICAL, "nothing is there any more")
    if there.kind != NOTEBOOK:
        return Action.CLASH, f"a {there.kind} is there"
    if not want.blob:
        return Action.DELETE, ""
    sure = known(there)
    # Python and R begin alike: the same bytes may be two notebooks.
    why = _other_kind(want.extension, there.language, sure)
    if sure and sure.blob == want.blob and not why and overwrite is not Overwrite.ALWAYS:
        return Action.IDENTICAL, ""
    if overwrite is Overwrite.NEVER:
        return Action.KEPT, "something else is there" if sure else "a notebook is there"
    return (Action.REPLACE, why) if why else (Action.OVERWRITE, "")


def _other_kind(extension: str, listed: Language | None, sure: Known | None) -> str:
    """Why the notebook that is there cannot simply be written over; empty if it can."""
    if sure and format_of(sure.extension) is not format_of(extension):
        return f"its format is {format_of(sure.extension).value}, not {format_of(extension).value}"
    now = language_of(sure.extension) if sure else listed
    wanted = language_of(extension)
    if now and wanted and now is not wanted:
        return f"its language is {now.value}, not {wanted.value}"
    return ""


def with_lines(entries: Sequence[Entry], counts: Mapping[int, tuple[int, int]]) -> list[Entry]:
    """The entries with the lines that would be added and removed, where these are known by number."""
    found = []
    for entry in entries:
        added, removed = counts.get(entry.number, (None, None))
        found.append(entry if added is None else entry._replace(lines_added=added, lines_removed=removed))
    return found

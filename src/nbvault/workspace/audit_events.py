"""What the workspace's own audit log says people did to notebooks, and whose a change was. Pure.

The columns are those of ``system.access.audit``; actions and parameters those of the service ``notebook`` in
Databricks' audit log reference (docs.databricks.com, "Audit log reference", Notebook events). Events come late, out of
order, twice, or never; so an event proves only what it says itself, and what none proves stays unknown.
"""

from __future__ import annotations

import csv
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from nbvault.clock import EPOCH, parse_iso
from nbvault.errors import ConfigurationError
from nbvault.model import Person

SAME_MOMENT_MS = 5000
"""A save and the notebook's `modified_at` are one thing if they are no further apart than this."""
EDITS = frozenset({"createNotebook", "modifyNotebook", "importNotebook", "cloneNotebook", "restoreNotebook"})
REMOVALS = frozenset({"deleteNotebook", "deleteFolder", "deleteRepo"})
MOVES = frozenset({"renameNotebook", "moveNotebook", "renameFolder", "moveFolder"})
ACTIONS = EDITS | REMOVALS | MOVES
PARAMETERS = frozenset(
    {"notebookId", "path", "parentPath", "oldName", "newName", "oldPath", "newPath", "destinationPath"}
)
"""What is read of an event's `request_params`."""
_WHOLE_FOLDER = frozenset({"deleteFolder", "deleteRepo", "renameFolder", "moveFolder"})


class Act(NamedTuple):
    """One thing that somebody did. `object_id` is 0 where it is not told; `target` is where a move or a copy went."""

    at_ms: int
    actor: str
    action: str
    object_id: int
    path: str
    target: str = ""


def act_of(row: Mapping[str, Any]) -> Act | None:
    """The act that a row of the audit table tells; None if it is of another kind, failed, or cannot be read."""
    action, params = str(row.get("action_name") or ""), _mapping(row.get("request_params"))
    at_ms, actor = _time(row.get("event_time")), _actor(row)
    status = _mapping(row.get("response")).get("status_code", row.get("status_code")) or 200
    if action not in ACTIONS or at_ms is None or not actor or str(status) != "200":
        return None
    path, target = _places(action, params)
    number = str(params.get("notebookId") or "0")
    object_id = int(number) if _is_number(number) else 0
    return Act(at_ms, actor, action, object_id, path, target) if object_id or path else None


def _places(action: str, params: Mapping[str, Any]) -> tuple[str, str]:
    if action in ("renameNotebook", "renameFolder"):
        folder = _path(params.get("parentPath"))
        old, new = str(params.get("oldName") or ""), str(params.get("newName") or "")
        return (f"{folder}/{old}", f"{folder}/{new}") if old and new else ("", "")
    if action in ("moveNotebook", "moveFolder"):
        return _path(params.get("oldPath")), _path(params.get("newPath"))
    if action == "cloneNotebook":
        return _path(params.get("path")), _path(params.get("destinationPath"))
    return _path(params.get("path")), ""


def _path(value: Any) -> str:
    # The log leaves /Workspace out; people who export it put it back.
    return str(value or "").removeprefix("/Workspace").rstrip("/")


def _actor(row: Mapping[str, Any]) -> str:
    return str(_mapping(row.get("user_identity")).get("email") or row.get("user_identity.email") or "").strip()


def _mapping(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str) and value.startswith("{"):
        value = _json(value)
    return value if isinstance(value, Mapping) else {}


def _is_number(text: str) -> bool:
    # Python refuses to read thousands of digits.
    return text.isascii() and text.isdigit() and len(text) < 20


def _time(value: Any) -> int | None:
    text = str(value if value is not None else "").strip()
    if _is_number(text):
        return int(text)
    try:
        moment = parse_iso(text)
    except ValueError:
        return None
    return round((moment.astimezone(timezone.utc) - EPOCH).total_seconds() * 1000)


class Acts:
    """What is known of what was done; asked for whose a change was. Where two may be meant, nobody is named."""

    def __init__(self, acts: Iterable[Act]) -> None:
        self._edits: dict[int | str, list[Act]] = {}
        self._gone: dict[int | str, list[Act]] = {}
        self._moves: dict[int | str, list[Act]] = {}
        self.count = 0
        for act in sorted(set(acts)):
            self.count += 1
            self._enter(act)

    def _enter(self, act: Act) -> None:
        if act.action in EDITS:
            # A copy is an edit of what it made.
            copied = act.action == "cloneNotebook"
            place = self._edits.setdefault(act.target if copied else act.object_id or act.path, [])
        elif act.action in REMOVALS:
            place = self._gone.setdefault(act.path if act.action in _WHOLE_FOLDER else act.object_id or act.path, [])
        else:
            place = self._moves.setdefault(act.target if act.action in _WHOLE_FOLDER else act.object_id or act.path, [])
        place.append(act)

    def editor(self, object_id: int, path: str, modified_ms: int) -> Person | None:
        """Who saved a notebook at the moment of its `modified_at`."""
        if not modified_ms:
            return None
        near = [
            (abs(act.at_ms - modified_ms), act.actor)
            for key in (object_id, path)
            for act in _between(self._edits.get(key, []), modified_ms - SAME_MOMENT_MS, modified_ms + SAME_MOMENT_MS)
        ]
        return _only(actor for apart, actor in near if apart == min(near)[0])

    def remover(self, object_id: int, path: str, *, since_ms: int) -> Person | None:
        """Who deleted a notebook, or a folder above it; the last one that did since it was seen."""
        own = [*self._gone.get(object_id, []), *self._gone.get(path, [])]
        above = [act for folder in _above(path) for act in self._gone.get(folder, [])]
        return _last(own, since_ms) or _last(above, since_ms)

    def mover(self, object_id: int, old: str, new: str, *, since_ms: int) -> Person | None:
        """Who brought a notebook to where it is now, itself or with a folder above it."""
        own = [act for act in (*self._moves.get(object_id, []), *self._moves.get(old, [])) if act.target == new]
        above = [
            act for folder in _above(new) for act in self._moves.get(folder, []) if old == act.path + new[len(folder) :]
        ]
        return _last(own, since_ms) or _last(above, since_ms)


def _between(acts: list[Act], start_ms: int, end_ms: int) -> Iterator[Act]:
    for act in acts[bisect_left(acts, start_ms, key=lambda each: each.at_ms) :]:
        if act.at_ms > end_ms:
            return
        yield act


def _last(acts: Iterable[Act], since_ms: int) -> Person | None:
    found = [act for act in acts if act.at_ms >= since_ms]
    latest = max((act.at_ms for act in found), default=0)
    return _only(act.actor for act in found if act.at_ms == latest)


def _only(actors: Iterable[str]) -> Person | None:
    found = set(actors)
    return Person(*found, *found) if len(found) == 1 else None


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def read_export(file: Path) -> Iterator[Act]:
    """The acts of an export of the audit table, as JSON lines (``.jsonl``, ``.json``) or CSV; other rows are left out.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        if file.exists() and not file.is_file():
            # Who opens a pipe waits until somebody writes into it, perhaps for ever.
            raise OSError("it is no file")
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            rows: Iterable[Any] = csv.DictReader(opened) if file.suffix.lower() == ".csv" else map(_json, opened)
            for row in rows:
                act = act_of(row) if isinstance(row, Mapping) else None
                if act is not None:
                    yield act
    except (OSError, csv.Error) as error:
        raise ConfigurationError(
            f"The export of the audit table {file} cannot be read: {error}.", hint="Check editors.file."
        ) from error


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def since_of(moment: datetime) -> int:
    """A moment in milliseconds since 1970."""
    return round((moment - EPOCH).total_seconds() * 1000)

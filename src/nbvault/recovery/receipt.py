"""What a restore says on the branch: its intent before, what it saves, its receipt after (docs/restore.md, Formats)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from nbvault.errors import ConfigurationError
from nbvault.gitstore import records
from nbvault.gitstore.restores import RECEIPT, RestoreBranch
from nbvault.model import NOTEBOOK, Language, ListedObject, NotebookFormat
from nbvault.recovery.plan import Action, Entry

INTENT = "intent.jsonl"
FORMAT = 1


class Result(str, Enum):
    """What became of an entry; docs/restore.md has each in words."""

    RESTORED = "restored"
    DELETED = "deleted"
    IDENTICAL = "identical"
    KEPT = "kept"
    CLASH = "clash"
    BLOCKED = "blocked"
    FAILED = "failed"
    MOVED = "moved"
    CHANGED = "changed since"
    DIFFERS = "differs"
    REMOVED = "removed"
    UNCLEAR = "unclear"
    NOT_DONE = "not done"


_GOOD = frozenset({Result.RESTORED, Result.DELETED, Result.IDENTICAL, Result.KEPT})
UNFINISHED = frozenset({Result.FAILED, Result.REMOVED, Result.UNCLEAR, Result.NOT_DONE})
"""What a resumed restore tries again."""

WITHOUT_A_DEED = {
    Action.IDENTICAL: Result.IDENTICAL,
    Action.KEPT: Result.KEPT,
    Action.CLASH: Result.CLASH,
    Action.BLOCKED: Result.BLOCKED,
}


class Outcome(NamedTuple):
    """What became of an entry. `pre` and `written` are the blobs before and after, where something was written.

    `verified` is None where nothing was written. Of what a resumed restore left alone as moved, `written` is what the
    run before was to write there, and may have.
    """

    action: Action
    result: Result
    reason: str = ""
    verified: bool | None = None
    pre: str = ""
    written: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the notebook is as it was meant to be, and proven so where it was written."""
        return self.result in _GOOD and self.verified is not False


class Status(str, Enum):
    """How a restore ended."""

    PLANNED = "planned"
    COMPLETE = "complete"
    PARTIAL = "partial"
    INTERRUPTED = "interrupted"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a restore is about to do, written before it does anything.

    `at` is empty for the last protected version. `options` are the person's, as they were given. `folders` did not
    exist when it was planned. `undo_of` names the restore that this one takes back.
    """

    restore: str
    by: str
    started: str
    options: Mapping[str, Any]
    entries: Sequence[Entry]
    at: str = ""
    commit: str = ""
    holder: Mapping[str, Any] = field(default_factory=dict)
    undo_of: str = ""
    folders: tuple[str, ...] = ()

    @property
    def targets(self) -> frozenset[str]:
        """The targets that are to be written."""
        return frozenset(entry.target for entry in self.entries if entry.action.writes)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The whole truth about one restore; printed and kept from this one value. `restore` is empty if none was begun."""

    intent: Intent
    status: Status
    exit_code: int
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    ended: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()
    recorded: bool = False

    @property
    def dry_run(self) -> bool:
        return self.status is Status.PLANNED

    def counts(self) -> dict[str, int]:
        """The entries by result or, of a plan, by action."""
        found = Counter(o.result.value for o in self.outcomes.values())
        planned = Counter(entry.action.value for entry in self.intent.entries)
        return {"entries": len(self.intent.entries), **(planned if self.dry_run else found)}

    def evolve(self, **changes: Any) -> Receipt:
        """The same receipt with some fields replaced."""
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """The receipt as ``restore --json`` prints it."""
        intent = self.intent
        found: dict[str, Any] = {
            "restore": intent.restore or None,
            "status": self.status.value,
            "exit_code": self.exit_code,
            "at": intent.at or None,
            "commit": intent.commit or None,
            "dry_run": self.dry_run,
            "by": intent.by,
            "started_at": intent.started,
            "ended_at": self.ended or None,
            "undo_of": intent.undo_of or None,
            "recorded": self.recorded,
            "counts": self.counts(),
            "notes": list(self.notes),
            "entries": [_entry_as_json(entry, self.outcomes.get(entry.number)) for entry in intent.entries],
        }
        return found | ({"error": self.error} if self.error else {})


def _entry_as_json(entry: Entry, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "path": entry.path,
        "target": entry.target,
        "action": (outcome.action if outcome else entry.action).value,
        "result": outcome.result.value if outcome else None,
        "verified": outcome.verified if outcome else None,
        "reason": (outcome.reason if outcome else "") or entry.reason,
        "lines_added": entry.lines_added,
        "lines_removed": entry.lines_removed,
        "blob": entry.blob or None,
        "pre": (outcome.pre or None) if outcome else None,
        "written": (outcome.written or None) if outcome else None,
    }


class PreImage(NamedTuple):
    """An index line of what was saved before it was overwritten."""

    number: int
    target: str
    object_id: int
    blob: str
    language: Language | None
    format: NotebookFormat


@dataclass(frozen=True, slots=True)
class Record:
    """What the branch holds of one restore; `receipt` is the blob of the receipt, empty while it is open."""

    intent: Intent
    pre: Mapping[int, PreImage]
    chunks: int = 0
    status: Status | None = None
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    receipt: str = ""


def dump_intent(intent: Intent) -> bytes:
    """The file ``intent.jsonl``."""
    head = {
        "format": FORMAT,
        "restore": intent.restore,
        "by": intent.by,
        "holder": dict(intent.holder),
        "started": intent.started,
        "at": intent.at,
        "commit": intent.commit,
        "options": dict(intent.options),
        "undo_of": intent.undo_of,
        "folders": list(intent.folders),
    }
    return records.dump_lines([head, *map(_dump_entry, intent.entries)])


def load_intent(data: bytes, *, name: str = INTENT) -> Intent:
    """The inverse of `dump_intent`.

    Args:
        name: The file, for the words of an error.

    Raises:
        VaultError: it is damaged.
        ConfigurationError: a newer nbvault wrote it.
    """
    lines = records.load_lines(data, name=name)
    head = next(lines)
    if head["format"] > FORMAT:
        raise ConfigurationError("A newer nbvault wrote this restore.", hint="Install a newer nbvault.")
    return Intent(
        head["restore"],
        head["by"],
        head["started"],
        head["options"],
        [_load_entry(item) for item in lines],
        at=head["at"],
        commit=head["commit"],
        holder=head["holder"],
        undo_of=head["undo_of"],
        folders=tuple(head["folders"]),
    )


def _dump_entry(entry: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {"n": entry.number, "path": entry.path, "target": entry.target, "action": entry.action.value}
    item |= {"blob": entry.blob, "ext": entry.extension, "reason": entry.reason, "expect": entry.expect}
    if entry.live:
        live = entry.live
        item |= {"id": live.object_id, "kind": live.kind, "mod": live.modified_at_ms, "imod": live.interactive_at_ms}
        item |= {"lang": live.language.value if live.language else ""}
    return {name: value for name, value in item.items() if value != ""}


def _load_entry(item: Mapping[str, Any]) -> Entry:
    live = None
    if "id" in item:
        language = Language(item["lang"]) if "lang" in item else None
        live = ListedObject(
            item["id"], item.get("kind", NOTEBOOK), item["target"], language, item.get("mod", 0), item.get("imod", 0)
        )
    return Entry(
        item["n"],
        item["path"],
        item["target"],
        item.get("blob", ""),
        item.get("ext", ""),
        Action(item["action"]),
        item.get("reason", ""),
        live,
        item.get("expect", ""),
    )


def pre_path(number: int) -> str:
    """Where an entry's pre-image lies in the restore's folder: a thousand in a folder, so that trees stay small."""
    return f"pre/{number // 1000:04d}/{number}"


def index_path(chunk: int) -> str:
    """The index of one chunk of pre-images."""
    return f"pre-{chunk:05d}.jsonl"


def dump_index(images: Iterable[PreImage]) -> bytes:
    """The index of one chunk."""
    return records.dump_lines(
        {
            "n": image.number,
            "target": image.target,
            "id": image.object_id,
            "blob": image.blob,
            "lang": image.language.value if image.language else "",
            "fmt": image.format.value,
        }
        for image in images
    )


def _load_index(data: bytes, name: str) -> dict[int, PreImage]:
    return {
        item["n"]: PreImage(
            item["n"],
            item["target"],
            item["id"],
            item["blob"],
            Language(item["lang"]) if item["lang"] else None,
            NotebookFormat(item["fmt"]),
        )
        for item in records.load_lines(data, name=name)
    }


def dump_receipt(receipt: Receipt) -> bytes:
    """The file ``receipt.json``."""
    return json.dumps(receipt.as_json(), indent=1).encode() + b"\n"


def read_intents(branch: RestoreBranch, restores: Sequence[str]) -> list[Intent]:
    """The intents of some restores, read in one batch."""
    oids = {each: oid for each in restores if (oid := branch.files(each).get(INTENT))}
    found = branch.read(list(oids.values()))
    return [load_intent(found[oid], name=f"{each}/{INTENT}") for each, oid in oids.items()]


def read_record(branch: RestoreBranch, restore: str, *, earlier: Sequence[str] = ()) -> Record:
    """What the branch holds of a restore, without the pre-images themselves.

    Args:
        earlier: Restores of other branches, for whoever has mistyped a name.

    Raises:
        ConfigurationError: there is no such restore.
        VaultError: its files are damaged.
    """
    files = branch.files(restore)
    if INTENT not in files:
        known = sorted({*earlier, *branch.ids()})[-3:]
        hint = f"The last ones are {', '.join(known)}." if known else "There has been no restore yet."
        raise ConfigurationError(f"The vault knows no restore {restore!r}.", hint=hint)
    return _record(files, branch.read(_told_by(files)))


def read_records(branch: RestoreBranch, restores: Sequence[str]) -> list[Record]:
    """The same of many, in their order, read in one batch; those that the branch does not have are left out.

    Raises:
        VaultError: a file is damaged.
    """
    known = branch.records_of(restores)
    whole = [files for each in restores if INTENT in (files := known.get(each, {}))]
    content = branch.read([oid for files in whole for oid in _told_by(files)])
    return [_record(files, content) for files in whole]


def _told_by(files: Mapping[str, str]) -> list[str]:
    """The blobs of what tells of a restore."""
    return [files[path] for path in (INTENT, *_indexes(files), *([RECEIPT] if RECEIPT in files else []))]


def _indexes(files: Iterable[str]) -> list[str]:
    return sorted(path for path in files if path.startswith("pre-"))


def _record(files: Mapping[str, str], content: Mapping[str, bytes]) -> Record:
    indexes = _indexes(files)
    pre: dict[int, PreImage] = {}
    for path in indexes:
        pre |= _load_index(content[files[path]], path)
    record = Record(load_intent(content[files[INTENT]]), pre, len(indexes))
    if RECEIPT not in files:
        return record
    return _with_receipt(record, json.loads(content[files[RECEIPT]]), files[RECEIPT])


def _with_receipt(record: Record, found: Mapping[str, Any], oid: str) -> Record:
    outcomes = {
        entry.number: _load_outcome(item)
        for entry, item in zip(record.intent.entries, found["entries"], strict=False)
        if item["result"]
    }
    return replace(record, status=Status(found["status"]), outcomes=outcomes, receipt=oid)


def _load_outcome(item: Mapping[str, Any]) -> Outcome:
    return Outcome(
        Action(item["action"]),
        Result(item["result"]),
        item["reason"],
        item["verified"],
        item["pre"] or "",
        item["written"] or "",
    )

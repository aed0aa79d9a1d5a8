"""The lines of the meta branch: rows, tombstones, renames and problems as JSON (docs/design.md, section 6)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from nbvault.errors import VaultError
from nbvault.model import Frozen, Language, NotebookFormat, Problem, Rename, Row, State, Tombstone
from nbvault.paths import extension_for, forms, plain_form, relative

# Few enough that a stream of lines stays a stream.
_LINES_AT_ONCE = 200
_LANGUAGES = {language.value: language for language in Language}
_FORMATS = {form.value: form for form in NotebookFormat}
# `json.dumps` would make an encoder for each line.
_encoded = json.JSONEncoder(separators=(",", ":")).encode


def dump_lines(items: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON lines, ASCII (names may hold what UTF-8 cannot), with a newline after each."""
    return "".join([_encoded(item) + "\n" for item in items]).encode()


def load_lines(data: bytes | Iterable[bytes], *, name: str) -> Iterator[dict[str, Any]]:
    """The inverse of `dump_lines`, of all bytes at once or line by line.

    Raises:
        VaultError: a line is no JSON object; the message names file and line.
    """
    lines = iter(data.splitlines() if isinstance(data, bytes) else data)
    number = 0
    while piece := list(islice(lines, _LINES_AT_ONCE)):
        yield from _load_piece(piece) or _load_one_by_one(piece, number, name=name)
        number += len(piece)


def _load_piece(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The items of some lines, three times faster than one by one; nothing if anything is odd about them."""
    try:
        items = json.loads(b"[%b]" % b",".join(lines))
    except ValueError:
        return []
    whole = len(items) == len(lines) and all(type(item) is dict for item in items)
    return items if whole else []


def _load_one_by_one(lines: Iterable[bytes], before: int, *, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise VaultError(f"The vault's {name} is damaged in line {number}: {error}.") from error
        if not isinstance(item, dict):
            raise VaultError(f"The vault's {name} is damaged in line {number}: no object.")
        yield item


def plain_repo_path(root: str, path: str, extension: str) -> str:
    """The preferred repository path of a notebook: every name in its first form."""
    folder, slash, name = path.rpartition("/")
    if not (slash and name) or folder == root.rstrip("/") or not folder:
        # In the root itself, or not under it.
        *_, name = relative(root, path)
        return "/".join(plain_form(name, extension) or forms(name, extension)[0])
    return f"{_plain_folder(root, folder)}/{'/'.join(plain_form(name, extension) or forms(name, extension)[0])}"


@lru_cache(maxsize=1024)
def _plain_folder(root: str, folder: str) -> str:
    return "/".join(part for name in relative(root, folder) for part in plain_form(name) or forms(name)[0])


def dump_row(row: Row, root: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": row.object_id,
        "path": row.path,
        "repo": row.repo_path,
        "lang": row.language.value,
        "mod": row.modified_at_ms,
        "imod": row.interactive_at_ms,
        "by": row.editor,
        "fmt": row.format.value,
        "since": row.since,
    }
    if row.repo_path == plain_repo_path(root, row.path, extension_for(row.language, row.format)):
        del item["repo"]
    return item


def load_row(item: Mapping[str, Any], root: str) -> Row:
    language, notebook_format = _LANGUAGES[item["lang"]], _FORMATS[item["fmt"]]
    repo_path = item.get("repo") or plain_repo_path(root, item["path"], extension_for(language, notebook_format))
    return Row(
        item["id"],
        item["path"],
        repo_path,
        language,
        item["mod"],
        item["imod"],
        item["by"],
        notebook_format,
        item["since"],
    )


def dump_tombstone(stone: Tombstone) -> dict[str, Any]:
    item = {"id": stone.object_id, "gone": stone.session, "path": stone.path, "repo": stone.repo_path}
    return item | {"blob": stone.blob, "since": stone.since}


def load_tombstone(item: Mapping[str, Any]) -> Tombstone:
    return Tombstone(item["id"], item["path"], item["repo"], item["blob"], item["gone"], item["since"])


def dump_rename(rename: Rename) -> dict[str, Any]:
    item = {"id": rename.object_id, "session": rename.session, "from": rename.old_path, "to": rename.new_path}
    return item | {"from_repo": rename.old_repo_path, "to_repo": rename.new_repo_path, "from_since": rename.old_since}


def load_rename(item: Mapping[str, Any]) -> Rename:
    return Rename(
        item["id"], item["session"], item["from"], item["to"], item["from_repo"], item["to_repo"], item["from_since"]
    )


def dump_frozen(frozen: Frozen) -> dict[str, Any]:
    return frozen._asdict()


def load_frozen(item: Mapping[str, Any]) -> Frozen:
    return Frozen(item["pattern"], item["by"], item["at"])


def dump_problem(problem: Problem) -> dict[str, Any]:
    return {
        "id": problem.object_id,
        "path": problem.path,
        "state": problem.state.value,
        "reason": problem.reason,
        "since": problem.since,
        "stale": problem.stale,
        "ack": problem.acknowledged_by,
    }


def load_problem(item: Mapping[str, Any]) -> Problem:
    return Problem(
        item["id"], item["path"], State(item["state"]), item["reason"], item["since"], item["stale"], item["ack"]
    )

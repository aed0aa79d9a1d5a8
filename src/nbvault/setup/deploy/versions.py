"""Renderings in versions: each is kept whole, one of them is in place, and the one before can be put back.

`DIR/.versions/NNNN/` holds a version; `DIR/.versions/current.json` says which one is in place, with the hash of each of
its files. A version is complete before anything is put in place, and the record is written last: after a crash at any
line the next call finds the old version on record and, if files were being replaced, `going_to`: then `rollback` puts
the recorded one back, and nothing is taken for somebody's edit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from nbvault.errors import ConfigurationError

_FOLDER = ".versions"
_RECORD = "current.json"
_GOING = "going_to"


class Installed(NamedTuple):
    """What is in place now. `edited` are the files that somebody had changed; version `kept_as` has them."""

    version: int
    changed: bool
    edited: tuple[str, ...] = ()
    kept_as: int = 0


def install(folder: Path, made: Mapping[str, bytes]) -> Installed:
    """Put a rendering in place as a new version; nothing happens where it is what is there already.

    What somebody changed by hand since the last one becomes a version of its own first.

    Raises:
        ConfigurationError: files are there that nbvault did not write, or the folder cannot be written.
    """
    with _said(folder):
        record = _read(folder)
        _refuse_strangers(folder, made, record)
        if _GOING not in record and made == _content(folder, _files(record)) and set(made) == set(_files(record)):
            return Installed(int(record["version"]), changed=False)
        edited = _edited(folder, record)
        kept = _keep(folder, _content(folder, _files(record) or _stored(folder))) if edited else 0
        version = _keep(folder, made)
        _put_in_place(folder, version, record)
        return Installed(version, changed=True, edited=edited, kept_as=kept)


def rollback(folder: Path) -> Installed:
    """Put the version before the present one in place; again, and it is the one before that.

    Raises:
        ConfigurationError: there is none, or the folder cannot be written.
    """
    with _said(folder):
        record = _read(folder)
        if not record:
            raise ConfigurationError(f"{folder} holds no rendering.", hint="nbvault deploy render writes one.")
        present = int(record["version"])
        before = [each for each in _versions(folder) if each < present or (_GOING in record and each == present)]
        if not before:
            raise ConfigurationError(f"Version {record['version']} is the first one in {folder}.")
        edited = _edited(folder, record)
        kept = _keep(folder, _content(folder, _files(record) or _stored(folder))) if edited else 0
        _put_in_place(folder, before[-1], record)
        return Installed(before[-1], changed=True, edited=edited, kept_as=kept)


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise ConfigurationError(f"{where} cannot be written: {error.strerror or error}.") from error


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _FOLDER / _RECORD).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    whole = isinstance(found, dict) and isinstance(found.get("version"), int) and isinstance(found.get("files"), dict)
    return found if whole else {}


def _files(record: Mapping[str, Any]) -> dict[str, str]:
    return dict(record.get("files", {}))


def _refuse_strangers(folder: Path, made: Mapping[str, bytes], record: Mapping[str, Any]) -> None:
    """Files of somebody else are never overwritten; those of a rendering that was cut short are ours."""
    ours = {*_files(record), *_stored(folder)}
    if strangers := [path for path in made if path not in ours and (folder / path).exists()]:
        raise ConfigurationError(
            f"{folder} holds {', '.join(sorted(strangers)[:3])}, which nbvault did not write.",
            hint="Name an empty folder, or move them away.",
        )


def _edited(folder: Path, record: Mapping[str, Any]) -> tuple[str, ...]:
    if _GOING in record:
        return ()
    if not record:
        # The record is lost, or was never written: what is in no version is nobody's but whoever put it there.
        stored = _stored(folder)
        return tuple(path for path, there in _content(folder, stored).items() if there not in stored[path])
    there = _content(folder, _files(record))
    return tuple(path for path, told in _files(record).items() if _hash(there.get(path)) != told)


def _hash(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _content(folder: Path, paths: Mapping[str, Any]) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in paths if (folder / path).is_file()}


def _at(folder: Path, version: int) -> Path:
    return folder / _FOLDER / f"{version:04}"


def _versions(folder: Path) -> list[int]:
    return sorted(int(each.name) for each in (folder / _FOLDER).glob("[0-9]*") if each.name.isdecimal())


def _tree(folder: Path) -> dict[str, bytes]:
    paths = (each for each in folder.rglob("*") if each.is_file())
    return {PurePosixPath(each.relative_to(folder)).as_posix(): each.read_bytes() for each in paths}


def _stored(folder: Path) -> dict[str, set[bytes]]:
    """Each file that a version has, with what it was in any of them."""
    found: dict[str, set[bytes]] = {}
    for number in _versions(folder):
        for path, content in _tree(_at(folder, number)).items():
            found.setdefault(path, set()).add(content)
    return found


def _keep(folder: Path, made: Mapping[str, bytes]) -> int:
    """Write a version; it has its number only when it is whole."""
    version = max(_versions(folder), default=0) + 1
    draft = folder / _FOLDER / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for path, content in made.items():
        _write(draft / path, content)
    # Old versions are nobody's business but this folder's: git, and with it the bundle, leaves them out.
    _write(folder / _FOLDER / ".gitignore", b"*\n")
    draft.rename(_at(folder, version))
    return version


def _put_in_place(folder: Path, version: int, record: Mapping[str, Any]) -> None:
    made = _tree(_at(folder, version))
    # What a rendering that was cut short may have begun to put there goes, too.
    begun = _tree(_at(folder, int(record[_GOING]))) if _GOING in record else {}
    if record:
        _write_record(folder, {**record, _GOING: version})
    for path, content in made.items():
        _replace(folder, path, content)
    for path in {*_files(record), *begun} - set(made):
        (folder / path).unlink(missing_ok=True)
    files = {path: _hash(content) for path, content in made.items()}
    _write_record(folder, {"version": version, "files": files})


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    _replace(folder, f"{_FOLDER}/{_RECORD}", json.dumps(record, indent=1).encode())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _replace(folder: Path, path: str, content: bytes) -> None:
    """All of a file or nothing."""
    draft = folder / _FOLDER / "file.draft"
    draft.write_bytes(content)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    draft.replace(folder / path)

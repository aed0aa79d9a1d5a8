"""An inventory that is read when it is asked for: who looks up one path of 70,000 reads the lines that name it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nbvault.gitstore import records
from nbvault.inventory import Rows
from nbvault.model import Row, Tombstone
from nbvault.paths import workspace_path

_FEW = 32
# How a line begins, and the path that it names.
_LINE = re.compile(rb'(\{"id":\d+,)(?:"gone":"[^"\\]*",)?("path":"[^"\\]*(?:\\.[^"\\]*)*")')
Items = tuple[Rows, MutableMapping[int, Tombstone]]


@dataclass(frozen=True)
class Lines:
    """The files of an inventory as they lie in the vault, the later ones counting more.

    Args:
        files: Name and bytes of each, with a newline at the end.
        read: What makes rows and tombstones of all of them.
    """

    root: str
    files: Sequence[tuple[str, bytes]]
    read: Callable[[Iterable[tuple[str, bytes]]], Items]
    _asked: Counter[str] = field(default_factory=Counter)

    @cached_property
    def all(self) -> Items:
        """Every row and every tombstone.

        Raises:
            VaultError: a line is damaged.
        """
        return self.read(self.files)

    def at(self, path: str) -> tuple[list[Row], list[Tombstone]]:
        """The rows and the tombstones at a workspace path.

        Raises:
            VaultError: a line that names it is damaged.
        """
        rows, stones = [], []
        for begins in self._named(path):
            item = self._last_of(begins) or {}
            if item.get("path") != path:
                continue
            if "gone" in item:
                stones.append(records.load_tombstone(item))
            else:
                rows.append(records.load_row(item, self.root))
        return rows, stones

    def item(self, object_id: int) -> Mapping[str, Any] | None:
        """What the inventory says last of an object."""
        return self._last_of(b'{"id":%d,' % object_id)

    def stones(self) -> dict[int, Tombstone]:
        """Every tombstone, without reading the rows.

        Raises:
            VaultError: a line of one that was deleted is damaged.
        """
        # In a text, a quote has a backslash before it.
        begins = {begins: None for _, data in self.files for begins in _naming(data, b'"gone":')}
        self._asked["id"] += len(begins)
        items = (self._last_of(each) or {} for each in begins)
        found = (records.load_tombstone(item) for item in items if "gone" in item)
        return {stone.object_id: stone for stone in found}

    def _last_of(self, begins: bytes) -> Mapping[str, Any] | None:
        if self._is_often("id"):
            found = self._by_id.get(begins)
            return _loaded(self.files[found[0]], found[1]) if found else None
        for file in reversed(self.files):
            start = _last(file[1], begins)
            if start >= 0:
                return _loaded(file, start)
        return None

    def _named(self, path: str) -> set[bytes]:
        """How all lines begin that name this path, also those that later ones have replaced."""
        # As `records.dump_lines` writes it.
        named = b'"path":' + json.dumps(path).encode()
        if self._is_often("path"):
            return {_beginning(self.files[file][1], start) for file, start in self._by_path.get(named, [])}
        return {begins for _, data in self.files for begins in _naming(data, named)}

    def expect_many(self) -> None:
        """Many will be asked for: make the indexes at once."""
        self._asked.update({"id": _FEW, "path": _FEW})
        self._indexes  # noqa: B018 - made by being asked for

    def _is_often(self, what: str) -> bool:
        """Whether an index of all lines is worth its cost: it is that of a few dozen looks."""
        self._asked[what] += 1
        return self._asked[what] > _FEW

    @cached_property
    def _by_path(self) -> dict[bytes, list[tuple[int, int]]]:
        return self._indexes[0]

    @cached_property
    def _by_id(self) -> dict[bytes, tuple[int, int]]:
        return self._indexes[1]

    @cached_property
    def _indexes(self) -> tuple[dict[bytes, list[tuple[int, int]]], dict[bytes, tuple[int, int]]]:
        """Where each path is named, and where the last line of each notebook is; of damaged lines nothing."""
        by_path: dict[bytes, list[tuple[int, int]]] = {}
        by_id = {}
        for file, (_, data) in enumerate(self.files):
            start = 0
            for line in data.splitlines(keepends=True):
                if found := _LINE.match(line):
                    begins, named = found.groups()
                    by_id[begins] = place = (file, start)
                    if named in by_path:
                        by_path[named].append(place)
                    else:
                        by_path[named] = [place]
                start += len(line)
        return by_path, by_id


class UnreadRows(Rows):
    """The rows of lines that are read when more is asked for than a path or one notebook."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    @cached_property
    def _all(self) -> Rows:
        return self._lines.all[0]

    # What `Rows` keeps, taken from there when it is first needed.
    _packed = cached_property(lambda self: self._all._packed)
    _odd = cached_property(lambda self: self._all._odd)
    _texts = cached_property(lambda self: self._all._texts)
    _numbers = cached_property(lambda self: self._all._numbers)

    def __getitem__(self, object_id: int) -> Row:
        if "_all" in self.__dict__:
            return super().__getitem__(object_id)
        item = self._lines.item(object_id)
        if item is None or "gone" in item:
            raise KeyError(object_id)
        return records.load_row(item, self._lines.root)

    def __contains__(self, object_id: object) -> bool:
        return isinstance(object_id, int) and self.get(object_id) is not None

    def at_path(self, path: str) -> list[Row]:
        return self._lines.at(path)[0]

    def at_repo_paths(self, wanted: Collection[str]) -> Iterator[Row]:
        if len(wanted) > _FEW:
            self._lines.expect_many()
        for repo_path in wanted:
            with suppress(ValueError):
                path = workspace_path(self._lines.root, repo_path)
                yield from (row for row in self.at_path(path) if row.repo_path == repo_path)

    def expect_many(self) -> None:
        """Many paths will be asked for."""
        self._lines.expect_many()


class UnreadStones(MutableMapping[int, Tombstone]):
    """The tombstones of lines that are read, without the rows, when more is asked for than a path."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    @cached_property
    def _all(self) -> MutableMapping[int, Tombstone]:
        return self._lines.stones()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[int]:
        return iter(self._all)

    def __getitem__(self, object_id: int) -> Tombstone:
        return self._all[object_id]

    def __setitem__(self, object_id: int, stone: Tombstone) -> None:
        self._all[object_id] = stone

    def __delitem__(self, object_id: int) -> None:
        del self._all[object_id]

    def at_path(self, path: str) -> list[Tombstone]:
        """The tombstones of notebooks whose last path it was."""
        return self._lines.at(path)[1]


def _naming(data: bytes, text: bytes) -> Iterator[bytes]:
    at = data.find(text)
    while at >= 0:
        yield _beginning(data, at)
        at = data.find(text, data.find(b"\n", at) + 1 or len(data))


def _beginning(data: bytes, at: int) -> bytes:
    """The line in which a place lies, up to the end of its id."""
    start = data.rfind(b"\n", 0, at) + 1
    return data[start : data.find(b",", start) + 1]


def _last(data: bytes, start: bytes) -> int:
    """Where the last line begins that begins so; -1 if none does."""
    at = data.rfind(b"\n" + start)
    return at + 1 if at >= 0 else -(not data.startswith(start))


def _loaded(file: tuple[str, bytes], at: int) -> dict[str, Any]:
    """The line in which a place lies."""
    name, data = file
    start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
    (item,) = records.load_lines(data[start : end if end >= 0 else len(data)], name=name)
    return item

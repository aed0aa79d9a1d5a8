"""The inventory of a vault in memory: the rows by object id, and the blob of each by its repository path.

A million notebooks are a million rows; as Python's own objects one takes a kilobyte, here some hundred bytes. What does
not fit the compact form (a number of more than 64 bits, as no workspace has them) is kept as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping, ValuesView
from hashlib import blake2b
from heapq import merge
from operator import itemgetter

from nbvault.compact import INT64, Packed
from nbvault.model import Language, NotebookFormat, Row

# Folder, repository folder, editor and session as numbers of texts; the two times; language and format.
_HEAD = struct.Struct("<IIIIqqBB")
_LANGUAGES = tuple(Language)
_FORMATS = tuple(NotebookFormat)
_ABSENT = bytes(20)


class Rows(MutableMapping[int, Row]):
    """Rows by object id, in the order of the ids."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._packed = Packed()
        self._odd: dict[int, Row] = {}
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}
        for row in rows:
            self[row.object_id] = row

    def __len__(self) -> int:
        return len(self._packed) + len(self._odd)

    def __iter__(self) -> Iterator[int]:
        return merge(self._packed, sorted(self._odd)) if self._odd else iter(self._packed)

    def values(self) -> ValuesView[Row]:
        """The rows in the order of the ids, without looking each of them up."""
        return _Values(self)

    def in_order(self) -> Iterator[Row]:
        """What `values` gives."""
        packed = ((object_id, self._unpack(object_id, data)) for object_id, data in self._packed.items())
        each = merge(packed, sorted(self._odd.items()), key=itemgetter(0)) if self._odd else packed
        return (row for _, row in each)

    def __contains__(self, object_id: object) -> bool:
        return isinstance(object_id, int) and (self._packed.get(object_id) is not None or object_id in self._odd)

    def __getitem__(self, object_id: int) -> Row:
        packed = self._packed.get(object_id)
        return self._odd[object_id] if packed is None else self._unpack(object_id, packed)

    def __setitem__(self, object_id: int, row: Row) -> None:
        packed = self._pack(row) if object_id in INT64 and row.object_id == object_id else None
        if packed is None:
            self._packed.remove(object_id)
            self._odd[object_id] = row
        else:
            self._odd.pop(object_id, None)
            self._packed.put(object_id, packed)

    def __delitem__(self, object_id: int) -> None:
        if object_id not in self:
            raise KeyError(object_id)
        self._packed.remove(object_id)
        self._odd.pop(object_id, None)

    def _pack(self, row: Row) -> bytes | None:
        folder, _, name = row.path.rpartition("/")
        repo_folder, _, repo_name = row.repo_path.rpartition("/")
        numbers = map(self._number, (folder, repo_folder, row.editor, row.since))
        kind = (_LANGUAGES.index(row.language), _FORMATS.index(row.format))
        try:
            head = _HEAD.pack(*numbers, row.modified_at_ms, row.interactive_at_ms, *kind)
        except struct.error:
            return None
        # Paths without a folder are told from those directly in the root.
        slashes = bytes(("/" in row.path, "/" in row.repo_path))
        return head + slashes + f"{name}/{repo_name}".encode("utf-8", "surrogatepass")

    def _unpack(self, object_id: int, packed: bytes) -> Row:
        folder, repo_folder, editor, since, modified, interactive, language, form = _HEAD.unpack_from(packed)
        names = packed[_HEAD.size + 2 :].decode("utf-8", "surrogatepass")
        name, _, repo_name = names.partition("/")
        texts = self._texts
        return Row(
            object_id,
            f"{texts[folder]}/{name}" if packed[_HEAD.size] else name,
            f"{texts[repo_folder]}/{repo_name}" if packed[_HEAD.size + 1] else repo_name,
            _LANGUAGES[language],
            modified,
            interactive,
            texts[editor],
            _FORMATS[form],
            texts[since],
        )

    def at_path(self, path: str) -> list[Row]:
        """The rows at a workspace path, in the order of their ids; several times faster than by all rows."""
        folder, slash, name = path.rpartition("/")
        number = self._numbers.get(folder)
        found = [row for row in self._odd.values() if row.path == path]
        if number is None:
            return found
        begins, ends = number.to_bytes(4, "little"), name.encode("utf-8", "surrogatepass") + b"/"
        for object_id, packed in self._packed.items():
            here = packed.startswith(begins) and packed[_HEAD.size] == bool(slash)
            if here and packed.startswith(ends, _HEAD.size + 2):
                found.append(self._unpack(object_id, packed))
        return sorted(found)

    def at_repo_paths(self, wanted: Collection[str]) -> Iterator[Row]:
        """The rows at some repository paths; several times faster than by all rows."""
        if not wanted:
            return
        yield from (row for row in self._odd.values() if row.repo_path in wanted)
        names = set()
        for path in wanted:
            folder, slash, name = path.rpartition("/")
            if (number := self._numbers.get(folder)) is not None:
                names.add(number.to_bytes(4, "little") + bytes((bool(slash),)) + name.encode("utf-8", "surrogatepass"))
        start = _HEAD.size + 1
        for object_id, packed in self._packed.items():
            if packed[4:8] + packed[start : start + 1] + packed[start + 1 :].partition(b"/")[2] in names:
                yield self._unpack(object_id, packed)

    def repo_paths(self) -> Iterator[str]:
        """The repository path of every row, several times faster than by the rows."""
        for packed in self._packed.values():
            repo_name = packed[_HEAD.size + 2 :].decode("utf-8", "surrogatepass").partition("/")[2]
            folder = self._texts[_HEAD.unpack_from(packed)[1]]
            yield f"{folder}/{repo_name}" if packed[_HEAD.size + 1] else repo_name
        yield from (row.repo_path for row in self._odd.values())

    def _number(self, text: str) -> int:
        """The number of a text that many rows share."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return number


class _Values(ValuesView[Row]):
    """A view of rows that does not look each of them up."""

    _mapping: Rows

    def __iter__(self) -> Iterator[Row]:
        return self._mapping.in_order()


class Blobs(MutableMapping[str, str]):
    """Blob ids by repository path. A path is known by 128 bits of its hash; its text is in the rows.

    Args:
        paths: Every path that may be here, for those who ask for all of them.
    """

    def __init__(self, paths: Callable[[], Iterable[str]] = tuple) -> None:
        self._paths = paths
        self._packed = Packed()
        self._odd: dict[str, str] = {}

    @classmethod
    def without_content(cls, paths: Callable[[], Iterable[str]]) -> Blobs:
        """Every one of these paths, with no blob yet; several times faster than one by one."""
        blobs = cls(paths)
        before = None
        for number, rest in sorted(map(_fingerprint, paths())):
            if number == before:
                # Two paths of one number, or one path twice: rare enough for the slow way.
                return cls._one_by_one(paths)
            blobs._packed.put(number, rest + _ABSENT)
            before = number
        return blobs

    @classmethod
    def _one_by_one(cls, paths: Callable[[], Iterable[str]]) -> Blobs:
        blobs = cls(paths)
        for path in paths():
            blobs[path] = ""
        return blobs

    def fill(self, path: str, blob: str) -> bool:
        """Set the blob of a path that is here; False for any other path."""
        number, rest = _fingerprint(path)
        there = self._packed.get(number)
        if there is None or there[:8] != rest:
            if path not in self._odd:
                return False
            self._odd[path] = blob
        else:
            self._packed.put(number, rest + (bytes.fromhex(blob) or _ABSENT))
        return True

    def coverage(self, paths: Iterable[str]) -> tuple[int, int]:
        """How many different paths these are, and how many of them, counted as often as they come, have no blob."""
        different, without = set(), 0
        for path in paths:
            number, rest = _fingerprint(path)
            different.add((number, rest))
            there = self._packed.get(number)
            if there is None or there[:8] != rest:
                without += not self._odd.get(path)
            else:
                without += there[8:] == _ABSENT
        return len(different), without

    def __len__(self) -> int:
        return len(self._packed) + len(self._odd)

    def __iter__(self) -> Iterator[str]:
        return (path for path in self._paths() if path in self)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._find(path) is not None

    def __getitem__(self, path: str) -> str:
        found = self._find(path)
        if found is None:
            raise KeyError(path)
        return found

    def __setitem__(self, path: str, blob: str) -> None:
        number, rest = _fingerprint(path)
        there = self._packed.get(number)
        if path in self._odd or (there is not None and there[:8] != rest):
            self._odd[path] = blob
        else:
            self._packed.put(number, rest + (bytes.fromhex(blob) or _ABSENT))

    def __delitem__(self, path: str) -> None:
        if self._find(path) is None:
            raise KeyError(path)
        if self._odd.pop(path, None) is None:
            self._packed.remove(_fingerprint(path)[0])

    def _find(self, path: str) -> str | None:
        number, rest = _fingerprint(path)
        there = self._packed.get(number)
        if there is None or there[:8] != rest:
            return self._odd.get(path)
        blob = there[8:]
        return blob.hex() if blob != _ABSENT else ""


def _fingerprint(path: str) -> tuple[int, bytes]:
    digest = blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little", signed=True), digest[8:]

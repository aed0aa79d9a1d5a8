"""Very many small things in a few large arrays: some twenty bytes of overhead for each, where a dict takes two hundred.

What comes in is kept in a small dict and merged into the arrays when that grows; so nothing here costs more than a
few microseconds, whatever the number. One thread may read while another one writes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

INT64 = range(-(2**63), 2**63)
_MERGE_AT_LEAST = 4096
_MERGE_PART = 16
_LENGTH_BYTES = 4


def _merge_above(size: int) -> int:
    return max(_MERGE_AT_LEAST, size // _MERGE_PART)


class Packed:
    """Bytes by number; both a number's and a value's place in memory are a few bytes more than they need.

    A value in place of one of another length leaves the old bytes behind.
    """

    __slots__ = ("_changes", "_count", "_data", "_table")

    def __init__(self) -> None:
        # The numbers in order, and where in the data their values begin; one value, so that a reader has both or none.
        self._table = (array("q"), array("Q"))
        self._data = bytearray()
        self._changes: dict[int, bytes | None] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The numbers in ascending order; what changes meanwhile is not seen."""
        self._merge()
        numbers = self._table[0]
        return iter(numbers[: len(numbers)])

    def values(self) -> Iterator[bytes]:
        """The values in the order of their numbers; numbers that come or go meanwhile are not seen."""
        return (value for _, value in self.items())

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Numbers and values in the order of the numbers; what comes or goes meanwhile is not seen."""
        self._merge()
        (numbers, starts), data = self._table, self._data
        for number, start in islice(zip(numbers, starts, strict=False), len(numbers)):
            value = start + _LENGTH_BYTES
            yield number, bytes(data[value : value + int.from_bytes(data[start:value], "little")])

    def get(self, number: int) -> bytes | None:
        """The value of a number; None if it has none."""
        if number in (changes := self._changes):
            return changes[number]
        start = self._start(number)
        if start < 0:
            return None
        value = start + _LENGTH_BYTES
        return bytes(self._data[value : value + self._length(start)])

    def put(self, number: int, value: bytes) -> None:
        """Set a value.

        Raises:
            OverflowError: the number has more than 64 bits.
        """
        if number not in INT64:
            raise OverflowError(f"{number} has more than 64 bits")
        numbers, starts = self._table
        if not self._changes and (not numbers or number > numbers[-1]):
            starts.append(self._store(value))
            numbers.append(number)
            self._count += 1
            return
        start = -1 if number in self._changes else self._start(number)
        if start >= 0 and self._length(start) == len(value):
            self._data[start + _LENGTH_BYTES : start + _LENGTH_BYTES + len(value)] = value
            return
        self._count += self.get(number) is None
        self._change(number, value)

    def remove(self, number: int) -> None:
        """Forget a number; nothing happens if it is not here."""
        if self.get(number) is not None:
            self._count -= 1
            self._change(number, None)

    def _start(self, number: int) -> int:
        numbers, starts = self._table
        place = bisect_left(numbers, number)
        return starts[place] if place < len(numbers) and numbers[place] == number else -1

    def _length(self, start: int) -> int:
        return int.from_bytes(self._data[start : start + _LENGTH_BYTES], "little")

    def _store(self, value: bytes) -> int:
        start = len(self._data)
        self._data += len(value).to_bytes(_LENGTH_BYTES, "little") + value
        return start

    def _change(self, number: int, value: bytes | None) -> None:
        self._changes[number] = value
        if len(self._changes) > _merge_above(len(self._table[0])):
            self._merge()

    def _merge(self) -> None:
        (old, old_starts), changes, done = self._table, self._changes, 0
        if not changes:
            return
        numbers, starts = array("q"), array("Q")
        for number in sorted(changes):
            place = bisect_left(old, number, done)
            numbers += old[done:place]
            starts += old_starts[done:place]
            done = place + (place < len(old) and old[place] == number)
            value = changes[number]
            if value is not None:
                numbers.append(number)
                starts.append(self._store(value))
        # A reader in between finds a change in either place.
        self._table = (numbers + old[done:], starts + old_starts[done:])
        self._changes = {}

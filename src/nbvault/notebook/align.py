"""Which items of two sequences are the same, in order: a patience alignment that no input can make slow."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

# Up to this many comparisons a range without unique items is aligned perfectly, beyond it by rank.
_EXACT = 10_000
_DEPTH = 16

Pairs = list[tuple[int, int]]


class _Range(NamedTuple):
    old: int
    old_end: int
    new: int
    new_end: int
    depth: int


def align(old: Sequence[Hashable], new: Sequence[Hashable]) -> Pairs:
    """Pairs of indexes of equal items, rising in both sequences; deterministic.

    Equal starts and ends are paired first, then items that occur once on each side, then what lies between them; so
    the pairs are those that a reader expects, and not always the most there could be. Takes O(n log n), and at most
    `_DEPTH` times that where items repeat without end.
    """
    pairs: Pairs = []
    waiting = [_Range(0, len(old), 0, len(new), 0)]
    while waiting:
        rest = _trim(old, new, waiting.pop(), pairs)
        if rest.old == rest.old_end or rest.new == rest.new_end:
            continue
        anchors = _unique(old, new, rest)
        if not anchors and (rest.old_end - rest.old) * (rest.new_end - rest.new) <= _EXACT:
            pairs += _longest(old, new, rest)
            continue
        anchors = anchors or _by_rank(old, new, rest)
        pairs += anchors
        if anchors and rest.depth < _DEPTH:
            waiting += _between(rest, anchors)
    return sorted(pairs)


def rising(pairs: Pairs) -> Pairs:
    """The longest part of ``pairs`` (sorted by their first index) whose second indexes rise."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, second) in enumerate(pairs):
        place = bisect_left(tails, second)
        before.append(ends[place - 1] if place else -1)
        tails[place : place + 1] = [second]
        ends[place : place + 1] = [number]
    chosen = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = before[at]
    return chosen[::-1]


def _trim(old: Sequence[Hashable], new: Sequence[Hashable], span: _Range, pairs: Pairs) -> _Range:
    start, old_end, second, new_end, depth = span
    while start < old_end and second < new_end and old[start] == new[second]:
        pairs.append((start, second))
        start, second = start + 1, second + 1
    while start < old_end and second < new_end and old[old_end - 1] == new[new_end - 1]:
        old_end, new_end = old_end - 1, new_end - 1
        pairs.append((old_end, new_end))
    return _Range(start, old_end, second, new_end, depth)


def _unique(old: Sequence[Hashable], new: Sequence[Hashable], span: _Range) -> Pairs:
    here = Counter(old[span.old : span.old_end])
    there = Counter(new[span.new : span.new_end])
    places = {new[at]: at for at in range(span.new, span.new_end) if there[new[at]] == 1}
    single = (at for at in range(span.old, span.old_end) if here[old[at]] == 1)
    return rising([(at, places[old[at]]) for at in single if old[at] in places])


def _by_rank(old: Sequence[Hashable], new: Sequence[Hashable], span: _Range) -> Pairs:
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for at in range(span.new_end - 1, span.new - 1, -1):
        places[new[at]].append(at)
    return rising([(at, places[old[at]].pop()) for at in range(span.old, span.old_end) if places.get(old[at])])


def _longest(old: Sequence[Hashable], new: Sequence[Hashable], span: _Range) -> Pairs:
    """The longest common subsequence of a small range."""
    rows = [[0] * (span.new_end - span.new + 1)]
    for at in range(span.old_end - 1, span.old - 1, -1):
        below, row = rows[-1], [0]
        for column, other in enumerate(range(span.new_end - 1, span.new - 1, -1)):
            row.append(below[column] + 1 if old[at] == new[other] else max(below[column + 1], row[column]))
        rows.append(row)
    rows.reverse()
    pairs: Pairs = []
    at, other = span.old, span.new
    while at < span.old_end and other < span.new_end:
        ahead = span.new_end - other
        if old[at] == new[other]:
            pairs.append((at, other))
            at, other = at + 1, other + 1
        elif rows[at - span.old + 1][ahead] >= rows[at - span.old][ahead - 1]:
            at += 1
        else:
            other += 1
    return pairs


def _between(span: _Range, anchors: Pairs) -> list[_Range]:
    starts = [(span.old, span.new), *((first + 1, second + 1) for first, second in anchors)]
    ends = [*anchors, (span.old_end, span.new_end)]
    return [_Range(start[0], end[0], start[1], end[1], span.depth + 1) for start, end in zip(starts, ends, strict=True)]

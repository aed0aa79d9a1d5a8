"""Which cell of the new notebook was which cell of the old one.

1. Cells with the same face are paired, in order as far as possible (`align`), the others by rank.
2. What is left over is compared: pairs of at least `SIMILAR` are likely.
3. Of all these pairs the heaviest set that keeps its order stays (a same pair weighs 1, a likely one its share).
4. What is then left over between two neighbours that stayed is compared once more, and the best of it stays too.
5. Same pairs that did not stay moved; so did likely ones of at least `ALMOST_SAME`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from nbvault.notebook.align import Pairs, align
from nbvault.notebook.cells import Cell

SIMILAR = 0.5
ALMOST_SAME = 0.8
_SAME_TITLE = 0.5
_OTHER_LANGUAGE = 0.9

# Cells of a few lines are compared word by word, as one changed word would make all their lines differ.
_SHORT_LINES = 10
_SHORT_CHARACTERS = 2_000
_WORD = re.compile(r"\w+|[^\w\s]")

# Below this many lines a cell says too little to be known again elsewhere in changed form.
_TELLING_LINES = 3

# Larger sets are compared by what only a few of them share, and with their neighbours.
_ALL_PAIRS = 256
_RARE = 4
_NEIGHBOURS = 2


class Match(NamedTuple):
    """Pairs of indexes: those that kept their order, and those that did not."""

    stayed: Pairs
    moved: Pairs


class _Left(NamedTuple):
    """Indexes that are in no pair yet, rising."""

    old: list[int]
    new: list[int]


def match(old: Sequence[Cell], new: Sequence[Cell]) -> Match:
    """Pair the cells of two notebooks, each at most once. ``match(new, old)`` gives the same pairs mirrored."""
    faces = [cell.face for cell in old], [cell.face for cell in new]
    # Ties are broken from one side, so the side is chosen by content and not by the order of the arguments.
    if faces[0] <= faces[1]:
        return _match(old, new)
    stayed, moved = _match(new, old)
    return Match(_mirrored(stayed), _mirrored(moved))


def _mirrored(pairs: Pairs) -> Pairs:
    return sorted((second, first) for first, second in pairs)


def _match(old: Sequence[Cell], new: Sequence[Cell]) -> Match:
    same = align(*_numbered(old, new))
    same += _same_elsewhere(old, new, same)
    here, there = _Sketches(old), _Sketches(new)
    likely = _likely(here, there, _left(len(old), len(new), same))
    stayed = _heaviest_chain([*(_Likely(*pair, 1.0) for pair in same), *likely])
    for left in _between(_left(len(old), len(new), [*same, *stayed]), [*stayed, (len(old), len(new))]):
        stayed += _heaviest_chain(_likely(here, there, left))
    stayed.sort()
    known = set(stayed)
    moved = [pair for pair in same if pair not in known]
    moved += _almost_elsewhere(here, there, likely, [*stayed, *moved])
    return Match(stayed, sorted(moved))


def _numbered(old: Sequence[Cell], new: Sequence[Cell]) -> tuple[list[int], list[int]]:
    """A number for each face: comparing long texts again and again would be slow."""
    numbers: dict[object, int] = {}
    first, second = ([numbers.setdefault(cell.face, len(numbers)) for cell in cells] for cells in (old, new))
    return first, second


def _left(old_count: int, new_count: int, pairs: Pairs) -> _Left:
    """The indexes on either side that are in no pair."""
    olds, news = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    return _Left([at for at in range(old_count) if at not in olds], [at for at in range(new_count) if at not in news])


def _same_elsewhere(old: Sequence[Cell], new: Sequence[Cell], same: Pairs) -> Pairs:
    left = _left(len(old), len(new), same)
    places: defaultdict[object, list[int]] = defaultdict(list)
    for at in reversed(left.new):
        places[new[at].face].append(at)
    return [(at, places[old[at].face].pop()) for at in left.old if places.get(old[at].face)]


def _between(left: _Left, ends: Pairs) -> list[_Left]:
    """What is left over before each of the ``ends``, which rise, where both sides have something."""
    found = []
    first = second = 0
    for end, other_end in ends:
        stop, other_stop = bisect_left(left.old, end), bisect_left(left.new, other_end)
        if first < stop and second < other_stop:
            found.append(_Left(left.old[first:stop], left.new[second:other_stop]))
        first, second = stop, other_stop
    return found


@dataclass(frozen=True, slots=True)
class _Sketch:
    """What of a cell is compared: its lines without indentation, its words if it is short, and its names."""

    lines: Counter[str]
    line_count: int
    words: Counter[str]
    word_count: int
    language: str
    title: str
    identity: str

    def features(self) -> Iterable[tuple[str, str]]:
        """What two cells may have in common that few others have."""
        yield from (("line", line) for line in self.lines)
        yield from ((kind, name) for kind, name in (("title", self.title), ("id", self.identity)) if name)


class _Sketches:
    """The sketches of a notebook's cells, each made when first asked for."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells
        self._made: dict[int, _Sketch] = {}

    def __getitem__(self, at: int) -> _Sketch:
        if at not in self._made:
            self._made[at] = _sketch(self._cells[at])
        return self._made[at]


def _sketch(cell: Cell) -> _Sketch:
    lines = Counter(line for line in map(str.strip, cell.lines) if line)
    count = lines.total()
    words = Counter(_WORD.findall(cell.text[:_SHORT_CHARACTERS])) if count <= _SHORT_LINES else Counter()
    return _Sketch(lines, count, words, words.total(), cell.language, cell.title, cell.identity)


def _likeness(one: _Sketch, other: _Sketch) -> float:
    """From 0 to 1. The share of common lines, or of common words if both are short; an equal title counts as half."""
    if one.identity and one.identity == other.identity:
        return 1.0
    share = _share(one.lines, other.lines, one.line_count + other.line_count)
    if one.words and other.words:
        share = max(share, _share(one.words, other.words, one.word_count + other.word_count))
    if one.title and one.title == other.title:
        share = max(share, _SAME_TITLE)
    elif one.language != other.language:
        share *= _OTHER_LANGUAGE
    return share


def _share(one: Counter[str], other: Counter[str], whole: int) -> float:
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    common = sum(min(count, many[item]) for item, count in few.items() if item in many)
    return 2 * common / (whole or 1)


class _Likely(NamedTuple):
    old: int
    new: int
    share: float


def _likely(here: _Sketches, there: _Sketches, left: _Left) -> list[_Likely]:
    found = (_Likely(old, new, _likeness(here[old], there[new])) for old, new in _candidates(here, there, left))
    return [likely for likely in found if likely.share >= SIMILAR]


def _candidates(here: _Sketches, there: _Sketches, left: _Left) -> Iterable[tuple[int, int]]:
    olds, news = left
    if len(olds) * len(news) <= _ALL_PAIRS:
        return product(olds, news)
    near = {
        (old, new)
        for place, old in enumerate(olds)
        for new in news[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]
    }
    return sorted(near | _sharing(here, there, left))


def _sharing(here: _Sketches, there: _Sketches, left: _Left) -> set[tuple[int, int]]:
    """The pairs that share something rare."""
    first, second = (_owners(sketches, places) for sketches, places in zip((here, there), left, strict=True))
    rare = (feature for feature, owners in first.items() if len(owners) <= _RARE)
    return {
        pair
        for feature in rare
        if feature in second and len(second[feature]) <= _RARE
        for pair in product(first[feature], second[feature])
    }


def _owners(sketches: _Sketches, places: list[int]) -> dict[tuple[str, str], list[int]]:
    owners: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for at in places:
        for feature in sketches[at].features():
            owners[feature].append(at)
    return owners


def _heaviest_chain(likely: list[_Likely]) -> Pairs:
    """Of pairs sorted by their old index, those with the largest sum of shares that rise on both sides."""
    if len(likely) < 2:
        return [(pair.old, pair.new) for pair in likely]
    ranks = {new: rank for rank, new in enumerate(sorted({pair.new for pair in likely}), 1)}
    tree = [(0.0, -1)] * (len(ranks) + 1)
    before: list[int] = []
    order = sorted(likely, key=lambda pair: (pair.old, -pair.new))
    for number, pair in enumerate(order):
        weight, last = _best_below(tree, ranks[pair.new] - 1)
        before.append(last)
        _raise_from(tree, ranks[pair.new], (weight + pair.share, number))
    at = _best_below(tree, len(ranks))[1]
    chain = []
    while at >= 0:
        chain.append((order[at].old, order[at].new))
        at = before[at]
    return chain[::-1]


def _best_below(tree: list[tuple[float, int]], rank: int) -> tuple[float, int]:
    best = (0.0, -1)
    while rank > 0:
        best = max(best, tree[rank], key=lambda found: found[0])
        rank &= rank - 1
    return best


def _raise_from(tree: list[tuple[float, int]], rank: int, found: tuple[float, int]) -> None:
    while rank < len(tree):
        if found[0] > tree[rank][0]:
            tree[rank] = found
        rank += rank & -rank


def _almost_elsewhere(here: _Sketches, there: _Sketches, likely: list[_Likely], pairs: Pairs) -> Pairs:
    """Likely pairs of cells that are in no pair and almost the same wherever they stand, the best first."""
    found: Pairs = []
    taken = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    for old, new, share in sorted(likely, key=lambda pair: (-pair.share, pair.old, pair.new)):
        free = old not in taken[0] and new not in taken[1]
        if free and share >= ALMOST_SAME and _telling(here[old], there[new]):
            taken[0].add(old)
            taken[1].add(new)
            found.append((old, new))
    return found


def _telling(one: _Sketch, other: _Sketch) -> bool:
    return min(one.line_count, other.line_count) >= _TELLING_LINES or one.identity == other.identity != ""

"""The alignment of two sequences: right, in order, and bounded."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nbvault.notebook.align import align, rising

ITEMS = st.lists(st.integers(0, 6), max_size=30)


def rises(pairs: list[tuple[int, int]]) -> bool:
    """Whether both indexes of the pairs rise."""
    return all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))


def common_length(old: list[int], new: list[int]) -> int:
    """The length of the longest common subsequence, by the book."""
    row = [0] * (len(new) + 1)
    for item in old:
        before = row[:]
        for at, other in enumerate(new):
            row[at + 1] = before[at] + 1 if item == other else max(row[at], before[at + 1])
    return row[-1]


@settings(max_examples=300)
@given(ITEMS, ITEMS)
def test_pairs_are_equal_and_rise(old: list[int], new: list[int]) -> None:
    """Every pair is of equal items, both indexes rise, and no further pair would fit."""
    pairs = align(old, new)
    assert rises(pairs)
    assert all(old[first] == new[second] for first, second in pairs)
    every = [(a, b) for a in range(len(old)) for b in range(len(new)) if old[a] == new[b]]
    assert [pair for pair in every if rises(sorted([*pairs, pair]))] == []


@given(st.lists(st.integers(0, 2), max_size=30), st.lists(st.integers(0, 2), max_size=30))
def test_repeated_items_are_aligned_perfectly(old: list[int], new: list[int]) -> None:
    """Where nothing is unique and the range is small, the alignment is the longest there is."""
    assume(not [item for item in old if old.count(item) == 1 == new.count(item)])
    # Different ends keep the start and the end from being paired first.
    assert len(align([7, *old, 7], [8, *new, 8])) == common_length(old, new)


@given(st.permutations(range(12)))
def test_rising_is_the_longest(order: list[int]) -> None:
    """Of a permutation, the longest rising part is found."""
    pairs = list(enumerate(order))
    assert rises(rising(pairs))
    assert len(rising(pairs)) == common_length(list(range(12)), order)


@given(ITEMS)
def test_equal_sequences_pair_off(items: list[int]) -> None:
    """A sequence is aligned with itself item by item."""
    assert align(items, items) == [(at, at) for at in range(len(items))]


@pytest.mark.parametrize("kinds", [1, 2, 100, 5_000])
def test_no_input_is_slow(kinds: int) -> None:
    """Twenty thousand items are aligned within seconds, however often they repeat."""
    rng = random.Random(kinds)
    old, new = ([rng.randrange(kinds) for _ in range(20_000)] for _ in range(2))
    start = time.process_time()
    pairs = align(old, new)
    assert time.process_time() - start < 5
    assert rises(pairs)

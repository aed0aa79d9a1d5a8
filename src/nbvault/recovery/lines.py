"""How many lines a restore would add and remove, where both contents are at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.runner import Git
from nbvault.model import ListedObject
from nbvault.recovery.plan import Action, Entry, Known

AT_MOST = 100
"""So many notebooks are compared; of larger plans nobody reads the counts."""
_LINES = 2000


def count_lines(
    entries: Sequence[Entry], known: Callable[[ListedObject], Known | None], git: Git
) -> dict[int, tuple[int, int]]:
    """Lines added and removed, by the number of the entry; only for what needs no request to the remote."""
    pairs = {}
    for entry in entries:
        found = known(entry.live) if entry.live and entry.action is Action.OVERWRITE else None
        if found:
            pairs[entry.number] = (found.blob, entry.blob)
        if len(pairs) > AT_MOST:
            return {}
    away = set(missing_objects(git, [oid for pair in pairs.values() for oid in pair]))
    pairs = {number: pair for number, pair in pairs.items() if away.isdisjoint(pair)}
    data = dict(BlobReader(git).read({oid for pair in pairs.values() for oid in pair}))
    return {number: changed_lines(data[old], data[new]) for number, (old, new) in pairs.items()}


def changed_lines(old: bytes, new: bytes) -> tuple[int, int]:
    """Lines that are added and removed on the way from one text to the other."""
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > _LINES:
        # As a bag of lines: moved ones do not count, but a long text takes no minute.
        ups, downs = Counter(after) - Counter(before), Counter(before) - Counter(after)
        return ups.total(), downs.total()
    same = sum(block.size for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks())
    return len(after) - same, len(before) - same

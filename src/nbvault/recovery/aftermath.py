"""Which restores somebody still has to deal with. Pure, on receipts as the vault has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbvault.clock import parse_iso
from nbvault.recovery.receipt import Result, Status

Receipt = Mapping[str, Any]

WENT_WRONG = frozenset({Status.PARTIAL, Status.INTERRUPTED})
"""A restore that ended so is an incident until a person has dealt with it."""

_WRONG = frozenset(status.value for status in WENT_WRONG)
_PROVEN = frozenset({Result.RESTORED.value, Result.DELETED.value, Result.IDENTICAL.value})
_GOOD = _PROVEN | {Result.KEPT.value}


def unsettled(receipts: Mapping[str, Receipt]) -> dict[str, Receipt]:
    """Those that went wrong and that nobody has dealt with since, by the restore's id.

    Dealt with is a restore that was finished (its receipt is then another), one of which a complete undo is known, and
    one whose every place that was not as it should be was brought right by restores that ended later.
    """
    undone = {each["undo_of"] for each in receipts.values() if each["status"] == Status.COMPLETE.value}
    wrong = {name: each for name, each in receipts.items() if each["status"] in _WRONG and name not in undone}
    return {name: each for name, each in wrong.items() if not _made_good(each, receipts.values())}


def _made_good(wrong: Receipt, receipts: Iterable[Receipt]) -> bool:
    """Whether later restores have brought every place right that this one left wrong."""
    left = {str(entry["target"]) for entry in wrong["entries"] if not _is_well(entry, _GOOD)}
    if not left:
        return False  # it was cut short, and does not say where
    ended = parse_iso(str(wrong["ended_at"]))
    for each in receipts:
        if each is not wrong and parse_iso(str(each["ended_at"])) > ended:
            left -= {str(entry["target"]) for entry in each["entries"] if _is_well(entry, _PROVEN)}
    return not left


def _is_well(entry: Mapping[str, Any], results: frozenset[str]) -> bool:
    return entry["result"] in results and entry["verified"] is not False

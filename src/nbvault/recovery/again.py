"""An earlier restore taken up again: what an undo wants, and what a resumed restore still has to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from nbvault.errors import ConfigurationError
from nbvault.model import NOTEBOOK, Language, ListedObject
from nbvault.paths import extension_for
from nbvault.recovery.plan import ABSENT, Action, Entry, Live, Wanted
from nbvault.recovery.receipt import UNFINISHED, Outcome, PreImage, Record, Result, Status

NOTHING_FITS = "0" * 40
"""Expected where the restore cannot have written yet and the notebook is not as it was: it is left alone."""

_WROTE = frozenset({Result.RESTORED, Result.DELETED, Result.DIFFERS, Result.REMOVED, Result.UNCLEAR})


def wanted_back(record: Record) -> list[Wanted]:
    """What is to be at each target when a restore is taken back: its pre-image, or nothing where nothing was.

    Raises:
        ConfigurationError: the restore is open.
    """
    restore = record.intent.restore
    if record.status is None:
        raise ConfigurationError(
            f"Restore {restore} has not ended.",
            hint=f"First `nbvault restore --resume {restore}`, or close it: `nbvault restore --abandon {restore}`.",
        )
    found = (_back(entry, record) for entry in record.intent.entries if entry.action.writes)
    return [wanted for wanted in found if wanted is not None]


def _back(entry: Entry, record: Record) -> Wanted | None:
    outcome = record.outcomes.get(entry.number)
    if outcome is None and record.status is not Status.ABANDONED:
        return None
    if outcome is not None and outcome.result not in _WROTE and not _may_have_written(outcome):
        return None
    if entry.action is Action.CREATE:
        return Wanted(entry.path, entry.target, "", "", _left(entry, outcome))
    image = record.pre.get(entry.number)
    # Without a pre-image nothing can have been written over.
    return Wanted(entry.target, entry.target, image.blob, _extension(image), _left(entry, outcome)) if image else None


def _may_have_written(outcome: Outcome) -> bool:
    """Whether a run before may have written what somebody has changed since."""
    return outcome.result is Result.MOVED and bool(outcome.written)


def _extension(image: PreImage) -> str:
    return extension_for(image.language or Language.PYTHON, image.format)


def _left(entry: Entry, outcome: Outcome | None) -> str:
    """What the restore left at the target."""
    if outcome is not None and outcome.result in (Result.DELETED, Result.REMOVED):
        return ABSENT
    return (outcome.written if outcome else "") or entry.blob or ABSENT


def left_to_do(record: Record, live: Live) -> list[Entry]:
    """The entries that a resumed restore still has to do, judged by what is there now.

    What has the wanted content is done; what is as it was before is restored; everything else has moved.
    """
    return [_again(entry, record, live) for entry in unfinished(record)]


def unfinished(record: Record) -> list[Entry]:
    """The entries without a final result."""
    return [entry for entry in record.intent.entries if _is_unfinished(record.outcomes.get(entry.number))]


def _is_unfinished(outcome: Outcome | None) -> bool:
    """Also what was written and could not be read back."""
    if outcome is None or outcome.result in UNFINISHED:
        return True
    return outcome.result is Result.RESTORED and not outcome.verified


def _again(entry: Entry, record: Record, live: Live) -> Entry:
    if not entry.action.writes:
        return entry
    there = live.objects.get(entry.target)
    image = record.pre.get(entry.number)
    if there is None:
        return _nothing_there(entry, saved=image is not None)
    if there.kind != NOTEBOOK:
        return entry._replace(action=Action.CLASH, reason=f"a {there.kind} is there", live=there)
    if entry.action is Action.CREATE:
        return entry._replace(live=there)
    # Nothing is written before its pre-image is saved: without one the notebook must be the one that was planned.
    expect = image.blob if image else entry.expect if _is_same(entry.live, there) else NOTHING_FITS
    return entry._replace(live=there, expect=expect)


def _nothing_there(entry: Entry, *, saved: bool) -> Entry:
    if entry.action is Action.DELETE:
        return entry._replace(live=None, expect=ABSENT if saved else entry.expect)
    if entry.action is Action.REPLACE and saved:
        return entry._replace(action=Action.CREATE, live=None, expect="")
    return entry._replace(live=None)


def _is_same(planned: ListedObject | None, now: ListedObject) -> bool:
    return planned is not None and (
        (planned.object_id, planned.modified_at_ms, planned.interactive_at_ms)
        == (now.object_id, now.modified_at_ms, now.interactive_at_ms)
    )


def targets_of(entries: Iterable[Entry]) -> set[str]:
    """Where something is to be written."""
    return {entry.target for entry in entries if entry.action.writes}

"""Names that say when something began: of sessions, restores, drills, tags. Pure but for chance."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone

_STAMP = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_LENGTH = len("20261121T020000Z")


def stamp(at: datetime) -> str:
    """A moment to the second, in UTC, such as ``20261121T020000Z``; stamps sort as their moments do."""
    at = at.astimezone(timezone.utc)
    # Not %Y, which leaves out zeros.
    return f"{at.year:04}{at:%m%dT%H%M%SZ}"


def moment(name: str) -> datetime:
    """What the stamp says with which a name begins.

    Raises:
        ValueError: it begins with none.
    """
    return datetime.strptime(name[:_LENGTH], _STAMP).replace(tzinfo=timezone.utc)


def latest(names: Iterable[str]) -> str:
    """The last of those names that begin with a stamp; what lies beside them is none of ours. Empty without one."""
    return max(filter(_ID.match, names), default="")


def new_id(at: datetime, *, after: str = "") -> str:
    """A name such as ``20261121T020000Z-1a2b3c``; it sorts after ``after``, another such, whatever the clock says."""
    if _ID.match(after) and stamp(at) <= after[:_LENGTH]:
        # Digits that are no date, or the last one there is, leave the clock's.
        with suppress(ValueError, OverflowError):
            at = moment(after) + timedelta(seconds=1)
    return f"{stamp(at)}-{secrets.token_hex(3)}"

"""The audit trail for people: listed, exported, verified. A library for the command line and the web page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nbvault.administration import noting, write_note
from nbvault.clock import Clock, SystemClock
from nbvault.errors import ConfigurationError, StateError, VaultError
from nbvault.gitstore.trail import meta_history, rewritten
from nbvault.gitstore.vault import Vault
from nbvault.monitoring.audit import (
    SHOWN_FAULTS,
    Fault,
    Filter,
    Trail,
    Verification,
    chain_faults,
    index_faults,
    parse_head,
)
from nbvault.opening import opened_vault
from nbvault.settings import Settings
from nbvault.state.store import AuditEvent, AuditHead, StateManager
from nbvault.trail import read_trail

VERIFY = "audit verify"
"""The action of a verification in the trail; its result is ``ok`` or ``broken``."""
COLUMNS = ("line", *AuditEvent._fields)
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the trail; `line` is its place in the vault, None while the vault has not been told."""

    line: int | None
    event: AuditEvent

    def as_json(self) -> dict[str, Any]:
        """The event as ``audit list --json`` prints it."""
        return {"line": self.line, **self.event.as_record()}


def list_events(
    settings: Settings,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    wanted: Filter | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """The events from ``since`` to before ``until``, oldest first, from the state store; the last ``limit`` of them.

    Where the state store has none at all, they come from the vault.

    Raises:
        NbvaultError: neither can be read.
    """
    chosen = wanted or Filter()
    found = [
        entry
        for entry in _entries(settings)
        if (since is None or entry.event.at >= since)
        and (until is None or entry.event.at < until)
        and chosen.takes(entry.event)
    ]
    return found if limit is None else found[max(len(found) - limit, 0) :]


def _entries(settings: Settings) -> list[Entry]:
    with StateManager(settings.state.connection_url()) as state:
        index, waiting = state.audit_index(), state.audit_waiting()
    if not index:
        with opened_vault(settings, want_tree=False) as vault:
            vault.refresh()
            index = list(enumerate(read_trail(vault).events, 1))
    return [Entry(line, event) for line, event in index] + [Entry(None, event) for event in waiting]


def as_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """A heading and a row for each event; a text that a spreadsheet would compute gets an apostrophe in front."""
    yield _row(COLUMNS)
    for entry in entries:
        yield _row(["" if value is None else _plain(str(value)) for value in entry.as_json().values()])


def as_json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """A JSON object for each event."""
    return (json.dumps(entry.as_json()) + "\n" for entry in entries)


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(values: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()


# --- verifying -----------------------------------------------------------------------------------------------------


def last_head(settings: Settings) -> AuditHead | None:
    """How far the trail went when it was seen last, for a mail that somebody keeps; None where it never was.

    `str` of it is what ``audit verify --head`` takes.

    Raises:
        StateError: the state store cannot be read.
    """
    with StateManager(settings.state.connection_url()) as state:
        return next(reversed(state.audit_heads()), None)


def verify_trail(
    settings: Settings,
    *,
    head: str = "",
    full: bool = False,
    by: str = "",
    clock: Clock | None = None,
) -> Verification:
    """Compare the vault's trail with every head seen before, and the index with the vault's trail, line by line.

    Where both are in order, new lines of the vault are entered into the index, and the new head is remembered. The
    result itself is an event of the trail.

    Args:
        head: One more head that was seen before, as a mail has it.
        full: Look at every commit of the meta branch: each may only have added lines.
        by: Who asks.

    Raises:
        ConfigurationError: ``head`` is none, or the rotation into this vault has not ended.
        NbvaultError: vault or state store cannot be read; nothing is known of them.
    """
    clock = clock or SystemClock()
    told = parse_head(head) if head else None
    with StateManager(settings.state.connection_url(), clock=clock) as state:
        with opened_vault(settings, want_tree=False, clock=clock) as vault:
            found = _look(vault, state, told, full=full, clock=clock)
        event = AuditEvent(clock.now(), by, VERIFY, settings.workspace.root, *_result(found))
        with suppress(StateError):
            state.record_audit([event])
            found = replace(found, waiting=found.waiting + 1)
    return found


def _look(vault: Vault, state: StateManager, told: tuple[int, str] | None, *, full: bool, clock: Clock) -> Verification:
    heads, now = state.audit_heads(), clock.now()
    if told is not None:
        heads = [*heads, AuditHead(*told, "", 0, now)]
    try:
        vault.refresh()
        trail = read_trail(vault)
    except VaultError as error:
        return _verification(Trail(), state, heads, [Fault("chain", 0, error.message)], now=now)
    vault.past.refuse_unless_begun()
    faults = chain_faults(trail, heads, _history(vault, trail, heads))
    notes: list[str] = []
    if full and trail.commit:
        faults += _walked(vault, trail)
    seen = max((each.lines for each in state.audit_heads()), default=0)
    faults += _of_index(state, trail.events[:seen])
    if not faults:
        notes = _caught_up(state, trail, seen, now)
    return _verification(trail, state, heads, faults, notes, now=now)


def _history(vault: Vault, trail: Trail, heads: Sequence[AuditHead]) -> frozenset[str] | None:
    """The commits of the meta branch, fetched where heads are asked for that are not here."""
    wanted = {each.commit for each in heads if each.epoch == trail.epoch and each.commit}
    if not wanted or not trail.commit:
        return None
    found = meta_history(vault.git, trail.commit)
    if not wanted <= found and vault.is_shallow:
        vault.whole_history()
        found = meta_history(vault.git, trail.commit)
    return found


def _walked(vault: Vault, trail: Trail) -> list[Fault]:
    vault.whole_history()
    return [
        Fault("chain", 0, f"commit {commit[:12]} changed lines of {path} that were there")
        for commit, path in rewritten(vault.git, trail.commit, vault.blobs)
    ]


def _of_index(state: StateManager, told: Sequence[AuditEvent]) -> list[Fault]:
    try:
        return index_faults(state.audit_index(), told)
    except StateError as error:
        return [Fault("index", 0, error.message)]


def _caught_up(state: StateManager, trail: Trail, seen: int, now: datetime) -> list[str]:
    """Both are in order: the index follows. Returns what a person should know of that."""
    state.follow_audit(trail.events, trail.head(now))
    if not trail.lines:
        return ["The vault has no audit trail yet."]
    if not seen:
        return ["This state store had seen nothing of the trail before: from now on it knows its head."]
    new = len(trail.lines) - seen
    return [f"{new} lines that other machines wrote were entered into the index."] if new else []


def _verification(
    trail: Trail,
    state: StateManager,
    heads: Sequence[AuditHead],
    faults: list[Fault],
    notes: Sequence[str] = (),
    *,
    now: datetime,
) -> Verification:
    try:
        index = len(state.audit_index())
    except StateError:
        index = 0
    waiting = len(state.audit_waiting())
    shown = tuple(faults[:SHOWN_FAULTS])
    return Verification(trail.head(now), index, len(heads), waiting, shown, tuple(notes), len(faults))


def _result(found: Verification) -> tuple[str, str]:
    if found.count:
        return "broken", f"{found.count} faults; the first: {found.faults[0].where}: {found.faults[0].what}"
    return "ok", f"{found.head.lines} lines, head {found.head}"


def accept_trail(
    settings: Settings, *, by: str, reason: str, say: Callable[[str], None], clock: Clock | None = None
) -> AuditHead:
    """Take the vault's trail for the truth from now on, whatever was seen before; that is written into the vault.

    Raises:
        ConfigurationError: no reason is given.
        LockedError: a session runs.
        NbvaultError: vault or state store cannot be read or written; nothing was accepted.
    """
    if not reason.strip():
        raise ConfigurationError("The trail is accepted for a reason only.", hint="Give one with --reason.")
    clock = clock or SystemClock()
    with noting(settings, say=say, clock=clock) as (vault, state):
        before = str(next(reversed(state.audit_heads()), "none"))
        detail = f"{reason}; the head seen before was {before}"
        event = AuditEvent(clock.now(), by, "audit accept", settings.workspace.root, "ok", detail)
        write_note(settings, vault, [event], state=state, clock=clock)
        trail = read_trail(vault)
        found = trail.head(clock.now())
        state.accept_audit(trail.events, found)
    return found

"""The audit trail kept: the vault's lines read, the index in the state store brought up to them.

An event waits in the state store until a session or a note has taken it into the vault and the remote has confirmed
that; then it is in the index, which holds what the vault holds, line by line. So nothing is lost where the vault cannot
be told at once, and nothing is told twice where a process dies in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbvault.auth import AuthEvent
from nbvault.clock import Clock
from nbvault.errors import NbvaultError, StateError, VaultError
from nbvault.gitstore.epochs import Force
from nbvault.gitstore.meta import BRANCH, Record
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.trail import audit_lines
from nbvault.gitstore.vault import Vault
from nbvault.monitoring.audit import Fault, Trail, chain_faults, index_faults, trail_of
from nbvault.settings import Settings
from nbvault.state.quick import wait_in_sqlite
from nbvault.state.values import AuditEvent

if TYPE_CHECKING:
    from nbvault.state.store import StateManager


def read_trail(vault: Vault) -> Trail:
    """The trail that the remote has, as of the last look.

    Raises:
        VaultError: it is damaged.
        NbvaultError: it cannot be read.
    """
    tip = vault.refs.get(BRANCH, "")
    if not tip:
        return Trail(epoch=vault.meta.lineage.epoch)
    files = vault.meta.files if tip == vault.meta.tip else {each.path: each.oid for each in ls_tree(vault.git, tip)}
    return trail_of(audit_lines(files, vault.blobs), commit=tip, epoch=vault.meta.lineage.epoch)


def follow(vault: Vault, state: StateManager, *, clock: Clock) -> list[Fault]:
    """Bring the index up to what the remote has confirmed; a trail that contradicts what was seen is told, not taken.

    A vault that has not begun has no trail yet: what is there may be made anew.

    Raises:
        NbvaultError: vault or state store cannot be read or written.
    """
    if vault.meta.lineage.state is not Force.BEGUN:
        return []
    trail = read_trail(vault)
    if faults := chain_faults(trail, state.audit_heads()):
        return faults
    state.follow_audit(trail.events, trail.head(clock.now()))
    return []


def broken(vault: Vault, state: StateManager) -> str:
    """What is wrong with the trail, in a sentence, as far as it shows without fetching history; empty if nothing is.

    Raises:
        NbvaultError: vault or state store cannot be read.
    """
    if vault.meta.lineage.state is not Force.BEGUN:
        return ""
    heads = state.audit_heads()
    try:
        trail = read_trail(vault)
        faults = chain_faults(trail, heads)
        seen = max((head.lines for head in heads), default=0)
        faults = faults or index_faults(state.audit_index(), trail.events[:seen])
    except (VaultError, StateError) as error:
        return error.message
    more = f" ({len(faults):,} faults in all)" if len(faults) > 1 else ""
    return f"In the {faults[0].where}, line {faults[0].line}: {faults[0].what}{more}." if faults else ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a writer of the vault takes along. Never an error: what cannot be read waits on."""

    vault: Vault
    state: StateManager

    def records(self) -> list[Record]:
        """The events that the vault has not been told yet, as its lines."""
        with suppress(StateError):
            waiting = self.state.audit_waiting()
            if not waiting:
                return []
            with suppress(NbvaultError):
                lines = audit_lines(self.vault.meta.files, self.vault.blobs)
                known = {event.as_told for event in trail_of(lines, commit="", epoch=1).events}
                return [event.as_record() for event in waiting if event.as_told not in known]
        return []


def signed_in(events: Sequence[AuthEvent], actor: str, *, during: str = "") -> list[AuditEvent]:
    """What happened when we signed in, for the trail; ``actor`` where no identity was told."""
    note = f", for {during}" if during else ""
    return [
        AuditEvent(each.at, each.identity or actor, each.action, each.system, each.result, f"{each.detail}{note}")
        for each in events
    ]


def remember(settings: Settings, events: Sequence[AuditEvent], *, clock: Clock | None = None) -> None:
    """Keep events until the vault is told of them. Never an error: no deed fails for want of a line about it."""
    with suppress(NbvaultError):
        url = settings.state.connection_url()
        if wait_in_sqlite(url, events):
            return
        from nbvault.state.store import StateManager

        with StateManager(url, clock=clock) as state:
            state.record_audit(events)

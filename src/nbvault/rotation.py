"""Going on in another repository: the vault that ends, the one that begins, and what a person has to change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvault.backup.sessions import SessionHistory
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import ConfigurationError, LockedError, NbvaultError
from nbvault.gitstore.epochs import may_be_asked
from nbvault.gitstore.lease import Lease
from nbvault.gitstore.lineage import ended
from nbvault.gitstore.remote import remote_url
from nbvault.gitstore.restores import RECEIPT, opened_restores
from nbvault.gitstore.rotation import Making, NextEpoch
from nbvault.gitstore.vault import Vault
from nbvault.ids import new_id
from nbvault.model import Person
from nbvault.opening import opened_vault
from nbvault.recovery.aftermath import unsettled
from nbvault.recovery.receipt import Status
from nbvault.settings import Settings
from nbvault.state.store import AuditEvent, StateManager
from nbvault.wiring import lease_of

ACTION = "rotate"
_SYNC_FIRST = "Run `nbvault sync` first, until it ends with 0 or 3."


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation planned or done; `status` is ``planned``, ``rotated``, or ``already`` if it had been done before.

    `listed` are the addresses that must be named in `vault.earlier` from then on. `drift` are files that people changed
    on the main branch and that are set right in the new one; the old one keeps them.
    """

    status: str
    epoch: int
    source: str
    target: str
    notebooks: int
    session: str
    main: str = ""
    meta: str = ""
    files: int = 0
    drift: tuple[str, ...] = ()
    listed: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """As ``rotate --json`` prints it."""
        return {
            "status": self.status,
            "exit_code": 0,
            "epoch": self.epoch,
            "from": self.source,
            "to": self.target,
            "notebooks": self.notebooks,
            "session": self.session,
            "head": self.main or None,
            "meta": self.meta or None,
            "files": self.files,
            "drift": list(self.drift),
            "configure": {"vault.remote": self.target, **({"vault.earlier": [*self.listed]} if self.listed else {})},
        }


def run_rotate(
    settings: Settings,
    to: str,
    *,
    by: str,
    dry_run: bool = False,
    agree: Callable[[Rotation], None] = lambda _: None,
    say: Callable[[str], None],
    clock: Clock | None = None,
    base: Path | None = None,
) -> Rotation:
    """Begin the next epoch of the vault in another, empty repository; goes on where an earlier attempt was cut off.

    The configuration is not touched: until `vault.remote` names the new repository, sessions are refused.

    Args:
        to: The new repository, as in `vault.remote`; a path is relative to ``base`` or the working directory.
        agree: Shown the plan before anything is written; raises if it is not to be done.

    Raises:
        ConfigurationError: the vault or the new repository is not fit for it; nothing was changed.
        LockedError: a session or a restore is under way.
        NbvaultError: it was cut off; the old vault is in force, unless the message says otherwise.
    """
    clock = clock or SystemClock()
    url = _target_url(to, base or Path.cwd())
    with (
        opened_vault(settings, writing=True, rotating=True, say=say, clock=clock) as vault,
        StateManager(settings.state.connection_url(), clock=clock) as state,
    ):
        vault.refresh()
        nearby = NextEpoch(vault, vault.remote.elsewhere(url, name="next"))
        making = _making(settings, vault, url, by=by, clock=clock)
        if vault.meta.successor:
            return _already(vault, nearby, making, url)
        plan = _plan(vault, nearby, url, clock=clock)
        _tell_interrupted_restores(vault, say=say, clock=clock)
        if dry_run:
            return plan
        agree(plan)
        with _leased(settings, vault, state, say=say, clock=clock) as lease:
            vault.refresh()
            if vault.meta.successor:
                return _already(vault, nearby, making, url)
            plan = _plan(vault, nearby, url, clock=clock)

            def check() -> None:
                if lease.lost:
                    raise LockedError("Another session has taken over the lease of this rotation.", hint="Run again.")

            made = nearby.make(making, say=say, check=check)
    return Rotation(
        "rotated",
        made.epoch,
        plan.source,
        url,
        plan.notebooks,
        plan.session,
        made.main,
        made.meta,
        made.files,
        made.drift,
        plan.listed,
    )


def _target_url(to: str, base: Path) -> str:
    if to.startswith("-") or "::" in to or not to.isprintable():
        raise ConfigurationError(f"{to!r} is no Git URL and no path.", hint="Name the new repository.")
    return remote_url(to, base=base)


def _plan(vault: Vault, nearby: NextEpoch, url: str, *, clock: Clock) -> Rotation:
    """What a rotation would do, if everything is fit for it."""
    vault.past.refuse_unless_in_force()
    _refuse_unfinished(vault)
    _refuse_open_restores(vault, clock=clock)
    nearby.look()
    lineage, source = vault.meta.lineage, vault.remote.url
    before = dict.fromkeys([*(epoch.remote for epoch in lineage.earlier), source])
    listed = tuple(each for each in before if not may_be_asked(each, configured=url))
    return Rotation("planned", lineage.epoch + 1, source, url, len(vault.meta.rows), vault.meta.session, listed=listed)


def _already(vault: Vault, nearby: NextEpoch, making: Making, url: str) -> Rotation:
    """The old vault has ended: see that the new one says that it has begun, or say where that is."""
    successor = vault.meta.successor
    if successor is None or successor.remote != url:
        raise ended(successor, trusted=True) if successor else ConfigurationError("The vault has not ended.")
    nearby.look()
    if not nearby.is_named:
        raise ConfigurationError(
            f"The vault was rotated to {url} at {successor.at}, but what is there is not what was made then.",
            hint="Somebody has emptied or replaced that repository; bring it back from a clone.",
        )
    nearby.begin(making)
    lineage, rows = vault.meta.lineage, vault.meta.rows
    source = vault.remote.url
    listed = tuple(each for each in [source] if not may_be_asked(each, configured=url))
    return Rotation("already", lineage.epoch + 1, source, url, len(rows), vault.meta.session, listed=listed)


def _refuse_unfinished(vault: Vault) -> None:
    if not vault.meta.content or not vault.main:
        raise ConfigurationError("The vault holds no backup yet.", hint="Let vault.remote name the new repository.")
    unfinished = vault.meta.kind in ("checkpoint", "content") or vault.concluded_content() != vault.meta.content
    if unfinished or vault.damaged or vault.lost_main:
        raise ConfigurationError("The last session of the vault did not come to its end.", hint=_SYNC_FIRST)
    if vault.refs.get("refs/heads/nbvault/meta") != vault.meta.tip:
        raise ConfigurationError("Some of the vault is only on this machine yet.", hint=_SYNC_FIRST)


def _refuse_open_restores(vault: Vault, *, clock: Clock) -> None:
    with opened_restores(vault, clock=clock) as branch:
        if found := branch.open_ids():
            raise LockedError(
                f"Restore {found[0]} has not ended.",
                hint=f"Finish it: `nbvault restore --resume {found[0]}`, or close it: "
                f"`nbvault restore --abandon {found[0]}`.",
            )


def _tell_interrupted_restores(vault: Vault, *, say: Callable[[str], None], clock: Clock) -> None:
    """Only said: one that cannot be finished, for its workspace is gone, must not keep the vault where it is."""
    with opened_restores(vault, clock=clock) as branch:
        receipts = {each: files[RECEIPT] for each, files in branch.records_of(branch.ids()).items() if RECEIPT in files}
        try:
            content = branch.read(list(receipts.values()))
        except NbvaultError as error:
            say(f"How restores ended cannot be seen: {error}")
            return
    wrong = unsettled({each: json.loads(content[oid]) for each, oid in receipts.items()})
    for restore, receipt in sorted(wrong.items()):
        if receipt["status"] == Status.INTERRUPTED.value:
            say(
                f"Restore {restore} by {receipt['by']} was interrupted. After the rotation it can be undone, but not "
                f"finished any more; now `nbvault restore --resume {restore}` finishes it."
            )


def _making(settings: Settings, vault: Vault, url: str, *, by: str, clock: Clock) -> Making:
    event = _event(vault, url, by=by, clock=clock)
    committer = Person(settings.vault.committer_name, settings.vault.committer_email)
    line = {**event._asdict(), "at": iso(event.at)}
    return Making(by, event.at, committer, settings.sync.push_every, line)


def _event(vault: Vault, url: str, *, by: str, clock: Clock) -> AuditEvent:
    heads = f"content {vault.meta.content}, main {vault.main}, meta {vault.refs.get('refs/heads/nbvault/meta', '')}"
    return AuditEvent(clock.now(), by, ACTION, url, "ok", f"from {vault.remote.url}: {heads}")


@contextmanager
def _leased(
    settings: Settings, vault: Vault, state: StateManager, *, say: Callable[[str], None], clock: Clock
) -> Iterator[Lease]:
    """Hold the lease of the old vault, and renew it while large pushes are under way."""
    session = new_id(clock.now(), after=SessionHistory.read(vault).last)
    lease = lease_of(settings, vault, session, sightings=state, say=say, clock=clock)
    lease.acquire()
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(lease.renew_every_s):
            try:
                lease.renew()
            except NbvaultError as error:
                say(f"The lease could not be renewed: {error}")

    renewing = threading.Thread(target=renew, name="nbvault-lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        stop.set()
        renewing.join()
        try:
            lease.release()
        except NbvaultError as error:
            say(f"The lease could not be released: {error}")

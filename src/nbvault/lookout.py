"""Gathering what alerts are judged by, from the vault's records, the state store, and those who know of credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from nbvault.backup.sessions import growth_of
from nbvault.clock import Clock, parse_iso
from nbvault.credentials import renews_itself
from nbvault.credentials import status as credential_status
from nbvault.daily import MAIL_MONTHS, MAILS
from nbvault.errors import NbvaultError, StateError
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.restores import BRANCH, RECEIPT, opened_restores
from nbvault.gitstore.vault import Vault
from nbvault.model import Status
from nbvault.monitoring.facts import Drill, Expiry, Facts, Repository, Session
from nbvault.monitoring.rules import CLOCKS_DIFFER, session_time
from nbvault.opening import opened_vault
from nbvault.recovery.aftermath import unsettled
from nbvault.settings import Settings
from nbvault.setup.conversion import OPEN, RECORDS, latest
from nbvault.state.store import SessionRow, StateManager

# What is begun and not finished after so long was killed, or forgotten.
UNFINISHED_AFTER = timedelta(days=1)
# So many months of records hold every session that a rule looks at, and every alert that may still be open.
SESSION_MONTHS, TOLD_MONTHS = 2, 4
ROWS = 200
_UNREADABLE = "folder could not be read"
_NOT_ENDED = "Restore {} was begun and is not finished."
_REQUESTS = ("list", "export", "export_folder", "other")
AuditCheck = Callable[[Settings, Vault, StateManager], str]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `told` are the vault's lines of alerts, `mailed` those of change reports, `meta` its records' tip.

    `fresh` says that the remote itself was asked.
    """

    facts: Facts
    told: Sequence[Record] = ()
    meta: str = ""
    fresh: bool = False
    mailed: Sequence[Record] = ()


def look_around(
    settings: Settings,
    state: StateManager,
    *,
    credentials: bool,
    notes: list[str],
    clock: Clock,
    audit: AuditCheck | None = None,
) -> Look:
    """Everything that can be seen; what cannot is said in ``notes``, and makes no fact.

    Args:
        credentials: Ask until when credentials are good; that goes to the workspace and to the Git server's host.
        audit: Says what is wrong with the audit trail.
    """
    now = clock.now()
    facts = Facts(now, time_limit=timedelta(seconds=settings.sync.time_limit_s))
    look = _from_vault(settings, state, Look(facts), audit, notes=notes, clock=clock)
    facts = _with_state(settings, state, look.facts, notes)
    if credentials:
        facts = replace(facts, credentials=_credentials(settings, clock=clock))
    return replace(look, facts=facts)


# --- the vault -------------------------------------------------------------------------------------------------------


def _from_vault(
    settings: Settings, state: StateManager, empty: Look, audit: AuditCheck | None, *, notes: list[str], clock: Clock
) -> Look:
    try:
        with opened_vault(settings, want_tree=False, clock=clock) as vault:
            fresh = _refreshed(vault, notes)
            look = _read(vault, empty.facts, fresh=fresh)
            restores = _restores(settings, vault, notes, clock=clock) if fresh else None
            wrong = audit(settings, vault, state) if audit else None
    except NbvaultError as error:
        notes.append(f"The vault cannot be read: {error}")
        return empty
    return replace(look, facts=replace(look.facts, restores=restores, audit=wrong))


def _refreshed(vault: Vault, notes: list[str]) -> bool:
    """Whether the remote has answered; otherwise the vault is as of the last fetch, if there was one."""
    try:
        vault.refresh()
    except NbvaultError as error:
        vault.refresh_offline()
        if not vault.meta.tip:
            raise error from None
        notes.append(f"The remote cannot be asked, and the vault is seen as of the last fetch: {error}")
        return False
    return True


def _read(vault: Vault, facts: Facts, *, fresh: bool) -> Look:
    blobs = vault.blobs
    lines = read_records(vault.meta, "sessions", blobs=blobs, months=SESSION_MONTHS)
    records = {str(line["session"]): line for line in lines if not line.get("dry_run")}
    sessions = [_of_record(records[name]) for name in sorted(records)]
    drills = read_records(vault.meta, "drills", blobs=blobs, months=1)
    conversion = _conversion(read_records(vault.meta, RECORDS, blobs=blobs), facts.now)
    found = replace(
        facts,
        vault_known=True,
        sessions=tuple(sessions),
        problems=vault.meta.problems,
        drill=Drill(parse_iso(str(drills[-1]["at"])), drills[-1]["exit_code"] == 0) if drills else None,
        conversion=conversion,
        repository=_repository(vault, records),
    )
    told = read_records(vault.meta, "alerts", blobs=blobs, months=TOLD_MONTHS)
    mailed = read_records(vault.meta, MAILS, blobs=blobs, months=MAIL_MONTHS)
    return Look(found, told, vault.meta.tip, fresh, mailed)


def _of_record(record: Mapping[str, Any]) -> Session:
    row = SessionRow.of_record(record)
    found = _of_row(replace(row, metadata={**row.metadata, "requests": record.get("requests", {})}))
    return replace(
        found,
        exit_code=int(record.get("exit_code", found.exit_code)),
        unreadable=len(record.get("unreadable_folders", ())),
        secrets=_secrets(record),
        in_vault=True,
    )


def _secrets(record: Mapping[str, Any]) -> int:
    found = record.get("secrets", 0)
    return found if isinstance(found, int) else 0


def _of_row(row: SessionRow) -> Session:
    counts, requests = row.metadata.get("counts", {}), row.metadata.get("requests", {})
    return Session(
        session=row.session,
        status=row.status,
        started_at=row.started_at,
        ended_at=row.ended_at,
        exit_code=int(row.metadata.get("exit_code", 0)),
        listed=row.total,
        failed=row.failed,
        held=int(counts.get("held_deletions", 0)),
        unreadable=sum(entry.get("reason") == _UNREADABLE for entry in row.error_log),
        throttled=int(requests.get("throttled", 0)),
        requests=sum(int(requests.get(kind, 0)) for kind in _REQUESTS),
        error=next((entry["reason"] for entry in row.error_log if not entry["path"]), ""),
        in_vault=False,
    )


def _repository(vault: Vault, records: Mapping[str, Record]) -> Repository | None:
    """What the last session counted in this repository, not in one of an earlier epoch."""
    after = vault.known_epochs()[0].after
    for name in sorted(records, reverse=True):
        if name > after and (growth := growth_of(records[name])):
            return Repository(growth.total_pack_bytes, growth.total_objects, name)
    return None


def _conversion(lines: Sequence[Record], now: datetime) -> str:
    """What is wrong with the last conversion; empty where nothing is, or there was none."""
    found = latest(lines)
    if found is None:
        return ""
    if found.problem:
        return f"The conversion of {found.root} ({found.stage.value}) failed: {found.problem}"
    if found.stage in OPEN and now - parse_iso(str(lines[-1]["at"])) > UNFINISHED_AFTER:
        return f"The conversion of {found.root} was begun and is still {found.stage.value}."
    return ""


def _restores(settings: Settings, vault: Vault, notes: list[str], *, clock: Clock) -> tuple[str, ...] | None:
    """A sentence for each restore of the last days that is not finished, or did not do all that it should."""
    if BRANCH not in vault.refs:
        return ()
    now, since = clock.now(), clock.now() - timedelta(days=settings.alerts.restore_days)
    try:
        with opened_restores(vault, clock=clock) as branch:
            lately = [each for each in branch.ids() if (began := session_time(each)) and began >= since]
            oids = {each: branch.files(each).get(RECEIPT, "") for each in lately}
            content = branch.read([oid for oid in oids.values() if oid])
    except NbvaultError as error:
        notes.append(f"How restores ended cannot be seen: {error}")
        return None
    receipts = {each: json.loads(content[oid]) for each, oid in oids.items() if oid}
    wrong = unsettled(receipts)
    badly = {each: _ended_badly(each, wrong[each]) for each in wrong}
    never = {each: _NOT_ENDED.format(each) for each in lately if not oids[each] and _is_late(each, now)}
    return tuple(told for _, told in sorted({**badly, **never}.items()))


def _is_late(restore: str, now: datetime) -> bool:
    began = session_time(restore)
    return began is not None and now - began > UNFINISHED_AFTER


def _ended_badly(restore: str, receipt: Mapping[str, Any]) -> str:
    why = f": {receipt['error']}" if receipt.get("error") else ""
    return f"Restore {restore} by {receipt['by']} ended {receipt['status']}{why}."


# --- the state store -------------------------------------------------------------------------------------------------


def _with_state(settings: Settings, state: StateManager, facts: Facts, notes: list[str]) -> Facts:
    """The facts with the sessions that only the state store knows: those that failed, and those that run."""
    remote = str(settings.vault.remote)
    try:
        rows = [row for row in state.sessions(limit=ROWS) if row.repo_id in ("", remote)]
    except StateError as error:
        notes.append(f"The state store cannot be read: {error}")
        return facts
    known = {each.session for each in facts.sessions}
    own = [_of_row(row) for row in rows if row.session not in known and row.is_backup]
    ended = [each for each in own if each.status is not Status.RUNNING]
    return replace(
        facts,
        sessions=tuple(in_order([*facts.sessions, *ended], facts.now)),
        running=tuple(each for each in own if each.status is Status.RUNNING),
    )


def in_order(sessions: Iterable[Session], now: datetime) -> list[Session]:
    """By their names, which sort as they began; what a wrong clock named in the future, and no vault knows, is old."""

    def place(session: Session) -> tuple[bool, str]:
        invented = session.started_at > now + CLOCKS_DIFFER and not session.in_vault
        return not invented, session.session

    return sorted(sessions, key=place)


# --- credentials -----------------------------------------------------------------------------------------------------


def _credentials(settings: Settings, *, clock: Clock) -> tuple[Expiry, ...] | None:
    """Until when those are good that do not renew themselves; None where one cannot be asked and the rest is well.

    That a credential is refused is no matter of this rule: sessions fail by it.
    """
    found = credential_status(settings, clock=clock)
    known = [
        Expiry(each.system, each.expires) for each in found if each.expires and not renews_itself(settings, each.system)
    ]
    soon = clock.now() + timedelta(days=settings.alerts.credential_days)
    blind = any(each.error for each in found) and not any(each.at <= soon for each in known)
    return None if blind else tuple(known)

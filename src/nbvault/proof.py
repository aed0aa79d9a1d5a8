"""Proving the vault: against the workspace as it is now, and by restoring from it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nbvault.administration import DRILL, noting, write_note
from nbvault.auth import AuthenticationManager
from nbvault.backup.audit_tree import Comparison, Known, TreeAudit
from nbvault.backup.scope import Scope
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import ConfigurationError, NbvaultError, VaultError
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.reader import diff_trees
from nbvault.gitstore.upkeep import check_objects, is_partial
from nbvault.gitstore.vault import Vault
from nbvault.ids import new_id
from nbvault.model import NotebookFormat, Row
from nbvault.opening import read_vault
from nbvault.recovery.drill import Drill, Rehearsal, Tried, Verdict, contents, draw
from nbvault.recovery.moments import moment, parse_time
from nbvault.recovery.selection import Item
from nbvault.recovery.targets import clean_path
from nbvault.settings import Settings
from nbvault.state.store import AuditEvent
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import NotFound
from nbvault.workspace.transport import ClientOptions

Say = Callable[[str], None]
_VERIFICATIONS, _DRILLS = "verifications", "drills"


def connected(settings: Settings, *, clock: Clock) -> WorkspaceClient:
    """A client for the workspace, to be entered; its requests end at the time limit of a session."""
    deadline = clock.monotonic() + settings.sync.time_limit_s
    return WorkspaceClient(
        AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock, deadline=deadline
    )


def exporter(settings: Settings, *, clock: Clock | None = None) -> Callable[[str, NotebookFormat], bytes | None]:
    """What gives the bytes of a notebook in the workspace; it connects when it is called."""

    async def export(path: str, form: NotebookFormat) -> bytes | None:
        async with connected(settings, clock=clock or SystemClock()) as workspace:
            try:
                return await workspace.export(path, form=form)
            except NotFound:
                return None

    return lambda path, form: asyncio.run(export(path, form))


# --- the vault against the workspace -------------------------------------------------------------------------------


def run_verify(
    settings: Settings,
    *,
    sample: float = 1.0,
    full: bool = False,
    since: str = "",
    budget_s: float | None = None,
    by: str = "",
    warn: Say,
    clock: Clock | None = None,
    draw: Callable[[], float] = random.random,
) -> Comparison:
    """Compare the vault with the workspace and let git check the local repository.

    Writes nothing anywhere, but with a budget: then the vault's `records/verifications-*.jsonl` say how far it came,
    so that the next one goes on there, on any machine.

    Args:
        sample: The share of the notebooks to export, above 0 and at most 1.
        full: Read every byte: of the protected state (fetched where only the remote has it) and of what is here.
        since: A time (`moments.parse_time`): only notebooks whose content was saved after the last session then.
        budget_s: Seconds after which no further notebook is begun.
        by: Who asks, for the audit trail.
        warn: Told what a person should know about the comparison.
        draw: A number in [0, 1) for each notebook.

    Raises:
        NbvaultError: it could not come to its end.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    with read_vault(settings, warn=warn, clock=clock) as vault:
        known = Known.of(vault)
        saved = _saved_since(vault, since) if since else None
        before = _last_verification(vault, since=bool(since)) if budget_s is not None else {}
        scope = Scope.of(settings.workspace.include, settings.workspace.exclude)

        def chosen(row: Row) -> bool:
            return (saved is None or row.repo_path in saved) and draw() < sample

        def enough() -> bool:
            return budget_s is not None and clock.monotonic() - began >= budget_s

        async def compare() -> Comparison:
            async with connected(settings, clock=clock) as workspace:
                after = int(before.get("reached", 0)) if budget_s is not None else None
                workers = settings.sync.max_in_flight
                root = settings.workspace.root
                return await TreeAudit(workspace, known, root, scope, chosen, workers, after, enough).run()

        found = replace(asyncio.run(compare()), sample=sample, head=vault.main, since=since)
        found = _checked(vault, found, full=full)
    if budget_s is None:
        return found
    return _remembered(settings, found, before, by=by, warn=warn, clock=clock)


def _checked(vault: Vault, found: Comparison, *, full: bool) -> Comparison:
    """With what git says of the objects of the vault."""
    whole = full or not (vault.is_shallow or is_partial(vault.git))
    fault = _fault(vault, full=full) if whole else ""
    told = fault or ("sound" if whole else "only a part of the vault is here: not checked (--full reads it)")
    return replace(found, repository=told, sound=not fault)


def _fault(vault: Vault, *, full: bool) -> str:
    """What is wrong with the objects of the vault; empty where all is well."""
    try:
        for _ in vault.blobs.read(vault.blob_at.values() if full else ()):
            pass
    except VaultError as error:
        return error.message
    return check_objects(vault.git, contents=full)


def _saved_since(vault: Vault, since: str) -> set[str] | None:
    """The repository paths whose content was saved after the last session at that time; None if there was none yet."""
    parse_time(since)
    try:
        then = moment(vault, since).commit
    except ConfigurationError:
        return None
    return {each.path for each in diff_trees(vault.git, then, vault.meta.content) if each.new_oid}


def _last_verification(vault: Vault, *, since: bool) -> Record:
    """The last record of its kind: those with --since go their own round."""
    lines = read_records(vault.meta, _VERIFICATIONS, blobs=vault.blobs, months=3)
    return next((line for line in reversed(lines) if bool(line.get("since")) == since), {})


def _remembered(
    settings: Settings, found: Comparison, before: Record, *, by: str, warn: Say, clock: Clock
) -> Comparison:
    """Written down how far it came; a round begins anew when all of it is behind us."""
    now = clock.now()
    whole = found.taken == found.due
    start = int(before.get("reached", 0))
    reached = start if found.reached is None else found.reached
    wrapped = whole or reached < start
    began = str(before.get("round", "")) if before and not wrapped else iso(now)
    note = f"Compared {found.taken:,} of {found.due:,} notebooks" + ("" if whole else " in the time given")
    if not whole:
        note += f"; the round that began at {began} goes on there next time"
    line: dict[str, Any] = {"at": iso(now), "by": by, "head": found.head, "since": found.since, "round": began}
    line |= {"reached": 0 if whole else reached, "due": found.due, "taken": found.taken, "same": found.same}
    line |= {"exit_code": found.exit_code}
    result = {0: "ok", 3: "partial"}.get(found.exit_code, "differs")
    event = AuditEvent(now, by, "verify", settings.workspace.root, result, note)
    remembered = _record(settings, event, {_VERIFICATIONS: [line]}, warn=warn, clock=clock)
    return replace(found, remembered=remembered, notes=(f"{note}.",))


def _record(
    settings: Settings, event: AuditEvent, records: dict[str, list[Record]], *, warn: Say, clock: Clock
) -> bool:
    """Write it into the vault and the state store; a failure is told and takes nothing from what was found."""
    try:
        with noting(settings, say=warn, clock=clock) as (vault, state):
            write_note(settings, vault, [event], state=state, records=records, clock=clock)
    except NbvaultError as error:
        warn(f"The result could not be recorded in the vault: {error}")
        return False
    return True


# --- restoring as an exercise --------------------------------------------------------------------------------------


def run_drill(
    settings: Settings,
    *,
    sample: int,
    to: str,
    seed: int,
    by: str = "",
    warn: Say,
    clock: Clock | None = None,
) -> Drill:
    """Restore notebooks drawn by lot to a scratch folder below ``to``, compare them, remove it, and record the result.

    Touches nothing outside its scratch folder, but for folders above it that it had to make.

    Raises:
        ConfigurationError: ``to`` is in the backed-up root, or there is nothing to restore.
        NbvaultError: it could not come to its end; the scratch folder is removed all the same, if that can be.
    """
    clock = clock or SystemClock()
    folder = _outside(settings, to)
    now = clock.now()
    drill = new_id(now)
    with read_vault(settings, warn=warn, clock=clock) as vault:
        items = draw(vault, sample=sample, seed=seed)
        data = contents(vault.blobs, items)
        commit = vault.meta.content
    scratch = f"{folder}/{drill}"
    tried, left_behind = asyncio.run(_rehearse(settings, scratch, items, data, clock=clock))
    found = Drill(drill, now, by, seed, commit, scratch, tuple(tried), left_behind)
    result = {0: "ok", 3: "partial"}.get(found.exit_code, "differs")
    detail = f"{found.count(Verdict.IDENTICAL):,} of {len(tried):,} notebooks came back as they were"
    line = {name: value for name, value in found.as_json().items() if name != "recorded"}
    event = AuditEvent(now, by, DRILL, scratch, result, detail)
    return replace(found, recorded=_record(settings, event, {_DRILLS: [line]}, warn=warn, clock=clock))


async def _rehearse(
    settings: Settings, scratch: str, items: list[Item], data: dict[str, bytes], *, clock: Clock
) -> tuple[list[Tried], str]:
    async with connected(settings, clock=clock) as workspace:
        rehearsal = Rehearsal(workspace, scratch=scratch, root=settings.workspace.root)
        return await rehearsal.run(items, data), rehearsal.left_behind


def _outside(settings: Settings, to: str) -> str:
    """The folder for drills, which no backup may see."""
    folder = clean_path(to, what="--to")
    root = settings.workspace.root.removeprefix("/Workspace").rstrip("/")
    scope = Scope.of(settings.workspace.include, settings.workspace.exclude)
    inside = f"{folder}/".startswith(f"{root}/")
    if inside and (root or scope.may_contain(folder)):
        hint = "Give a folder outside it." if root else "Name it in workspace.exclude first."
        raise ConfigurationError(f"{folder} is inside the backed-up root {settings.workspace.root}.", hint=hint)
    return folder

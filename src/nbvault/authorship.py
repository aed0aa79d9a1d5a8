"""Naming the authors of changes whose commits could not: from the audit table as it fills, and from restores.

Commits are never rewritten. What is not known when a session ends becomes a question in the vault, and later a line
that answers it; `changes`, `history` and `blame` show the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from nbvault.administration import noting, write_note
from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import NbvaultError
from nbvault.gitstore.authors import EDITORS, Authors, Question
from nbvault.gitstore.meta import Record, read_records, read_renames
from nbvault.gitstore.restores import BRANCH, opened_restores
from nbvault.gitstore.vault import Vault
from nbvault.ids import stamp
from nbvault.model import UNKNOWN
from nbvault.opening import opened_vault, read_vault
from nbvault.recovery.history import Change
from nbvault.recovery.receipt import read_record
from nbvault.reporting.query import Query
from nbvault.reporting.walk import NotebookChange, began, changes
from nbvault.settings import EditorsSource, Settings
from nbvault.state.store import AuditEvent
from nbvault.workspace.acts_source import acts_of
from nbvault.workspace.audit_events import Acts, since_of
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import ClientOptions

ACTION = "name editors"
# A deletion or a move happened after the session before; by so much that session's clock may have been ahead.
SLACK = timedelta(days=1)


def name_editors(settings: Settings, *, say: Callable[[str], None], clock: Clock | None = None) -> int:
    """Ask whose the changes of the last `editors.days` were that nobody is known for; returns how many were answered.

    Does nothing where there is nobody to ask: no audit table is configured, and nothing was ever restored.

    Raises:
        NbvaultError: vault or audit table cannot be read, or the vault not be written; the next session asks again.
    """
    clock = clock or SystemClock()
    if settings.editors.source is EditorsSource.LISTING:
        with opened_vault(settings, want_tree=False, clock=clock) as vault:
            if BRANCH not in vault.remote.ls_remote():
                return 0
    with read_vault(settings, warn=say, want_tree=False, clock=clock) as vault:
        lines = _lines(settings, vault, clock=clock)
    answered = sum("by" in line for line in lines)
    if lines:
        event = AuditEvent(clock.now(), "nbvault", ACTION, settings.workspace.root, "ok", _told(lines, answered))
        with noting(settings, say=say, clock=clock) as (vault, state):
            write_note(settings, vault, [event], state=state, records={EDITORS: lines}, clock=clock)
    return answered


def _told(lines: list[Record], answered: int) -> str:
    return f"{answered} changes named, {len(lines) - answered} new ones that nobody is known for"


def _lines(settings: Settings, vault: Vault, *, clock: Clock) -> list[Record]:
    """New questions, and the answers that can be given now to these and to older ones."""
    first = clock.now() - timedelta(days=settings.editors.days)
    known = Authors.of(vault)
    new = [question for question in _questions(vault, first) if not known.knows(question)]
    asked = [question for question in known.open() if began(question.session) >= first] + new
    if not asked:
        return []
    restored = _restored(vault, first, clock=clock)
    acts = asyncio.run(_acts(settings, clock=clock)) or Acts(())
    before = _sessions_before(vault)
    answers = []
    for question in asked:
        by, source = restored.get((question.path, question.blob), ""), "restore"
        if not by:
            person, source = _answer(question, acts, before.get(question.session)), "audit"
            by = person or ""
        if by:
            line = {"session": question.session, "change": question.change, "path": question.path, "by": by}
            answers.append({**line, "source": source, "at": iso(clock.now())})
    return [*(question.as_record() for question in new), *answers]


def _answer(question: Question, acts: Acts, before: datetime | None) -> str | None:
    since_ms = since_of(before - SLACK) if before else 0
    if question.change == Change.DELETED.value:
        found = acts.remover(question.object_id, question.path, since_ms=since_ms)
    elif question.change == Change.RENAMED.value:
        found = acts.mover(question.object_id, question.old_path, question.path, since_ms=since_ms)
    else:
        found = acts.editor(question.object_id, question.path, question.modified_ms)
    return found.email if found else None


async def _acts(settings: Settings, *, clock: Clock) -> Acts | None:
    if settings.editors.source is EditorsSource.LISTING:
        return None
    auth = AuthenticationManager(settings, clock=clock)
    async with WorkspaceClient(auth, options=ClientOptions.of(settings), clock=clock) as workspace:
        return await acts_of(settings, workspace, clock=clock)


def _questions(vault: Vault, first: datetime) -> Iterator[Question]:
    sessions = [str(each["session"]) for each in read_records(vault.meta, "sessions", blobs=vault.blobs, months=2)]
    last = sessions[-1] if sessions else ""
    if not vault.meta.content or not last:
        return
    ids, gone = _ids(vault), {(stone.session, stone.path): stone.object_id for stone in vault.meta.tombstones.values()}
    moved = {(each.session, each.new_path): each.object_id for each in read_renames(vault.meta, blobs=vault.blobs)}
    for change in changes(vault, Query(since=first)):
        if change.author != UNKNOWN:
            continue
        number, modified_ms = ids.get(change.path, (0, 0)) if change.change is not Change.DELETED else (0, 0)
        number = gone.get((change.session, change.path), 0) or moved.get((change.session, change.path), 0) or number
        yield _question(change, number, modified_ms if change.session == last else 0)


def _question(change: NotebookChange, number: int, modified_ms: int) -> Question:
    told = (change.session, change.change.value, change.path, change.old_path)
    return Question(*told, number, modified_ms, change.new_blob)


def _ids(vault: Vault) -> dict[str, tuple[int, int]]:
    return {row.path: (row.object_id, row.modified_at_ms) for row in vault.meta.rows.values()}


def _sessions_before(vault: Vault) -> dict[str, datetime]:
    """When the session before each of the last ones began."""
    names = [str(each["session"]) for each in read_records(vault.meta, "sessions", blobs=vault.blobs, months=2)]
    return {name: began(before) for before, name in pairwise(names)}


def _restored(vault: Vault, first: datetime, *, clock: Clock) -> dict[tuple[str, str], str]:
    """Who asked for what a restore wrote, by path and blob."""
    found: dict[tuple[str, str], str] = {}
    if BRANCH not in vault.refs:
        return found
    with opened_restores(vault, clock=clock) as branch:
        for name in branch.ids():
            if name < stamp(first):
                continue
            record = read_record(branch, name)
            for entry in record.intent.entries:
                outcome = record.outcomes.get(entry.number)
                if outcome is not None and outcome.written:
                    found[(entry.target.removeprefix("/Workspace"), outcome.written)] = record.intent.by
    return found


def name_editors_or_say(settings: Settings, *, say: Callable[[str], None], clock: Clock | None = None) -> Any:
    """As `name_editors`, after a session that has ended: a failure is said, and changes nothing of that."""
    try:
        return name_editors(settings, say=say, clock=clock)
    except NbvaultError as error:
        say(f"Whose some changes were could not be asked; the next session tries again: {error}")
        return 0

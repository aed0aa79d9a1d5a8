"""Bytes into the vault: blobs as they arrive, batches while the scan goes on, the last commits of the session."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from nbvault.backup.commits import CommitStream
from nbvault.backup.detect import times_differ
from nbvault.backup.held_back import HeldBack
from nbvault.backup.ledger import Ledger, Outcome
from nbvault.backup.plan import Plan, Planner
from nbvault.errors import RemoteUnreachable
from nbvault.gitstore.meta import Record
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import blob_id
from nbvault.model import ListedObject, Person, Rename, Row, State, source_language
from nbvault.paths import extension_for, extension_of

# Handed to the writing thread in pieces of this size; the stream sorts larger ones.
FLUSH_BYTES = 2 * 1024 * 1024
# So much may be on its way into git: what the stream sorts (its BUFFER_BYTES), and what is exported while it is sent.
IN_HAND_BYTES = 112 * 1024 * 1024
# So many commits may wait for the writing thread, each with the rows of its batch.
COMMITS_WAITING = 2


@dataclass(frozen=True, slots=True)
class Batching:
    """When a session commits before its end. ``large``: from the start, otherwise above ``large_above`` notebooks."""

    large: bool
    large_above: int
    batch_size: int
    push_every: int


class VaultWriter:
    """Everything that a session writes into the local repository, in one thread and in order.

    What it has committed is at once in the vault's rows. `push` gets a meta commit and the content it describes.
    """

    def __init__(
        self,
        vault: Vault,
        planner: Planner,
        ledger: Ledger,
        batching: Batching,
        *,
        session: str,
        at: datetime,
        committer: Person,
        editor_of: Callable[[ListedObject], Awaitable[Person]],
        push: Callable[[str, str], None],
        held_back: HeldBack,
        dry_run: bool = False,
    ) -> None:
        self._vault = vault
        self._planner = planner
        self._ledger = ledger
        self._batching = batching
        self._session = session
        self._editor_of = editor_of
        self._push = push
        self._held_back = held_back
        self._dry_run = dry_run
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="git-writer")
        self._jobs: deque[asyncio.Future[None]] = deque()
        self._pushing: asyncio.Future[None] | None = None
        self._pending: list[tuple[str, bytes, str]] = []
        self._pending_bytes = 0
        # Counted in the event loop; what the writing thread has taken of it, the stream counts.
        self._handed_bytes = self._handed_commits = self._pushed_commits = 0
        self._ready: list[Outcome] = []
        self._changed = 0
        self._since_push = 0
        # By id: the listed times of what is committed and not proven, which its row gets when the session is.
        self._unproven: dict[int, tuple[int, int]] = {}
        self.renames: list[Rename] = []
        self._removed: set[str] = set()
        self._stream = CommitStream(
            vault, session=session, at=at, committer=committer, large=batching.large, removed=self._removed
        )

    @property
    def commits(self) -> int:
        """How many commits of content were made."""
        return self._stream.commits

    @property
    def authors(self) -> Counter[str]:
        """How many changes have whose address on them."""
        return self._stream.authors

    # --- while the scan goes on --------------------------------------------------------------------------------------

    async def keep(self, outcome: Outcome, data: bytes) -> None:
        """Take the bytes of an exported notebook; writes them if the vault does not have them."""
        row, blob = outcome.row, blob_id(data)
        known = self._vault.blob_at.get(row.repo_path) if row else None
        if blob != known:
            self._held_back.screen(outcome.listed, blob, data)
        if self._is_held_back(outcome, blob):
            return
        if blob != known:
            outcome.editor = await self._editor_of(outcome.listed)
            self._buffer(outcome.listed.path, data, blob)
        elif row and _is_as_listed(row, outcome):
            self._ledger.mark_unchanged(outcome.listed.object_id)
            return
        await self._saved(outcome, blob, extension_for(source_language(data, outcome.listed.language), outcome.form))

    async def recall(self, outcome: Outcome) -> bool:
        """Take a notebook that this session exported before the remote refused its commit; False for any other."""
        found = self._held_back.exported(outcome.listed)
        if found is None:
            return False
        row, blob = found
        if not self._is_held_back(outcome, blob):
            outcome.editor, outcome.form = await self._editor_of(outcome.listed), row.format
            self._changed += 1
            await self._saved(outcome, blob, extension_of(row.repo_path))
        return True

    async def idle(self) -> None:
        """Nothing more comes for now: what is held to be sorted goes to git, while others wait for something else."""
        self._flush()
        if self._handed_bytes:
            self._do(self._stream.send)

    def _is_held_back(self, outcome: Outcome, blob: str) -> bool:
        reason = self._held_back.reasons.get(blob)
        if reason is not None:
            outcome.state, outcome.reason = State.FAILED, reason
        return reason is not None

    async def _saved(self, outcome: Outcome, blob: str, extension: str) -> None:
        # Not before the bytes are in our hands: a session that is stopped commits what is saved.
        outcome.state, outcome.blob, outcome.extension = State.SAVED, blob, extension
        self._ready.append(outcome)
        await self._keep_up()
        self._stream.large = self._stream.large or self._changed > self._batching.large_above
        if self._stream.large and not self._dry_run and len(self._ready) >= self._batching.batch_size:
            await self._batch(self._take_ready())

    def _buffer(self, name: str, data: bytes, blob: str) -> None:
        self._changed += 1
        if self._dry_run:
            return
        self._pending.append((name, data, blob))
        self._pending_bytes += len(data)
        if self._pending_bytes >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        self._handed_bytes += self._pending_bytes
        self._pending_bytes = 0
        if pending:
            self._do(lambda: self._stream.write(pending))

    def _take_ready(self) -> list[Outcome]:
        ready, self._ready = self._ready, []
        current = self._ledger.outcomes
        return [o for o in ready if current.get(o.listed.object_id) is o and self._planner.needs_no_proof(o)]

    async def _batch(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        plan = self._planned(outcomes)
        # Nothing is waited for between planning and queueing: whoever is cancelled here has not lost the batch.
        self._flush()
        also = self._held_back.records(self._session, at=self._stream.at)
        self._do_commit(plan, "checkpoint", also)
        self._since_push += len(outcomes)
        if self._since_push >= self._batching.push_every and (self._pushing is None or self._pushing.done()):
            await self.pushed()
            self._pushing = None
            self._since_push = 0
            self._push_on()
        await self._keep_up()

    def _push_on(self) -> None:
        """Begin to push what is committed by now, after what is being pushed, while the session goes on."""
        self._pushed_commits = self._handed_commits
        self._pushing = asyncio.ensure_future(self._push_behind(self._pushing))

    async def _push_behind(self, before: asyncio.Future[None] | None) -> None:
        if before is not None:
            await before
        meta = self._vault.meta
        # Read in the writing thread, after all that is queued, for that thread moves them on while the push runs.
        loop = asyncio.get_running_loop()
        tip, content = await loop.run_in_executor(self._thread, lambda: (meta.tip, meta.content))
        await asyncio.to_thread(self._push, tip, content)

    async def pushed(self) -> None:
        """Wait until what is pushed behind has arrived; a remote that does not answer is left for the end.

        Raises:
            RemoteMoved: another nbvault has pushed. PushRefused, AuthenticationError: as `push`.
        """
        if self._pushing is not None:
            with suppress(RemoteUnreachable):
                await asyncio.shield(self._pushing)

    # --- at the end --------------------------------------------------------------------------------------------------

    async def salvage(self) -> None:
        """Commit what is finished and needs no proof; for a session that cannot go on."""
        outcomes = [o for o in self._ledger.outcomes.values() if self._planner.needs_no_proof(o)]
        await self._batch(outcomes)
        await self._drain()
        await self.pushed()

    async def finish(self, plan: Plan, *, also: Mapping[str, Sequence[Record]] | None = None) -> None:
        """Commit the rest of the session: content, and the meta commit that describes it, with these records.

        Of a large session it is then being pushed, see `pushed`.
        """
        plan.rows += self._proven_rows(plan)
        self._apply(plan)
        also = {**(also or {}), **self._held_back.records(self._session, at=self._stream.at)}
        if not plan.is_empty or also or not self._vault.meta.content:
            self._flush()
            self._do_commit(plan, "content", also)
        await self._drain()
        if self._stream.large and self._handed_commits > self._pushed_commits:
            self._push_on()

    def close(self) -> None:
        """Stop writing; what was not committed is left to git's own cleaning."""
        for job in (*self._jobs, *([self._pushing] if self._pushing else [])):
            job.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._stream.close()

    def _planned(self, outcomes: Sequence[Outcome]) -> Plan:
        plan = self._planner.plan(outcomes)
        plan.rows = self._without_claims(plan.rows, outcomes)
        self._apply(plan)
        return plan

    def _without_claims(self, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> list[Row]:
        """The rows of a batch: without times, and so exported again if the session dies, where bytes are not proven."""
        unproven = {outcome.listed.object_id for outcome in outcomes if outcome.from_archive}
        for row in rows:
            self._unproven.pop(row.object_id, None)
            if row.object_id in unproven:
                self._unproven[row.object_id] = (row.modified_at_ms, row.interactive_at_ms)
        return [
            row._replace(modified_at_ms=0, interactive_at_ms=0) if row.object_id in unproven else row for row in rows
        ]

    def _proven_rows(self, plan: Plan) -> list[Row]:
        """At the end of a session whose archives were right: the rows of its batches with their times."""
        done = {row.object_id for row in plan.rows} | {stone.object_id for stone in plan.tombstones}
        rows = self._vault.meta.rows
        return [
            rows[object_id]._replace(modified_at_ms=times[0], interactive_at_ms=times[1])
            for object_id, times in self._unproven.items()
            if object_id not in done and object_id not in self._ledger.outcomes and object_id in rows
        ]

    def _apply(self, plan: Plan) -> None:
        """Enter a plan into what the session knows; its commit follows in order, or the session fails."""
        self._vault.meta.apply(plan.rows, plan.tombstones)
        for change, _ in plan.changes:
            if change.blob:
                self._vault.blob_at[change.path] = change.blob
                self._removed.discard(change.path)
            else:
                self._vault.blob_at.pop(change.path, None)
                self._removed.add(change.path)
        for object_id, kind in plan.kinds.items():
            self._ledger.settle(object_id, kind)
        self.renames += plan.renames

    def _do(self, job: Callable[[], None]) -> None:
        """Queue work for the writing thread; it is done in order, whoever waits for it."""
        self._jobs.append(asyncio.get_running_loop().run_in_executor(self._thread, job))

    def _do_commit(self, plan: Plan, kind: str, also: Mapping[str, Sequence[Record]]) -> None:
        self._handed_commits += 1
        self._do(lambda: self._stream.commit(plan, kind, also))

    async def _keep_up(self) -> None:
        """Wait while the writing thread is too far behind for memory's sake; raises what ended a job."""
        while self._jobs and (self._jobs[0].done() or self._is_behind()):
            await self._oldest_job()

    def _is_behind(self) -> bool:
        stream = self._stream
        waiting = self._handed_bytes - stream.taken_bytes + stream.held_bytes
        return waiting > IN_HAND_BYTES or self._handed_commits - stream.taken_commits > COMMITS_WAITING

    async def _drain(self) -> None:
        while self._jobs:
            await self._oldest_job()

    async def _oldest_job(self) -> None:
        """Wait for one job; whoever is cancelled while waiting does not cancel the job."""
        job = self._jobs[0]
        if not job.done():
            await asyncio.wait([job])
        if self._jobs and self._jobs[0] is job:
            self._jobs.popleft().result()


def _is_as_listed(row: Row, outcome: Outcome) -> bool:
    listed = outcome.listed
    return (row.path, row.language) == (listed.path, listed.language) and not times_differ(listed, row)

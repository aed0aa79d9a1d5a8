"""One session from end to end: the flow of docs/design.md, section 3, readable on a screen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from nbvault.auth import AuthEvent
from nbvault.backup.bulk import BulkSession, day_of
from nbvault.backup.conclusion import Conclusion, Published
from nbvault.backup.detect import Distrust, Fate, Verdict, judge_deletions, parent_of
from nbvault.backup.ending import Ending, ended_badly, ended_well
from nbvault.backup.freezing import looks_of
from nbvault.backup.held_back import HeldBack
from nbvault.backup.ledger import Ledger
from nbvault.backup.plan import Plan, Planner, contested_names
from nbvault.backup.plan import Vault as PlannedVault
from nbvault.backup.problems import failures
from nbvault.backup.sessions import SessionHistory
from nbvault.backup.stopping import Stopping
from nbvault.backup.surroundings import Surroundings, SyncOptions, SyncSettings
from nbvault.backup.survey import Findings, Knowledge, Survey
from nbvault.backup.verify import check_ledger
from nbvault.backup.write import Batching, VaultWriter
from nbvault.errors import (
    AuthenticationError,
    ConfigurationError,
    GitError,
    LockedError,
    NbvaultError,
    VerificationError,
    WorkspaceError,
)
from nbvault.gitstore.conclude import Summary
from nbvault.gitstore.growth import growth_since
from nbvault.gitstore.lease import Lease
from nbvault.gitstore.meta import Record, read_held
from nbvault.gitstore.publish import RemoteMoved, SecretsRefused
from nbvault.ids import new_id
from nbvault.model import NBVAULT, Row, SessionReport
from nbvault.namespace import Namespace
from nbvault.workspace.errors import DeadlineExceeded

# How often a session judges the workspace anew because another nbvault pushed meanwhile.
ATTEMPTS = 3
COMMITTING, PUBLISHING = "Committing", "Pushing and confirming"

RECORDS_LOST = (
    "The vault has conclusions but no records of its notebooks: its branch nbvault/meta is gone. Everything was saved "
    "anew; files of notebooks that were deleted meanwhile stay on main as if they were people's."
)


class GitSyncEngine:
    """Runs one session and reports the truth about it; what goes wrong is in the report, not raised.

    `trail` is what its audit trail says of it, once it has ended; also where the vault could not be told.
    """

    def __init__(self, around: Surroundings, settings: SyncSettings, options: SyncOptions | None = None) -> None:
        self._around = around
        self._settings = settings
        self._options = options or SyncOptions()
        self._vault = around.vault
        self._began = around.clock.now()
        self._session = new_id(self._began)
        self._lease: Lease | None = None
        self._stopping = Stopping(around.stop, self._vault.git.stop)
        self._history = SessionHistory()
        self._writer: VaultWriter | None = None
        self._survey: Survey | None = None
        self._bulk = BulkSession(settings.bulk, native=settings.native, began=self._began)
        self._scan_started = self._began
        self._first = self._resumed = False
        self._slice: int | None = None
        self._held_back = HeldBack(settings.screening, settings.allowed_secrets)
        self._auth_events: list[AuthEvent] = []
        self.trail: list[Record] = []
        self._actor = NBVAULT.name

    async def run(self) -> SessionReport:
        """The whole session, and how it ended."""
        try:
            await self._open()
            try:
                return await self._sync()
            except NbvaultError as error:
                return await self._rescue(error)
        except NbvaultError as error:
            ending = self._ending(None)
            report = ending.report(ended_badly(error))
            self._audited(ending, report)
            return report
        finally:
            self._stop_writing()
            await self._release()

    # --- the flow ----------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._around.watcher.stage("Opening the vault")
        await self._look()
        if not self._options.dry_run:
            lease = self._around.lease(self._session)
            await self._stopping.blocking(lease.acquire, grace_s=1.0)
            self._lease = lease
            self._stopping.guard = asyncio.ensure_future(self._keep_lease(lease))
            # Whoever held the lease until now may have concluded since.
            await self._look()
        self._around.watcher.began(self._session, self._began)

    async def _look(self) -> None:
        await self._stopping.blocking(self._vault.refresh)
        self._history = await self._stopping.blocking(lambda: SessionHistory.read(self._vault))
        if self._session <= self._history.last:
            self._session = new_id(self._began, after=self._history.last)

    async def _sync(self) -> SessionReport:
        moves = 0
        while True:
            try:
                return await self._judge_and_write()
            except RemoteMoved:
                moves += 1
                if moves == ATTEMPTS:
                    raise
                self._around.watcher.stage("Another nbvault pushed to this vault meanwhile: judging anew")
                await self._start_over()
            except SecretsRefused as refused:
                # Each round leaves out at least one more, so this ends.
                if not await asyncio.to_thread(self._held_back.learn, refused, self._vault):
                    raise
                self._around.watcher.stage("The remote refuses secrets: notebooks with them are held back")
                await self._start_over(refused=[finding.commit for finding in refused.findings])

    async def _start_over(self, refused: Sequence[str] = ()) -> None:
        """Drop what was committed and not pushed, but not the exports."""
        self._stop_writing()
        self._bulk.forgotten()
        rows, blob_at = self._vault.meta.rows, self._vault.blob_at
        await asyncio.to_thread(lambda: self._vault.forget_unpushed(refused=refused))
        await self._stopping.blocking(self._vault.refresh)
        await asyncio.to_thread(self._held_back.remember, rows, blob_at, self._vault)

    async def _judge_and_write(self) -> SessionReport:
        identity = await self._stopping.unless_stopped(self._around.workspace.me())
        self._actor = identity.user_name
        self._around.host.signed_in(identity.user_name)
        accepted = await asyncio.to_thread(self._accepted)
        concluded = await self._stopping.blocking(self._vault.concluded_content)
        self._resumed = concluded != self._vault.meta.content
        self._first = not concluded
        records_lost = bool(concluded) and not self._vault.meta.tip
        if self._first and not self._resumed:
            await self._foretell()
        planner = await asyncio.to_thread(self._planner)
        await self._stopping.blocking(lambda: self._bulk.begin(self._vault, self._around.workspace.host))
        self._scan_started = self._now()
        survey = self._survey = self._new_survey(planner)
        self._around.watcher.watch(survey)
        findings = await self._stopping.unless_stopped(survey.run())
        await self._stopping.unless_stopped(self._bulk.probe(self._around.workspace))
        trusted = identity.is_admin and await self._still_admin(findings)
        verdict = self._judge(findings, accepted, trusted=trusted)
        plan = self._plan(planner, survey.ledger, verdict)
        ending = self._ending(survey)
        ending.notes += [RECORDS_LOST] if records_lost else []
        ending.found(findings, verdict, deleted=len(plan.tombstones), problems_before=self._vault.meta.problems)
        check_ledger(ending.counts)
        if self._options.dry_run:
            return ending.report(ended_well(ending, Published(self._vault.main)))
        return await self._write(plan, ending, verdict)

    async def _foretell(self) -> None:
        """Say what would refuse a push before a first session spends hours on what it could not push."""
        for sentence in await self._stopping.unless_stopped(self._around.host.foretold()):
            self._around.watcher.stage(sentence)

    async def _still_admin(self, findings: Findings) -> bool:
        """Whether a folder that vanished is really gone; who cannot be asked now is not believed."""
        if not any(missing.fate is Fate.FOLDER_VANISHED for missing in findings.candidates):
            return True
        try:
            return (await self._stopping.unless_stopped(self._around.workspace.me())).is_admin
        except (AuthenticationError, DeadlineExceeded):
            raise
        except WorkspaceError:
            return False

    async def _write(self, plan: Plan, ending: Ending, verdict: Verdict) -> SessionReport:
        writer = self._writer
        if writer is None:
            raise VerificationError("A session without a writer has nothing to conclude.")
        self._around.watcher.stage(COMMITTING)
        await writer.finish(plan, also=self._found_out())
        ending.commits, ending.authors = writer.commits, writer.authors
        conclusion = self._conclusion()
        try:
            taken_up = await self._stopping.blocking(conclusion.taken_up) if self._resumed else ()
            summary = Summary(
                self._session,
                self._scan_started,
                ending.status,
                ending.counts,
                writer.renames,
                self._options.message,
                taken_up,
            )
            self._around.watcher.stage(PUBLISHING)
            concluded = await self._stopping.blocking(lambda: conclusion.conclude(summary))
        finally:
            # Whatever comes next must not meet a push that is still under way.
            await self._stopping.to_its_end(writer.pushed())
        writer.close()
        published = await self._stopping.blocking(lambda: conclusion.publish(summary, concluded))
        ending.growth = await self._stopping.blocking(lambda: growth_since(self._vault, self._history.growth))
        report = ending.report(ended_well(ending, published))
        await self._stopping.blocking(lambda: self._record(conclusion, ending, report, verdict.held))
        return report

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _accepted(self) -> frozenset[int]:
        asked = self._options.accept_deletions
        return read_held(self._vault.meta, asked, blobs=self._vault.blobs) if asked else frozenset()

    def _planner(self) -> Planner:
        meta = self._vault.meta
        known = PlannedVault(
            self._settings.root, meta.rows, meta.tombstones, lambda path: self._vault.blob_at.get(path, "")
        )
        return Planner(known, lambda: Namespace.of(meta.rows.repo_paths()), session=self._session)

    def _new_survey(self, planner: Planner) -> Survey:
        settings, meta, ledger = self._settings, self._vault.meta, Ledger(self._vault.meta.rows)
        chosen = looks_of(meta, self._history, today=day_of(self._began), everything=self._options.everywhere)
        self._writer = VaultWriter(
            self._vault,
            planner,
            ledger,
            Batching(
                self._first and not self._options.dry_run, settings.large, settings.batch_size, settings.push_every
            ),
            session=self._session,
            at=self._scan_started,
            committer=settings.committer,
            editor_of=self._around.editor_of,
            push=self._conclusion().push_checkpoint,
            held_back=self._held_back,
            dry_run=self._options.dry_run,
        )
        return Survey(
            self._around.workspace,
            Knowledge(meta.rows, meta.tombstones),
            self._writer,
            ledger,
            root=settings.root,
            scope=settings.scope,
            distrust=self._distrust(chosen.due),
            contested=contested_names,
            max_in_flight=settings.max_in_flight,
            native=settings.native,
            trust=self._bulk.trust,
            picker=self._bulk.picker,
            day=self._bulk.day,
            looks=chosen,
            first=sorted({parent_of(problem.path) for problem in failures(meta.problems)}),
        )

    def _distrust(self, weekly: frozenset[str]) -> Distrust:
        today = day_of(self._began)
        due = not (self._first or self._resumed) and self._history.last_slice != today
        self._slice = today if due else None
        failed = frozenset(problem.object_id for problem in failures(self._vault.meta.problems))
        return Distrust(self._options.full, self._settings.recheck_days, self._slice, failed, weekly)

    def _judge(self, findings: Findings, accepted: frozenset[int], *, trusted: bool) -> Verdict:
        verdict = judge_deletions(
            findings.candidates,
            root=self._settings.root,
            vault_size=len(self._vault.meta.rows),
            deletion_limit=self._settings.deletion_limit,
            trusted=trusted or self._settings.trust_deletions,
            accepted=accepted,
            replaced=frozenset(row.object_id for row in findings.replaced),
            root_is_empty=findings.root_is_empty,
        )
        return verdict.with_deleted(findings.replaced)

    def _plan(self, planner: Planner, ledger: Ledger, verdict: Verdict) -> Plan:
        plan = planner.plan(list(ledger.outcomes.values()), deletions=verdict.deleted)
        for object_id, kind in plan.kinds.items():
            ledger.settle(object_id, kind)
        return plan

    def _record(self, conclusion: Conclusion, ending: Ending, report: SessionReport, held: Sequence[Row]) -> None:
        conclusion.record_end(
            ending.records(report, content=self._vault.meta.content),
            problems=ending.failures() if ending.complete_view else None,
            held=held,
            audit=[*self._around.host.untold(), *self._audited(ending, report)],
            also=self._found_out(),
        )

    def _audited(self, ending: Ending, report: SessionReport) -> list[Record]:
        self._auth_events += self._around.host.auth_events()
        found = self._bulk.audit(at=report.ended_at, by=self._actor)
        self.trail = [*found, *ending.audit(report, self._auth_events)]
        return self.trail

    def _found_out(self) -> Mapping[str, Sequence[Record]]:
        """What the vault is to know of folder export from now on."""
        return self._bulk.records(at=self._now(), by=self._actor, session=self._session)

    # --- when it does not end well -----------------------------------------------------------------------------------

    async def _keep_lease(self, lease: Lease) -> None:
        while True:
            await self._around.clock.sleep(lease.renew_every_s)
            try:
                await asyncio.to_thread(lease.renew)
            except NbvaultError as error:
                self._around.watcher.stage(f"The lease could not be renewed: {error}")
            if lease.lost:
                raise LockedError("Another session has taken over the lease of this one.")

    async def _rescue(self, error: NbvaultError) -> SessionReport:
        """Save what is finished, and record the end; neither may hide why the session ended."""
        ending = self._ending(self._survey)
        if self._options.dry_run:
            return ending.report(ended_badly(error))
        if isinstance(error, ConfigurationError) and not self._vault.meta.tip:
            # No vault is made of a wrong configuration: with the right one it would be another's.
            report = ending.report(ended_badly(error))
            self._audited(ending, report)
            return report
        error = await self._around.host.explained(error)
        pushed = False
        try:
            await self._stopping.to_its_end(self._save_and_record(error, ending))
            pushed = True
        except NbvaultError as trouble:
            ending.notes.append(f"The end of the session could not be recorded in the vault: {trouble}")
        return ending.report(ended_badly(error, head=self._vault.main, pushed=pushed))

    async def _save_and_record(self, error: NbvaultError, ending: Ending) -> None:
        conclusion = self._conclusion()
        if isinstance(error, VerificationError | RemoteMoved) or type(error) is GitError:
            # What is in memory is not what is written. Local commits that were wrong must not be believed later.
            self._stop_writing()
            if type(error) is not GitError:
                await asyncio.to_thread(self._vault.forget_unpushed)
                self._bulk.forgotten()
            await asyncio.to_thread(self._vault.refresh)
        elif self._writer is not None:
            await self._writer.salvage()
            ending.commits, ending.authors = self._writer.commits, self._writer.authors
            await asyncio.to_thread(conclusion.push_checkpoint, self._vault.meta.tip, self._vault.meta.content)
        ending.interrupted_after(self._vault)
        ending.growth = await asyncio.to_thread(growth_since, self._vault, self._history.growth)
        report = ending.report(ended_badly(error, head=self._vault.main, pushed=True))
        await asyncio.to_thread(lambda: self._record(conclusion, ending, report, ()))

    def _stop_writing(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _release(self) -> None:
        if self._stopping.guard is not None:
            self._stopping.guard.cancel()
            await asyncio.gather(self._stopping.guard, return_exceptions=True)
        if self._lease is not None:
            try:
                await asyncio.to_thread(self._lease.release)
            except NbvaultError as error:
                self._around.watcher.stage(f"The lease could not be released: {error}")

    # --- small things ------------------------------------------------------------------------------------------------

    def _conclusion(self) -> Conclusion:
        return Conclusion(self._vault, session=self._session, at=self._scan_started, committer=self._settings.committer)

    def _ending(self, survey: Survey | None) -> Ending:
        return Ending(
            session=self._session,
            began=self._began,
            now=self._now,
            survey=survey,
            stats=self._around.workspace.stats,
            actor=self._actor,
            slice_day=self._slice,
            accepted=self._options.accept_deletions,
            resumed=self._resumed,
            dry_run=self._options.dry_run,
            notes=self._bulk.notes(),
            secrets=self._held_back.secrets,
            left_behind=self._history.unfinished(self._lease.left_behind if self._lease else ""),
        )

    def _now(self) -> datetime:
        return self._around.clock.now()

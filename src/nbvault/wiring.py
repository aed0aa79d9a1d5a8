"""Putting the parts together: from settings to an open vault, and to a session that runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeVar

from nbvault.auth import AuthenticationManager
from nbvault.backup.engine import COMMITTING, PUBLISHING, GitSyncEngine
from nbvault.backup.scope import Scope
from nbvault.backup.surroundings import Surroundings, SyncOptions, SyncSettings, Workspace
from nbvault.backup.survey import Survey
from nbvault.clock import Clock, SystemClock
from nbvault.errors import (
    ConfigurationError,
    GitError,
    NbvaultError,
    SessionInterrupted,
    StateError,
    VaultError,
    WorkspaceError,
)
from nbvault.gitstore.lease import Lease, Sightings
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.process import is_alive, this_process
from nbvault.gitstore.repack import merge_packs
from nbvault.gitstore.upkeep import (
    write_commit_graph,
)
from nbvault.gitstore.vault import Vault
from nbvault.hosting import SessionHost
from nbvault.metering import tell_telemetry
from nbvault.model import Person, SessionReport, Stage
from nbvault.opening import opened_vault
from nbvault.settings import Deletions, ExportFormat, Settings
from nbvault.state.store import AuditEvent, SessionRow, StateManager
from nbvault.trail import Waiting, follow
from nbvault.workspace.acts_source import acts_of
from nbvault.workspace.audit_events import Acts
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.editors import Editors
from nbvault.workspace.transport import ClientOptions

# A local repository that is kept between sessions gets one or two packs a session.
REPACK_ABOVE_PACKS = 20
# A next session on this machine waits no longer for the upkeep after this one.
UPKEEP_S = 60.0
# How often dashboards see a running session move.
PROGRESS_EVERY_S = 5.0

_STAGES = {COMMITTING: "commit", PUBLISHING: "publish"}

T = TypeVar("T")


class Engine(str, Enum):
    """Who exports: this process, or the executors of a Spark cluster."""

    LOCAL = "local"
    SPARK = "spark"


class Screen(Protocol):
    """Who shows a running session to people."""

    def began(self, session: str, started_at: datetime) -> None:
        """The session has its name."""

    def watch(self, survey: Survey) -> None:
        """The survey that now runs."""

    def stage(self, text: str) -> None:
        """What comes next, in words."""


@dataclass(slots=True)
class Recorder:
    """Tells the screen and the state store."""

    screen: Screen
    state: StateManager
    settings: Settings
    clock: Clock
    session: str = ""
    survey: Survey | None = None
    stages: list[Stage] = field(default_factory=list)
    _now: tuple[str, datetime] | None = None

    def __post_init__(self) -> None:
        self._enter("open")

    def _enter(self, name: str) -> None:
        """The stage before this one has ended."""
        now = self.clock.now()
        if self._now is not None:
            self.stages.append(Stage(*self._now, now))
        self._now = (name, now) if name else None

    def ended(self) -> None:
        """The last stage has ended."""
        self._enter("")

    def began(self, session: str, started_at: datetime) -> None:
        self.session = session
        self.screen.began(session, started_at)
        holder = this_process(self.settings.vault.path)
        with suppress(StateError):
            self.state.session_started(
                session,
                workspace_path=self.settings.workspace.root,
                started_at=started_at,
                holder={"machine": holder.machine.split()[0], "pid": holder.pid},
                repo_id=str(self.settings.vault.remote),
            )

    def watch(self, survey: Survey) -> None:
        self._enter("survey")
        self.survey = survey
        self.screen.watch(survey)

    def stage(self, text: str) -> None:
        if text in _STAGES:
            self._enter(_STAGES[text])
        self.screen.stage(text)

    def progressed(self) -> None:
        """Tell the state store how far the session is."""
        if self.survey is None:
            return
        now = self.survey.progress()
        with suppress(StateError):
            self.state.session_progress(
                self.session,
                total=now.listed,
                processed=now.done,
                saved=now.exported,
                failed=now.failed,
                bytes_processed=now.bytes_exported,
            )


def opened_state(settings: Settings, screen: Screen, *, clock: Clock | None = None) -> StateManager:
    """The state store; where it cannot be opened, an empty one in memory, for a backup must not wait for it."""
    try:
        state = StateManager(settings.state.connection_url(), clock=clock)
        state.open()
    except StateError as error:
        screen.stage(f"The state store is not used in this session: {error}")
        state = StateManager("sqlite://", clock=clock)
        state.open()
    return state


def sync_settings(settings: Settings) -> SyncSettings:
    """What the engine needs of the settings."""
    sync, vault = settings.sync, settings.vault
    return SyncSettings(
        root=settings.workspace.root,
        scope=Scope.of(settings.workspace.include, settings.workspace.exclude),
        batch_size=sync.batch_size,
        push_every=sync.push_every,
        max_in_flight=sync.max_in_flight,
        large=sync.large,
        deletion_limit=sync.deletion_limit,
        trust_deletions=sync.deletions is Deletions.TRUST,
        recheck_days=sync.recheck_days,
        native=settings.export.format is ExportFormat.NATIVE,
        bulk=settings.export.bulk,
        screening=settings.screening.policy,
        allowed_secrets=frozenset(settings.screening.allow),
        committer=Person(vault.committer_name, vault.committer_email),
    )


def run_sync(
    settings: Settings,
    options: SyncOptions,
    screen: Screen,
    *,
    clock: Clock | None = None,
    engine: Engine = Engine.LOCAL,
) -> SessionReport:
    """One session, recorded in the state store; SIGTERM and SIGINT end it in order.

    Args:
        engine: Who exports: this process, or the executors of a Spark cluster.

    Raises:
        NbvaultError: it could not even begin; every later trouble is in the report.
    """
    clock = clock or SystemClock()
    auth = AuthenticationManager(settings, clock=clock)
    state = opened_state(settings, screen, clock=clock)
    try:
        with opened_vault(settings, writing=True, clock=clock, auth=auth) as vault:
            recorder = Recorder(screen, state, settings, clock)
            report, trail = _run_to_its_end(_session(recorder, vault, options, auth, clock=clock, engine=engine))
            recorder.ended()
            _remember(recorder, vault, report, trail, clock=clock)
            tell_telemetry(settings, report, recorder.stages, state, say=screen.stage)
            _keep_up(vault, screen, clock)
        return report
    finally:
        state.close()


def lease_of(
    settings: Settings,
    vault: Vault,
    session: str,
    *,
    sightings: Sightings,
    say: Callable[[str], None],
    clock: Clock,
) -> Lease:
    """The lease of this vault for a session of this process, not taken yet."""
    return Lease(
        vault.git,
        vault.remote,
        this_process(settings.vault.path),
        session=session,
        clock=clock,
        stale_s=settings.sync.lease_stale_s,
        sightings=sightings,
        is_alive=is_alive,
        say=say,
    )


async def _session(
    recorder: Recorder,
    vault: Vault,
    options: SyncOptions,
    auth: AuthenticationManager,
    *,
    clock: Clock,
    engine: Engine,
) -> tuple[SessionReport, Sequence[Record]]:
    """One session: its report, and what its audit trail says."""
    settings = recorder.settings
    stop = asyncio.Event()
    _stop_on_signals(stop)

    def lease(session: str) -> Lease:
        return lease_of(settings, vault, session, sightings=recorder.state, say=recorder.stage, clock=clock)

    deadline = clock.monotonic() + settings.sync.time_limit_s
    async with (
        WorkspaceClient(auth, options=ClientOptions.of(settings), clock=clock, deadline=deadline) as client,
        _exporting(engine, client, recorder, auth, clock=clock) as (workspace, at_once),
    ):
        host = SessionHost(settings, auth, clock, Waiting(vault, recorder.state).records)
        editor_of = Editors(client, await _acts(settings, client, recorder, clock)).editor_of
        around = Surroundings(workspace, vault, lease, editor_of, clock=clock, watcher=recorder, stop=stop, host=host)
        telling = asyncio.ensure_future(_tell_progress(recorder, clock))
        try:
            session = GitSyncEngine(around, replace(sync_settings(settings), max_in_flight=at_once), options)
            return await session.run(), session.trail
        finally:
            telling.cancel()


async def _acts(settings: Settings, client: WorkspaceClient, recorder: Recorder, clock: Clock) -> Acts | None:
    """What the audit table says by now; a backup does not fail for want of a name."""
    try:
        return await acts_of(settings, client, clock=clock)
    except (ConfigurationError, WorkspaceError) as error:
        recorder.stage(f"The audit table is not asked whose changes are: {error}")
        return None


@asynccontextmanager
async def _exporting(
    engine: Engine, client: WorkspaceClient, recorder: Recorder, auth: AuthenticationManager, *, clock: Clock
) -> AsyncIterator[tuple[Workspace, int]]:
    """The workspace as the engine sees it, and how many exports should be under way."""
    options = ClientOptions.of(recorder.settings)
    if engine is Engine.LOCAL:
        yield client, options.max_in_flight
        return
    from nbvault.workspace.spark import SparkCluster
    from nbvault.workspace.spread import SpreadWorkspace

    recorder.stage("Starting Spark")
    cluster = await asyncio.to_thread(SparkCluster().__enter__)
    try:
        async with SpreadWorkspace(client, cluster, auth, options=options, clock=clock, say=recorder.stage) as spread:
            yield spread, spread.wanted_at_once
    finally:
        await asyncio.to_thread(cluster.__exit__, None, None, None)


async def _tell_progress(recorder: Recorder, clock: Clock) -> None:
    while True:
        await clock.sleep(PROGRESS_EVERY_S)
        await asyncio.to_thread(recorder.progressed)


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not the main thread (a notebook, a test): whoever runs us ends us in its own way.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)


def _run_to_its_end(session: Coroutine[None, None, T]) -> T:
    """Run the session; afterwards signals mean again what they meant before, which an event loop does not see to."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(session)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _keep_up(vault: Vault, screen: Screen, clock: Clock) -> None:
    """Put small packs together now and then, and index what `history` walks.

    The session is over: neither a failure nor a signal changes its end. Nothing is done for a local repository that
    was made in this session: on a machine that is thrown away every one is, and elsewhere the next session comes.
    """
    if vault.made_now:
        return
    began = clock.monotonic()
    try:
        merge_packs(vault.git, above=REPACK_ABOVE_PACKS, budget_s=UPKEEP_S)
        if not vault.is_shallow:
            write_commit_graph(vault.git, budget_s=max(UPKEEP_S - (clock.monotonic() - began), 1.0))
    except (GitError, OSError, SessionInterrupted, KeyboardInterrupt) as error:
        screen.stage(f"The upkeep of the local repository was cut short: {error or 'interrupted'}")


def _remember(
    recorder: Recorder, vault: Vault, report: SessionReport, trail: Sequence[Record], *, clock: Clock
) -> None:
    state = recorder.state
    with suppress(StateError):
        state.record_audit(AuditEvent.of_record(line) for line in trail)
        _follow(recorder, vault, clock)
        for session in state.running():
            if session.session != report.session:
                _settle(state, vault, session.session, before=report.started_at)
        state.session_ended(SessionRow.of_report(report))
        if report.problems or report.counts.listed:
            state.replace_problems(report.session, report.problems)
        state.clean_up(report.ended_at)


def _follow(recorder: Recorder, vault: Vault, clock: Clock) -> None:
    """The session has ended well or not; that its trail cannot be followed does not change that."""
    if not vault.looked:
        # It ended before the remote was seen: a trail that nobody has read has lost nothing.
        return
    try:
        faults = follow(vault, recorder.state, clock=clock)
    except (GitError, VaultError) as error:
        recorder.stage(f"The index of the audit trail could not be brought up to the vault: {error}")
        return
    for fault in faults:
        recorder.stage(f"The audit trail in the vault is not what it was: {fault.what}. Run `nbvault audit verify`.")


def _settle(state: StateManager, vault: Vault, session: str, *, before: datetime) -> None:
    """Enter the end of a session that did not: it may have been killed after the vault had it."""
    try:
        records = read_records(vault.meta, "sessions", blobs=vault.blobs, months=2)
    except NbvaultError:
        # This session has ended well; that the other one stays "running" until the next must not undo it.
        return
    end = next((record for record in reversed(records) if record["session"] == session), None)
    if end is None:
        state.interrupted(session, before)
    else:
        state.session_ended(SessionRow.of_record(end))

"""`convert` and `rollback` put together: the vault under its lease, the records, the converter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nbvault.administration import under_lease, write_note
from nbvault.auth import AuthenticationManager
from nbvault.backup.surroundings import SyncOptions
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import ConfigurationError, LockedError, NbvaultError
from nbvault.gitstore.lease import Lease
from nbvault.gitstore.meta import Record, read_records
from nbvault.gitstore.vault import Vault
from nbvault.ids import new_id
from nbvault.model import SessionReport, Status
from nbvault.opening import read_vault
from nbvault.proof import connected
from nbvault.recovery.targets import clean_path
from nbvault.settings import Settings
from nbvault.setup.check import (
    check_places,
    credential_for,
    files_of,
    load_of,
    more_views,
    provider_of,
    refuse_impossible,
    scan,
)
from nbvault.setup.conversion import RECORDS, Conversion, Stage, after, began, latest
from nbvault.setup.convert import GitFolderConverter, ShownFolder, extend
from nbvault.setup.ports import Around
from nbvault.setup.replace import Replacement
from nbvault.setup.report import ConversionReport, ConvertOptions, Planned, report
from nbvault.setup.views import Limits, Load, View, ViewPlan, parents, plan_views
from nbvault.state.store import AuditEvent, StateManager
from nbvault.wiring import Screen, run_sync
from nbvault.workspace.client import WorkspaceClient

T = TypeVar("T")

_GOING_BACK = frozenset({Stage.RESTORING, Stage.REMOVING})
_SWAPPED = frozenset({Stage.REPLACING, Stage.REPLACED, Stage.RESTORING})


class SyncFailed(NbvaultError):
    """The sync before a conversion came to no good end; nothing of the conversion was begun."""

    def __init__(self, sync: SessionReport) -> None:
        super().__init__(f"The sync before the conversion ended {sync.status.value}: {sync.error}")
        self.exit_code = sync.exit_code


class RecordLog:
    """The lines of a conversion in the vault's records; each is confirmed by the remote before it counts."""

    def __init__(
        self, settings: Settings, vault: Vault, state: StateManager, lease: Lease, *, by: str, clock: Clock
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._state = state
        self._lease = lease
        self._by = by
        self._clock = clock
        self.found = read_conversion(vault)

    @property
    def conversion(self) -> Conversion:
        """What the lines so far add up to.

        Raises:
            ConfigurationError: there are none.
        """
        if self.found is None:
            raise ConfigurationError("Nothing was converted.", hint="`nbvault convert` makes Git folders.")
        return self.found

    def begin(self, conversion: Conversion) -> None:
        """Write a conversion down before anything of it is done."""
        line = {"conversion": conversion.conversion, "event": "began", **began(conversion)}
        self._write(line, conversion.target, f"{len(conversion.views)} Git folders of {conversion.url}")

    def note(self, event: str, object_: str, detail: str = "", **data: Any) -> None:
        """Write one line of the present conversion."""
        line = {"conversion": self.conversion.conversion, "event": event, "at": iso(self._clock.now())}
        self._write({**line, "by": self._by, "object": object_, **data}, object_, detail)

    def _write(self, line: Mapping[str, Any], object_: str, detail: str) -> None:
        if self._lease.lost:
            raise LockedError("Another session has taken over the lease of this conversion.", hint="Run again later.")
        problem = str(line.get("problem", ""))
        action, result = f"convert: {line['event']}", "failed" if problem else "ok"
        event = AuditEvent(self._clock.now(), self._by, action, object_, result, problem or detail)
        write_note(
            self._settings, self._vault, [event], state=self._state, records={RECORDS: [line]}, clock=self._clock
        )
        self.found = after(self.found, line)


def read_conversion(vault: Vault) -> Conversion | None:
    """The newest conversion that the vault's records tell of."""
    return latest(read_records(vault.meta, RECORDS, blobs=vault.blobs))


@dataclass(slots=True)
class Conversions:
    """The conversion of what the settings name.

    Args:
        by: Who asks, for the audit trail.
        say: Told what comes next.
        advance: Told of every object that was compared or written.
    """

    settings: Settings
    by: str
    say: Callable[[str], None]
    advance: Callable[[], None] = lambda: None
    clock: Clock = field(default_factory=SystemClock)

    def plan(self, options: ConvertOptions) -> ConversionReport:
        """What `convert` would do; changes nothing anywhere.

        Raises:
            ConfigurationError: it could not be done.
            NbvaultError: workspace or vault cannot be read.
        """
        with read_vault(self.settings, warn=self.say, clock=self.clock) as vault:
            wanted, known = self._checked(options, read_conversion(vault))
            scanned = self._ask(lambda workspace: scan(workspace, wanted.root))
            files = files_of(vault, vault.main) if vault.main else scanned.files
            planned = self._planned(options, wanted, files)
            conversion = replace(wanted, views=planned.views)
            pairs = tuple(Planned(view, load) for view, load in zip(planned.views, planned.loads, strict=True))
            told: dict[str, Any] = {"planned": pairs, "warnings": planned.warnings, "dry_run": True}
            status = known.stage.value if known else "planned"
            return report(conversion, vault.meta.rows.values(), scanned.others, status=status, **told)

    def convert(self, options: ConvertOptions, screen: Screen) -> ConversionReport:
        """Sync, make the Git folders, compare them with the vault and, if asked to, replace the original.

        A conversion that was killed goes on; a finished one is brought up to date. What fails is taken back.

        Raises:
            NbvaultError: why it could not be done.
            KeyboardInterrupt: it was interrupted, and taken back.
        """
        with read_vault(self.settings, warn=self.say, clock=self.clock) as vault:
            before = read_conversion(vault)
        self._checked(options, before)
        synced = None
        if before is None or before.stage not in _SWAPPED:
            synced = run_sync(self.settings, SyncOptions(), screen, clock=self.clock)
            if synced.status not in (Status.COMPLETE, Status.PARTIAL):
                raise SyncFailed(synced)
        with self._writing() as (around, log):
            warnings = self._begun(options, around, log)
            converter = GitFolderConverter(around)
            folders = self._carried_out(options, converter, Replacement(around, converter), log)
            meta = around.vault.meta
            incomplete = (synced.exit_code if synced else 0) or (3 if any(each.as_file for each in folders) else 0)
            told: dict[str, Any] = {"exit_code": incomplete, "folders": folders, "warnings": warnings}
            problems = synced.problems if synced else meta.problems
            not_shown = tuple((each.path, each.reason) for each in problems if not each.stale)
            return report(log.conversion, meta.rows.values(), not_shown, **told)

    def roll_back(self) -> ConversionReport:
        """Take the newest conversion back: what was there before is there again, and nothing else is touched.

        Raises:
            ConfigurationError: nothing was converted.
            NbvaultError: something had to stay; run again, it goes on.
        """
        with self._writing() as (around, log):
            now = log.conversion
            if now.stage is Stage.ROLLED_BACK:
                raise ConfigurationError(f"Conversion {now.conversion} was rolled back already.")
            converter = GitFolderConverter(around)
            if now.stage in _SWAPPED:
                Replacement(around, converter).restore()
            converter.take_back(everything=True)
            return report(log.conversion, (), ())

    def status(self) -> tuple[Conversion | None, list[Record]]:
        """The newest conversion, and every line about it.

        Raises:
            NbvaultError: the vault cannot be read.
        """
        with read_vault(self.settings, warn=self.say, clock=self.clock) as vault:
            lines = read_records(vault.meta, RECORDS, blobs=vault.blobs)
            found = latest(lines)
            return found, [line for line in lines if found and line["conversion"] == found.conversion]

    # --- before ---

    def _checked(self, options: ConvertOptions, before: Conversion | None) -> tuple[Conversion, Conversion | None]:
        """What is wanted, without its views, and the conversion that is there already."""
        known = None if before is None or before.stage is Stage.ROLLED_BACK else before
        wanted = self._wanted(options, known)
        if known is not None and known.stage in _GOING_BACK:
            raise ConfigurationError(
                f"Conversion {known.conversion} is being taken back.", hint="`nbvault rollback` finishes that."
            )
        if known is not None and known.stage is Stage.REPLACING and not options.replace:
            raise ConfigurationError(
                f"Conversion {known.conversion} was interrupted while it replaced {known.root}.",
                hint="`nbvault convert --replace` goes on, `nbvault rollback` takes it back.",
            )
        if known is not None and known.stage is Stage.REPLACED:
            raise ConfigurationError(f"{known.root} was replaced by a Git folder already.")
        if known is None or known.stage is not Stage.REPLACING:
            self._ask(lambda workspace: check_places(workspace, wanted, known))
        return wanted, known

    def _wanted(self, options: ConvertOptions, known: Conversion | None) -> Conversion:
        settings = self.settings
        root, url = settings.workspace.root.removeprefix("/Workspace"), str(settings.vault.remote)
        provider = options.provider or (known.provider if known else "") or provider_of(url)
        provider_of(url)
        if not root.strip("/"):
            hint = "Set workspace.root to a folder."
            raise ConfigurationError("The whole workspace cannot be a Git folder.", hint=hint)
        target = clean_path(options.to, what="--to") if options.to else known.target if known else f"{root}_git"
        if f"{target}/".startswith(f"{root}/") or f"{root}/".startswith(f"{target}/"):
            raise ConfigurationError(f"{target} is not beside {root}.", hint="Name a place outside it with --to.")
        if known is not None:
            return replace(known, target=target, url=url, provider=provider)
        credential = self._ask(lambda workspace: credential_for(workspace, provider))
        now = self.clock.now()
        name = new_id(now)
        own = "" if credential else f"nbvault {name}"
        if own and not AuthenticationManager(settings).git_token():
            raise ConfigurationError(
                f"The workspace has no Git credential for {provider}, and vault.token is not set.",
                hint="Set vault.token, or register a credential in the workspace: User settings, Linked accounts.",
            )
        branch = settings.vault.branch
        return Conversion(name, iso(now), self.by, root, target, url, provider, branch, (), (), own, credential)

    def _planned(self, options: ConvertOptions, wanted: Conversion, files: Mapping[str, int]) -> ViewPlan:
        """The Git folders: those that the conversion has, with what they lack, or the best for this vault."""
        if not wanted.views:
            plan = plan_views(files, wanted.target, Limits(files=options.max_files))
        else:
            views = (*wanted.views, *more_views(list(files), wanted))
            loads = tuple(load_of(files, view) for view in views)
            plan = ViewPlan(views, loads, tuple(_too_many(views, loads, options.max_files)))
        refuse_impossible(plan)
        return plan

    def _begun(self, options: ConvertOptions, around: Around, log: RecordLog) -> tuple[str, ...]:
        """Write down what is to be made, unless that is what a killed try has left; returns what to warn of."""
        known = log.found if log.found and log.found.stage is not Stage.ROLLED_BACK else None
        if known is not None and known.stage in (Stage.CONVERTING, Stage.REPLACING):
            self.say(f"Going on with conversion {known.conversion}")
            return ()
        wanted = self._wanted(options, known)
        plan = self._planned(options, wanted, files_of(around.vault, around.vault.main))
        for warning in plan.warnings:
            self.say(warning)
        if known is None:
            log.begin(replace(wanted, views=plan.views, folders=tuple(parents(plan.views, wanted.target))))
        elif more := plan.views[len(known.views) :]:
            extend(around, more)
        return plan.warnings

    @staticmethod
    def _carried_out(
        options: ConvertOptions, converter: GitFolderConverter, replacement: Replacement, log: RecordLog
    ) -> tuple[ShownFolder, ...]:
        if log.conversion.stage is Stage.REPLACING:
            return (replacement.replace(accept_changes=options.accept_changes),)
        folders = converter.make()
        if options.replace:
            as_file = [path for each in folders for path in each.as_file]
            return (replacement.replace(accept_changes=options.accept_changes, as_file=as_file),)
        return folders

    # --- the parts ---

    def _ask(self, work: Callable[[WorkspaceClient], Awaitable[T]]) -> T:
        async def connect() -> T:
            async with connected(self.settings, clock=self.clock) as workspace:
                return await work(workspace)

        return asyncio.run(connect())

    def _around(self, vault: Vault, log: RecordLog) -> Around:
        settings = self.settings
        return Around(
            lambda: connected(settings, clock=self.clock),
            vault,
            log,
            AuthenticationManager(settings).git_token,
            self._ask(lambda workspace: workspace.me()).user_name,
            self.clock,
            self.say,
            self.advance,
            settings.sync.max_in_flight,
        )

    @contextmanager
    def _writing(self) -> Iterator[tuple[Around, RecordLog]]:
        """The vault under a lease that is kept until the end."""
        with (
            under_lease(self.settings, say=self.say, clock=self.clock) as (vault, state, lease),
            _kept(lease, self.say),
        ):
            log = RecordLog(self.settings, vault, state, lease, by=self.by, clock=self.clock)
            yield self._around(vault, log), log


@contextmanager
def _kept(lease: Lease, say: Callable[[str], None]) -> Iterator[None]:
    """Renew a lease from a thread of its own."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(lease.renew_every_s):
            try:
                lease.renew()
            except NbvaultError as error:
                say(f"The lease could not be renewed: {error}")

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _too_many(views: Sequence[View], loads: Sequence[Load], most: int) -> Iterator[str]:
    for view, load in zip(views, loads, strict=True):
        if load.files > most:
            yield f"{view.path} shows {load.files:,} files; Databricks advises at most {most:,} in a Git folder."

"""Measuring a workspace for an estimate: one listing of everything, and a sample of exports. Reads only."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

from nbvault.auth import AuthenticationManager
from nbvault.backup.scan import ChangeScanner, FolderListing
from nbvault.backup.scope import Scope
from nbvault.clock import Clock, SystemClock
from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import DIRECTORY, NOTEBOOK, ListedObject
from nbvault.settings import Settings
from nbvault.setup.estimate import DAY_MS, DAYS, Census, Estimate, Sample, estimate
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import DeadlineExceeded, TooLarge
from nbvault.workspace.transport import ClientOptions

Say = Callable[[str], None]
SAY_EVERY = 1000
ALONE = 5


def measure(settings: Settings, *, sample: int, say: Say = lambda _: None, clock: Clock | None = None) -> Estimate:
    """List everything below the root, export `sample` notebooks drawn by lot, and estimate what a backup costs.

    Raises:
        ConfigurationError: the root does not exist.
        NbvaultError: the workspace does not answer, or refuses the credentials.
    """
    return asyncio.run(_measure(settings, sample, say, clock or SystemClock()))


async def _measure(settings: Settings, wanted: int, say: Say, clock: Clock) -> Estimate:
    auth = AuthenticationManager(settings, clock=clock)
    async with WorkspaceClient(auth, options=ClientOptions.of(settings), clock=clock) as workspace:
        counter = _Counter(workspace, settings, say, clock)
        census = await counter.count()
        # The same notebooks for the same workspace: two estimates in a row differ by the weather only.
        drawn = random.Random(census.notebooks).sample(counter.paths, min(wanted, len(counter.paths)))  # noqa: S311
        say(f"{census.notebooks:,} notebooks in {census.folders:,} folders; exporting {len(drawn):,} of them.")
        sample = await _Sampler(workspace, clock).take(drawn, at_once=settings.sync.max_in_flight)
    days, ceiling = settings.sync.recheck_days, settings.workspace.requests_per_second
    return estimate(settings.workspace.root, census, sample, recheck_days=days, requests_per_second=ceiling)


class _Counter:
    """Lists every folder as a session does, and counts what it shows."""

    def __init__(self, workspace: WorkspaceClient, settings: Settings, say: Say, clock: Clock) -> None:
        self._workspace = workspace
        self._root = settings.workspace.root
        self._scope = Scope.of(settings.workspace.include, settings.workspace.exclude)
        self._say = say
        self._clock = clock
        self._folders = 0
        self._others = 0
        self._changed = [0] * DAYS
        self.paths: list[str] = []

    async def count(self) -> Census:
        began = self._clock.monotonic()
        scanner = ChangeScanner(self, root=self._root, scope=self._scope, observe=self._observe)
        await scanner.scan([self._root])
        return Census(
            notebooks=len(self.paths),
            folders=self._folders,
            others=self._others,
            unreadable=sorted(scanner.unreadable()),
            seconds=self._clock.monotonic() - began,
            changed=self._changed,
        )

    async def list_folder(self, path: str) -> list[ListedObject]:
        self._folders += 1
        if self._folders % SAY_EVERY == 0:
            self._say(f"{self._folders:,} folders listed, {len(self.paths):,} notebooks seen.")
        return await self._workspace.list_folder(path)

    async def _observe(self, listing: FolderListing) -> None:
        for entry in listing.objects:
            if entry.kind == NOTEBOOK and self._scope.covers(entry.path):
                self.paths.append(entry.path)
                self._note_change(max(entry.modified_at_ms, entry.interactive_at_ms))
            elif entry.kind != DIRECTORY:
                self._others += 1

    def _note_change(self, at_ms: int) -> None:
        days_ago = int(self._clock.now().timestamp() * 1000 - at_ms) // DAY_MS
        if 0 <= days_ago < DAYS:
            self._changed[days_ago] += 1


@dataclass(slots=True)
class _Sampler:
    workspace: WorkspaceClient
    clock: Clock
    sizes: list[int] = field(default_factory=list)
    packed: list[int] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    too_large: int = 0
    failed: int = 0

    async def take(self, paths: Iterable[str], *, at_once: int) -> Sample:
        """Export them as a session does: so many at once, and no more than the workspace bears."""
        waiting = iter(paths)
        # One after another nobody waits for a turn: what is measured is the answer alone.
        await self._work(islice(waiting, ALONE))
        latency_s = median(self.took) if self.took else 0.0
        self.ended_s.clear()
        await asyncio.gather(*(self._work(waiting) for _ in range(at_once)))
        return Sample(self.sizes, self.packed, self.ended_s, latency_s, self.too_large, self.failed)

    async def _work(self, waiting: Iterable[str]) -> None:
        for path in waiting:
            began = self.clock.monotonic()
            try:
                body = await self.workspace.export(path)
            except TooLarge:
                self.too_large += 1
                continue
            except (AuthenticationError, DeadlineExceeded):
                raise
            except WorkspaceError:
                self.failed += 1
                continue
            now = self.clock.monotonic()
            self.took.append(now - began)
            self.ended_s.append(now)
            self.sizes.append(len(body))
            self.packed.append(len(zlib.compress(body)))

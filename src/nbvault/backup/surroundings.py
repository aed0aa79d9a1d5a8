"""What a session works with, and what is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from nbvault.auth import AuthEvent
from nbvault.backup.scope import Scope
from nbvault.backup.survey import Survey
from nbvault.backup.survey import Workspace as SurveyedWorkspace
from nbvault.clock import Clock
from nbvault.errors import NbvaultError
from nbvault.gitstore.lease import Lease
from nbvault.gitstore.meta import Record
from nbvault.gitstore.vault import Vault
from nbvault.model import NBVAULT, Identity, ListedObject, Person, RequestCounts
from nbvault.settings import Bulk, Screening


class Workspace(SurveyedWorkspace, Protocol):
    """What a session needs of the workspace."""

    @property
    def host(self) -> str:
        """The workspace's address."""

    @property
    def stats(self) -> RequestCounts:
        """Requests so far."""

    async def me(self) -> Identity:
        """Whom the workspace takes us for."""


class Watcher(Protocol):
    """Who is told how far a session is: a progress bar, a log, the state store."""

    def began(self, session: str, started_at: datetime) -> None:
        """The session has its name."""

    def watch(self, survey: Survey) -> None:
        """The survey that now runs; its ledger, scanner and exporter may be looked at while it does."""

    def stage(self, text: str) -> None:
        """What comes next, in words."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What the administrator asked of this session."""

    full: bool = False
    dry_run: bool = False
    accept_deletions: str = ""
    message: str = ""

    @property
    def everywhere(self) -> bool:
        """Whether frozen folders are looked at as well."""
        return self.full or bool(self.accept_deletions)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """The configuration of every session of this vault."""

    root: str
    scope: Scope = field(default_factory=Scope)
    batch_size: int = 5000
    push_every: int = 10_000
    max_in_flight: int = 64
    large: int = 20_000
    deletion_limit: float = 0.10
    trust_deletions: bool = False
    recheck_days: int = 30
    native: bool = False
    bulk: Bulk = Bulk.OFF
    screening: Screening = Screening.REPORT
    allowed_secrets: frozenset[str] = frozenset()
    committer: Person = NBVAULT


class Host(Protocol):
    """Who knows more of the remote than git does, and saw us sign in."""

    def signed_in(self, identity: str) -> None:
        """The workspace has said whom it takes us for."""

    def auth_events(self) -> Sequence[AuthEvent]:
        """What happened when we signed in, since this was asked last."""

    def untold(self) -> Sequence[Record]:
        """Lines of the audit trail that the vault has not been told yet, of this and other commands."""

    async def foretold(self) -> Sequence[str]:
        """Sentences on what would refuse a push, for people, before the first one."""

    async def explained(self, error: NbvaultError) -> NbvaultError:
        """The same error with whatever more there is to say of it."""


class NoHost:
    """Nobody who knows more."""

    def signed_in(self, identity: str) -> None:
        """Not kept."""

    def auth_events(self) -> Sequence[AuthEvent]:
        """None are known."""
        return ()

    def untold(self) -> Sequence[Record]:
        """None are known."""
        return ()

    async def foretold(self) -> Sequence[str]:
        """Nothing is known."""
        return ()

    async def explained(self, error: NbvaultError) -> NbvaultError:
        """As it is."""
        return error


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything outside that a session works with.

    `lease` makes the lease for a session id. `stop` is set when the session is to end early.
    """

    workspace: Workspace
    vault: Vault
    lease: Callable[[str], Lease]
    editor_of: Callable[[ListedObject], Awaitable[Person]]
    clock: Clock
    watcher: Watcher
    stop: asyncio.Event
    host: Host = field(default_factory=NoHost)

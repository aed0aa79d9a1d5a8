"""What alerts are judged by, as values. What could not be looked at is None, which is neither well nor ill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nbvault.model import Problem, Status


@dataclass(frozen=True, slots=True)
class Session:
    """One session that was no dry run, as the vault or the state store tells of it.

    `ended_at` is None while it runs, or seems to. `in_vault` says that the vault has its record.
    """

    session: str
    status: Status
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int = 0
    listed: int = 0
    failed: int = 0
    held: int = 0
    unreadable: int = 0
    throttled: int = 0
    requests: int = 0
    secrets: int = 0
    error: str = ""
    in_vault: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether everything was saved, and the remote has confirmed it."""
        return self.status is Status.COMPLETE and self.exit_code == 0

    @property
    def took(self) -> timedelta:
        """How long it took; nothing where a clock went back meanwhile."""
        return max((self.ended_at or self.started_at) - self.started_at, timedelta(0))


@dataclass(frozen=True, slots=True)
class Drill:
    """The last drill, and whether every notebook came back."""

    at: datetime
    went_well: bool


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when a credential is good that does not renew itself."""

    system: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Repository:
    """What the vault's repository holds after a session."""

    size_bytes: int
    objects: int
    session: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known at one moment.

    `vault_known` says that the vault's records could be read. `sessions` have ended, oldest first; `running` have
    not, as far as the state store knows. `audit` is what is wrong with the audit trail, empty where nothing is;
    `conversion` the same of the last conversion; `restores` each restore that did not end well. `time_limit` is that
    of a session.
    """

    now: datetime
    vault_known: bool = False
    sessions: Sequence[Session] = ()
    running: Sequence[Session] = ()
    problems: Sequence[Problem] | None = None
    drill: Drill | None = None
    credentials: Sequence[Expiry] | None = None
    audit: str | None = None
    conversion: str | None = None
    restores: Sequence[str] | None = None
    repository: Repository | None = None
    time_limit: timedelta = field(default=timedelta(hours=4))

    @property
    def last(self) -> Session | None:
        """The session that ended last."""
        return self.sessions[-1] if self.sessions else None

    @property
    def last_whole(self) -> Session | None:
        """The last session that looked at everything: complete, or partial."""
        ends = (Status.COMPLETE, Status.PARTIAL)
        return next((each for each in reversed(self.sessions) if each.status in ends), None)

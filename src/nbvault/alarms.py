"""The words of alerts: what may be wrong, how bad that is, and who can be told."""

from __future__ import annotations

from enum import Enum

TESTED = "alerts test"
"""The action in the audit trail that says that an alert channel was tried."""


class Severity(str, Enum):
    """How bad it is; the order is that of importance."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Trouble(str, Enum):
    """What can be wrong: the names of the rules, as the settings and the command line have them."""

    NO_COMPLETE_SYNC = "no-complete-sync"
    NEVER_SYNCED = "never-synced"
    LAST_FAILED = "last-failed"
    DELETIONS_HELD = "deletions-held"
    AUDIT_BROKEN = "audit-broken"
    CONVERSION_FAILED = "conversion-failed"
    RESTORE_FAILED = "restore-failed"
    PARTIAL = "partial"
    REPEATED_FAILURES = "repeated-failures"
    CREDENTIALS_END = "credentials-end"
    DRILL = "drill"
    SUCCESS_RATE = "success-rate"
    STALE_NOTEBOOKS = "stale-notebooks"
    TIME_LIMIT = "time-limit"
    NOTHING_LISTED = "nothing-listed"
    SECRETS_FOUND = "secrets-found"
    REPOSITORY_SIZE = "repository-size"
    THROTTLED = "throttled"


class ChannelName(str, Enum):
    """The ways to tell somebody."""

    EMAIL = "email"
    SLACK = "slack"
    TEAMS = "teams"

"""What every command leaves in the audit trail: how it signed in, and that it was run, by whom, with what end."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from nbvault.clock import SystemClock
from nbvault.errors import NbvaultError, SessionInterrupted

if TYPE_CHECKING:
    from nbvault.settings import Settings

_RAN = "nbvault.ran"
# By command, the argument that says on what. The others write their own line, and get one here only if they fail.
_TOLD_HERE = {
    "blame": "path",
    "changes": "path",
    "compare": "folder",
    "diff": "path",
    "history": "path",
    "restore": "paths",
    "search": "text",
    "show": "path",
    "state rebuild": "",
    "audit export": "",
    "undo": "restore",
    "verify": "",
}
# They look, promise to leave nothing anywhere, and are run every minute by who watches.
_UNTOLD = {"doctor", "estimate", "init", "status", "audit list", "problems list", "alerts check"}


def loaded(settings: Settings) -> None:
    """The running command has its settings."""
    context = click.get_current_context()
    name = context.command_path.partition(" ")[2]
    context.find_root().meta[_RAN] = (settings, name, dict(context.params))


def keep(context: click.Context, end: Any) -> None:
    """Keep what the command did, if it got as far as having settings; never an error.

    Args:
        end: Its exit code, or the error with which it ended.
    """
    if _RAN not in context.meta:
        return
    settings, name, params = context.meta[_RAN]
    if name in _UNTOLD:
        return
    from nbvault.auth import witness_of

    seen = witness_of(settings).take()
    failed = isinstance(end, BaseException)
    if not (seen or name in _TOLD_HERE or failed):
        return
    from nbvault.state.values import AuditEvent
    from nbvault.trail import remember, signed_in

    user = _user()
    events = signed_in(seen, user, during=name)
    if name in _TOLD_HERE or failed:
        what = _object(settings, params.get(_TOLD_HERE.get(name, "")))
        events.append(AuditEvent(SystemClock().now(), user, name, what, *_ended(end)))
    remember(settings, events)


def _object(settings: Settings, value: Any) -> str:
    found = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value or "")
    return found or settings.workspace.root


def _ended(end: Any) -> tuple[str, str]:
    if isinstance(end, SessionInterrupted | KeyboardInterrupt | click.Abort):
        return "interrupted", ""
    if isinstance(end, NbvaultError):
        return "failed", f"exit code {end.exit_code}: {end.message}"
    if isinstance(end, BaseException):
        return "failed", type(end).__name__
    names = {0: "ok", 3: "partial", 8: "differs", 9: "interrupted"}
    return names.get(end or 0, "failed"), "" if not end else f"exit code {end}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return "unknown"

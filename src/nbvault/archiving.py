"""Closing engagements: freezing their folders in the vault, thawing them, and handing them over as a Git bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvault.administration import noting, write_note
from nbvault.backup.freezing import Freezer
from nbvault.backup.scope import Glob
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import ConfigurationError
from nbvault.gitstore.vault import Vault
from nbvault.model import Frozen
from nbvault.opening import read_vault
from nbvault.recovery.handover import Bundle, hand_over
from nbvault.settings import Settings
from nbvault.state.store import AuditEvent


@dataclass(frozen=True, slots=True)
class Archived:
    """A pattern of frozen folders, and how many notebooks the vault has in them."""

    frozen: Frozen
    notebooks: int

    def as_json(self) -> dict[str, Any]:
        """The pattern as ``archive --json`` prints it."""
        return {**self.frozen._asdict(), "notebooks": self.notebooks}


def archived(settings: Settings, *, warn: Callable[[str], None]) -> list[Archived]:
    """What is frozen.

    Raises:
        NbvaultError: the vault cannot be read.
    """
    with read_vault(settings, warn=warn) as vault:
        return [Archived(frozen, _count(vault, frozen.pattern)) for frozen in vault.meta.frozen]


def freeze(
    settings: Settings, pattern: str, *, by: str, say: Callable[[str], None], clock: Clock | None = None
) -> Archived:
    """Freeze the folders that match: from the next session on they are listed weekly. Nothing else changes.

    Raises:
        ConfigurationError: no notebook of the vault is in such a folder, or the pattern takes in the whole root.
        LockedError: a session runs.
        NbvaultError: the vault cannot be read or written.
    """
    clock = clock or SystemClock()
    pattern = _checked(settings, pattern)
    with noting(settings, say=say, clock=clock) as (vault, state):
        count = _count(vault, pattern)
        if not count:
            raise _matches_nothing(pattern)
        known = next((frozen for frozen in vault.meta.frozen if frozen.pattern == pattern), None)
        chosen = known or Frozen(pattern, by, iso(clock.now()))
        if known is None:
            event = AuditEvent(clock.now(), by, "archive", pattern, "ok", f"{count} notebooks are listed weekly")
            frozen = [*vault.meta.frozen, chosen]
            write_note(settings, vault, [event], state=state, frozen=frozen, clock=clock)
    return Archived(chosen, count)


def thaw(
    settings: Settings, pattern: str, *, by: str, say: Callable[[str], None], clock: Clock | None = None
) -> Archived:
    """Take a pattern back: its folders are listed in every session again.

    Raises:
        ConfigurationError: it is not among those that were frozen.
        LockedError: a session runs.
        NbvaultError: the vault cannot be read or written.
    """
    clock = clock or SystemClock()
    with noting(settings, say=say, clock=clock) as (vault, state):
        known = next((frozen for frozen in vault.meta.frozen if frozen.pattern == pattern.rstrip("/")), None)
        if known is None:
            raise ConfigurationError(
                f"{pattern} was not archived.", hint="nbvault archive --list shows the patterns that were."
            )
        event = AuditEvent(clock.now(), by, "unarchive", known.pattern, "ok", "listed in every session again")
        left = [frozen for frozen in vault.meta.frozen if frozen != known]
        write_note(settings, vault, [event], state=state, frozen=left, clock=clock)
        return Archived(known, _count(vault, known.pattern))


def bundle(
    settings: Settings,
    pattern: str,
    file: Path,
    *,
    by: str,
    say: Callable[[str], None],
    clock: Clock | None = None,
) -> Bundle:
    """Write the folders that match, with their own history and nothing else, as a Git bundle; freeze them, too.

    The file is there only when it was cloned, compared with the vault byte for byte, and its receipt is in the vault.

    Raises:
        ConfigurationError: nothing matches, or the file exists or cannot be written.
        VerificationError: what was written is not what the vault has; there is no file.
        NbvaultError: the vault cannot be read or written.
    """
    clock = clock or SystemClock()
    pattern = _checked(settings, pattern)
    with read_vault(settings, warn=say) as vault:
        freezer = Freezer([pattern], root=vault.root)
        if not freezer.notebooks(vault.meta.rows.values()):
            raise _matches_nothing(pattern)
        with hand_over(vault, freezer, file) as made:
            freeze(settings, pattern, by=by, say=say, clock=clock)
            _record(settings, pattern, made, by=by, say=say, clock=clock)
    return made


def _record(
    settings: Settings, pattern: str, made: Bundle, *, by: str, say: Callable[[str], None], clock: Clock
) -> None:
    now = clock.now()
    event = AuditEvent(now, by, "bundle", pattern, "ok", f"{made.notebooks} notebooks to {made.file}")
    receipt = {"at": iso(now), "by": by, "pattern": pattern, **made.as_json()}
    with noting(settings, say=say, clock=clock) as (vault, state):
        write_note(settings, vault, [event], state=state, records={"bundles": [receipt]}, clock=clock)


def _checked(settings: Settings, pattern: str) -> str:
    """The pattern without a slash at its end, if it can be meant."""
    root, pattern = settings.workspace.root, pattern.rstrip("/")
    inside = pattern.startswith("/") if root == "/" else pattern.startswith(f"{root}/")
    if not inside or Glob.parse(pattern).covers_all_below(root):
        raise ConfigurationError(
            f"{pattern or '/'} names no folder below {root}.",
            hint=f"Name a folder or a glob of folders, such as {root.rstrip('/')}/2020 or {root.rstrip('/')}/*/ENG-17.",
        )
    return pattern


def _matches_nothing(pattern: str) -> ConfigurationError:
    return ConfigurationError(
        f"The vault has no notebook in a folder that matches {pattern}.",
        hint="A pattern names folders; * stays in a folder, ** crosses folders.",
    )


def _count(vault: Vault, pattern: str) -> int:
    return len(Freezer([pattern], root=vault.root).notebooks(vault.meta.rows.values()))

"""How a list of examinations is made: side by side, each once what it needs is in order, and all within a time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nbvault.auth import AuthenticationManager
from nbvault.clock import Clock, SystemClock
from nbvault.errors import GitError, NbvaultError, WorkspaceError
from nbvault.settings import Settings

# The slowest way through all that wait for each other is three answers long.
ANSWERS_IN_A_ROW = 3
_WAITS = "Not looked at; first put in order: "


class Check(NamedTuple):
    """What one examination found. `exit_code` is how the command ends where it is the first that is not `ok`.

    One that is not `made` is not `ok` either: what it needs is not in order. `fault` is what broke it off, where
    that was no error that nbvault knows.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""
    exit_code: int = 0
    made: bool = True
    fault: Exception | None = None

    def as_json(self) -> dict[str, Any]:
        """As ``doctor --json`` prints it."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "hint": self.hint}


class Found(NamedTuple):
    """That a thing is in order, and what there is to say of it."""

    detail: str
    hint: str = ""


def free_bytes(folder: Path) -> int:
    """How much may still be written there."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Around:
    """What examinations look at, and with what. `free` tells how much room there is in a folder."""

    settings: Settings
    auth: AuthenticationManager
    clock: Clock
    free: Callable[[Path], int] = free_bytes

    @classmethod
    def of(cls, settings: Settings, *, clock: Clock | None = None) -> Around:
        """With credentials of these settings, and with the patience of somebody who sits there and waits."""
        clock = clock or SystemClock()
        quick = hurried(settings)
        return cls(quick, AuthenticationManager(quick, clock=clock), clock)

    @property
    def patience_s(self) -> float:
        """How long one answer is waited for."""
        return self.settings.network.check_timeout_s


class Examination(NamedTuple):
    """One thing to look at, once those that it `needs` are in order.

    `look` raises a NbvaultError where it is not in order, whose hint says what to do.
    """

    name: str
    look: Callable[[Around], Found]
    needs: tuple[str, ...] = ()


def hurried(settings: Settings) -> Settings:
    """The same settings, with no more patience than `network.check_timeout_s`."""
    patience_s = settings.network.check_timeout_s
    given = settings.workspace
    limits = {"timeout_s": min(given.timeout_s, patience_s), "retry_s": min(given.retry_s, patience_s / 2)}
    return settings.model_copy(update={"workspace": given.model_copy(update=limits)})


def examine(around: Around, examinations: Sequence[Examination], *, known: Sequence[Check] = ()) -> list[Check]:
    """Every examination, side by side; what one of them waits for in vain is said of it in one line.

    Args:
        examinations: In the order of the result; each stands behind those that it needs.
        known: What was looked at before, and is needed by one of the list.
    """
    made: dict[str, Future[Check]] = {check.name: _settled(check) for check in known}
    for each in examinations:
        needed = [made[name] for name in each.needs]
        future: Future[Check] = Future()
        made[each.name] = future
        # Daemons: whoever hangs in spite of all limits must not keep the command from ending.
        threading.Thread(target=_make, args=(around, each, needed, future), name=each.name, daemon=True).start()
    limit_s = ANSWERS_IN_A_ROW * around.patience_s + 3
    wait(made.values(), timeout=limit_s)
    return [future.result() if future.done() else _too_late(name, limit_s) for name, future in made.items()][
        len(known) :
    ]


def _settled(check: Check) -> Future[Check]:
    future: Future[Check] = Future()
    future.set_result(check)
    return future


def _make(around: Around, each: Examination, needed: Sequence[Future[Check]], future: Future[Check]) -> None:
    try:
        wrong = next((check for before in needed if not (check := before.result()).ok), None)
        future.set_result(not_made(each.name, wrong) if wrong else checked(each.name, lambda: each.look(around)))
    except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
        future.set_exception(error)


def checked(name: str, look: Callable[[], Found]) -> Check:
    """The check that an examination comes to."""
    try:
        found = look()
    except NbvaultError as error:
        return Check(name, False, error.message, error.hint or _remedy(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - one check that breaks must not take the others with it
        return broken(name, error)
    return Check(name, True, found.detail, found.hint)


def broken(name: str, fault: Exception) -> Check:
    """An examination that nbvault itself broke; its words are not told, for they might quote anything."""
    told = f"nbvault did not expect this ({type(fault).__name__})."
    hint = "It is a fault of nbvault; 'nbvault doctor' keeps its traceback."
    return Check(name, False, told, hint, NbvaultError.exit_code, fault=fault)


def _remedy(error: NbvaultError) -> str:
    """What to do about an error that does not say so itself."""
    if isinstance(error, WorkspaceError):
        return "Try again in a while, and check workspace.host; docs/troubleshooting.md has this message."
    if isinstance(error, GitError):
        return "Try again in a while, and check vault.remote; docs/troubleshooting.md has this message."
    return "docs/troubleshooting.md has this message, and what to do."


def not_made(name: str, wrong: Check) -> Check:
    """An examination that waits in vain; where it waits for another that does, the one that all began with is named."""
    return Check(name, False, f"{_WAITS}{wrong.name}." if wrong.made else wrong.detail, made=False)


def _too_late(name: str, limit_s: float) -> Check:
    hint = "Something does not answer and does not refuse either: check the network, firewalls and proxies."
    return Check(name, False, f"Not known after {limit_s:.0f} s.", hint, NbvaultError.exit_code)

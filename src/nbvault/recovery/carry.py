"""Carrying out a plan: save, apply, read back, and a receipt on the remote that is true whatever happened."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from nbvault.clock import Clock, iso
from nbvault.errors import AuthenticationError, NbvaultError, SessionInterrupted
from nbvault.gitstore.restores import RECEIPT, RestoreBranch
from nbvault.recovery import deed
from nbvault.recovery.apply import Applier, Load, pre_images, remove_empty
from nbvault.recovery.deed import Manner
from nbvault.recovery.plan import Entry
from nbvault.recovery.receipt import (
    INTENT,
    WITHOUT_A_DEED,
    Intent,
    Outcome,
    Receipt,
    Record,
    Result,
    Status,
    dump_intent,
    dump_receipt,
)
from nbvault.recovery.saver import Saver

FINISH_S = 10.0
"""After a signal, what is under way has so long to come to its end."""


class Workspace(deed.Workspace, deed.Limited, Protocol):
    """What carrying out needs of the workspace."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that can be shown and applied.

    `entries` are those to be done now; `intent` has all of the restore. `record` is what an earlier run of it left.
    `emptied` are folders to be removed afterwards, if they are empty. `settles`: it takes back a restore that went
    wrong, and has a receipt even where there is nothing to take back.
    """

    intent: Intent
    entries: Sequence[Entry]
    manner: Manner = field(default_factory=Manner)
    missing: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    record: Record | None = None
    emptied: tuple[str, ...] = ()
    settles: bool = False

    @property
    def writes(self) -> bool:
        """Whether a notebook is to be written or deleted."""
        return any(entry.action.writes for entry in self.entries)

    @property
    def matters(self) -> bool:
        """Whether applying it changes or records anything."""
        return self.writes or self.settles

    def shown(self) -> Receipt:
        """The plan as a receipt of nothing."""
        return Receipt(replace(self.intent, entries=self.entries), Status.PLANNED, 0, notes=self.notes)


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run came to. `begun`: the intent is on the remote."""

    outcomes: Mapping[int, Outcome]
    halted: NbvaultError | None = None
    begun: bool = False
    stopped: bool = False

    @property
    def error(self) -> str:
        if self.halted is not None:
            return str(self.halted)
        return "Asked to stop." if self.stopped else ""


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries out one plan; from the main thread, without an event loop of its own.

    Args:
        connect: Opens the workspace.
        load: Reads the wanted blobs.
        check: Raises if another restore has these notebooks in hand.
        done: Called when an entry has its outcome.
    """

    branch: RestoreBranch
    connect: Callable[[], AbstractAsyncContextManager[Workspace]]
    clock: Clock
    load: Load
    check: Callable[[], None]
    done: Callable[[], None]

    def carry_out(self, prepared: Prepared, ask: Callable[[Sequence[Entry]], bool]) -> Receipt:
        """Do what the plan says, and write the receipt; what goes wrong is in the receipt.

        Args:
            ask: Whether these, too, shall be taken back, which somebody has changed since.

        Raises:
            NbvaultError: the intent could not be written; nothing was changed.
        """
        if not (prepared.writes or (prepared.settles and prepared.emptied)):
            without = {e.number: Outcome(e.action, WITHOUT_A_DEED[e.action], e.reason) for e in prepared.entries}
            return self._ended(prepared, _Run(without))
        run = asyncio.run(self._run(prepared, ask))
        if run.halted is not None and not run.begun and not isinstance(run.halted, SessionInterrupted):
            raise run.halted
        return self._ended(prepared, run)

    async def _run(self, prepared: Prepared, ask: Callable[[Sequence[Entry]], bool]) -> _Run:
        stop = asyncio.Event()
        with _stopped_by_signals(stop):
            async with self.connect() as workspace, self._saver(prepared) as saver:
                applier = Applier(
                    workspace,
                    saver,
                    load=self.load,
                    stop=stop,
                    missing=prepared.missing,
                    manner=prepared.manner,
                    done=self.done,
                )
                ending = asyncio.ensure_future(self._end_in_time(stop, workspace, saver))
                try:
                    await applier.run(prepared.entries)
                    await _take_back_more(prepared, applier, ask)
                    if prepared.emptied and applier.halted is None and not stop.is_set():
                        await remove_empty(workspace, prepared.emptied)
                finally:
                    ending.cancel()
                return _Run(applier.outcomes, applier.halted, saver.has_begun, stop.is_set())

    def _saver(self, prepared: Prepared) -> Saver:
        record, intent = prepared.record, prepared.intent
        return Saver(
            self.branch,
            intent.restore,
            intent={} if record else {INTENT: dump_intent(intent)},
            expected=pre_images(prepared.entries),
            clock=self.clock,
            chunks=record.chunks if record else 0,
            receipt=record.receipt if record else "",
            check=self.check,
        )

    async def _end_in_time(self, stop: asyncio.Event, workspace: Workspace, saver: Saver) -> None:
        await stop.wait()
        saver.interrupt()
        workspace.stop_by(self.clock.monotonic() + FINISH_S)
        asyncio.get_running_loop().call_later(FINISH_S, _stop_if, self.branch, saver)

    def _ended(self, prepared: Prepared, run: _Run) -> Receipt:
        record = prepared.record
        outcomes = {**record.outcomes, **run.outcomes} if record else run.outcomes
        status, code = judge(outcomes.values(), halted=run.halted)
        intent = prepared.intent
        receipt = Receipt(
            intent, status, code, outcomes, iso(self.clock.now()), run.error, notes=prepared.notes, recorded=True
        )
        if not (prepared.writes or record or (prepared.settles and status is Status.COMPLETE)):
            # Nothing was to be done: nothing is recorded.
            return receipt.evolve(intent=replace(intent, restore=""), recorded=False)
        return self._recorded(receipt, record, begun=run.begun)

    def _recorded(self, receipt: Receipt, record: Record | None, *, begun: bool) -> Receipt:
        intent = receipt.intent
        files = {RECEIPT: dump_receipt(receipt)} | ({} if begun or record else {INTENT: dump_intent(intent)})
        # A remote that hangs must not keep an interrupted restore from ending.
        timer = threading.Timer(FINISH_S, self.branch.stop)
        if receipt.status is Status.INTERRUPTED:
            timer.start()
        try:
            self.branch.append(
                intent.restore, files, subject=receipt.status.value, receipt=record.receipt if record else ""
            )
        except NbvaultError as error:
            why = f"The receipt could not be written to the remote: {error.message} "
            why += f"The restore is open there; `nbvault restore --resume {intent.restore}` looks again and closes it."
            code = receipt.exit_code or error.exit_code
            return receipt.evolve(error=f"{receipt.error} {why}".strip(), recorded=False, exit_code=code)
        finally:
            timer.cancel()
        return receipt


async def _take_back_more(prepared: Prepared, applier: Applier, ask: Callable[[Sequence[Entry]], bool]) -> None:
    """Ask about what somebody has changed since the restore, and then take that back as well."""
    changed = [entry for entry in prepared.entries if applier.outcomes[entry.number].result is Result.CHANGED]
    if changed and applier.halted is None and await asyncio.to_thread(ask, changed):
        await applier.run([entry._replace(expect="") for entry in changed])


def _stop_if(branch: RestoreBranch, saver: Saver) -> None:
    if saver.is_writing:
        branch.stop()


def judge(outcomes: Iterable[Outcome], *, halted: NbvaultError | None) -> tuple[Status, int]:
    """How a restore with these outcomes ended, and the exit code."""
    found = list(outcomes)
    if any(outcome.result is Result.DIFFERS for outcome in found):
        code = 8
    elif isinstance(halted, AuthenticationError):
        code = 6
    elif halted is not None or any(outcome.result is Result.NOT_DONE for outcome in found):
        code = 9
    else:
        code = 0 if all(outcome.is_good for outcome in found) else 3
    if halted is not None or any(outcome.result is Result.NOT_DONE for outcome in found):
        return Status.INTERRUPTED, code
    return (Status.COMPLETE if code == 0 else Status.PARTIAL), code


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        # Not the main thread (a notebook, a test): whoever runs us ends us in its own way.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in numbers:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)

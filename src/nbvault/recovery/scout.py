"""A look at the workspace while the vault is still being opened: whom it takes us for, and what is at a few paths.

Only a head start. What it saw is a listing like any other, as old as this restore; each notebook is looked at again
just before it is written. Where it was not sent to all of the targets, the plan asks for itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any

from nbvault.model import Identity
from nbvault.recovery.live import Workspace, who_and_what
from nbvault.recovery.names import spellings
from nbvault.recovery.plan import Live

FEW = 8
"""Of more paths than that nobody waits for a single answer."""
_PATIENCE_S = 1.0


def worth_a_look(root: str, paths: Iterable[str]) -> list[str]:
    """The workspace paths that may be the targets of a restore of these few; empty where that cannot be told."""
    meant, below = [spelling for path in paths for spelling in spellings(root, path)], root.rstrip("/") + "/"
    clear = all(path.startswith(below) and path != below and not set("*?") & set(path) for path in meant)
    return meant if clear and len(meant) <= FEW else []


class Scout:
    """Goes out when it is entered, in a thread of its own, and is called back when it is left.

    Args:
        connect: Opens the workspace; called in that thread.
        targets: Where to look.
    """

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Workspace]], targets: Sequence[str]) -> None:
        self._connect = connect
        self._targets = frozenset(targets)
        self._found: Future[tuple[Identity, Live]] = Future()
        self._called_back = threading.Event()
        self._going: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._thread = threading.Thread(target=self._go, name="nbvault-scout", daemon=True)

    def __enter__(self) -> Scout:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._called_back.set()
        if self._going is not None:
            loop, task = self._going
            # It may have come back by itself.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
        # One that hangs in signing in is left behind.
        self._thread.join(_PATIENCE_S)

    def seen(self, targets: Iterable[str]) -> tuple[Identity, Live] | None:
        """What there is to know of these targets; waits for it. None if it was not sent to all of them.

        Raises:
            NbvaultError: what kept it from looking.
        """
        return self._found.result() if self._targets.issuperset(targets) else None

    def _go(self) -> None:
        try:
            self._found.set_result(asyncio.run(self._look()))
        except BaseException as error:  # noqa: BLE001 - whatever it is, who waits for it gets it
            self._found.set_exception(error)

    async def _look(self) -> tuple[Identity, Live]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        self._going = asyncio.get_running_loop(), task
        if self._called_back.is_set():
            task.cancel()
        async with self._connect() as workspace:
            return await who_and_what(workspace, self._targets)

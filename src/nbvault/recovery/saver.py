"""Saving what is about to be overwritten: collected while the last push is under way, believed when confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from nbvault.clock import Clock
from nbvault.errors import NbvaultError, SessionInterrupted
from nbvault.gitstore.restores import RestoreBranch
from nbvault.gitstore.writer import blob_id
from nbvault.model import Language, NotebookFormat
from nbvault.recovery.receipt import PreImage, dump_index, index_path, pre_path

CHUNK = 500
CHUNK_BYTES = 64 * 1024 * 1024
# The first push waits so long for the pre-images of a small restore, which saves it the second one.
LINGER_S = 0.4
FEW = 64
"""A restore of so many is over soon after they have been saved."""


class Image(NamedTuple):
    """A notebook as it is now."""

    data: bytes
    form: NotebookFormat
    language: Language | None
    object_id: int


class _Waiting(NamedTuple):
    line: PreImage
    data: bytes
    confirmed: asyncio.Future[None]


class Saver:
    """Puts intent and pre-images onto the branch; an async context manager.

    Args:
        intent: The files that come with the first chunk; empty if the intent is there already.
        expected: How many pre-images may come: a small restore needs one push.
        chunks: How many there are already.
        receipt: The blob of the receipt that the restore has, empty for none.
        check: As `RestoreBranch.append` takes it.
    """

    def __init__(
        self,
        branch: RestoreBranch,
        restore: str,
        *,
        intent: dict[str, bytes],
        expected: int,
        clock: Clock,
        chunks: int = 0,
        receipt: str = "",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._branch = branch
        self._restore = restore
        self._first = intent
        self._expected = expected
        self._clock = clock
        self._chunks = chunks
        self._receipt = receipt
        self._check = check
        self._waiting: list[_Waiting] = []
        self._something = asyncio.Event()
        self._began: asyncio.Future[None]
        self._broken: NbvaultError | None = None
        self._writing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Saver:
        self._began = asyncio.get_running_loop().create_future()
        # Retrieved here, whether or not anybody waits for it.
        self._began.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not self._first:
            # An earlier run wrote it, and maybe nothing is left to be saved that would say so again.
            self._began.set_result(None)
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def has_begun(self) -> bool:
        """Whether the remote has confirmed the intent."""
        return self._began.done() and not self._began.cancelled() and self._began.exception() is None

    @property
    def is_writing(self) -> bool:
        """Whether a push is under way."""
        return self._writing

    async def begun(self) -> None:
        """Wait until the remote has confirmed the intent; raises what kept it from that."""
        await asyncio.shield(self._began)

    async def save(self, number: int, target: str, image: Image) -> str:
        """Wait until the remote has confirmed a pre-image; returns its blob.

        Raises:
            NbvaultError: it cannot be saved, and so nothing may be overwritten any more.
        """
        if self._broken:
            raise self._broken
        line = PreImage(number, target, image.object_id, blob_id(image.data), image.language, image.form)
        waiting = _Waiting(line, image.data, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._something.set()
        await waiting.confirmed
        return line.blob

    def interrupt(self) -> None:
        """Let nobody wait any longer; what is being pushed may still arrive."""
        self._fail(SessionInterrupted("Asked to stop."), self._waiting)

    async def _work(self) -> None:
        # What the first push must know is asked while the pre-images are exported,
        await asyncio.to_thread(self._branch.greet)
        await self._linger()
        while True:
            batch = self._take()
            if batch or self._first:
                await self._write(batch)
                if self._expected <= FEW and not self._waiting:
                    # and what the receipt's must know, while they are written over.
                    await asyncio.to_thread(self._branch.greet)
            else:
                self._something.clear()
                await self._something.wait()

    async def _linger(self) -> None:
        if not 0 < self._expected <= CHUNK:
            return
        timer = asyncio.ensure_future(self._clock.sleep(LINGER_S))
        while len(self._waiting) < self._expected and not timer.done():
            self._something.clear()
            more = asyncio.ensure_future(self._something.wait())
            await asyncio.wait([timer, more], return_when=asyncio.FIRST_COMPLETED)
            more.cancel()
        timer.cancel()

    def _take(self) -> list[_Waiting]:
        size, count = 0, 0
        for each in self._waiting[:CHUNK]:
            size += len(each.data)
            count += 1
            if size >= CHUNK_BYTES:
                break
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _write(self, batch: list[_Waiting]) -> None:
        self._writing = True
        try:
            await asyncio.to_thread(self._append, batch)
        except NbvaultError as error:
            self._fail(error, [*batch, *self._waiting])
            return
        finally:
            self._writing = False
        self._first = {}
        if not self._began.done():
            self._began.set_result(None)
        for each in batch:
            if not each.confirmed.done():
                each.confirmed.set_result(None)

    def _append(self, batch: list[_Waiting]) -> None:
        files = dict(self._first)
        for each in batch:
            files[pre_path(each.line.number)] = each.data
        if batch:
            self._chunks += 1
            files[index_path(self._chunks)] = dump_index(each.line for each in batch)
        subject = "intent" if self._first else f"{len(batch)} saved"
        self._branch.append(self._restore, files, subject=subject, receipt=self._receipt, check=self._check)

    def _fail(self, error: NbvaultError, waiting: list[_Waiting]) -> None:
        self._broken = self._broken or error
        self._first = {}
        for each in waiting:
            if not each.confirmed.done():
                each.confirmed.set_exception(error)
        self._waiting = []
        if not self._began.done():
            self._began.set_exception(error)

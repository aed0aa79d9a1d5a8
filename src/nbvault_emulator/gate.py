"""What every request passes on its way: rates, latency, faults, counting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nbvault_emulator import answers
from nbvault_emulator.faults import Fault, FaultSet
from nbvault_emulator.http import Response
from nbvault_emulator.journal import Journal
from nbvault_emulator.shared import Shared
from nbvault_emulator.world import WorldError

Answer = Response | Awaitable[Response]
MakeAnswer = Callable[[list[Fault]], Answer]
_BUCKET_OF = {"export": "export", "export-folder": "export", "list": "list", "import": "import"}


class Gate:
    """Lets a request through, late, broken or not at all. `faults` is replaced as a whole."""

    def __init__(self, shared: Shared, *, latency_ms: int) -> None:
        self.shared = shared
        self.faults = FaultSet((), shared)
        self.journal: Journal | None = None
        self._latency_s = latency_ms / 1000

    def set_faults(self, faults: list[Any]) -> None:
        """Put these faults in force instead of the present ones.

        Raises:
            ValueError: one is malformed.
        """
        self.faults = FaultSet(faults, self.shared)

    def pass_through(self, endpoint: str, path: str, make: MakeAnswer) -> Answer:
        """The answer to a request, made by ``make`` unless something comes in between."""
        bucket = _BUCKET_OF.get(endpoint)
        wait_s = self.shared.take(bucket) if bucket is not None else 0.0
        if wait_s:
            self.shared.count(endpoint, 429)
            return answers.throttled(wait_s)
        if self._latency_s or self.faults.active:
            return self._slowly(endpoint, path, make)
        made = _made(make, [])
        if isinstance(made, Response):
            self._counted(endpoint, made)
            return made
        return self._count_later(endpoint, made)

    async def _count_later(self, endpoint: str, answer: Awaitable[Response]) -> Response:
        response = await answer
        self._counted(endpoint, response)
        return response

    def _counted(self, endpoint: str, response: Response) -> None:
        self.shared.count(endpoint, response.status)
        self.shared.carried(endpoint, sent=len(response.body))

    async def _slowly(self, endpoint: str, path: str, make: MakeAnswer) -> Response:
        in_flight = self.shared.in_flight(1)
        response: Response | None = None
        try:
            fired = self.faults.fire(endpoint, path)
            response = await self._faulty(fired, in_flight, make)
        except WorldError as refused:
            response = answers.error(500, "FAULT_REFUSED", f"A fault's operation was refused: {refused.message}")
        finally:
            self.shared.in_flight(-1)
            whole = response is not None and not response.drop and response.cut_at is None
            if response is not None and whole:
                self._counted(endpoint, response)
            else:
                self.shared.count(endpoint, 0)
        return response

    async def _faulty(self, fired: list[Fault], in_flight: int, make: MakeAnswer) -> Response:
        self._do(fired, "before")
        delay = self._latency_s + sum(fault.number("ms", 1000) for fault in fired if fault.kind == "latency") / 1000
        if delay:
            await asyncio.sleep(delay)
        instead = await self._instead(fired, in_flight)
        if instead is not None:
            return instead
        made = _made(make, fired)
        response = made if isinstance(made, Response) else await made
        if any(fault.kind == "drop" for fault in fired) and response.stream is None:
            response = Response(
                response.status, response.body, headers=response.headers, cut_at=len(response.body) // 2
            )
        self._do(fired, "after")
        lost = next((fault for fault in fired if fault.kind == "lost-answer"), None)
        return response if lost is None else answers.of_status(lost, default=504)

    async def _instead(self, fired: list[Fault], in_flight: int) -> Response | None:
        for fault in fired:
            if fault.kind == "hang":
                await asyncio.sleep(fault.number("seconds", 86_400))
                return Response(drop=True)
            if fault.kind == "drop" and fault.text("when", "before") == "before":
                return Response(drop=True)
            if fault.kind == "concurrency" and in_flight > fault.number("limit", 20):
                message = f"Workspace 123 exceeded the concurrent limit of {int(fault.number('limit', 20))} requests."
                return answers.error(429, "REQUEST_LIMIT_EXCEEDED", message)
            if fault.kind == "rate" and (wait_s := self.faults.wait_for(fault)):
                return answers.throttled(wait_s)
            answer = answers.of_fault(fault)
            if answer is not None:
                return answer
        return None

    def _do(self, fired: list[Fault], when: str) -> None:
        for fault in fired:
            if fault.kind == "do" and fault.text("when", "before") == when and self.journal is not None:
                todo = fault.data.get("do", [])
                self.journal.commit([dict(one) for one in (todo if isinstance(todo, list) else [todo])])


def _made(make: MakeAnswer, fired: list[Fault]) -> Answer:
    try:
        return make(fired)
    except WorldError as refused:
        return answers.error(refused.status, refused.code, refused.message)

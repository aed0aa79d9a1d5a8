"""A conversion in a process of its own that kills itself: driver.py CONFIG MOMENT [replace].

Moment 2n is right before, 2n + 1 right after the n-th thing that it changes, in the workspace or in the records. It
ends with 0 where it came to its end before that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flow.places import Quiet
from nbvault.conversions import Conversions, RecordLog
from nbvault.settings import load_settings
from nbvault.setup.report import ConvertOptions
from nbvault.workspace.transport import Request, Transport


class Counter:
    """Counts what is changed, and kills this process at its moment."""

    def __init__(self, moment: int) -> None:
        self._left = moment

    def passed(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def count_changes(counter: Counter) -> None:
    """Let every changing request and every record pass by the counter; there is no other door to stand at."""
    ask, write = Transport.ask, RecordLog._write
    changing = asyncio.Lock()

    async def counted_ask(self: Transport, request: Request, read: Callable[[bytes], Any]) -> Any:
        if request.method == "GET":
            return await ask(self, request, read)
        async with changing:
            counter.passed()
            answer = await ask(self, request, read)
            counter.passed()
            return answer

    def counted_write(self: RecordLog, *arguments: Any) -> None:
        counter.passed()
        write(self, *arguments)
        counter.passed()

    Transport.ask = counted_ask  # type: ignore[method-assign, assignment]
    RecordLog._write = counted_write  # type: ignore[method-assign]


def main() -> int:
    options = ConvertOptions(replace="replace" in sys.argv[3:])
    conversions = Conversions(load_settings(Path(sys.argv[1])), "dana", lambda _: None)
    count_changes(Counter(int(sys.argv[2])))
    return conversions.convert(options, Quiet()).exit_code


if __name__ == "__main__":
    sys.exit(main())

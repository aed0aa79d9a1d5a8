"""What this machine can do at best, to read the other figures by: python -m benchmarks.floor

The same HTTP client as nbvault's, told what to fetch by a loop of ten lines, from a server that knows one answer; and
`git fast-import` of generated notebooks by itself. Nothing of nbvault runs.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp

from benchmarks.figures import Row
from benchmarks.harness import arguments, carry_out, workshop
from nbvault_emulator.plan import Plan

REQUESTS = 20_000
IN_FLIGHT = 64
ANSWER_BYTES = 8192
FILES = 10_000


def main() -> None:
    """Measure what the command line asks for."""
    options = arguments(__doc__).parse_args()
    carry_out("floor", "floor", options, measure)


def measure() -> Iterator[Row]:
    """The client's part of a request, and git's of a file."""
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.floor", "--serve"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        began, before = time.monotonic(), time.process_time()
        asyncio.run(_fetch(f"http://127.0.0.1:{port}/"))
        cpu_s = time.process_time() - before
        figures = {"wall_s": time.monotonic() - began, "cpu_own_s": cpu_s, "cpu_ms_each": 1000 * cpu_s / REQUESTS}
        yield Row(f"aiohttp, {ANSWER_BYTES // 1024} KiB answers", REQUESTS, figures=figures)
    finally:
        server.kill()
        server.wait()
    with workshop() as folder:
        yield _import(folder)


async def _fetch(url: str) -> None:
    left = iter(range(REQUESTS))

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.get(url) as response:
                await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))


async def serve() -> None:
    """One answer to whatever is asked, until killed."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {ANSWER_BYTES}\r\n\r\n"
    answer = head.encode() + b"x" * ANSWER_BYTES

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)

    server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _import(folder: Path) -> Row:
    plan = Plan(notebooks=FILES, years=5, engagements=42, seed=1, oversize=0)
    planned = (notebook for group in range(plan.years * plan.engagements) for notebook in plan.members(group))
    sources = sorted(((notebook.name, plan.source(notebook.number)) for notebook in planned), key=_likeness)
    subprocess.run(["git", "init", "--quiet", "--bare", folder / "a.git"], check=True)
    stream = b"".join(b"blob\ndata %d\n%b\n" % (len(source), source) for _, source in sources) + b"done\n"
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["git", "-C", folder / "a.git", "fast-import", "--quiet", "--done", "--depth=10"]
    subprocess.run(command, input=stream, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {"wall_s": time.monotonic() - began, "cpu_git_s": cpu_s, "cpu_ms_each": 1000 * cpu_s / FILES}
    return Row("git fast-import, sorted", FILES, figures=figures)


def _likeness(source: tuple[str, bytes]) -> tuple[str, int]:
    return source[0], -len(source[1])


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
    else:
        main()

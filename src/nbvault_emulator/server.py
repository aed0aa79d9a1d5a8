"""Puts an emulator together and runs it: sockets, workers, the ready line, the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvault_emulator.admin import ADMIN_PATH, AdminApi
from nbvault_emulator.azuredevops import AzureDevOpsApi
from nbvault_emulator.databricks import WorkspaceApi
from nbvault_emulator.gate import Answer, Gate
from nbvault_emulator.git_server import REPOSITORY_PATH, GitServer
from nbvault_emulator.http import Connection, Request
from nbvault_emulator.journal import Journal
from nbvault_emulator.oauth import OAuthServer
from nbvault_emulator.options import EmulatorOptions, remember
from nbvault_emulator.organisation import Organisation
from nbvault_emulator.plan import Plan
from nbvault_emulator.platform import PlatformApi
from nbvault_emulator.shared import Shared
from nbvault_emulator.signing import Signer
from nbvault_emulator.token_api import TokenApi
from nbvault_emulator.world import World
from nbvault_emulator.worldfile import load


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a running emulator is, as its ready line says."""

    workspace_url: str
    workspace_token: str
    git_url: str
    git_token: str
    admin_url: str

    def line(self) -> str:
        """The ready line."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


class Site:
    """One emulator before it serves: its directories, sockets, world and applications.

    Raises:
        OSError: the port is taken, or a directory cannot be made.
        ValueError: the world file or the faults file is malformed.
    """

    def __init__(self, options: EmulatorOptions) -> None:
        self._temporary: Path | None = None
        self._closing = contextlib.ExitStack()
        if options.data is not None:
            options = remember(options, options.data)
        self.options = options
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._build(options)
            on_failure.pop_all()

    def _build(self, options: EmulatorOptions) -> None:
        self.sockets = _bind(options)
        for each in self.sockets:
            self._closing.callback(each.close)
        port = self.sockets[0].getsockname()[1]
        host = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{host}:{port}"
        tokens = _tokens(options.data)
        self.ready = Ready(url, tokens["workspace"], url + REPOSITORY_PATH, tokens["git"], url + ADMIN_PATH)
        rates = {"export": options.export_rate, "list": options.list_rate, "import": options.import_rate}
        self.shared = Shared(options.workers, rates)
        self.gate = Gate(self.shared, latency_ms=options.latency_ms)
        self.world = _world(options)
        git_dir = options.git_dir or self._directory("git")
        git_dir.mkdir(parents=True, exist_ok=True)
        signer = Signer(tokens["workspace"] + tokens["git"])
        organisation = Organisation(git_dir, first_pat=self.ready.git_token, signer=signer)
        self.git = GitServer(git_dir, self.gate, organisation)
        self.world.read_blobs = self.git.read_blobs
        self.journal = Journal(self.world, self._journal_path(), self.gate.set_faults)
        self._closing.callback(self.journal.close)
        self.gate.journal = self.journal
        oauth = OAuthServer(organisation, self.gate, url=url)
        self._azure_devops = AzureDevOpsApi(organisation, self.git, self.gate, url=url)
        platform = PlatformApi(self.world, self.journal, remote=self.ready.git_url.rpartition("/")[0] + "/")
        self._workspace = WorkspaceApi(
            self.world,
            self.journal,
            self.gate,
            token=self.ready.workspace_token,
            url=url,
            platform=platform,
            oauth=oauth,
            tokens=TokenApi(organisation),
        )
        self._admin = AdminApi(self.world, self.journal, self.gate, self.git, organisation)
        if options.faults is not None:
            self.gate.set_faults(json.loads(options.faults.read_text(encoding="utf-8")))

    def _journal_path(self) -> Path | None:
        if self.options.data is None and self.options.workers == 1:
            return None
        return self._directory("journal") / "journal.jsonl"

    def _directory(self, name: str) -> Path:
        if self.options.data is not None:
            where = self.options.data / name
        else:
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="nbvault-emulator-"))
                self._closing.callback(shutil.rmtree, self._temporary, ignore_errors=True)
            where = self._temporary / name
        where.mkdir(parents=True, exist_ok=True)
        return where

    def answer(self, request: Request) -> Answer:
        """The answer to any request: by path to the admin API, Git or the workspace."""
        self.journal.catch_up()
        path = request.path
        if path.startswith(ADMIN_PATH + "/"):
            return self._admin.answer(request)
        if self._azure_devops.serves(path):
            return self._azure_devops.answer(request)
        if self.git.serves(path):
            return self.git.answer(request)
        return self._workspace.answer(request)

    def close(self) -> None:
        """Give back sockets and files; a temporary directory is removed."""
        self._closing.close()


async def serve(site: Site, listening: socket.socket, stop: asyncio.Event) -> None:
    """Answer on a socket until ``stop`` is set; then break off what is open."""
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: Connection(site.answer, site.git.is_streamed, connections), sock=listening
    )
    await stop.wait()
    server.close()
    tasks = [connection.task for connection in connections if connection.task is not None]
    for connection in list(connections):
        connection.abort()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


def run(options: EmulatorOptions) -> int:
    """Serve until SIGTERM or SIGINT; prints the ready line first. Returns the exit code 0.

    Raises:
        OSError: the port is taken, or a directory cannot be made.
        ValueError: the world file or the faults file is malformed.
    """
    site = Site(options)
    try:
        if options.workers == 1:
            asyncio.run(_serve_until_signal(site, 0, announce=True))
        else:
            _run_workers(site)
    finally:
        site.close()
    return 0


async def _serve_until_signal(site: Site, worker: int, *, announce: bool, parent: int = -1) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if parent >= 0:
        # The parent holds the other end of this pipe: it becomes readable when the parent is gone, however it went.
        loop.add_reader(parent, stop.set)
    if announce:
        print(site.ready.line(), flush=True)
    await serve(site, site.sockets[worker], stop)


def _run_workers(site: Site) -> None:
    reading, writing = os.pipe()
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    children = [_fork_worker(site, worker, reading, writing) for worker in range(site.options.workers)]
    print(site.ready.line(), flush=True)
    try:
        signal.sigwait(stop)
    finally:
        os.close(writing)
        for child in children:
            os.waitpid(child, 0)
        os.close(reading)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)


def _fork_worker(site: Site, worker: int, reading: int, writing: int) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.close(writing)
        for number, each in enumerate(site.sockets):
            if number != worker:
                each.close()
        site.shared.become(worker)
        site.journal.reopen()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        asyncio.run(_serve_until_signal(site, worker, announce=False, parent=reading))
        status = 0
    finally:
        # Not sys.exit: the parent's directories and buffers are not this process's to clean up.
        os._exit(status)


def _bind(options: EmulatorOptions) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    port = options.port
    try:
        for _ in range(options.workers):
            # With its protocol named, or the event loop would leave Nagle's algorithm on, and answers would come late.
            each = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if options.workers > 1:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind((options.host, port))
            each.listen(1024)
            each.setblocking(False)
            port = each.getsockname()[1]
    except OSError:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.close()
        raise
    return sockets


def _tokens(data: Path | None) -> dict[str, Any]:
    kept = data / "tokens.json" if data is not None else None
    if kept is not None and kept.exists():
        tokens: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return tokens
    made = {"workspace": "dapi" + secrets.token_hex(16), "git": secrets.token_hex(26)}
    if kept is not None:
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(made), encoding="utf-8")
    return made


def _world(options: EmulatorOptions) -> World:
    plan = Plan(
        notebooks=0 if options.world is not None else options.notebooks,
        years=options.years,
        engagements=options.engagements,
        seed=options.seed,
        oversize=options.oversize,
    )
    world = World(plan, root=options.root)
    if options.world is not None:
        load(world, options.world)
    return world

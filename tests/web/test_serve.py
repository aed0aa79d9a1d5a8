"""`nbvault serve` as a process, as somebody starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli_places import Desk, notebooks
from nbvault.gitstore.cache import open_cache
from nbvault.gitstore.remote import remote_url
from nbvault.web.server import bound
from nbvault_emulator.testing import Emulator


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Emulator(world=notebooks("/Clients/2025/E/NOTEBOOKS/one")) as emulator:
        made = Desk(Path(tmp_path_factory.mktemp("shell")) / "desk", emulator)
        assert made.run("sync").code == 0
        yield made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_link_a_page_and_an_orderly_end(shell: Desk, number: signal.Signals) -> None:
    """It prints a link that opens the page; asked to stop, it ends with 0 and says nothing bad."""
    process = shell.start("serve", "--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Open http://127.0.0.1:")
    with httpx.Client(follow_redirects=True) as browser:
        answer = browser.get(line.split()[1])
        assert (answer.status_code, answer.url.path) == (200, "/")
        found = browser.get(answer.url.join("/api/notebooks")).json()["notebooks"]
    assert [each["path"] for each in found] == ["/Clients/2025/E/NOTEBOOKS/one"]
    process.send_signal(number)
    ended = shell.ended(process)
    assert (ended.code, ended.err) == (0, "")


def test_what_cannot_be_served_is_refused(shell: Desk) -> None:
    """Open to others without signing in, or on a port that is taken: 7, and what to do."""
    open_to_all = shell.run("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it must not
    assert open_to_all.code == 7
    assert "web.sign_in" in open_to_all.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = shell.run("serve", "--port", str(taken.getsockname()[1]))
    assert refused.code == 7
    assert "--port" in refused.err


async def test_the_end_of_an_answer_is_sent_at_once() -> None:
    """No part of an answer waits for the acknowledgement of the one before it, which browsers send 40 ms later."""
    delays: list[int] = []

    async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        delays.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with bound("127.0.0.1", 0) as listening:
        listening.listen()
        async with await asyncio.start_server(met, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            assert await reader.read() == b""
            writer.close()
    assert [bool(each) for each in delays] == [True]


def test_a_vault_without_a_backup_is_served(tmp_path: Path) -> None:
    """Before the first backup the page says so; it need not be started again after it."""
    with Emulator(world=notebooks("/Clients/a")) as emulator:
        desk = Desk(tmp_path / "desk", emulator)
        process = desk.start("serve", "--port", "0", NBVAULT_WEB__REFRESH_S="0.3")
        assert process.stdout is not None
        link = process.stdout.readline().split()[1]
        with httpx.Client(follow_redirects=True) as browser:
            assert browser.get(link).status_code == 200
            empty = browser.get(link.partition("/enter")[0] + "/notebooks")
            assert (empty.status_code, "no backup yet" in empty.text) == (404, True)
        process.terminate()
        assert desk.ended(process).code == 0


@pytest.mark.parametrize("lock", ["shallow.lock", "refs/remotes/origin/nbvault/meta.lock"])
def test_the_lock_of_a_killed_first_clone_stops_nobody(shell: Desk, tmp_path: Path, lock: str) -> None:
    """After a process was killed in its first clone, the command line and the page read all the same."""
    local = tmp_path / "local.git"
    variables = {"NBVAULT_VAULT__PATH": str(local), "NBVAULT_WEB__PATIENCE_S": "60"}
    open_cache(local, url=remote_url(shell.emulator.git_url, base=tmp_path), base_environment=os.environ)
    for _ in range(2):
        (local / lock).parent.mkdir(parents=True, exist_ok=True)
        (local / lock).touch()
        process = shell.start("serve", "--port", "0", **variables)
        assert process.stdout is not None
        with httpx.Client(follow_redirects=True) as browser:
            answer = browser.get(process.stdout.readline().split()[1])
            assert browser.get(answer.url.join("/api/history?path=/Clients/2025/E/NOTEBOOKS/one")).status_code == 200
        process.terminate()
        assert shell.ended(process).code == 0
    (local / lock).touch()
    assert shell.run("history", "/Clients/2025/E/NOTEBOOKS/one", **variables).code == 0

"""The emulator as a program: ready line, signals, workers, admin API."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator.conftest import Client
from nbvault_emulator.__main__ import parse
from nbvault_emulator.options import EmulatorOptions
from nbvault_emulator.testing import Emulator, EmulatorError, flags

SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_ready_line_and_end(number: signal.Signals, workers: str, tmp_path: Path) -> None:
    """One JSON line says where it is; a signal ends it with 0, and it leaves neither process nor directory behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nbvault_emulator", "--notebooks", "5", "--workers", workers],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SOURCE, "TMPDIR": str(tmp_path)},
        start_new_session=True,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        ready = json.loads(process.stdout.readline())
        assert set(ready) == {"workspace_url", "workspace_token", "git_url", "git_token", "admin_url"}
        assert ready["git_url"] == ready["workspace_url"] + "/ORG/PROJECT/_git/vault"
        assert len(Client(ready["workspace_url"], ready["workspace_token"]).names("/Clients")) == 2
        assert (next(tmp_path.iterdir()) / "git" / "vault.git" / "HEAD").exists()
        process.send_signal(number)
        assert process.stdout.read() == ""
    assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_wrong_start_is_one_line(tmp_path: Path) -> None:
    """A file that is not there ends it with 1 and a line that says so."""
    done = subprocess.run(
        [sys.executable, "-m", "nbvault_emulator", "--world", str(tmp_path / "none")],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("nbvault_emulator: ")
    assert done.stderr.count("\n") == 1


def test_flags_round_trip() -> None:
    """Every option has its flag."""
    options = EmulatorOptions(port=1, world=Path("w"), export_rate=60, faults=Path("f"), data=Path("d"), oversize=3)
    assert parse(flags(options)) == options
    assert parse([]) == EmulatorOptions()


def test_workers_agree(client_of: Callable[..., Client]) -> None:
    """Whichever process answers, it has seen every change; counts and faults are one for all."""
    with Emulator(notebooks=20, workers=3) as running:
        client = client_of(running)

        def one(number: int) -> int:
            made = running.create(f"/Clients/x/n{number}", "x")["object_id"]
            for _ in range(3):
                assert client.get("get-status", path=f"/Clients/x/n{number}").json["object_id"] == made
            return int(made)

        with ThreadPoolExecutor(6) as pool:
            ids = list(pool.map(one, range(40)))
        assert len(set(ids)) == 40
        assert len({tuple(client.names("/Clients/x")) for _ in range(12)}) == 1
        assert running.requests()["get-status"] == {"200": 120}
        running.faults({"kind": "status", "status": 503, "match": {"times": 5}})
        assert [client.get("list", path="/Clients").status for _ in range(12)].count(503) == 5
        whole = len(client.get("export", path="/Clients/x/n1", direct_download="true").body)
        assert running.traffic()["export"] == {"received": 0, "sent": whole}
        running.reset_requests()
        assert (running.requests(), running.traffic()) == ({}, {})


def test_edits_during_listing_do_no_harm(client_of: Callable[..., Client]) -> None:
    """GET /world is told while others change the world."""
    with Emulator(notebooks=2000, engagements=10) as running:
        client = client_of(running)
        stop = threading.Event()

        def busy() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                running.create(f"/Clients/{number % 7}/n{number}", "x")
                assert client.get("list", path="/Clients").status == 200

        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(busy)
            told = running.world()
            stop.set()
            work.result()
    assert len(told) >= 2000


def test_world_tells_the_sha256_of_each_source(emulator: Emulator) -> None:
    """GET /world has path, id and sha256 of each notebook, and on request its content or all objects."""
    made = emulator.create("/Clients/f/é", "text", language="R")
    emulator.create("/Clients/f/file", "x", object_type="FILE")
    (told,) = emulator.world(content=True)
    assert (told["path"], told["object_id"], told["content"]) == ("/Clients/f/é", made["object_id"], "text")
    assert told["sha256"] == hashlib.sha256(b"text").hexdigest()
    assert len(emulator.world(everything=True)) == 4
    brief = {"path": "/Clients/f/é", "object_id": made["object_id"], "object_type": "NOTEBOOK"}
    assert emulator.world(brief=True) == [brief]
    assert emulator.world("/Clients/f/é") == [{key: told[key] for key in told if key != "content"}]
    emulator.delete("/Clients/f")
    assert emulator.world() == []


def test_admin_refusals(emulator: Emulator) -> None:
    """What the world refuses, and what is no request, is told with a status and a message."""
    for method, path, body, words in (
        ("POST", "/edit", {"path": "/none", "content": ""}, "404 .*doesn't exist"),
        ("POST", "/edit", {}, "Missing required field: path"),
        ("POST", "/edit", {"path": "/Clients", "content": ""}, "is a folder"),
        ("POST", "/edit", [], "expected a JSON object"),
        ("POST", "/create", {"path": "/"}, "is the root"),
        ("POST", "/create", {"path": "/x", "content_base64": "%"}, "content_base64"),
        ("POST", "/delete", {"path": "/"}, "cannot be deleted"),
        ("POST", "/move", {"from": "/Clients", "to": "/Clients/x"}, "into itself"),
        ("POST", "/batch", {}, "expected a JSON list"),
        ("POST", "/batch", [{"op": "explode"}], "Unknown operation"),
        ("POST", "/touch", {"path": "/Clients"}, "doesn't exist"),
        ("GET", "/nothing", None, "No admin endpoint"),
        ("GET", "/world?path=/none", None, "doesn't exist"),
    ):
        with pytest.raises(EmulatorError, match=words):
            emulator.call(method, path, body)


def test_touch_sets_times(emulator: Emulator, client_of: Callable[..., Client]) -> None:
    """Times can be set without an edit, to zero too, which leaves them out."""
    emulator.create("/Clients/a", "x")
    emulator.call("POST", "/touch", {"path": "/Clients/a", "modified_at": 0, "interactive_at": 0})
    assert "modified_at" not in client_of(emulator).get("get-status", path="/Clients/a").json


def test_restart_in_place(tmp_path: Path) -> None:
    """stop and start with --data is a server that was away for a while."""
    with Emulator(notebooks=0, data=tmp_path / "d") as running:
        running.create("/Clients/a", "x")
        running.stop()
        running.start()
        assert [each["path"] for each in running.world()] == ["/Clients/a"]


def test_a_start_that_fails_is_an_error(tmp_path: Path) -> None:
    """The helper says when the process ended before it was ready."""
    (tmp_path / "d").write_text("a file where a directory should be")
    with pytest.raises(EmulatorError, match="ended with 1"):
        Emulator(notebooks=0, data=tmp_path / "d", git_dir=tmp_path / "g", in_process=False).__enter__()


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed fault ends the start with an error, and no directory of it stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="Fault 0"):
        Emulator(notebooks=0, faults=[{"kind": "unknown"}]).__enter__()
    assert list(tmp_path.iterdir()) == []

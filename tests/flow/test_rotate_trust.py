"""Earlier epochs that are elsewhere, gone, or not what they were: nothing leaks, nothing is made up, all is said."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flow.places import git
from flow.test_rotate import command, rotate
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD, ROOT, Desk

META = "refs/heads/nbvault/meta"
WHO = ("-c", "user.name=Eve", "-c", "user.email=eve@evil.example")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A vault in its second epoch, one notebook of which was changed in each, and no local repository."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD}]) as emulator:
        desk = Desk(emulator, tmp_path)
        desk.write("/a", "of the first day")
        desk.write("/gone", "gone")
        desk.sync()
        desk.write("/a", "of the second day")
        desk.delete("/gone")
        desk.sync()
        rotate(desk, "second")
        desk.write("/a", "of the third day")
        desk.sync()
        desk.lose_this_machine()
        yield desk


@dataclass
class Ear:
    """A server that only listens: what it was asked, and with which credentials."""

    url: str = ""
    heard: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[Ear]:
    ear = Ear()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ear.heard.append((self.path, self.headers.get("Authorization", "")))
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ear.url = f"http://127.0.0.1:{server.server_port}/ORG/PROJECT/_git/vault"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ear
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def forge(repository: Path, name: str, change: Callable[[dict[str, object]], None]) -> None:
    """Somebody who may write to the repository changes a file of its meta branch."""
    found = json.loads(git(repository, "show", f"{META}:{name}"))
    change(found)
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=json.dumps(found).encode()).decode().strip()
    lines = git(repository, "ls-tree", META).decode().splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.endswith(f"\t{name}\n"))
    tree = git(repository, "mktree", stdin=f"{kept}100644 blob {blob}\t{name}\n".encode()).decode().strip()
    message = git(repository, "log", "-1", "--format=%B", META)
    parents = git(repository, "log", "-1", "--format=%P", META).decode().split()
    words = ["commit-tree", tree, "-p", META, *(part for each in parents[1:] for part in ("-p", each))]
    commit = git(repository, *WHO, *words, stdin=message).decode().strip()
    git(repository, "update-ref", META, commit)


def point_at(repository: Path, url: str) -> None:
    """The meta branch says that the first epoch is somewhere else."""

    def change(found: dict[str, object]) -> None:
        found["earlier"][0]["remote"] = url  # type: ignore[index]

    forge(repository, "epochs.json", change)


def test_an_address_elsewhere_gets_no_request_and_no_token(desk: Desk) -> None:
    """What stands in the vault leads no request to another server; what the configuration lists does."""
    with listening() as ear:
        point_at(desk.emulator.git_dir / "second.git", ear.url)
        code, out, err = command(desk, "history", f"{ROOT}/a", "--json")
        assert (code, [each["change"] for each in json.loads(out)]) == (3, ["modified"])
        assert "vault.earlier" in err
        for words in (
            ["show", f"{ROOT}/a", "--at", desk.diary[0].at],
            ["show", f"{ROOT}/gone"],
            ["blame", f"{ROOT}/a"],
        ):
            code, out, err = command(desk, *words)
            assert (code, out, "nothing was asked there" in err) == (7, b"", True), err
        assert command(desk, "undo", "20261121T020000Z-aaaaaa", "--yes")[0] == 7
        desk.sync()
        assert ear.heard == []
        named = {"NBVAULT_VAULT__EARLIER": ear.url}
        desk.environment = lambda plain=desk.environment: {**plain(), **named}  # type: ignore[method-assign]
        assert command(desk, "history", f"{ROOT}/a")[0] == 3
        assert any(credentials for _, credentials in ear.heard)


def test_an_address_that_is_a_command_is_none(desk: Desk) -> None:
    """An address that git would run, or a path of this machine, is not handed to git."""
    for url in ("ext::sh -c touch% evil", "--upload-pack=touch evil", "file:///etc", "/etc"):
        point_at(desk.emulator.git_dir / "second.git", url)
        code, _, err = command(desk, "show", f"{ROOT}/a", "--at", desk.diary[0].at)
        assert (code, "nothing was asked there" in err) == (7, True), url
        assert not list(desk.folder.rglob("evil")), url


def test_an_epoch_that_is_gone(desk: Desk) -> None:
    """Without the first epoch's repository the second goes on; what is known is shown, and said to end there."""
    shutil.move(desk.emulator.git_dir / "vault.git", desk.folder / "away.git")
    code, out, err = command(desk, "history", f"{ROOT}/a", "--json")
    assert (code, [each["change"] for each in json.loads(out)], "epoch 1" in err) == (3, ["modified"], True)
    code, out, err = command(desk, "history", "--deleted", "--json")
    assert (code, [each["path"] for each in json.loads(out)]) == (3, [f"{ROOT}/gone"])
    code, out, _ = command(desk, "search", "of the", "--all-versions", "--json")
    assert (code, {each["text"] for each in json.loads(out)}) == (3, {"of the third day", "of the second day"})
    code, out, err = command(desk, "show", f"{ROOT}/a", "--at", desk.diary[0].at)
    assert (code, out) == (7, b"")
    assert ("There is no Git repository" in err, "Epoch 1 of the vault (20" in err) == (True, True), err
    for words in (["show", f"{ROOT}/a", "--at", desk.diary[0].at], ["blame", f"{ROOT}/a"], ["history", f"{ROOT}/a"]):
        _, _, err = command(desk, *words)
        assert ("Bring that repository back" in err, "vault.remote" in err) == (True, False), err
    code, _, err = command(desk, "undo", "20261121T020000Z-aaaaaa", "--yes")
    assert (code, "Bring that repository back" in err) == (7, True), err
    assert command(desk, "show", f"{ROOT}/a", "--at", desk.diary[1].at)[1].decode() == HEAD + "of the second day"
    assert command(desk, "diff", f"{ROOT}/a")[0] == 7
    desk.write("/a", "of the fourth day")
    desk.sync()
    shutil.move(desk.folder / "away.git", desk.emulator.git_dir / "vault.git")
    assert desk.show(f"{ROOT}/a", desk.diary[0].at).data.decode() == HEAD + "of the first day"
    assert desk.show(f"{ROOT}/gone").data.decode() == HEAD + "gone"


def test_another_repository_in_its_place(desk: Desk) -> None:
    """A repository that does not have the recorded commits is not the epoch, whatever else it has."""
    old = desk.emulator.git_dir / "vault.git"
    shutil.rmtree(old / "objects")
    shutil.rmtree(old / "refs")
    git(old.parent, "init", "--quiet", "--bare", str(old))
    tree = git(old, "write-tree").decode().strip()
    git(old, "update-ref", "refs/heads/main", git(old, *WHO, "commit-tree", tree, "-m", "x").decode().strip())
    (old / "packed-refs").unlink(missing_ok=True)
    code, out, err = command(desk, "show", f"{ROOT}/a", "--at", desk.diary[0].at)
    assert (code, out, "is not epoch 1" in err) == (1, b"", True), err

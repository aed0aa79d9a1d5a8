"""`nbvault sync` as scripts see it: exit codes, the JSON object, what is written and what is not."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import IO

import pytest

from cli_places import CLEAN, Desk, Ended
from nbvault.clock import SystemClock
from nbvault.gitstore.lease import Holder, Lease
from nbvault.gitstore.remote import Remote, remote_url
from nbvault.gitstore.runner import init_bare
from nbvault.gitstore.upkeep import ProcessLock
from nbvault.state.store import StateManager
from nbvault_emulator.testing import Emulator

FORBIDDEN = {"kind": "oversize", "shape": "size-exceeds", "match": {"path": "/Clients/2024/a"}}


def test_first_and_second_sync(desk: Desk) -> None:
    """The first sync saves all and names head and tag; the second adds nothing to main and ends with 0 as well."""
    first = desk.run("sync", "--json")
    report = first.report()
    assert (first.code, report["status"], report["listed"], report["added"]) == (0, "complete", 4, 4)
    assert report["pushed"]
    assert report["head"] in desk.refs()
    assert report["tag"] in desk.refs()
    second = desk.run("sync", "--json").report()
    assert (second["unchanged"], second["head"], second["tag"]) == (4, report["head"], None)


def test_people_read_what_is_protected(desk: Desk) -> None:
    """Without --json the result is told in words, with the sha that the remote has confirmed."""
    ended = desk.run("sync", "--message", "before the migration")
    assert ended.code == 0
    assert "Backup complete" in ended.out
    assert "Protected at" in ended.out
    assert ended.out.split("Protected at ")[1].split(",")[0] in desk.refs()


def test_dry_run_writes_nothing(desk: Desk) -> None:
    """A dry run counts what it would save and leaves every ref of the remote as it was."""
    before = desk.refs()
    report = desk.run("sync", "--dry-run", "--json").report()
    assert (report["saved"], report["head"], report["commits"]) == (4, None, 0)
    assert desk.refs() == before


@pytest.mark.parametrize("below", ["vault.git", "deeper/vault.git"])
@pytest.mark.parametrize("command", [["sync"], ["history", "/Clients/d"]])
def test_a_vault_path_below_a_file(command: list[str], below: str, desk: Desk) -> None:
    """No folder can be there: told with what to check, and 7; no file is left by that."""
    before = sorted(path.name for path in desk.folder.iterdir())
    ended = desk.run(*command, NBVAULT_VAULT__PATH=str(desk.folder / "nbvault.toml" / below))
    assert (ended.code, "cannot hold the local repository: " in ended.err) == (7, True), ended
    assert "Check vault.path" in ended.err
    assert [path.name for path in desk.folder.iterdir() if path.suffix == ".git"] == []
    assert set(before) <= {path.name for path in desk.folder.iterdir()}


def test_partial_ends_with_3(desk: Desk, emulator: Emulator) -> None:
    """A notebook that cannot be exported is named with its reason, and the session ends with 3."""
    emulator.faults(FORBIDDEN)
    ended = desk.run("sync", "--json")
    report = ended.report()
    assert (ended.code, report["status"], report["saved"], report["failed"]) == (3, "partial", 3, 1)
    problem = report["problems"][0]
    assert (problem["path"], problem["state"]) == ("/Clients/2024/a", "failed")
    assert problem["reason"]
    told = desk.run("sync")
    assert told.code == 3
    assert "/Clients/2024/a" in told.out
    assert "nbvault problems acknowledge" in told.out


def test_held_deletions_end_with_4_until_accepted(desk: Desk, emulator: Emulator) -> None:
    """Deletions of a whole top folder are held with 4; the command that the summary names lets them through."""
    assert desk.run("sync").code == 0
    emulator.delete("/Clients/2024")
    held = desk.run("sync")
    assert held.code == 4
    command = next(line for line in held.out.splitlines() if "--accept-deletions" in line).split(": ")[1].split()
    assert command[:3] == ["nbvault", "sync", "--accept-deletions"]
    accepted = desk.run(*command[1:], "--json")
    report = accepted.report()
    assert (accepted.code, report["deleted"], report["held_deletions"]) == (0, 2, 0)


def test_locked_ends_with_5(desk: Desk) -> None:
    """While another process uses the local repository, a sync ends with 5 and the whole object."""
    with ProcessLock(desk.folder / "vault.git.lock", clock=SystemClock()):
        ended = desk.run("sync", "--json")
    assert ended.code == 5
    assert "Another process" in ended.report()["error"]
    assert not ended.report()["pushed"]


@pytest.mark.parametrize("variable", ["DATABRICKS_TOKEN", "AZURE_DEVOPS_PAT"])
@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_wrong_or_missing_token_ends_with_6(desk: Desk, variable: str, token: str) -> None:
    """Credentials that are refused, by the workspace or by the Git server, end with 6; so does a missing secret."""
    ended = desk.run("sync", "--json", **{variable: token})
    assert_failed(ended, 6)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("NBVAULT_WORKSPACE__ROOT", "/Nowhere", "root"),
        ("NBVAULT_VAULT__REMOTE", "nowhere.git", "no Git repository"),
        ("NBVAULT_WORKSPACE__HOST", "http://example.com", "https"),
        ("NBVAULT_SYNC__BATCH_SIZES", "5", "NBVAULT_SYNC__BATCH_SIZE?"),
        ("NBVAULT_EXPORT__BULK", "always", "export.bulk"),
    ],
)
def test_wrong_settings_end_with_7(desk: Desk, variable: str, value: str, said: str) -> None:
    """A root or remote that does not exist, an unknown key, a bad value: 7, and a sentence that names it."""
    ended = desk.run("sync", "--json", **{variable: value})
    assert_failed(ended, 7)
    assert said in ended.err


def test_unknown_held_session_ends_with_7(desk: Desk) -> None:
    """Accepting what no session held is wrong usage."""
    assert_failed(desk.run("sync", "--json", "--accept-deletions", "last"), 7)


def test_unreachable_workspace_ends_with_1(desk: Desk) -> None:
    """A host that does not answer is no fault of the configuration: 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert_failed(desk.run("sync", "--json", NBVAULT_WORKSPACE__HOST=host), 1)


def test_config_stands_anywhere_after_the_command(desk: Desk, tmp_path: Path) -> None:
    """--config is taken before and after other options, and relative paths in the file are relative to it."""
    file = desk.folder / "nbvault.toml"
    other = tmp_path / "elsewhere.toml"
    file.rename(other)
    assert_failed(desk.run("sync", "--json"), 7)
    assert desk.run("sync", "--config", str(other), "--dry-run").code == 0
    assert desk.run("sync", "--dry-run", "--config", "../elsewhere.toml").code == 0
    assert (tmp_path / "vault.git").is_dir()


def test_sigterm_ends_a_slow_session_with_9(tmp_path: Path) -> None:
    """SIGTERM ends a session in order within 20 s: 9, interrupted, the object printed."""
    with Emulator(notebooks=200, export_rate=5) as emulator:
        desk = Desk(tmp_path / "desk", emulator)
        process = desk.start("sync", "--json", NBVAULT_WORKSPACE__RETRY_S="60")
        await_line(process.stderr, "began")
        process.send_signal(signal.SIGTERM)
        ended = desk.ended(process, within_s=20)
    assert ended.code == 9
    assert ended.report()["status"] == "interrupted"


def test_sigterm_while_the_lease_is_watched_ends_with_9(desk: Desk, tmp_path: Path) -> None:
    """A session that waits to see whether another machine's session lives can be stopped, too."""
    take_lease_elsewhere(desk.emulator, tmp_path)
    process = desk.start("sync", "--json")
    await_line(process.stderr, "watching")
    process.send_signal(signal.SIGTERM)
    ended = desk.ended(process, within_s=20)
    assert ended.code == 9
    assert ended.report()["status"] == "interrupted"


def test_sigterm_while_the_workspace_is_silent_ends_with_9(desk: Desk, emulator: Emulator) -> None:
    """A session whose first question the workspace does not answer can be stopped, too."""
    emulator.faults({"kind": "hang", "match": {"endpoint": "scim"}})
    process = desk.start("sync", "--json")
    await_line(process.stderr, "began")
    process.send_signal(signal.SIGTERM)
    ended = desk.ended(process, within_s=20)
    assert ended.code == 9
    assert ended.report()["status"] == "interrupted"


@pytest.mark.parametrize("url", ["sqlite:////etc/passwd/y.db", "sqlite:///missing/folder/y.db", "sqlite:///torn.db"])
def test_a_state_store_that_cannot_be_opened_is_said_in_a_sentence(url: str, desk: Desk) -> None:
    """The session goes on without it, and nothing of the program's inside is shown."""
    (desk.folder / "torn.db").write_bytes(bytes(range(256)) * 40)
    for _ in range(2):
        ended = desk.run("sync", "--json", NBVAULT_STATE__URL=url)
        assert (ended.code, ended.report()["status"]) == (0, "complete"), ended.err
        assert "The state store is not used in this session" in ended.err
        assert "Traceback" not in ended.err


def await_line(stream: IO[str] | None, words: str) -> None:
    """Read what a process says until it says this."""
    assert stream is not None
    assert any(words in line for line in iter(stream.readline, "")), words


def take_lease_elsewhere(emulator: Emulator, tmp_path: Path) -> None:
    """A session of another machine holds the lease, and nobody here can tell whether it lives."""
    git = init_bare(tmp_path / "elsewhere.git", CLEAN)
    remote = Remote(git, remote_url(str(emulator.git_dir / "vault.git"), base=tmp_path))
    holder = Holder("another-machine boot namespace", 1, "1", "/elsewhere")
    with StateManager("sqlite://") as state:
        Lease(
            git,
            remote,
            holder,
            session="20260101T000000Z-000000",
            clock=SystemClock(),
            stale_s=900,
            sightings=state,
            is_alive=lambda _: None,
        ).acquire()


def assert_failed(ended: Ended, code: int) -> None:
    """The session failed with this code: every field is there, the counts are zero, and the error is said."""
    assert ended.code == code, ended.err
    report = ended.report()
    assert report["status"] == "failed"
    assert report["error"]
    assert (report["listed"], report["saved"], report["pushed"], report["head"]) == (0, 0, False, None)
    assert ended.err.count("nbvault: ") == 1

"""A notebook's bytes come back as they were, now and at any moment."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from datetime import timedelta

import pytest

from nbvault.clock import iso
from nbvault.errors import ConfigurationError, NbvaultError, RemoteUnreachable
from nbvault.opening import opened_vault, read_vault
from nbvault.recovery.versions import show
from recovery.places import ANN, BOB, HEAD, Desk


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def everything_at_each_session(desk: Desk) -> None:
    with read_vault(desk.settings, warn=desk.warnings.append) as vault:
        for day in desk.diary:
            tag = day.report.tag or ""
            for number, (path, digest) in enumerate(day.sums.items()):
                at = (day.at, tag, f"{day.report.started_at:%Y-%m-%d}")[number % 3]
                source = show(vault, path, at=at)
                assert (source.path, sha256(source.data), source.note) == (path, digest, ""), (path, at)


def test_every_notebook_at_every_session_is_what_the_workspace_held_then(story: Desk) -> None:
    """By time, by date and by tag, each path gives the bytes that the workspace had when that session began."""
    everything_at_each_session(story)


def test_without_a_moment_it_is_the_last_protected_version(story: Desk) -> None:
    """What is shown is what the last session saved, whatever has happened in the workspace since."""
    for path, digest in story.diary[-1].sums.items():
        source = story.show(path)
        assert (sha256(source.data), source.note) == (digest, "")


def test_a_deleted_notebook_gives_its_last_version_and_says_so(story: Desk) -> None:
    """The bytes are there, and a note says that the notebook is not."""
    source = story.show("/Clients/gone/one")
    assert sha256(source.data) == story.diary[0].sums["/Clients/gone/one"]
    assert "was deleted" in source.note
    assert story.show("/Clients/reuse/p").data == (HEAD + "another at p\n").encode()


def test_a_notebook_that_moved_is_found_under_its_old_path(story: Desk) -> None:
    """Now, and at a moment when it had yet another name than the one that is asked for."""
    now = story.show("/Clients/left/here")
    assert now.path == "/Clients/left/there"
    assert "has moved" in now.note
    then = story.show("/Clients/b/etl2", at=story.diary[0].at)
    assert (then.path, sha256(then.data)) == ("/Clients/a/etl", story.diary[0].sums["/Clients/a/etl"])
    assert "/Clients/a/etl" in then.note


def test_every_version_of_a_history_can_be_shown_by_its_commit(story: Desk) -> None:
    """The commit of an entry, whole or abbreviated, and its time give the bytes of that version."""
    numbers = {day.report.session: day for day in story.diary}
    for version in story.history("/Clients/b/etl2"):
        for name in (version.commit, version.commit[:10], version.as_json()["at"]):
            source = story.show("/Clients/b/etl2", at=name)
            assert sha256(source.data) == numbers[version.session].sums[version.path]


@pytest.mark.parametrize("at", ["main", "backup/daily"])
def test_a_branch_is_a_moment_too(story: Desk, at: str) -> None:
    """The two branches name their tips."""
    assert sha256(story.show("/Clients/keep", at=at).data) == story.diary[-1].sums["/Clients/keep"]


def test_between_two_sessions_it_is_the_earlier_one(story: Desk) -> None:
    """A moment before the scan of a session does not see that session, also in another zone."""
    second = story.diary[1].report.started_at
    for at in (iso(second - timedelta(seconds=1)), (second - timedelta(seconds=1)).isoformat()):
        assert sha256(story.show("/Clients/a/etl", at=at).data) == story.diary[0].sums["/Clients/a/etl"]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2019-01-01", "no backup yet"),
        ("2019-01-01T00:00", "The first one began at"),
        ("2019-13-01", "is no time"),
        ("0123456789abcdef", "names no commit"),
        ("backup/20190101T000000Z", "names no commit"),
        ("yesterday", "names no commit"),
        ("main~1", "names no commit"),
        ("--upload-pack=x", "names no commit"),
    ],
)
def test_a_moment_that_is_none_is_refused(story: Desk, at: str, told: str) -> None:
    """Before the first backup, an unknown commit, no time at all: exit 7 and a sentence."""
    with pytest.raises(ConfigurationError, match=told) as refused:
        story.show("/Clients/keep", at=at)
    assert refused.value.exit_code == 7


def test_a_commit_of_another_branch_is_refused(story: Desk) -> None:
    """The inventory's own commits hold no notebooks."""
    with read_vault(story.settings, warn=story.warnings.append) as vault:
        meta = vault.meta.tip
    with pytest.raises(ConfigurationError, match="not one of main or backup/daily"):
        story.show("/Clients/keep", at=meta)


@pytest.mark.parametrize(
    ("path", "day"), [("/Clients/gone/one", 2), ("/Clients/re/create2", 1), ("/Clients/Case/Etl", 3)]
)
def test_a_notebook_that_was_not_there_then_is_refused(story: Desk, path: str, day: int) -> None:
    """After its deletion and before its birth there is nothing to show."""
    with pytest.raises(ConfigurationError) as refused:
        story.show(path, at=story.diary[day].at)
    assert refused.value.exit_code == 7


def test_people_s_files_beside_ours_are_not_taken_for_a_notebook(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file that somebody pushed to main under the same name with another extension changes nothing."""
    desk.write("/a/etl", "ours", ANN)
    desk.sync()
    work = tmp_path_factory.mktemp("people")
    server = desk.emulator.git_dir / "vault.git"

    def run(*args: str) -> None:
        subprocess.run(["git", "-C", str(work), *args], check=True, capture_output=True)

    run("clone", "--quiet", "--branch", "main", str(server), ".")
    (work / "a" / "etl.ipynb").write_text("theirs")
    run("add", ".")
    run("-c", "user.name=P", "-c", "user.email=p@x", "commit", "--quiet", "-m", "mine")
    run("push", "--quiet", "origin", "main")
    desk.write("/a/etl", "ours again", ANN)
    desk.sync()
    assert desk.show("/Clients/a/etl", at="main").data == (HEAD + "ours again").encode()
    assert desk.show("/Clients/a/etl", at=desk.diary[0].at).data == (HEAD + "ours").encode()
    assert desk.story("/Clients/a/etl") == [("modified", "/a/etl", "2"), ("added", "/a/etl", "1")]


def test_the_vault_alone_gives_every_version_back(desk: Desk) -> None:
    """A machine that has nothing but the configuration shows every notebook at every session, and so after a sync."""
    for text in ("one", "two", "three"):
        desk.write("/x", text, ANN)
        desk.write("/deep/er/y", text + "\r\n", BOB)
        desk.sync()
    desk.lose_this_machine()
    everything_at_each_session(desk)
    desk.write("/x", "four", BOB)
    desk.sync()
    everything_at_each_session(desk)


def test_without_its_remote_it_is_the_vault_as_of_the_last_fetch(desk: Desk) -> None:
    """A warning says so; what was never fetched is an error of the remote."""
    desk.write("/x", "one", ANN)
    desk.sync()
    desk.lose_this_machine()
    shown = desk.show("/Clients/x", at=desk.diary[0].report.tag or "")
    assert desk.warnings == []
    desk.emulator.stop()
    again = desk.show("/Clients/x", at=desk.diary[0].report.tag or "")
    assert again == shown
    assert desk.show("/Clients/x").data == shown.data
    assert all("as of the last fetch" in warning for warning in desk.warnings)
    assert len(desk.warnings) == 2
    shutil.rmtree(desk.local)
    with pytest.raises(RemoteUnreachable):
        desk.show("/Clients/x")


def test_reading_beside_a_sync_disturbs_neither(desk: Desk) -> None:
    """While sessions run, readers on the same local repository see whole versions only, and no session fails."""
    for number in range(30):
        desk.write(f"/n/{number}", "one", ANN)
    desk.sync()
    desk.lose_this_machine()
    done = threading.Event()
    troubles: list[NbvaultError] = []
    texts = {(HEAD + text).encode() for text in ("one", "two 0", "two 1", "two 2")}
    reads = []

    def read() -> None:
        while not done.is_set():
            try:
                reads.append(desk.show("/Clients/n/1").data in texts)
                reads.append(desk.history("/Clients/n/1")[-1].change.value == "added")
            except NbvaultError as error:
                troubles.append(error)
                return

    desk.sync()
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(3):
            desk.write("/n/1", f"two {number}", BOB)
            desk.sync()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert troubles == []
    assert reads
    assert all(reads)
    assert len(desk.history("/Clients/n/1")) == 4


def test_a_reader_moves_no_branch_and_shows_nothing_unconfirmed(desk: Desk) -> None:
    """Local branches stay where a session has put them, and commits that were not pushed are not shown."""
    desk.write("/x", "one", ANN)
    desk.sync()
    desk.write("/x", "two", ANN)
    server = desk.emulator.git_dir / "vault.git"
    hook = server / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nwhile read old new ref; do case $ref in */meta) exit 1;; esac; done\n")
    hook.chmod(0o755)
    with pytest.raises(AssertionError):
        desk.sync()
    refs = branches(desk)
    assert desk.show("/Clients/x").data == (HEAD + "one").encode()
    assert [v.change.value for v in desk.history("/Clients/x")] == ["added"]
    assert branches(desk) == refs
    hook.unlink()
    desk.sync()
    assert desk.show("/Clients/x").data == (HEAD + "two").encode()


def branches(desk: Desk) -> str:
    with opened_vault(desk.settings) as vault:
        return vault.git.text("for-each-ref", "refs/heads")

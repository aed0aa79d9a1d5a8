"""The branch of restores: append-only, without a lease, and in nobody's way."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from git_places import MAIN, SteppingClock, fill, local_of, make_server
from nbvault.errors import LockedError, PushRefused
from nbvault.gitstore.restores import BRANCH, RECEIPT, RestoreBranch, opened_restores
from nbvault.gitstore.runner import Git
from nbvault.gitstore.vault import Vault
from nbvault.opening import opened_vault
from nbvault.recovery.receipt import INTENT, read_record, read_records
from recovery.places import ROOT
from recovery.restore.desk import RestoreDesk, source


@pytest.fixture
def server(tmp_path: Path) -> Git:
    """A server with something on main."""
    found = make_server(tmp_path / "server.git")
    fill(found, tmp_path / "filler.git", {"a.py": b"a"})
    return found


def branch_of(server: Git, path: Path) -> RestoreBranch:
    """The branch as one process sees it, in a local repository of its own."""
    git, remote = local_of(server, path)
    found = RestoreBranch(git, remote, clock=SteppingClock())
    found.see(remote.ls_remote().get(BRANCH, ""))
    return found


def test_who_loses_a_race_writes_again_on_top(server: Git, tmp_path: Path) -> None:
    """Two processes append in turn from the same tip: everything of both is there, and history only grew."""
    one, two = branch_of(server, tmp_path / "one.git"), branch_of(server, tmp_path / "two.git")
    for number in range(4):
        one.append("A", {f"pre/{number}": b"one"}, subject="1")
        two.append("B", {f"pre/{number}": b"two"}, subject="2")
    listed = server.text("ls-tree", "-r", "--name-only", BRANCH).splitlines()
    assert listed == [f"restores/{name}/pre/{number}" for name in "AB" for number in range(4)]
    assert server.text("rev-list", "--count", BRANCH) == "8"
    assert server.text("rev-list", "--merges", BRANCH) == ""


def test_many_at_once(server: Git, tmp_path: Path) -> None:
    """Five threads with a repository each: no file is lost."""
    branches = [branch_of(server, tmp_path / f"{number}.git") for number in range(5)]

    def work(number: int) -> None:
        for chunk in range(3):
            branches[number].append(f"R{number}", {f"pre/{chunk}": b"x"}, subject="x")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.text("ls-tree", "-r", "--name-only", BRANCH).splitlines()) == 15


def test_open_ones_are_those_without_a_receipt(server: Git, tmp_path: Path) -> None:
    """Another machine sees which restores have not ended, by trees alone."""
    one = branch_of(server, tmp_path / "one.git")
    one.append("A", {"intent.jsonl": b"{}"}, subject="intent")
    one.append("B", {"intent.jsonl": b"{}"}, subject="intent")
    one.append("A", {RECEIPT: b"{}"}, subject="complete")
    two = branch_of(server, tmp_path / "two.git")
    assert (two.ids(), two.open_ids()) == (["A", "B"], ["B"])
    assert set(two.files("A")) == {"intent.jsonl", RECEIPT}
    assert two.files("C") == {}
    assert two.read(list(two.files("B").values())) == {two.files("B")["intent.jsonl"]: b"{}"}


def test_a_restore_that_somebody_else_closed_writes_nothing_more(server: Git, tmp_path: Path) -> None:
    """Its next push loses the race against the receipt, and it is told."""
    one, two = branch_of(server, tmp_path / "one.git"), branch_of(server, tmp_path / "two.git")
    one.append("A", {"intent.jsonl": b"{}"}, subject="intent")
    two.append("A", {RECEIPT: b"closed"}, subject="abandoned")
    with pytest.raises(LockedError, match="closed by somebody else"):
        one.append("A", {"pre/1": b"x"}, subject="1 saved")
    assert "restores/A/pre/1" not in server.text("ls-tree", "-r", "--name-only", BRANCH)


def test_the_check_is_made_on_the_tip_that_is_built_upon(server: Git, tmp_path: Path) -> None:
    """Who loses a race looks again before writing on top; what the check raises ends it."""
    one, two = branch_of(server, tmp_path / "one.git"), branch_of(server, tmp_path / "two.git")
    one.append("A", {"intent.jsonl": b"{}"}, subject="intent")

    def refuse() -> None:
        raise LockedError(f"open: {two.open_ids()}")

    with pytest.raises(LockedError, match=r"open: \['A'\]"):
        two.append("B", {"intent.jsonl": b"{}"}, subject="intent", check=refuse)


def test_a_refused_push_is_told(server: Git, tmp_path: Path) -> None:
    """A policy on the branch is an error of its own, with the hint what right is missing."""
    hook = server.repo / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRefused):
        branch_of(server, tmp_path / "one.git").append("A", {"x": b"x"}, subject="x")


def test_the_vault_s_own_repository_is_left_alone(server: Git, tmp_path: Path) -> None:
    """Refs, shallowness and packs of the vault are as before; what a killed process left in ours is removed."""
    git, remote = local_of(server, tmp_path / "vault.git")
    vault = Vault(git, remote, "/Clients")
    vault.refs = remote.ls_remote()
    assert MAIN in vault.refs
    before = git.text("for-each-ref")
    with opened_restores(vault, clock=SteppingClock()) as branch:
        branch.append("A", {"intent.jsonl": b"{}"}, subject="intent")
    leftover = git.repo / "restores" / "cache.git" / "objects" / "pack" / "tmp_pack_x"
    leftover.write_bytes(b"x")
    vault.refs = remote.ls_remote()
    with opened_restores(vault, clock=SteppingClock()) as first:
        assert not leftover.exists()
        leftover.write_bytes(b"of a living process")
        with opened_restores(vault, clock=SteppingClock()) as second:
            assert leftover.exists()
            second.append("B", {"intent.jsonl": b"{}"}, subject="intent")
        first.append("C", {"intent.jsonl": b"{}"}, subject="intent")
        assert first.ids() == ["A", "B", "C"]
    assert git.text("for-each-ref") == before
    assert not (git.repo / "shallow").exists()


def test_many_records_are_read_as_one_by_one(desk: RestoreDesk) -> None:
    """Complete ones, an open one, one with pre-images, and a name that is none: the same values, in their order."""
    desk.restore("f/a", to="/Clients/copies/a")
    desk.emulator.edit(f"{ROOT}/f/b", source("changed\n"))
    desk.restore(f"{ROOT}/f/b", f"{ROOT}/f/c", overwrite="always")
    with desk.restorer() as restorer:
        branch = restorer.branch
        branch.append("20990101T000000Z-aaaaaa", {INTENT: branch_intent(branch)}, subject="open")
        names = branch.ids()
        assert len(names) == 3
        told = read_records(branch, ["nothing", *names[::-1]])
        assert told == [read_record(branch, name) for name in names[::-1]]
        assert [bool(record.pre) for record in told] == [False, True, False]
        assert read_records(branch, []) == []


def test_restores_of_one_second_are_in_their_order(desk: RestoreDesk) -> None:
    """However quickly they follow one another, the branch tells them in the order in which they were made."""
    made = [desk.restore("f/a", to=f"/Clients/copies/{number}").intent.restore for number in range(4)]
    with desk.restorer() as restorer:
        assert restorer.branch.ids() == made
        # What somebody else put there is in nobody's way.
        restorer.branch.append("foo", {"note": b"hi", RECEIPT: b"{}"}, subject="by hand")
    made.append(desk.restore("f/a", to="/Clients/copies/last").intent.restore)
    with desk.restorer() as restorer:
        assert restorer.branch.ids() == [*made, "foo"]


def branch_intent(branch: RestoreBranch) -> bytes:
    """An intent that is on the branch already."""
    oid = branch.files(branch.ids()[0])[INTENT]
    return branch.read([oid])[oid]


def test_who_only_reads_takes_the_repository_as_it_is(desk: RestoreDesk) -> None:
    """Reading makes the repository where there is none, sees what others wrote since, and leaves what lies there."""
    with opened_vault(desk.settings, clock=desk.clock) as vault:
        leftover = vault.git.repo / "restores" / "cache.git" / "objects" / "pack" / "tmp_pack_x"
        made: list[str] = []
        for name in "ab":
            vault.refresh()
            with opened_restores(vault, clock=desk.clock, reading=True) as branch:
                assert branch.ids() == sorted(made)
            made.append(desk.restore(f"f/{name}", to=f"{ROOT}/copies/{name}").intent.restore)
        leftover.write_bytes(b"of a living process, perhaps")
        vault.refresh()
        with opened_restores(vault, clock=desk.clock, reading=True) as branch:
            assert branch.ids() == sorted(made)
        assert leftover.exists()

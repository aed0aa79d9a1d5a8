"""A vault that was rotated twice: every day of every epoch is there, for every command, on any machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from flow.places import check_health, git, refs_of, tree_of
from nbvault.administration import rebuild_state
from nbvault.opening import read_vault
from nbvault.recovery.blame import blame
from nbvault.recovery.bygone import bygone
from nbvault.recovery.difference import difference
from nbvault.recovery.needle import Needle
from nbvault.recovery.search import search, search_all
from nbvault.recovery.versions import show
from nbvault.rotation import Rotation, run_rotate
from nbvault_emulator.testing import Emulator
from recovery.places import ANN, BOB, HEAD, ROOT, ZOE, Desk


def rotate(desk: Desk, name: str) -> Rotation:
    """The vault goes on in a new repository of the server, and so does the desk."""
    url = desk.emulator.repository(name)
    done = run_rotate(desk.settings, url, by="ann", say=desk.warnings.append, clock=desk.clock)
    desk.remote = url
    return done


def command(desk: Desk, *arguments: str) -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr of a command line."""
    run = [sys.executable, "-m", "nbvault.cli.main", *arguments]
    done = subprocess.run(run, capture_output=True, env=desk.environment(), cwd=desk.folder, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Six days in three epochs of two days each; nobody may change it."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD}]) as emulator:
        desk = Desk(emulator, tmp_path_factory.mktemp("story"))
        _first_epoch(desk)
        rotate(desk, "second")
        _second_epoch(desk)
        rotate(desk, "third")
        _third_epoch(desk)
        yield desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty workspace and a machine beside it."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD}]) as emulator:
        yield Desk(emulator, tmp_path)


def _first_epoch(desk: Desk) -> None:
    desk.write("/a", "one\nsame\n", ANN)
    for name in ("/mv/one", "/gone/early", "/gone/late", "/back", "/new/id", "/only/then"):
        desk.write(name, f"{name} first\n", ANN)
    desk.sync()
    desk.write("/a", "one\nsame\ntwo\n", BOB)
    desk.write("/only/then", "the needle of the second day\n", BOB)
    desk.delete("/gone/early")
    desk.delete("/new/id")
    desk.emulator.move(f"{ROOT}/back", "/Archive/back")
    desk.sync()


def _second_epoch(desk: Desk) -> None:
    desk.write("/only/then", "nothing any more\n", ZOE)
    desk.move("/mv/one", "/mv/two")
    desk.delete("/gone/late")
    desk.sync()
    desk.write("/a", "one\nsame\ntwo\nthree\n", ZOE)
    desk.write("/new/id", "another notebook\n", BOB)
    desk.write("/short", "lived in the second epoch only\n", BOB)
    desk.sync()


def _third_epoch(desk: Desk) -> None:
    desk.move("/mv/two", "/mv/three")
    desk.emulator.move("/Archive/back", f"{ROOT}/back/again")
    desk.delete("/short")
    desk.sync()
    desk.write("/a", "one\ntwo\nthree\nfour\n", ANN)
    desk.sync()


def elsewhere(desk: Desk, folder: Path, *, remote: str = "") -> Desk:
    """A machine that has nothing but the configuration."""
    folder.mkdir(exist_ok=True)
    return replace(desk, folder=folder, warnings=[], remote=remote or desk.remote)


def check_every_day(desk: Desk) -> None:
    """Each notebook of each day is what it was, byte for byte."""
    wanted = {(number, path): sha for number, day in enumerate(desk.diary) for path, sha in day.sums.items()}
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        there = {
            (number, path): hashlib.sha256(show(vault, path, at=desk.diary[number].at).data).hexdigest()
            for number, path in wanted
        }
    assert there == wanted


def test_every_day_of_every_epoch(story: Desk, tmp_path: Path) -> None:
    """A new machine that knows the last remote only shows every notebook of every day as it was."""
    machine = elsewhere(story, tmp_path / "new")
    check_every_day(machine)
    assert machine.warnings == []


def test_days_of_the_present_epoch_need_no_other(story: Desk, tmp_path: Path) -> None:
    """What the present epoch can answer is answered without a request to an earlier one."""
    machine = elsewhere(story, tmp_path / "new")
    machine.show(f"{ROOT}/a", story.diary[4].at)
    machine.show(f"{ROOT}/a", story.diary[3].at)
    assert git(machine.local, "for-each-ref", "refs/epochs") == b""
    machine.show(f"{ROOT}/a", story.diary[2].at)
    fetched = git(machine.local, "for-each-ref", "--format=%(refname)", "refs/epochs").decode().split()
    assert fetched == ["refs/epochs/2/content", "refs/epochs/2/main"]


def test_by_commit_and_tag(story: Desk, tmp_path: Path) -> None:
    """Commits and tags of an earlier epoch are still names of what was then."""
    machine = elsewhere(story, tmp_path / "new")
    day = story.diary[1]
    names = [str(day.report.head), str(day.report.head)[:12], str(day.report.tag)]
    sums = [hashlib.sha256(machine.show(f"{ROOT}/only/then", name).data).hexdigest() for name in names]
    assert sums == [day.sums[f"{ROOT}/only/then"]] * 3


def test_history(story: Desk) -> None:
    """A history goes on across epochs as if there were none."""
    assert [(change, day) for change, _, day in story.story(f"{ROOT}/a")] == [
        ("modified", "6"),
        ("modified", "4"),
        ("modified", "2"),
        ("added", "1"),
    ]
    assert story.story(f"{ROOT}/mv/three") == [
        ("renamed", "/mv/three", "5"),
        ("renamed", "/mv/two", "3"),
        ("added", "/mv/one", "1"),
    ]
    assert story.story(f"{ROOT}/back/again") == [
        ("renamed", "/back/again", "5"),
        ("deleted", "/back", "2"),
        ("added", "/back", "1"),
    ]
    assert story.story(f"{ROOT}/gone/late") == [("deleted", "/gone/late", "3"), ("added", "/gone/late", "1")]
    assert story.story(f"{ROOT}/keep") == [("added", "/keep", "1")]


def test_blame_diff_search_and_deleted(story: Desk, tmp_path: Path) -> None:
    """Lines, cells, texts and deletions of all epochs are found, on a new machine, each with its author and session."""
    machine = elsewhere(story, tmp_path / "new")
    sessions = {day.report.session: number for number, day in enumerate(story.diary, 1)}
    with read_vault(machine.settings, warn=machine.warnings.append) as vault:
        blamed = blame(vault, f"{ROOT}/a").lines
        lines = [(each.text, each.version.author.email, sessions[each.version.session]) for each in blamed]
        assert [(text, day) for text, _, day in lines[-4:]] == [("one", 1), ("two", 2), ("three", 4), ("four", 6)]
        assert [mail for _, mail, _ in lines[-3:]] == [BOB, ZOE, ANN]
        compared = difference(vault, f"{ROOT}/a", start=story.diary[0].at, export=lambda _path, _form: None)
        assert [each.kind.value for each in compared.changes] == ["removed", "added"]
        hits = list(search_all(vault, Needle.of("needle of the second")))
        assert [(hit.path, sessions[hit.since.session], sessions[hit.until.session]) for hit in hits] == [
            (f"{ROOT}/only/then", 2, 3)
        ]
        assert [hit.path for hit in search(vault, Needle.of("needle"), at=story.diary[1].at)] == [f"{ROOT}/only/then"]
        gone = {each.path: (sessions[each.session], bool(each.commit)) for each in bygone(vault)}
        assert gone == {
            f"{ROOT}/short": (5, True),
            f"{ROOT}/gone/late": (3, True),
            f"{ROOT}/gone/early": (2, True),
            f"{ROOT}/new/id": (2, True),
        }
        lost = {path: show(vault, f"{ROOT}{path}").data.decode() for path in ("/gone/early", "/gone/late", "/short")}
        assert lost["/gone/early"] == HEAD + "/gone/early first\n"
        assert lost["/gone/late"] == HEAD + "/gone/late first\n"
        assert lost["/short"] == HEAD + "lived in the second epoch only\n"


def test_each_epoch_is_a_sound_repository(story: Desk) -> None:
    """Git finds nothing wrong; each epoch begins with the tree with which the one before ended, and its records."""
    servers = [story.emulator.git_dir / f"{name}.git" for name in ("vault", "second", "third")]
    for server in servers:
        check_health(server)
    for old, new in pairwise(servers):
        first = git(new, "rev-list", "--first-parent", "main").decode().split()[-2]
        assert tree_of(new, first) == tree_of(old)
        assert json.loads(git(new, "show", "nbvault/meta:epochs.json"))["state"] == "begun"
    index = rebuild_state(story.settings)
    assert {row.session for row in index.sessions} >= {day.report.session for day in story.diary}
    assert [event.action for event in index.audit].count("rotate") == 2


def test_restore_and_undo_across_epochs(tmp_path: Path) -> None:
    """A restore reaches back two epochs, and one that was made in the first epoch is taken back in the third."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD + "1"}]) as emulator:
        desk = Desk(emulator, tmp_path)
        desk.write("/a", "one")
        desk.sync()
        desk.write("/a", "two")
        desk.sync()
        code, out, err = command(desk, "restore", f"{ROOT}/a", "--at", desk.diary[0].at, "--yes", "--json")
        assert code == 0, err
        restore = json.loads(out)["restore"]
        rotate(desk, "second")
        desk.sync()
        rotate(desk, "third")
        desk.delete("/keep")
        desk.sync()
        desk.lose_this_machine()
        code, _, err = command(desk, "undo", restore, "--yes")
        assert (code, _source(emulator, "/a")) == (0, HEAD + "two"), err
        when = desk.diary[0].at
        code, _, err = command(desk, "restore", ROOT, "--at", when, "--to", "/Shared/then", "--yes")
        assert code == 0, err
        there = {each["path"].removeprefix("/Shared/then"): each["sha256"] for each in emulator.world("/Shared/then")}
        assert there == {path.removeprefix(ROOT): sha for path, sha in desk.diary[0].sums.items()}
        desk.sync()
        assert command(desk, "verify", "--full")[0] == 0


def _source(emulator: Emulator, path: str) -> str:
    (found,) = [each["content"] for each in emulator.world(ROOT, content=True) if each["path"] == ROOT + path]
    return str(found)


def test_the_old_vault_takes_no_more(desk: Desk) -> None:
    """With the old configuration nothing is written, readers go on and say so, and the next session is incremental."""
    desk.write("/a", "one\n")
    desk.sync()
    old = elsewhere(desk, desk.folder / "other", remote=desk.emulator.git_url)
    old.show(f"{ROOT}/a")
    url = desk.emulator.repository("second")
    code, out, err = command(desk, "rotate", "--to", url, "--yes", "--json")
    assert (code, json.loads(out)["status"], json.loads(out)["configure"]) == (0, "rotated", {"vault.remote": url}), err
    before = refs_of(desk.emulator.git_dir / "vault.git")
    for words in (["sync"], ["restore", f"{ROOT}/a", "--yes"], ["problems", "acknowledge", f"{ROOT}/a"]):
        code, _, err = command(desk, *words)
        assert (code, f'Set vault.remote = "{url}"' in err) == (7, True), (words, err)
    assert refs_of(desk.emulator.git_dir / "vault.git") == before
    assert old.show(f"{ROOT}/a").data.decode() == HEAD + "one\n"
    assert url in old.warnings[-1]
    assert command(desk, "rotate", "--to", url, "--yes")[0] == 0
    code, _, err = command(desk, "rotate", "--to", desk.emulator.repository("other"), "--yes")
    assert (code, url in err) == (7, True)
    desk.remote = url
    desk.sync()
    report = desk.diary[-1].report
    assert (report.commits, report.counts.unchanged, report.tag) == (0, 2, None)
    code, out, _ = command(desk, "status", "--json")
    assert [each["epoch"] for each in json.loads(out)["epochs"]] == [1, 2]
    objects = git(desk.emulator.git_dir / "second.git", "rev-list", "--objects", "--all", "--count").decode()
    # What the old repository held does not count; nor do, here, the lease and the record of the session itself.
    assert report.growth is not None
    assert 0 <= int(objects) - report.growth.total_objects <= 15


def test_what_can_be_no_target_is_refused(desk: Desk) -> None:
    """A remote that is not there, not empty, a vault or this one is refused, and the old vault is as it was."""
    desk.write("/a", "one\n")
    desk.sync()
    full = desk.emulator.repository("full")
    server = desk.emulator.git_dir / "full.git"
    tree = git(server, "write-tree").decode().strip()
    commit = (
        git(server, "-c", "user.name=x", "-c", "user.email=x", "commit-tree", tree, "-m", "README").decode().strip()
    )
    git(server, "update-ref", "refs/heads/main", commit)
    vault = desk.emulator.repository("vaulted")
    elsewhere(desk, desk.folder / "other", remote=vault).sync()
    before = refs_of(desk.emulator.git_dir / "vault.git")
    codes = {}
    for target in (full, vault, desk.emulator.git_url, desk.emulator.git_url + "-none", "ext::sh -c true", "/no/such"):
        code, _, err = command(desk, "rotate", "--to", target, "--yes")
        codes[target] = code
        assert "Traceback" not in err
    assert set(codes.values()) == {7}, codes
    assert command(desk, "rotate", "--to", desk.emulator.repository("fine"))[0] == 7
    assert command(desk, "rotate", "--to", desk.emulator.git_url.replace("vault", "fine"), "--dry-run")[0] == 0
    after = {ref: sha for ref, sha in refs_of(desk.emulator.git_dir / "vault.git").items() if "lease" not in ref}
    assert after == {ref: sha for ref, sha in before.items() if "lease" not in ref}
    assert refs_of(desk.emulator.git_dir / "fine.git") == {}
    desk.sync()

"""The history of a notebook is what people did to it, whatever its path was at the time."""

from __future__ import annotations

import subprocess

import pytest

from nbvault.errors import ConfigurationError
from nbvault.recovery.names import near, spellings
from recovery.places import ANN, BOB, ROOT, ZOE, Desk


def test_a_notebook_that_was_edited_and_moved_keeps_its_whole_history(story: Desk) -> None:
    """Edits and a rename are told newest first, each under the path of its time."""
    assert story.story("/Clients/b/etl2") == [
        ("modified", "/b/etl2", "4"),
        ("renamed", "/b/etl2", "3"),
        ("modified", "/a/etl", "2"),
        ("added", "/a/etl", "1"),
    ]


def test_each_version_is_signed_by_its_editor_and_is_a_commit_of_its_session(story: Desk) -> None:
    """Author, e-mail, session and time are those of a commit on backup/daily that git itself knows."""
    versions = story.history("/Clients/b/etl2")
    assert [v.author.email for v in versions[:1] + versions[2:3]] == [ZOE, BOB]
    for version in versions:
        shown = ("log", "-1", "--format=%H%n%an%n%ae%n%(trailers:key=Nbvault-Session,valueonly)", version.commit)
        server = story.emulator.git_dir / "vault.git"
        told = subprocess.run(["git", f"--git-dir={server}", *shown], capture_output=True, text=True, check=True)
        assert told.stdout.split("\n")[:4] == [version.commit, *version.author, version.session]
        contained = ("branch", "--contains", version.commit, "--format=%(refname)")
        found = subprocess.run(["git", f"--git-dir={server}", *contained], capture_output=True, text=True, check=True)
        assert "refs/heads/backup/daily" in found.stdout.split()
    keys = {"commit", "at", "author", "author_email", "change", "path", "session"}
    assert versions[0].as_json().keys() == keys


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/swap/A", ["renamed /swap/A 2", "added /swap/B 1"]),
        ("/swap/B", ["renamed /swap/B 2", "added /swap/A 1"]),
        ("/same/A", ["renamed /same/A 3", "added /same/B 1"]),
        ("/folder/y/n1", ["modified /folder/y/n1 4", "renamed /folder/y/n1 3", "added /folder/x/n1 1"]),
        ("/folder/y/n2", ["renamed /folder/y/n2 3", "added /folder/x/n2 1"]),
        ("/Case/ETL", ["renamed /Case/ETL 5", "renamed /Case/etl 2", "added /Case/Etl 1"]),
        ("/Case/Etl", ["added /Case/Etl 5"]),
        ("/lang/q", ["modified /lang/q 2", "added /lang/q 1"]),
        ("/odd: %+/Ä?", ["modified /odd: %+/Ä? 2", "added /odd: %+/Ä? 1"]),
        ("/keep", ["added /keep 1"]),
    ],
)
def test_renames_are_followed_as_they_were_recorded(story: Desk, path: str, expected: list[str]) -> None:
    """Swaps, also of equal bytes, folders, mere case and languages are told as what they were."""
    assert [" ".join(line) for line in story.story(ROOT + path)] == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/gone/one", ["deleted /gone/one 2", "added /gone/one 1"]),
        ("/re/create", ["added /re/create 3"]),
        ("/re/same", ["added /re/same 3"]),
        ("/reuse/p", ["deleted /reuse/p 4", "added /reuse/p 3"]),
        ("/back/same", ["added /back/same 4", "deleted /back/same 2", "added /back/same 1"]),
        ("/back/elsewhere", ["renamed /back/elsewhere 4", "deleted /back/other 2", "added /back/other 1"]),
        ("/back/taken", ["added /back/taken 4", "deleted /back/taken 2", "added /back/taken 1"]),
        ("/back/squatter", ["renamed /back/squatter 3", "added /back/taken 2"]),
    ],
)
def test_a_path_tells_of_one_notebook_only(story: Desk, path: str, expected: list[str]) -> None:
    """Of several at one path it is the living one, else the one deleted last; a return is told after the deletion."""
    assert [" ".join(line) for line in story.story(ROOT + path)] == expected


def test_a_path_that_its_notebook_has_left_leads_to_it(story: Desk) -> None:
    """The path under which a notebook was known before still finds it."""
    assert story.history("/Clients/left/here") == story.history("/Clients/left/there")
    assert story.history("/Clients/back/other") == story.history("/Clients/back/elsewhere")


@pytest.mark.parametrize(
    "path", ["/Clients/a/etl/", "/Workspace/Clients/a/etl", "a/etl", "a/etl/", "/Workspace/Clients/a/etl/"]
)
def test_a_path_may_be_given_as_people_write_it(story: Desk, path: str) -> None:
    """A slash at the end, /Workspace in front, and paths relative to the root mean the same notebook."""
    assert story.history(path) == story.history("/Clients/b/etl2")


def test_a_deletion_by_replacement_is_nobodys(desk: Desk) -> None:
    """Who put another notebook in its place is not said to have deleted the first."""
    desk.write("/x", "one", ANN)
    desk.sync()
    desk.emulator.move(f"{ROOT}/x", "/Archive/x")
    desk.write("/x", "two", BOB)
    desk.sync()
    desk.delete("/x")
    desk.sync()
    desk.emulator.move("/Archive/x", f"{ROOT}/y")
    desk.sync()
    versions = desk.history("/Clients/y")
    assert [(v.change.value, v.author.name) for v in versions[:2]] == [("renamed", "Ann"), ("deleted", "unknown")]
    assert desk.story("/Clients/x") == [("deleted", "/x", "3"), ("added", "/x", "2")]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/Clients/a/etll", "/Clients/b/etl2"),
        ("/Clients/folder/y/N1", "/Clients/folder/y/n1"),
        ("/Clients/other/n2", "/Clients/folder/y/n2"),
        ("/Clients/gone/on", "/Clients/gone/one"),
        ("/Clients/folder", "is a folder"),
        ("/elsewhere/n1", "/Clients/folder/y/n1"),
        ("", "never had"),
        ("/", "never had"),
    ],
)
def test_a_path_that_never_was_is_refused_with_near_names(story: Desk, path: str, told: str) -> None:
    """Exit 7, and what may have been meant."""
    with pytest.raises(ConfigurationError) as refused:
        story.history(path)
    assert refused.value.exit_code == 7
    assert told in str(refused.value)


def test_a_vault_without_a_backup_says_so(desk: Desk) -> None:
    """Before the first sync there is no history, and the message says what to do."""
    with pytest.raises(ConfigurationError, match="no backup yet"):
        desk.history("/Clients/keep")


def test_the_vault_alone_is_enough(desk: Desk) -> None:
    """With state store and local repository gone, the history is the same."""
    desk.write("/x", "one", ANN)
    desk.sync()
    desk.move("/x", "/y")
    desk.sync()
    before = desk.history("/Clients/y")
    desk.lose_this_machine()
    assert desk.history("/Clients/y") == before
    assert len(before) == 2
    desk.write("/y", "two", BOB)
    desk.lose_this_machine()
    desk.sync()
    assert [v.change.value for v in desk.history("/Clients/y")] == ["modified", "renamed", "added"]


def test_near_names_come_from_the_same_folder_first() -> None:
    """A slip in the name is looked for in its folder, then the name in other folders, then anywhere."""
    known = ["/R/a/load", "/R/a/other", "/R/b/loaf", "/R/zz/clean"]
    assert near("/R/a/loaf", known) == ["/R/a/load", "/R/b/loaf"]
    assert near("/R/c/LOAF", known) == ["/R/b/loaf"]
    assert near("/R/c/cleam", known) == ["/R/zz/clean"]
    assert near("/R/c/qqq", known) == []
    assert near("/R/a/qqq", known) == ["/R/a/load", "/R/a/other"]


def test_a_root_below_workspace_is_not_mistaken_for_the_alias() -> None:
    """Where the root itself begins with /Workspace, that is part of the path."""
    assert spellings("/Workspace/x", "/Workspace/x/a") == ["/Workspace/x/a"]
    assert spellings("/", "/Workspace/x/a") == ["/Workspace/x/a", "/x/a"]
    assert spellings("/", "a") == ["/a"]

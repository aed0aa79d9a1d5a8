"""What a path means, where it goes, and what is refused before anything is touched."""

from __future__ import annotations

import pytest

from nbvault.errors import ConfigurationError, VaultError
from nbvault.gitstore.meta import BRANCH, MetaDraft
from nbvault.gitstore.remote import PushRef
from nbvault.gitstore.writer import FastImport
from nbvault.model import Language
from nbvault.opening import opened_vault
from nbvault.recovery.restorer import Request
from recovery.places import ROOT
from recovery.restore.desk import RestoreDesk, path_of, source


def test_a_path_means_what_was_there_then(desk: RestoreDesk) -> None:
    """At a moment it is the notebook that had the path then; what has moved since comes back under its path of then."""
    desk.emulator.move(path_of("f/a"), path_of("g/a"))
    desk.emulator.create(path_of("f/a"), source("another"))
    desk.sync()
    tag = str(desk.diary[0].report.tag)
    assert desk.plan(path_of("f/a"), at=tag) == {path_of("f/a"): "overwrite"}
    assert desk.plan(path_of("g/a"), at=tag) == {path_of("f/a"): "overwrite"}
    assert desk.plan(path_of("g"), path_of("f/*")) == {
        path_of(name): "identical" for name in ("g/a", "f/a", "f/b", "f/c")
    }
    assert desk.restore(path_of("f/a"), at=tag).exit_code == 0
    assert desk.holding()[path_of("f/a")].text == source("first a")
    assert desk.holding()[path_of("g/a")].text == source("first a")


def test_deleted_notebooks_and_folders_come_back(desk: RestoreDesk) -> None:
    """Without a moment, a deleted notebook means its last version, a folder with nothing left in it what it had."""
    for name in "xy":
        desk.emulator.create(path_of(f"f/sub/{name}"), source(name))
    desk.sync()
    desk.emulator.delete(path_of("f/sub"))
    desk.sync()
    assert desk.plan(path_of("f/sub/x")) == {path_of("f/sub/x"): "create"}
    before = desk.holding()
    receipt = desk.restore(path_of("f/sub"))
    assert (receipt.exit_code, receipt.counts()["restored"], len(receipt.notes)) == (0, 2, 1)
    assert desk.undo(receipt).exit_code == 0
    assert desk.holding() == before
    there = {each["path"] for each in desk.emulator.world("/", everything=True)}
    assert path_of("f/sub") not in there


@pytest.mark.parametrize("name", ["done?", "d*e!", "what?/sub", "w**/x"])
def test_a_name_comes_before_a_pattern(name: str, desk: RestoreDesk) -> None:
    """What was deleted comes back, and nothing that lives and that its name would fit as a pattern is touched."""
    alike = path_of("f/" + name.replace("?", "!").replace("*", "n"))
    for path in (path_of("f/" + name), alike):
        desk.emulator.create(path, source("saved"))
    desk.sync()
    desk.emulator.delete(path_of("f/" + name))
    desk.emulator.edit(alike, source("in nobody's vault"))
    desk.sync()
    for given in (name, name.rpartition("/")[0] or name):
        assert desk.plan(path_of("f/" + given)) == {path_of("f/" + name): "create"}


def test_a_name_of_once_comes_before_a_pattern(desk: RestoreDesk) -> None:
    """So it is where the notebook has another name today, and where it has this one only today."""
    for name in ("q?", "qa"):
        desk.emulator.create(path_of(f"f/{name}"), source(name))
    desk.sync()
    desk.emulator.move(path_of("f/q?"), path_of("f/r?"))
    desk.sync()
    assert desk.plan(path_of("f/q?")) == {path_of("f/r?"): "identical"}
    assert desk.plan(path_of("f/r?"), at=str(desk.diary[-2].report.tag)) == {path_of("f/q?"): "create"}
    assert desk.plan(path_of("f/q*")) == {path_of("f/qa"): "identical"}


def test_an_empty_path_is_refused(still: RestoreDesk) -> None:
    """A variable that nobody set is no notebook, and not everything."""
    for given in ("", " "):
        with pytest.raises(ConfigurationError, match="A path is empty"):
            still.plan(given)


def test_relative_and_workspace_paths(still: RestoreDesk) -> None:
    """A path may be relative to the root, and may begin with /Workspace; the whole workspace is the root."""
    for given in ("f/a", f"/Workspace{path_of('f/a')}", path_of("f/a") + "/"):
        assert still.plan(given) == {path_of("f/a"): "identical"}
    for given in (ROOT, ROOT + "/", f"/Workspace{ROOT}", "/", "/Workspace/"):
        assert len(still.plan(given)) == 4


def test_to_another_place(desk: RestoreDesk) -> None:
    """A folder's content lands under the new one, which is made; the undo removes it again, and only it."""
    desk.emulator.create("/Shared/there", source("stays"))
    before = desk.holding()
    receipt = desk.restore(path_of("f"), to="/Shared/new/deep")
    assert receipt.exit_code == 0
    assert desk.holding("/Shared/new").keys() == {f"/Shared/new/deep/{name}" for name in "abc"}
    assert receipt.intent.folders == ("/Shared/new", "/Shared/new/deep")
    desk.undo(receipt)
    assert desk.holding() == before
    folders = {each["path"] for each in desk.emulator.world("/Shared", everything=True)}
    assert not any(path.startswith("/Shared/new") for path in folders)


def test_one_notebook_to_a_name_or_into_a_folder(still: RestoreDesk) -> None:
    """It becomes PATH, unless PATH is a folder, or says by a slash that it is one."""
    assert still.plan(path_of("f/a"), to="/Shared/copy") == {"/Shared/copy": "create"}
    assert still.plan(path_of("f/a"), to="/Shared/copy/") == {"/Shared/copy/a": "create"}
    assert still.plan(path_of("keep"), to=path_of("f")) == {path_of("f/keep"): "create"}
    assert still.plan(path_of("keep"), to=path_of("f/a")) == {path_of("f/a"): "overwrite"}


def test_an_undo_leaves_a_folder_in_which_somebody_has_put_something(desk: RestoreDesk) -> None:
    """A folder that the restore made and others use now stays."""
    receipt = desk.restore(path_of("f"), to="/Shared/new")
    desk.emulator.create("/Shared/new/other", source("stays"))
    assert desk.undo(receipt).exit_code == 0
    assert set(desk.holding("/Shared")) == {"/Shared/new/other"}


def test_departed_users_homes(desk: RestoreDesk) -> None:
    """The beginning of the paths is another; where they were, nothing happens."""
    receipt = desk.restore(path_of("f"), remap=((path_of("f"), "/Users/new@clients.example"),))
    assert receipt.exit_code == 0
    assert len(desk.holding("/Users/new@clients.example")) == 3


def test_modes(desk: RestoreDesk) -> None:
    """`never` creates only, `changed` leaves identical ones alone, `always` writes them again."""
    desk.emulator.edit(path_of("f/a"), source("edited"))
    desk.emulator.delete(path_of("f/b"))
    folder = path_of("f")

    def plan(mode: str) -> list[str]:
        return list(desk.plan(folder, overwrite=mode).values())

    assert plan("never") == ["kept", "create", "identical"]
    assert plan("changed") == ["overwrite", "create", "identical"]
    assert plan("always") == ["overwrite", "create", "overwrite"]
    before = desk.holding()
    receipt = desk.restore(folder, overwrite="always")
    assert (receipt.exit_code, receipt.counts()) == (0, {"entries": 3, "restored": 3})
    desk.undo(receipt)
    assert desk.holding() == before


def test_something_else_is_at_the_target(desk: RestoreDesk) -> None:
    """A file or a folder in a notebook's place, a notebook in a folder's place: left alone, told why; others go on."""
    for name in "ab":
        desk.emulator.delete(path_of(f"f/{name}"))
    desk.emulator.create(path_of("f/a"), "x", object_type="FILE")
    desk.emulator.create(path_of("f/b/inner"), source("x"))
    desk.emulator.edit(path_of("f/c"), source("edited"))
    receipt = desk.restore(path_of("f"))
    found = {entry["target"][-1]: (entry["result"], entry["reason"]) for entry in receipt.as_json()["entries"]}
    assert found == {"a": ("clash", "a FILE is there"), "b": ("clash", "a DIRECTORY is there"), "c": ("restored", "")}
    assert receipt.exit_code == 3
    assert desk.restore(path_of("f"), to=path_of("keep")).counts() == {"entries": 3, "blocked": 3}
    blocked = desk.restore(path_of("f"), to=path_of("keep/deep/er"))
    assert {entry["reason"] for entry in blocked.as_json()["entries"]} == {
        f"{path_of('keep')} is a NOTEBOOK, no folder"
    }
    assert (blocked.exit_code, blocked.recorded) == (3, False)


def test_a_folder_that_may_not_be_listed_is_blocked(desk: RestoreDesk) -> None:
    """Where we may not look, nothing is written."""
    desk.emulator.faults({"kind": "forbid", "path": path_of("f")})
    assert set(desk.plan(ROOT).values()) == {"blocked", "identical"}


def test_names_that_the_workspace_refuses(desk: RestoreDesk) -> None:
    """The refusal is that notebook's result, in the workspace's words."""
    refusal = {"kind": "status", "status": 400, "error_code": "INVALID_PARAMETER_VALUE", "message": "No such names."}
    desk.emulator.faults({**refusal, "match": {"endpoint": "mkdirs"}})
    receipt = desk.restore(path_of("f"), to="/Shared/bad:name")
    assert (receipt.exit_code, receipt.counts()) == (3, {"entries": 3, "failed": 3})
    assert all("No such names." in entry["reason"] for entry in receipt.as_json()["entries"])


@pytest.mark.parametrize(
    ("path", "asked", "message"),
    [
        ("/Clients/f/aa", {}, "Near names: /Clients/f/a"),
        ("/Clients/nothing/here", {}, "never had a notebook"),
        ("/Elsewhere", {}, "never had"),
        ("/Clients/f/*x", {}, "matches"),
        ("/Clients/f/a", {"at": "2020-01-01"}, "no backup yet"),
        ("/Clients/f/a", {"at": "deadbeef"}, "names no commit"),
        ("/Clients/f/a", {"at": "someday"}, "names no commit"),
        ("/Clients/f/a", {"to": "relative"}, "--to"),
        ("/Clients/f/a", {"to": "/a//b"}, "--to"),
    ],
)
def test_bad_input(still: RestoreDesk, path: str, asked: dict[str, str], message: str) -> None:
    """Refused with exit code 7 and clear words; nothing is written, and nothing is recorded."""
    before = still.holding()
    with pytest.raises(ConfigurationError) as refused:
        still.restore(path, **asked)
    assert message in str(refused.value)
    assert still.holding() == before
    assert still.files_on_branch() == []


def test_a_folder_at_another_time(desk: RestoreDesk) -> None:
    """A folder that did not exist then, and one whose notebooks have moved on, are told apart from mistakes."""
    desk.emulator.create(path_of("late/x"), source("x"))
    desk.emulator.move(path_of("f"), path_of("g"))
    desk.sync()
    with pytest.raises(ConfigurationError, match="nothing in /Clients/late at"):
        desk.restore(path_of("late"), at=desk.diary[0].report.tag)
    with pytest.raises(ConfigurationError, match="have moved on, such as /Clients/f/a to /Clients/g/a"):
        desk.restore(path_of("f"))
    assert len(desk.plan(path_of("f"), at=desk.diary[0].report.tag)) == 3


def test_names_with_stars_are_names_first(desk: RestoreDesk) -> None:
    """A notebook that is really called so is not a pattern."""
    desk.emulator.create(path_of("f/*"), source("star"))
    desk.sync()
    assert desk.plan(path_of("f/*")) == {path_of("f/*"): "identical"}


def test_people_s_own_files_in_the_vault_are_no_notebooks(desk: RestoreDesk) -> None:
    """A file that somebody committed to main beside the notebooks is never restored."""
    move = {"kind": "remote-moved", "branch": "main", "path": "f/theirs.py", "content": "x = 1"}
    desk.emulator.faults({**move, "match": {"nth": 1}})
    desk.emulator.edit(path_of("f/a"), source("edited"))
    desk.sync()
    desk.emulator.faults()
    assert path_of("f/theirs") not in desk.plan(ROOT, at="main")
    assert path_of("f/theirs") not in desk.plan(path_of("f"), at="main")


@pytest.mark.parametrize("want_tree", [False, True])
def test_a_notebook_whose_file_the_vault_has_lost(desk: RestoreDesk, *, want_tree: bool) -> None:
    """It is named; the others of its folder come back, whether the vault was read whole or line by line."""
    lose(desk, "f/lost")
    with desk.restorer(want_tree=want_tree) as restorer:
        with pytest.raises(VaultError, match="is missing in the vault"):
            restorer.plan(Request((path_of("f/lost"),)))
        (alone,) = restorer.plan(Request((path_of("f/a"),))).entries
        assert (alone.target, alone.action.value) == (path_of("f/a"), "identical")
        whole = restorer.plan(Request((path_of("f"),))).entries
    assert [entry.target for entry in whole] == [path_of(name) for name in ("f/a", "f/b", "f/c")]


def lose(desk: RestoreDesk, name: str) -> None:
    """An inventory that names a notebook which the content does not have."""
    with opened_vault(desk.settings, writing=True, clock=desk.clock) as vault:
        vault.refresh()
        row = next(iter(vault.meta.rows.values()))._replace(
            object_id=99, path=path_of(name), repo_path=f"{name}.py", language=Language.PYTHON
        )
        vault.meta.apply([row], ())
        draft = MetaDraft(vault.meta, session=f"{row.since}x", at=desk.clock.now())
        draft.inventory([row], (), ())
        with FastImport(vault.git) as stream:
            content = vault.meta.content
            mark = draft.commit(stream, content=content, kind="end", blobs=vault.blobs, sha_of=stream.sha_of)
            written = stream.sha_of(mark)
        vault.remote.push([PushRef(written, BRANCH)])

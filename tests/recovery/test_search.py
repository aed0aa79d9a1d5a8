"""A text is found wherever it stands: now, at a moment, or in any version that ever was."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nbvault.errors import ConfigurationError, GitError
from nbvault.gitstore.blobs import missing_objects
from nbvault.gitstore.grep import files_with
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.unread import UnreadRows
from nbvault.opening import read_vault
from nbvault.recovery.needle import SHOWN, Hit, Needle
from nbvault.recovery.search import Match, search, search_all
from recovery.places import ROOT, Desk

SOURCE = b"""# Databricks notebook source
import os

# COMMAND ----------

# DBTITLE 1,Read
# MAGIC %sql
# MAGIC select Ledger
"""


def found(desk: Desk, text: str, *, everywhere: bool = False, place: str = "", at: str = "") -> list[Match]:
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        if everywhere:
            return list(search_all(vault, Needle.of(text), place=place))
        return search(vault, Needle.of(text), place=place, at=at)


def paths(matches: list[Match]) -> list[str]:
    return [match.path.removeprefix(ROOT) for match in matches]


def test_the_last_protected_version_is_searched(story: Desk) -> None:
    """Each notebook that has the text today, sorted, with cell and line; not those that had it once."""
    assert paths(found(story, "the same bytes")) == ["/re/same", "/same/A", "/same/B"]
    assert found(story, "the same bytes")[0].hit == Hit(1, 2, "the same bytes")
    assert found(story, "gone/one line") == []


def test_a_moment_is_searched_as_it_was(story: Desk) -> None:
    """At a time the notebooks have the paths and the texts of that time."""
    assert paths(found(story, "/gone/one line", at=story.diary[0].at)) == ["/gone/one"]
    assert paths(found(story, "two", at=story.diary[2].at)) == ["/b/etl2"]


def test_a_place_limits_the_search(story: Desk) -> None:
    """A folder, a notebook, a glob."""
    assert paths(found(story, "the same bytes", place="/Clients/same")) == ["/same/A", "/same/B"]
    assert paths(found(story, "the same bytes", place="same/A")) == ["/same/A"]
    assert paths(found(story, "the same bytes", place="/Clients/**/*e")) == ["/re/same"]


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_place_in_which_nothing_is_is_told(desk: Desk, *, everywhere: bool) -> None:
    """Who misspells a folder does not believe that nothing was found in it; where something is, nothing is told."""
    desk.write("/a/n", "needle\n")
    desk.sync()
    found(desk, "no such text", place="/Clients/a", everywhere=everywhere)
    assert desk.warnings == []
    assert found(desk, "needle", place="/Clients/b", everywhere=everywhere) == []
    (told,) = desk.warnings
    assert "is meant by /Clients/b." in told


def test_every_version_tells_from_when_until_when(story: Desk) -> None:
    """What is gone, edited or moved is found with the sessions between which it was there."""
    sessions = [day.report.session for day in story.diary]
    (gone,) = found(story, "/gone/one line", everywhere=True)
    assert gone.since is not None
    assert gone.until is not None
    assert (gone.path, gone.since.session, gone.until.session) == (f"{ROOT}/gone/one", sessions[0], sessions[1])
    two = [(m.path.removeprefix(ROOT), m.since, m.until) for m in found(story, "two", everywhere=True)]
    assert [(p, s.session, u.session) for p, s, u in two if s and u] == [
        ("/b/etl2", sessions[2], sessions[3]),
        ("/a/etl", sessions[1], sessions[2]),
    ]
    now = {match.path for match in found(story, "the same bytes", everywhere=True) if match.until is None}
    assert now == {match.path for match in found(story, "the same bytes")}


def test_a_machine_without_the_blobs_fetches_them_in_a_batch(desk: Desk) -> None:
    """On a partial clone, --at and --all-versions give what a whole one gives."""
    for number in range(3):
        desk.write(f"/n{number}", "needle here\n")
    desk.sync()
    desk.write("/n0", "nothing\n")
    desk.sync()
    desk.lose_this_machine()
    assert paths(found(desk, "needle")) == ["/n1", "/n2"]
    assert sorted(paths(found(desk, "needle", everywhere=True))) == ["/n0", "/n1", "/n2"]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("import", {}, [Hit(1, 2, "import os")]),
        ("ledger", {}, []),
        ("ledger", {"ignore_case": True}, [Hit(2, 8, "# MAGIC select Ledger")]),
        (r"^# MAGIC \w", {"regex": True}, [Hit(2, 8, "# MAGIC select Ledger")]),
        ("COMMAND", {}, [Hit(None, 4, "# COMMAND ----------")]),
        ("DBTITLE 1,Read", {}, [Hit(2, 6, "# DBTITLE 1,Read")]),
        ("a.b", {}, []),
    ],
)
def test_cells_and_lines_of_a_source_notebook(text: str, options: dict[str, Any], expected: list[Hit]) -> None:
    """A hit names the line of the file and its cell, or no cell between the cells; line ends do not matter."""
    assert Needle.of(text, **options).hits(SOURCE, ".py") == expected
    assert Needle.of(text, **options).hits(SOURCE.replace(b"\n", b"\r\n"), ".py") == expected


def test_a_document_is_searched_as_a_person_sees_it() -> None:
    """In IPYNB the text of cells, not their JSON, and also what running them left behind."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Über\n", 'said "so"\n']},
        {"cell_type": "code", "metadata": {}, "source": "x", "outputs": [{"text": ["secret\n", "more"]}]},
    ]
    data = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    assert Needle.of("Über").hits(data, ".ipynb") == [Hit(1, 1, "# Über")]
    assert Needle.of('"so"').hits(data, ".ipynb") == [Hit(1, 2, 'said "so"')]
    assert Needle.of("SECRET", ignore_case=True).hits(data, ".ipynb") == [Hit(2, 0, "secret")]
    assert Needle.of("nbformat").hits(data, ".ipynb") == []
    assert Needle.of("broken").hits(b"{broken", ".ipynb") == [Hit(1, 1, "{broken")]


def test_long_lines_are_cut_round_the_hit() -> None:
    """A line of a megabyte is not told whole, and each line is told once."""
    data = b"# Databricks notebook source\n" + b"a" * 1_000_000 + b"NEEDLE NEEDLE" + b"b" * 1_000_000
    (hit,) = Needle.of("NEEDLE").hits(data, ".py")
    assert "NEEDLE" in hit.text
    assert len(hit.text) < 2 * SHOWN


def test_what_cannot_be_searched_for_is_said() -> None:
    """Nothing, and what is no regular expression."""
    for text in ("", "("):
        with pytest.raises(ConfigurationError):
            Needle.of(text, regex=True)


def test_a_sieve_by_git_lets_through_what_must_be_looked_at(desk: Desk) -> None:
    """Of many notebooks git names those with the text, in any case if asked, odd names and bytes included."""
    texts = {
        "/plain": "Spark.Read\n",
        "/ü/-x y": "spark.read\n",
        "/bytes": "\x00spark.read\n",
        "/other": "spark_read\n",
    }
    for path, text in texts.items():
        desk.write(path, text)
    desk.sync()
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        folded = search(vault, Needle.of("SPARK.READ", ignore_case=True))
        exact = search(vault, Needle.of("spark.read"))
        with files_with(vault.git, vault.meta.content, b"spark.read") as holding:
            files = sorted(holding)
        with pytest.raises(GitError), files_with(vault.git, "0" * 40, b"spark.read"):
            pass
    assert paths(folded) == ["/bytes", "/plain", "/ü/-x y"]
    assert paths(exact) == ["/bytes", "/ü/-x y"]
    assert files == ["bytes.py", "ü/-x y.py"]


def test_a_new_machine_fetches_what_it_is_to_look_into(desk: Desk) -> None:
    """Where no content is here yet, git cannot look into it, says so, and is asked again with everything here."""
    for path in ("/a/1", "/a/2", "/b/3", "/4"):
        desk.write(path, f"needle {path}\n" if path != "/a/2" else "nothing\n")
    desk.sync()
    shutil.rmtree(desk.settings.vault.path)
    with read_vault(desk.settings, warn=desk.warnings.append, want_tree=False, clock=desk.clock) as vault:
        files = {entry.path: entry.oid for entry in ls_tree(vault.git, vault.meta.content)}
        missing = missing_objects(vault.git, files.values())
        found = search(vault, Needle.of("needle"))
    assert (len(missing), paths(found)) == (len(files), ["/4", "/a/1", "/b/3"])


def test_many_folders_of_a_root_are_shared_out(desk: Desk) -> None:
    """Also folders with one and the same tree, and files beside them: each file is named once, by its own path."""
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        desk.write(f"/{name}/same", "needle\n")
    desk.write("/beside", "needle\n")
    desk.sync()
    with (
        read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault,
        files_with(vault.git, vault.meta.content, b"needle") as holding,
    ):
        files = sorted(holding)
    assert files == [*(f"{name}/same.py" for name in names), "beside.py"]


def test_the_first_match_of_all_versions_does_not_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is out while older versions have not been read, and before the inventory is: that is asked about it alone."""
    monkeypatch.setattr("nbvault.recovery.search._FIRST_BATCH", 2)
    for number in range(12):
        desk.write(f"/n{number}", f"needle {number}\n")
    desk.sync()
    desk.write("/n3", "needle, the newest\n")
    desk.sync()
    read: list[int] = []
    with read_vault(desk.settings, warn=desk.warnings.append, want_tree=False, clock=desk.clock) as vault:
        rows = vault.meta.rows
        assert isinstance(rows, UnreadRows)
        matches = search_all(vault, Needle.of("needle"), progress=read.append)
        first = next(matches)
        assert first.hit.text == "needle, the newest"
        assert max(read, default=0) <= 2
        assert "all" not in vars(rows._lines)
        assert "_indexes" not in vars(rows._lines)
        rest = list(matches)
    assert (len(rest), max(read)) == (12, 14)


def test_files_of_people_are_no_versions(desk: Desk) -> None:
    """What people keep in the repository is not searched, also where its name could be a notebook's."""
    desk.write("/n", "needle\n")
    desk.sync()
    _commit_by_hand(desk.emulator.git_dir / "vault.git", "backup/daily", "script.py", b"needle\n")
    desk.write("/n", "another needle\n")
    desk.sync()
    assert paths(found(desk, "needle", everywhere=True)) == ["/n", "/n"]


def _commit_by_hand(server: Path, branch: str, name: str, data: bytes) -> None:
    """Add a file to a branch, as a person does."""

    def git(*words: str, given: bytes = b"") -> bytes:
        return subprocess.run(["git", *words], cwd=server, input=given, capture_output=True, check=True).stdout

    blob = git("hash-object", "-w", "--stdin", given=data).strip().decode()
    tree = git("mktree", given=git("ls-tree", branch) + f"100644 blob {blob}\t{name}\n".encode()).strip().decode()
    who = ("-c", "user.name=Zoe", "-c", "user.email=zoe@example.com")
    commit = git(*who, "commit-tree", tree, "-p", branch, "-m", "By hand").strip().decode()
    git("update-ref", f"refs/heads/{branch}", commit)

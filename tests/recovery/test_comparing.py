"""An exported folder is compared with the vault file by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbvault.errors import ConfigurationError
from nbvault.opening import read_vault
from nbvault.recovery.comparing import FolderComparison, compare_folder
from recovery.places import HEAD, ROOT, Desk


def compare(desk: Desk, folder: Path, at: str = "") -> FolderComparison:
    with read_vault(desk.settings, warn=desk.warnings.append, clock=desk.clock) as vault:
        return compare_folder(vault, folder, at=at)


def export(story: Desk, folder: Path, session: int) -> Path:
    """What `export_dir` would have written in that session."""
    day = story.diary[session]
    for path in day.sums:
        source = story.show(path, at=day.at)
        extension = source.repo_path[source.repo_path.rindex(".") :]
        file = folder / (path.removeprefix(ROOT + "/") + extension)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.data)
    return folder


def test_an_export_of_a_session_is_the_vault_at_that_session(story: Desk, tmp_path: Path) -> None:
    """Every notebook the same at its own session; against today the differences are told by kind."""
    folder = export(story, tmp_path, 1)
    found = compare(story, folder, at=story.diary[1].at)
    assert (found.exit_code, found.same, found.differs) == (0, len(story.diary[1].sums), ())
    now = compare(story, folder)
    assert now.exit_code == 8
    assert f"{ROOT}/a/etl" in now.only_in_folder
    assert f"{ROOT}/b/etl2" in now.only_in_vault
    assert f"{ROOT}/re/create" in [each.path for each in now.differs]


def test_each_kind_of_difference(story: Desk, tmp_path: Path) -> None:
    """A newline at the end is none; content, extension, absence and files of other kinds are told apart."""
    folder = export(story, tmp_path, -1)
    (folder / "keep.py").write_text(HEAD.rstrip("\n"))
    (folder / "b" / "etl2.py").write_text(HEAD + "other")
    (folder / "re" / "same.py").rename(folder / "re" / "same.sql")
    (folder / "left" / "there.py").unlink()
    (folder / "new.scala").write_text("// Databricks notebook source")
    (folder / "README.md").write_text("beside")
    found = compare(story, folder)
    assert {each.path.removeprefix(ROOT): each.reason for each in found.differs} == {
        "/b/etl2": "the content differs",
        "/re/same": "it is .sql in the folder and .py in the vault",
    }
    assert (found.only_in_folder, found.only_in_vault) == ((f"{ROOT}/new",), (f"{ROOT}/left/there",))
    assert (found.ignored, found.exit_code) == (1, 8)
    told = json.loads(json.dumps(found.as_json()))
    assert (told["same"], told["exit_code"]) == (len(story.diary[-1].sums) - 3, 8)


def test_what_is_no_folder_is_refused(story: Desk, tmp_path: Path) -> None:
    """A folder that is not there is wrong usage, not an empty backup."""
    with pytest.raises(ConfigurationError, match="is no folder"):
        compare(story, tmp_path / "absent")

"""`nbvault doctor`: what is in order, what is not, and what to do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk, Ended, notebooks, run_program
from nbvault_emulator.testing import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A workspace with a folder that is worth an archive."""
    world = notebooks(*(f"/Clients/2024/step {number}" for number in range(6)), "/Clients/d")
    with Emulator(world=world) as running:
        yield running


def checks(ended: Ended) -> dict[str, dict[str, Any]]:
    """The checks by name, after a look at their form."""
    assert all(set(check) == {"name", "ok", "detail", "hint"} for check in ended.json)
    return {check["name"]: check for check in ended.json}


def wrong(ended: Ended) -> list[str]:
    return [name for name, check in checks(ended).items() if not check["ok"]]


def test_without_a_configuration(tmp_path: Path) -> None:
    """The machine is looked at, and how to go on is said; nothing has failed yet."""
    ended = run_program(["doctor", "--json"], tmp_path)
    assert (ended.code, list(checks(ended)), wrong(ended)) == (
        0,
        ["python", "git", "configuration"],
        ["configuration"],
    )
    assert "nbvault init" in checks(ended)["configuration"]["hint"]


def test_a_wrong_configuration(desk: Desk) -> None:
    """A wrong key, or a file that was named and is not there: 7."""
    assert desk.run("doctor", "--json", NBVAULT_SYNC__SPEED="1").code == 7
    ended = desk.run("doctor", "--json", "--config", "nowhere.toml")
    assert (ended.code, wrong(ended)) == (7, ["configuration"])


def test_all_in_order(desk: Desk) -> None:
    """Workspace, root, repository and disk are named, and nothing is made or changed by looking."""
    ended = desk.run("doctor", "--json")
    assert (ended.code, wrong(ended)) == (0, []), ended
    assert list(checks(ended))[3:] == ["workspace", "root", "repository", "pushes", "disk"]
    assert "administrator" in checks(ended)["workspace"]["detail"]
    assert [each.name for each in desk.folder.iterdir()] == ["nbvault.toml"]
    assert desk.refs() == ""


def test_what_would_refuse_a_push_is_named(desk: Desk) -> None:
    """A missing right ends it with 1, and says where to give it."""
    desk.emulator.azure_devops(rights={"GenericContribute": False})
    ended = desk.run("doctor", "--json")
    assert (ended.code, wrong(ended)) == (1, ["pushes"])
    assert "'Contribute'" in checks(ended)["pushes"]["hint"]


def test_no_administrator_is_a_hint(desk: Desk) -> None:
    """An identity that is none works; the hint says what it costs."""
    desk.emulator.faults({"kind": "identity", "admin": False})
    ended = desk.run("doctor", "--json")
    assert (ended.code, wrong(ended)) == (0, [])
    assert "held" in checks(ended)["workspace"]["hint"]


@pytest.mark.parametrize(
    ("variables", "names", "code"),
    [
        ({"DATABRICKS_TOKEN": "dapi-wrong"}, ["workspace", "root"], 6),
        ({"NBVAULT_WORKSPACE__ROOT": "/Nowhere"}, ["root"], 7),
        ({"AZURE_DEVOPS_PAT": "wrong"}, ["repository"], 6),
        ({"NBVAULT_VAULT__REMOTE": "nowhere.git"}, ["repository"], 7),
        ({"NBVAULT_VAULT__PATH": "/proc/nbvault/vault.git"}, ["disk"], 7),
    ],
)
def test_each_thing_that_is_not(desk: Desk, variables: dict[str, str], names: list[str], code: int) -> None:
    """One thing that is wrong is named, the others are looked at all the same, and the exit code is that of a sync."""
    ended = desk.run("doctor", "--json", **variables)
    assert (wrong(ended), ended.code) == (names, code), ended


def test_the_probe_is_kept_in_the_vault_and_used(desk: Desk) -> None:
    """`--probe` on a new vault: proven, recorded for good, shown by the next doctor, used by the next sync."""
    on = {"NBVAULT_EXPORT__BULK": "on"}
    before = desk.run("doctor", "--json", **on)
    assert (before.code, wrong(before)) == (1, ["folder export"])
    probed = desk.run("doctor", "--probe")
    assert probed.code == 0, probed
    assert 'Set export.bulk = "on"' in probed.out
    shown = ["git", f"--git-dir={desk.emulator.git_dir / 'vault.git'}", "grep", "-h", "host", "nbvault/meta"]
    lines = subprocess.run(shown, capture_output=True, check=True, text=True).stdout.splitlines()
    assert [(json.loads(line)["result"], json.loads(line)["host"]) for line in lines] == [
        ("ok", desk.emulator.workspace_url)
    ]
    assert wrong(desk.run("doctor", "--json", **on)) == []
    assert desk.run("sync", "--json", **on).report()["requests"]["export_folder"] == 1


def test_a_probe_of_too_little_proves_nothing(desk: Desk) -> None:
    """Where too few notebooks could be compared, nothing is believed, and the words say why."""
    desk.emulator.delete("/Clients/2024")
    ended = desk.run("doctor", "--probe", "--json")
    assert (ended.code, wrong(ended)) == (1, ["folder export"])
    assert "proves nothing" in checks(ended)["folder export"]["detail"]

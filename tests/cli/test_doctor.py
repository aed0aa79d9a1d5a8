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
    """Whatever is looked at is named, for people and for programs, and nothing is made or changed by looking."""
    ended = desk.run("doctor", "--json")
    assert (ended.code, wrong(ended)) == (0, []), ended
    assert {"workspace", "root", "repository", "push right", "disk", "state store"} <= set(checks(ended))
    assert "administrator" in checks(ended)["workspace"]["detail"]
    assert [each.name for each in desk.folder.iterdir()] == ["nbvault.toml"]
    assert desk.refs() == ""
    told = desk.run("doctor").out
    assert [line.removesuffix(": ok") for line in told.splitlines() if line.endswith(": ok")] == list(checks(ended))


def test_no_administrator_is_a_hint(desk: Desk) -> None:
    """An identity that is none works; the hint says what it costs."""
    desk.emulator.faults({"kind": "identity", "admin": False})
    ended = desk.run("doctor", "--json")
    assert (ended.code, wrong(ended)) == (0, [])
    assert "held" in checks(ended)["workspace"]["hint"]


def test_a_thing_that_is_not(desk: Desk) -> None:
    """What is wrong gives the exit code of a sync; what hangs on it is not looked at, and says so."""
    ended = desk.run("doctor", "--json", DATABRICKS_TOKEN="dapi-wrong")
    waiting = ["root", "folders", "export", "job", "git folder", "credentials"]
    assert (wrong(ended), ended.code) == (["workspace", *waiting], 6), ended
    assert checks(ended)["root"]["detail"] == "Not looked at; first put in order: workspace."


def test_a_git_that_is_too_old(desk: Desk) -> None:
    """The version is read from the git that is on PATH."""
    old = desk.folder / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.20.1\n")
    old.chmod(0o755)
    ended = desk.run("doctor", "--json", PATH=f"{old.parent}:{desk.variables['PATH']}")
    assert (wrong(ended)[0], ended.code) == ("git", 7)
    assert "2.20.1 is too old" in checks(ended)["git"]["detail"]
    assert "2.34" in checks(ended)["git"]["hint"]
    assert checks(ended)["repository"]["detail"] == "Not looked at; first put in order: git."


def test_a_vault_that_goes_on_elsewhere(desk: Desk) -> None:
    """After a rotation the old remote is told as what a session would refuse, with the new address."""
    assert desk.run("sync", "--json").code == 0
    new = desk.emulator.repository("next")
    rotated = desk.run("rotate", "--to", new, "--yes", "--json")
    assert rotated.code == 0, rotated
    ended = desk.run("doctor", "--json")
    assert (ended.code, wrong(ended)) == (7, ["last session"])
    assert new in checks(ended)["last session"]["hint"]


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

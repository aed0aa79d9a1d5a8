"""Credentials are found before the commit: reported, or held back; never shown, never written anywhere by us."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flow.places import ROOT, Machine
from nbvault.backup import screen as screening
from nbvault.backup.held_back import recorded_secrets
from nbvault.backup.screen import fingerprint
from nbvault.errors import ConfigurationError
from nbvault.model import SessionReport, Status
from nbvault.opening import read_vault
from nbvault.settings import load_settings
from nbvault_emulator.testing import Emulator
from screening.test_screen import ALNUM, HEX, drawn

HEAD = "# Databricks notebook source\n"
TOKEN = "dapi" + drawn(HEX, 32, "flow")
OTHER = "ghp_" + drawn(ALNUM, 36, "flow")


def leaky(secret: str, more: str = "") -> str:
    return f"{HEAD}import requests\nheaders = {{'Authorization': 'Bearer {secret}'}}\n{more}"


@pytest.fixture
def emulator() -> Any:
    world = [
        {"path": f"{ROOT}/clean", "content": f"{HEAD}print(1)\n"},
        {"path": f"{ROOT}/leaky", "content": leaky(TOKEN)},
    ]
    with Emulator(world=world) as running:
        yield running


def machine(tmp_path: Path, emulator: Emulator, **keys: Any) -> Machine:
    made = Machine(tmp_path / "a", emulator)
    if keys:
        with made.config.open("a") as file:
            file.write("[screening]\n" + "".join(f"{key} = {value!r}\n" for key, value in keys.items()))
    return made


def leaks(folder: Path, report: SessionReport, *, git: bool) -> set[str]:
    """Where the token stands: in the report, in any file, or in any object of the local repository."""
    spelled = [TOKEN.encode(), TOKEN[6:].encode(), base64.b64encode(TOKEN.encode())[:-2]]
    told = {"report": (str(report.as_json()) + repr(report)).encode()}
    told |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pack"}
    if git:
        command = ["git", f"--git-dir={folder / 'a' / 'vault.git'}", "cat-file", "--batch", "--batch-all-objects"]
        told["objects"] = subprocess.run(command, check=True, capture_output=True).stdout
    return {where for where, data in told.items() for form in spelled if form in data}


def records(place: Machine) -> list[tuple[str, str, int]]:
    with read_vault(place.settings(), warn=lambda _: None, want_tree=False) as vault:
        return [(secret.path, secret.rule, secret.line) for _, secret in recorded_secrets(vault)]


def test_by_default_it_is_saved_and_reported(tmp_path: Path, emulator: Emulator) -> None:
    """The session is complete, counts the credential, names it masked, and records it in the vault, once."""
    place = machine(tmp_path, emulator)
    report = place.sync()
    assert (report.status, report.counts.saved, len(report.secrets)) == (Status.COMPLETE, 2, 1)
    found = report.as_json()["findings"][0]
    assert (found["path"], found["rule"], found["line"]) == (f"{ROOT}/leaky", "Databricks token", 3)
    assert found["masked"] == "dapi*** (36 characters)"
    assert any("nbvault problems secrets" in note for note in report.notes)
    assert leaks(tmp_path, report, git=False) == set()
    again = place.sync()
    assert (again.secrets, records(place)) == ((), [(f"{ROOT}/leaky", "Databricks token", 3)])


def test_where_policy_says_hold_it_is_not_committed(tmp_path: Path, emulator: Emulator) -> None:
    """The notebook has failed for a named reason, the rest is saved, and the credential is nowhere in the vault."""
    place = machine(tmp_path, emulator, policy="hold")
    report = place.sync()
    assert (report.status, report.exit_code, report.counts.saved, report.counts.failed) == (Status.PARTIAL, 3, 1, 1)
    (problem,) = report.problems
    assert problem.path == f"{ROOT}/leaky"
    assert problem.reason.startswith("held back for a secret: Databricks token in line 3: dapi***")
    assert leaks(tmp_path, report, git=True) == set()
    again = place.sync()
    assert (again.counts.failed, again.problems[0].since, len(again.secrets)) == (1, report.session, 1)
    assert records(place) == []


def test_held_back_keeps_the_last_good_version_until_the_secret_is_gone(tmp_path: Path, emulator: Emulator) -> None:
    """A notebook that gets a credential is stale; without it, it is saved again."""
    place = machine(tmp_path, emulator, policy="hold")
    emulator.edit(f"{ROOT}/leaky", f"{HEAD}good\n", editor="ann@x.example")
    assert place.sync().status is Status.COMPLETE
    emulator.edit(f"{ROOT}/leaky", leaky(TOKEN), editor="ann@x.example")
    held = place.sync()
    assert (held.problems[0].stale, held.counts.deleted) == (True, 0)
    emulator.edit(f"{ROOT}/leaky", f"{HEAD}better\n", editor="ann@x.example")
    assert (place.sync().status, place.sync().status) == (Status.COMPLETE, Status.COMPLETE)


def test_what_an_administrator_allows_passes(tmp_path: Path, emulator: Emulator) -> None:
    """A fingerprint on the list lets exactly that secret through, in every notebook."""
    emulator.create(f"{ROOT}/second", leaky(TOKEN, f"other = '{OTHER}'\n"))
    place = machine(tmp_path, emulator, policy="hold", allow=[fingerprint(TOKEN)])
    report = place.sync()
    assert [(each.path, each.rule) for each in report.secrets] == [(f"{ROOT}/second", "GitHub token")]
    assert report.counts.saved == 2


def test_off_looks_at_nothing(tmp_path: Path, emulator: Emulator) -> None:
    """Who turns it off has nothing found."""
    report = machine(tmp_path, emulator, policy="off").sync()
    assert (report.status, report.secrets) == (Status.COMPLETE, ())


def test_without_re2_the_same_is_found(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra makes it quick, and nothing else."""
    # The import cannot be taken away from a running process; what it would fall back to can be put in its place.
    monkeypatch.setattr(screening, "_present", lambda: screening.one_by_one)
    assert len(machine(tmp_path, emulator).sync().secrets) == 1


def test_a_batch_records_what_it_saved(tmp_path: Path, emulator: Emulator) -> None:
    """The findings of a batch are in the vault with that batch, so that a session that is killed later loses none."""
    for number in range(5):
        emulator.create(f"{ROOT}/f/{number}", leaky(TOKEN))
    place = Machine(tmp_path / "a", emulator, sync_keys={"batch_size": 2})
    report = place.sync()
    assert (len(report.secrets), len(records(place))) == (6, 6)
    git = ["git", f"--git-dir={place.vault}", "log", "--format=%(trailers:key=Nbvault-Meta,valueonly,separator=)"]
    names = ["--reverse", "--diff-filter=AM", "refs/heads/nbvault/meta", "--", "records/findings-*"]
    kinds = subprocess.run([*git, *names], check=True, capture_output=True, text=True).stdout.split()
    assert kinds[0] == "checkpoint"


@pytest.mark.parametrize("allow", ["x", TOKEN])
def test_an_allow_list_of_something_else_is_refused(tmp_path: Path, emulator: Emulator, allow: str) -> None:
    """Only fingerprints are taken, and what was given instead, perhaps the secret, is not repeated."""
    place = machine(tmp_path, emulator, allow=[allow])
    with pytest.raises(ConfigurationError) as caught:
        load_settings(place.config, environment=place.environment())
    assert "screening.allow" in str(caught.value)
    assert TOKEN not in str(caught.value)

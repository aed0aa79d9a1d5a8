"""Engagements handed over as a Git bundle: their files and history as plain git sees them, and nobody else's."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_places import Place, source
from nbvault.archiving import bundle
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.recovery import handover
from nbvault.rotation import run_rotate
from nbvault_emulator.testing import Emulator

OURS = "/Clients/2024/ENG-1"
THEIRS = "/Clients/2024/ENG-2"
SECRET = "belongs to another client"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Two engagements after some nights: edits by two people, a move in, a move out, a deletion."""
    paths = [f"{folder}/{name}" for folder in (OURS, THEIRS) for name in ("etl", "report", "old")]
    world = [{"path": path, "content": source(f"{path} {SECRET if path.startswith(THEIRS) else ''}")} for path in paths]
    with Emulator(world=world) as emulator:
        (tmp_path / "machine").mkdir()
        made = Place(emulator, tmp_path / "machine").by_path()
        made.sync()
        for name in ("ann", "ben"):
            emulator.edit(f"{OURS}/etl", source(f"edited by {name}"), editor=f"{name}@example.com")
            emulator.edit(f"{THEIRS}/etl", source(f"{name}: {SECRET}"), editor=f"{name}@example.com")
            made.sync()
        emulator.move(f"{THEIRS}/report", f"{OURS}/from_elsewhere")
        emulator.create(f"{OURS}/by_mistake", source(SECRET))
        made.sync()
        emulator.edit(f"{OURS}/from_elsewhere", source("cleaned"), editor="ann@example.com")
        emulator.move(f"{OURS}/by_mistake", f"{THEIRS}/at_home")
        emulator.delete(f"{OURS}/old")
        made.sync()
        yield made


def handed_over(place: Place, pattern: str = OURS) -> tuple[handover.Bundle, Path]:
    """The bundle, and what `git clone` makes of it."""
    file = place.folder / "eng1.bundle"
    made = bundle(place.settings(), pattern, file, by="ann", say=print, clock=place.clock)
    clone = place.folder / "clone"
    subprocess.run(["git", "clone", "-q", str(file), str(clone)], check=True)
    return made, clone


def git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(clone), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_plain_clone_has_the_files_of_the_engagement_and_its_people(place: Place) -> None:
    """Byte for byte what the workspace has there; the log names who changed what."""
    made, clone = handed_over(place)
    there = {
        f"/Clients/{path.relative_to(clone).with_suffix('')}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in clone.rglob("*.py")
    }
    assert there == {path: digest for path, digest in place.world().items() if path.startswith(OURS)}
    assert (made.notebooks, git(clone, "rev-parse", "HEAD")) == (len(there), made.head)
    assert made.sha256 == hashlib.sha256((place.folder / "eng1.bundle").read_bytes()).hexdigest()
    authors = git(clone, "log", "--format=%ae", "--", "2024/ENG-1/etl.py").splitlines()
    assert authors == ["ben@example.com", "ann@example.com", "nbvault@nbvault.invalid"]
    originals = git(clone, "log", "--format=%(trailers:key=Nbvault-Original,valueonly)").split()
    assert all(place.git("cat-file", "-t", sha) == "commit" for sha in originals)
    assert (len(originals), made.past) == (made.commits, 1)


def test_nothing_of_another_client_is_in_it(place: Place) -> None:
    """No path, text or object of the other engagement: nothing from before a move in, nothing of a mistaken stay."""
    made, clone = handed_over(place)
    everything = git(clone, "rev-list", "--objects", "--all")
    assert "ENG-2" not in everything
    assert "by_mistake" not in everything
    assert made.left == 1
    names = [line.split()[0] for line in everything.splitlines()]
    contents = [git(clone, "cat-file", "-p", name) for name in names]
    told = [text for text in contents if SECRET in text]
    moved = git(clone, "log", "--format=%H", "--diff-filter=A", "--", "2024/ENG-1/from_elsewhere.py").split()
    # What was moved in was theirs until that day: its text at the move is part of the engagement from then on.
    assert (len(moved), len(told)) == (1, 1)


def test_the_vault_knows_what_was_handed_over(place: Place) -> None:
    """A receipt with the sum of the file, an audit line, and the folders are archived; on the remote."""
    made, _ = handed_over(place)
    names = [name for name in place.files("nbvault/meta") if name.startswith("records/bundles-")]
    receipt = json.loads(place.git("show", f"nbvault/meta:{names[0]}"))
    assert receipt == {"at": receipt["at"], "by": "ann", "pattern": OURS, **made.as_json()}
    assert json.loads(place.git("show", "nbvault/meta:archive.jsonl"))["pattern"] == OURS
    audit = [name for name in place.files("nbvault/meta") if name.startswith("records/audit-")]
    actions = [json.loads(line)["action"] for line in place.git("show", f"nbvault/meta:{audit[0]}").splitlines()]
    assert actions[-2:] == ["archive", "bundle"]


def test_a_new_machine_can_hand_over(place: Place) -> None:
    """With nothing but the remote: the history is fetched for it."""
    other = place.another_machine(place.folder.parent / "other")
    made, clone = handed_over(other)
    assert git(clone, "rev-parse", "HEAD") == made.head


def rotated(place: Place) -> None:
    """The vault goes on in another repository beside the first, and a night there: an edit, and a move out."""
    place.emulator.repository("second")
    second = place.server.with_name("second.git")
    run_rotate(place.settings(), str(second), by="ann", say=print, clock=place.clock)
    place.remote = str(second)
    place.emulator.edit(f"{OURS}/etl", source("edited by zoe"), editor="zoe@example.com")
    place.emulator.move(f"{OURS}/from_elsewhere", f"{THEIRS}/back_home")
    place.sync()


def test_a_history_begins_before_a_rotation(place: Place) -> None:
    """What was before it is there like what came after, and what left in another epoch is not."""
    rotated(place)
    made, clone = handed_over(place.another_machine(place.folder.parent / "other"))
    authors = git(clone, "log", "--format=%ae", "--", "2024/ENG-1/etl.py").splitlines()
    assert authors == ["zoe@example.com", "ben@example.com", "ann@example.com", "nbvault@nbvault.invalid"]
    assert git(clone, "log", "--format=%s", "--diff-filter=D", "--name-only").splitlines()[-1] == "2024/ENG-1/old.py"
    everything = git(clone, "rev-list", "--objects", "--all")
    assert not any(name in everything for name in ("ENG-2", "by_mistake", "from_elsewhere"))
    assert (made.whole, made.past, made.left) == (True, 1, 2)


def test_a_history_that_cannot_be_whole_says_so(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The repository of the first epoch is gone: the history begins with the second, and nobody is told it is all."""
    rotated(place)
    place.server.rename(place.server.with_name("elsewhere"))
    made, clone = handed_over(place.another_machine(place.folder.parent / "other"))
    assert git(clone, "log", "--format=%ae", "--", "2024/ENG-1/etl.py").splitlines()[0] == "zoe@example.com"
    everything = git(clone, "rev-list", "--objects", "--all")
    assert not any(name in everything for name in ("ENG-2", "by_mistake", "from_elsewhere"))
    assert not made.whole
    assert "What follows ends where epoch 1" in capsys.readouterr().out


def test_a_file_that_exists_is_not_overwritten(place: Place) -> None:
    """It is refused before anything is written, and so is a folder that is not there."""
    file = place.folder / "there"
    file.write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        bundle(place.settings(), OURS, file, by="ann", say=print)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        bundle(place.settings(), OURS, place.folder / "no" / "such", by="ann", say=print)
    assert file.read_text() == "mine"


def test_what_names_no_engagement_is_refused(place: Place) -> None:
    """The whole root, another root, a folder without notebooks."""
    settings, file = place.settings(), place.folder / "x"
    for pattern in ("/Clients", "/Clients/**", "/", "2024", "/Other/x", "/Clients/2019", ""):
        with pytest.raises(ConfigurationError):
            bundle(settings, pattern, file, by="ann", say=print)
        assert not file.exists(), pattern


def test_without_a_receipt_there_is_no_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remote refuses the record: the bundle is not left behind as if all were well, nor is anything of it."""
    place.git("config", "receive.denyNonFastForwards", "true")
    hook = place.server / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = sorted(place.folder.iterdir())
    with pytest.raises(NbvaultError):
        bundle(place.settings(), OURS, place.folder / "x.bundle", by="ann", say=print, clock=place.clock)
    assert sorted(place.folder.iterdir()) == before

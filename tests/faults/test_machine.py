"""What the machine can lose: its state store, its local repository, parts of it, and the space on its disk."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fault_places import DAY_S, Place, source
from nbvault.gitstore.blobs import missing_objects
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import clean_leftovers
from nbvault.model import Status
from nbvault.state.store import StateManager

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
EDITED = f"{FOLDER}/00_ingest_ledger"


def lose_everything(place: Place) -> None:
    """The machine is new."""
    shutil.rmtree(place.local)
    (place.folder / "state.db").unlink()


def test_the_vault_alone_is_enough(place: Place) -> None:
    """A new machine, day after day: only what changed, and the slice, is exported; renames and counts are right."""
    lose_everything(place)
    place.emulator.edit(EDITED, source("edited"))
    place.emulator.move(f"{FOLDER}/01_clean_ledger", f"{FOLDER}/moved")
    report = place.sync()
    assert (report.counts.modified, report.counts.renamed, report.counts.unchanged) == (1, 1, 78)
    assert report.requests.export <= 1 + 80 // 30 + 2
    place.assert_whole(report)
    lose_everything(place)
    place.clock.wait(DAY_S)
    place.emulator.delete(f"{FOLDER}/moved")
    second = place.sync()
    assert (second.counts.deleted, second.counts.unchanged) == (1, 79)
    place.assert_whole(second)
    lose_everything(place)
    place.emulator.create(f"{FOLDER}/new", source("new"))
    place.assert_whole(place.sync())
    renames = [json.loads(line) for line in place.git("show", "nbvault/meta:renames.jsonl").splitlines()]
    assert [(each["from"], each["to"]) for each in renames] == [(f"{FOLDER}/01_clean_ledger", f"{FOLDER}/moved")]


def test_a_deleted_notebook_that_returns_is_a_rename_for_a_new_machine_too(place: Place) -> None:
    """The tombstone is in the vault."""
    place.emulator.faults({"kind": "hole", "path": EDITED})
    assert place.sync().counts.deleted == 1
    lose_everything(place)
    place.emulator.faults()
    report = place.sync()
    assert (report.counts.renamed, report.counts.added) == (1, 0)
    place.assert_whole(report)


def test_problems_and_held_sets_survive_a_new_machine(place: Place) -> None:
    """Since when a notebook fails, what was accepted, and what was held, is known to whoever comes next."""
    place.emulator.edit(EDITED, source("grew"))
    place.emulator.delete("/Clients/2025")
    place.emulator.faults({"kind": "oversize", "match": {"path": EDITED}})
    first = place.sync()
    assert first.exit_code == 4
    place.acknowledge(EDITED)
    lose_everything(place)
    report = place.sync(accept_deletions="last")
    assert (report.exit_code, report.counts.deleted) == (0, first.counts.held_deletions), report
    assert [(p.since, p.acknowledged_by) for p in report.problems] == [(first.session, "ann@example.com")]


def test_a_session_killed_after_the_vault_had_its_end_ended_as_the_vault_says(place: Place) -> None:
    """The state store's "running" of a session that died at its very last line becomes what the vault recorded."""
    first = place.sync()
    with StateManager(f"sqlite:///{place.folder / 'state.db'}") as state:
        state.session_started(first.session, workspace_path="/Clients", started_at=first.started_at, holder={})
    place.sync()
    with StateManager(f"sqlite:///{place.folder / 'state.db'}") as state:
        found = {row.session: row for row in state.sessions()}[first.session]
    assert (found.status, found.total, found.commit) == (Status.COMPLETE, first.counts.listed, first.head)


def test_a_state_store_that_cannot_be_opened_does_not_stop_a_backup(place: Place) -> None:
    """It is told, and the session runs without."""
    (place.folder / "state.db").write_bytes(b"this is no database" * 100)
    place.emulator.edit(EDITED, source("edited"))
    place.assert_whole(place.sync())
    assert any("state store is not used" in text for text in place.screen.stages)


# --- damage ----------------------------------------------------------------------------------------------------------


def cut_pack(repo: Path) -> None:
    """Every pack loses its second half."""
    for pack in repo.glob("objects/pack/*.pack"):
        data = pack.read_bytes()
        pack.chmod(0o644)
        pack.write_bytes(data[: len(data) // 2])


def lose_packs(repo: Path) -> None:
    for pack in repo.glob("objects/pack/*"):
        pack.unlink()


def lose_refs(repo: Path) -> None:
    shutil.rmtree(repo / "refs")
    (repo / "refs" / "heads").mkdir(parents=True)
    (repo / "packed-refs").unlink(missing_ok=True)


def break_refs(repo: Path) -> None:
    for ref in (repo / "refs" / "heads").rglob("*"):
        if ref.is_file():
            ref.write_text("no commit\n")


def lose_head(repo: Path) -> None:
    (repo / "HEAD").unlink()


def break_config(repo: Path) -> None:
    (repo / "config").write_text("[core\n")


def lose_config(repo: Path) -> None:
    (repo / "config").unlink()


def lose_objects(repo: Path) -> None:
    shutil.rmtree(repo / "objects")


def lose_indexes(repo: Path) -> None:
    for index in repo.glob("objects/pack/*.idx"):
        index.unlink()


def stale_locks(repo: Path) -> None:
    for name in ("config.lock", "packed-refs.lock", "shallow.lock", "refs/heads/main.lock"):
        (repo / name).write_text("")


def empty_loose_objects(repo: Path) -> None:
    for path in repo.glob("objects/??/*"):
        path.chmod(0o644)
        path.write_bytes(b"")


DAMAGE: list[Callable[[Path], None]] = [
    shutil.rmtree,
    cut_pack,
    break_refs,
    lose_head,
    lose_objects,
    stale_locks,
    empty_loose_objects,
]
MORE_DAMAGE = [lose_packs, lose_refs, break_config, lose_config, lose_indexes]


@pytest.mark.parametrize(
    "damage",
    [*DAMAGE, *(pytest.param(damage, marks=pytest.mark.campaign) for damage in MORE_DAMAGE)],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_local_repository_is_mended_from_the_remote(place: Place, damage: Callable[[Path], None]) -> None:
    """Whatever is broken: the session is complete and incremental, and so is the one after it."""
    damage(place.local)
    place.emulator.edit(EDITED, source("edited"))
    report = place.sync()
    assert (report.counts.saved, report.counts.unchanged) == (1, 79), report
    place.assert_whole(report)
    place.emulator.edit(EDITED, source("edited again"))
    place.assert_whole(place.sync())


def test_an_object_without_a_byte_is_no_object(place: Place) -> None:
    """What a power cut leaves is removed, or git would take it for present and never fetch it again."""
    git = Git(place.local, place.environment)
    whole = git.run("hash-object", "-w", "--stdin", stdin=b"whole").text
    torn = git.run("hash-object", "-w", "--stdin", stdin=b"torn").text
    path = place.local / "objects" / torn[:2] / torn[2:]
    path.chmod(0o644)
    path.write_bytes(b"")
    assert clean_leftovers(git).paths == (f"objects/{torn[:2]}/{torn[2:]}",)
    assert missing_objects(git, [whole, torn]) == [torn]


# --- no space --------------------------------------------------------------------------------------------------------


def noise(kilobytes: int) -> str:
    """Text that takes half its size, however it is compressed."""
    return "".join(f"# {os.urandom(511).hex()}\n" for _ in range(kilobytes))


def mounted(folder: Path, size: str) -> bool:
    """Whether a file system of that size could be mounted there."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_full_disk(fresh: Place) -> None:
    """Exit 1 and a sentence that says so; nothing is claimed, and with some space the next session goes on."""
    disk = fresh.folder / "disk"
    if not mounted(disk, "1m"):
        pytest.skip("this user may not mount a file system")
    fresh.emulator.batch(
        [{"op": "create", "path": f"{FOLDER}/n{number}", "content": source(noise(300))} for number in range(12)]
    )
    try:
        report = fresh.sync(changes={"vault.path": str(disk / "vault.git")})
        fresh.assert_nothing_claimed(report)
        assert report.exit_code == 1
        assert "full" in report.error or "No space left" in report.error, report.error
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        fresh.assert_whole(fresh.sync(changes={"vault.path": str(disk / "vault.git")}))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_file_that_may_not_grow(place: Place) -> None:
    """A quota on file sizes ends a process in the same way: exit 1, a sentence, and the next session goes on."""
    tip = place.tip("main")
    place.emulator.edit(EDITED, source(noise(600)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    try:
        report = place.sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    place.assert_nothing_claimed(report)
    assert report.exit_code == 1
    assert place.tip("main") == tip
    place.assert_whole(place.sync())

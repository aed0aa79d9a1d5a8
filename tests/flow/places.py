"""A workspace, a Git server and machines that back the one up into the other; and what plain git says of the result."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.model import SessionReport
from nbvault.paths import decode
from nbvault.settings import Settings, load_settings
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

ROOT = "/Clients"
OWN_FILES = frozenset({".gitattributes", ".gitignore", "README.md"})
EXTENSIONS = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}
DRIVER = Path(__file__).with_name("driver.py")


class Seen(NamedTuple):
    """A notebook as the workspace has it."""

    path: str
    language: str
    sha256: str


World = dict[int, Seen]


def world_of(emulator: Emulator) -> World:
    """Every notebook under the root, by object id."""
    found = emulator.world(ROOT, content=True)
    return {each["object_id"]: Seen(each["path"], _language(each), each["sha256"]) for each in found}


def _language(shown: Mapping[str, Any]) -> str:
    """Its own; of a notebook in IPYNB format, which are all listed as PYTHON, what its first line says."""
    first = shown["content"].partition(" Databricks notebook source")[0]
    told = {"--": "SQL", "//": "SCALA"}.get(first) if shown["format"] == "IPYNB" else None
    return told or str(shown["language"])


class Changes(NamedTuple):
    """What a session must count between two states of the workspace."""

    added: int
    modified: int
    renamed: int
    deleted: int


def changes_between(old: World, new: World) -> Changes:
    """Counted by object id, as the law says: renamed and modified at once is renamed."""
    both = [(old[number], new[number]) for number in old.keys() & new.keys()]
    renamed = sum(before.path != after.path for before, after in both)
    modified = sum(before.path == after.path and before != after for before, after in both)
    return Changes(len(new.keys() - old.keys()), modified, renamed, len(old.keys() - new.keys()))


@dataclass
class Quiet:
    """A screen that only remembers."""

    session: str = ""
    stages: list[str] = field(default_factory=list)

    def began(self, session: str, _started_at: datetime) -> None:
        self.session = session

    def watch(self, _survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        self.stages.append(text)


@dataclass
class Machine:
    """A computer with a local repository and a state store of its own."""

    folder: Path
    emulator: Emulator
    workspace: Mapping[str, Any] = field(default_factory=dict)
    sync_keys: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    remote: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        sections = {
            "workspace": {"host": self.emulator.workspace_url, "token": "env:WS", "retry_s": 0.5, **self.workspace},
            "vault": {"remote": self.remote or self.emulator.git_url, "token": "env:GT"},
            "sync": {"lease_stale_s": 2, **self.sync_keys},
        }
        lines = []
        for name, keys in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        return self.folder / "nbvault.toml"

    @property
    def vault(self) -> Path:
        """The local repository."""
        return self.folder / "vault.git"

    @property
    def state(self) -> Path:
        """The state store."""
        return self.folder / "nbvault.db"

    def environment(self) -> dict[str, str]:
        tokens = {"WS": self.emulator.workspace_token, "GT": self.emulator.git_token}
        path = {"PATH": f"{self.path}{os.pathsep}{os.environ['PATH']}"} if self.path else {}
        return {**os.environ, **tokens, **path}

    def settings(self) -> Settings:
        return load_settings(self.config, environment=self.environment())

    def sync(self, **options: Any) -> SessionReport:
        """One session in this process."""
        return run_sync(self.settings(), SyncOptions(**options), Quiet())

    def spawn(self, *, machine: str = "") -> subprocess.Popen[str]:
        """One session in a process of its own; it prints its session id, then its report."""
        command = [sys.executable, str(DRIVER), str(self.config), *([machine] if machine else [])]
        return subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, text=True)

    def forget_state(self) -> None:
        for each in self.folder.glob("nbvault.db*"):
            each.unlink()

    def forget_vault(self) -> None:
        shutil.rmtree(self.vault, ignore_errors=True)


def git(repository: Path, *arguments: str, stdin: bytes = b"", ok: Sequence[int] = (0,)) -> bytes:
    """Plain git, as anyone would call it; the output as bytes."""
    done = subprocess.run(["git", "-C", str(repository), *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode in ok, f"git {arguments}: {done.stderr.decode()}"
    return done.stdout


def server_of(emulator: Emulator) -> Path:
    """The Git server's repository."""
    return emulator.git_dir / "vault.git"


def refs_of(repository: Path) -> dict[str, str]:
    lines = git(repository, "for-each-ref", "--format=%(refname) %(objectname)").decode().splitlines()
    return dict(line.split(" ") for line in lines)


def tree_of(repository: Path, commit: str = "main") -> dict[str, str]:
    """The blob id of every file of a commit."""
    entries = git(repository, "ls-tree", "-r", "-z", commit).decode("utf-8", "surrogateescape").split("\0")
    found = {}
    for entry in filter(None, entries):
        head, path = entry.split("\t", 1)
        mode, _, oid = head.split(" ")
        assert mode == "100644", entry
        found[path] = oid
    return found


def blobs_of(repository: Path, oids: Iterable[str]) -> dict[str, bytes]:
    """The bytes of blobs, by `git cat-file --batch`."""
    wanted = list(dict.fromkeys(oids))
    output = io.BytesIO(git(repository, "cat-file", "--batch", stdin="\n".join([*wanted, ""]).encode()))
    found = {}
    for oid in wanted:
        name, kind, size = output.readline().split()
        assert (name.decode(), kind) == (oid, b"blob")
        found[oid] = output.read(int(size))
        output.read(1)
    return found


def archive_of(repository: Path, commit: str = "main") -> dict[str, bytes]:
    """What `git archive` packs."""
    with tarfile.open(fileobj=io.BytesIO(git(repository, "archive", "--format=tar", commit))) as packed:
        files = [member for member in packed if member.isfile()]
        return {member.name: packed.extractfile(member).read() for member in files}  # type: ignore[union-attr]


class File(NamedTuple):
    """A notebook's file in the vault, as its path and bytes say."""

    path: str
    extension: str
    sha256: str


def notebooks_in(repository: Path, commit: str = "main", *, ignored: Collection[str] = ()) -> list[File]:
    """Every file of a commit but the vault's own and those to ignore, its path decoded."""
    tree = {path: oid for path, oid in tree_of(repository, commit).items() if path not in {*OWN_FILES, *ignored}}
    sums = {oid: hashlib.sha256(data).hexdigest() for oid, data in blobs_of(repository, tree.values()).items()}
    decoded = [(decode(path), oid) for path, oid in tree.items()]
    return [File(f"{ROOT}/{where.path}", where.extension, sums[oid]) for where, oid in decoded]


def expected_files(world: World) -> list[File]:
    """What the tree must hold for this workspace."""
    return [File(seen.path, EXTENSIONS[seen.language], seen.sha256) for seen in world.values()]


def check_tree(emulator: Emulator, *, world: World | None = None, commit: str = "main") -> None:
    """The tree is the workspace, byte for byte, and nothing else is in it but the vault's own files."""
    there = sorted(notebooks_in(server_of(emulator), commit))
    wanted = sorted(expected_files(world_of(emulator) if world is None else world))
    assert there == wanted, difference(there, wanted)


def difference(there: Iterable[File], wanted: Iterable[File]) -> str:
    """A few of the files that are in one only."""
    one, other = set(there), set(wanted)
    return f"only in the tree: {sorted(one - other)[:5]}; only in the workspace: {sorted(other - one)[:5]}"


def check_health(repository: Path, told: Callable[[], str] = str) -> None:
    """`git fsck` finds nothing."""
    done = subprocess.run(
        ["git", "-C", str(repository), "fsck", "--full", "--strict", "--no-dangling", "--no-progress"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("notice:")]
    assert done.returncode == 0, f"{said}\n{told()}"
    assert not said, f"{said}\n{told()}"


def check_sums(report: SessionReport) -> None:
    """Every listed object is in exactly one state."""
    counts = report.counts
    assert counts.listed == counts.saved + counts.unchanged + counts.skipped + counts.failed, counts
    assert counts.saved == counts.added + counts.modified + counts.renamed, counts


def first_parent_line(repository: Path) -> list[str]:
    """The subjects of `main`, newest first."""
    return git(repository, "log", "--first-parent", "--format=%s", "main").decode().splitlines()


def inventory_ids(repository: Path, commit: str) -> set[int]:
    """The ids that the meta branch has living rows for, read with plain git and JSON."""
    tree = tree_of(repository, commit)
    paths = [p for p in ("inventory/base.jsonl",) if p in tree] + sorted(p for p in tree if "/delta-" in p)
    living: set[int] = set()
    blobs = blobs_of(repository, [tree[path] for path in paths])
    for path in paths:
        for line in blobs[tree[path]].splitlines():
            item = json.loads(line)
            (living.discard if "gone" in item else living.add)(item["id"])
    return living


def described_content(repository: Path) -> str:
    """The content commit that the tip of the meta branch describes; empty if there is none."""
    if "refs/heads/nbvault/meta" not in refs_of(repository):
        return ""
    shown = "--format=%(trailers:key=Nbvault-Content,valueonly)"
    return git(repository, "log", "-1", shown, "nbvault/meta").decode().strip()


def session_records(repository: Path) -> dict[str, dict[str, Any]]:
    """The last record of each session on the meta branch."""
    tree = tree_of(repository, "nbvault/meta")
    paths = sorted(path for path in tree if path.startswith("records/sessions-"))
    blobs = blobs_of(repository, [tree[path] for path in paths])
    records = (json.loads(line) for path in paths for line in blobs[tree[path]].splitlines())
    return {record["session"]: record for record in records}


def empty_the_server(emulator: Emulator, pristine: Path) -> None:
    """The Git server's repository as it was when ``pristine`` was copied."""
    shutil.rmtree(server_of(emulator))
    shutil.copytree(pristine, server_of(emulator))


def watched(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    """Wait for something that another process does."""
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends
        threading.Event().wait(0.02)


def hanging_git(folder: Path, arguments: str) -> Path:
    """A git that hangs where its arguments fit a pattern of the shell; the file that is there when one does."""
    hangs = folder / "hangs"
    git_that(folder, arguments, does=f'touch "{hangs}"; exec sleep 600')
    return hangs


def git_that(folder: Path, arguments: str, *, does: str) -> None:
    """Make a git that does something in the shell first where its arguments fit a pattern; the folder is for PATH."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f'#!/bin/sh\ncase "$*" in {arguments}) {does};; esac\nexec "{shutil.which("git")}" "$@"\n')
    program.chmod(0o755)

"""A large inventory lies in several files, and reads as one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from git_places import AT
from nbvault.gitstore import meta as meta_branch
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.meta import BASE, BRANCH, Meta, MetaDraft, read_meta
from nbvault.gitstore.reader import resolve
from nbvault.gitstore.runner import Git
from nbvault.gitstore.writer import FastImport
from nbvault.inventory import Rows
from nbvault.model import Language, NotebookFormat, Row, Tombstone

ROOT = "/Clients"
PART_BYTES = 2000


def row(number: int, version: int = 0) -> Row:
    path = f"{ROOT}/2024/ENG-{number % 7}/ledger {number}"
    repo_path = f"2024/ENG-{number % 7}/ledger {number}.py"
    return Row(number, path, repo_path, Language.PYTHON, version, 6, "ann@example.com", NotebookFormat.SOURCE, "s1")


def stone(number: int) -> Tombstone:
    return Tombstone(number, f"{ROOT}/gone {number}", f"gone {number}.py", "ab" * 20, "s2", "s1")


class Branch:
    """The meta branch of a repository, written commit by commit and read anew after each."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._blobs = BlobReader(git)
        self.meta = Meta(ROOT)

    def write(self, rows: Sequence[Row] = (), stones: Sequence[Tombstone] = (), *, whole: bool = False) -> Meta:
        self.meta.apply(rows, stones)
        draft = MetaDraft(self.meta, session="s", at=AT)
        draft.inventory(rows, stones, ())
        if whole:
            draft.compact_if_due(at_once=True)
        with FastImport(self._git) as stream:
            draft.commit(stream, content="", kind="end", blobs=self._blobs)
        tip = resolve(self._git, BRANCH)
        assert tip is not None
        self.meta = read_meta(self._git, tip, root=ROOT, blobs=self._blobs)
        return self.meta

    def inventory(self) -> dict[str, int]:
        """The files of the inventory, and how large each is."""
        files = {path: oid for path, oid in self.meta.files.items() if path.startswith("inventory/")}
        return {path: len(data) for path, (_, data) in zip(files, self._blobs.read(files.values()), strict=True)}


@pytest.fixture
def branch(git: Git, monkeypatch: pytest.MonkeyPatch) -> Branch:
    monkeypatch.setattr(meta_branch, "PART_BYTES", PART_BYTES)
    return Branch(git)


def test_no_file_is_larger_than_a_server_takes(branch: Branch) -> None:
    """Each part ends with the line that fills it, and all parts together say what was written."""
    rows, stones = [row(number) for number in range(100)], [stone(number) for number in range(200, 230)]
    read = branch.write(rows, stones, whole=True)
    sizes = branch.inventory()
    assert len(sizes) > 5
    assert max(sizes.values()) < PART_BYTES + 300
    assert dict(read.rows) == {each.object_id: each for each in rows}
    assert dict(read.tombstones) == {each.object_id: each for each in stones}


def test_later_changes_come_after_the_parts(branch: Branch) -> None:
    """What a session changes stands in a file of its own behind the parts, and counts."""
    branch.write([row(number) for number in range(100)], whole=True)
    parts = list(branch.inventory())
    read = branch.write([row(3, 1), row(300)], [stone(99)])
    assert list(branch.inventory()) == [*parts, f"inventory/delta-{len(parts):08d}.jsonl"]
    assert (read.rows[3], read.rows[300], 99 in read.rows) == (row(3, 1), row(300), False)
    assert len(read.rows) == 100


def test_parts_are_written_anew_together(branch: Branch) -> None:
    """Written anew, an inventory that shrank leaves no part behind, and one that fits is a single file again."""
    branch.write([row(number) for number in range(100)], whole=True)
    branch.write([row(7, 1)])
    read = branch.write((), [stone(number) for number in range(50)], whole=True)
    assert (sorted(read.rows), sorted(read.tombstones)) == (list(range(50, 100)), list(range(50)))
    read.tombstones.clear()
    read.rows = Rows([row(60)])
    assert dict(branch.write(whole=True).rows) == {60: row(60)}
    assert list(branch.inventory()) == [BASE]


def test_an_empty_inventory_has_its_file(branch: Branch) -> None:
    """A vault without notebooks has a base with nothing in it."""
    assert dict(branch.write(whole=True).rows) == {}
    assert branch.inventory() == {BASE: 0}


def test_not_read_yet_it_says_the_same(branch: Branch, git: Git) -> None:
    """Who only looks up a path finds it in whichever part it is."""
    branch.write([row(number) for number in range(100)], whole=True)
    branch.write([row(3, 1)])
    unread = read_meta(git, branch.meta.tip, root=ROOT, blobs=BlobReader(git), unread=True)
    assert [unread.rows.get(number) for number in (0, 3, 50, 99)] == [row(0), row(3, 1), row(50), row(99)]

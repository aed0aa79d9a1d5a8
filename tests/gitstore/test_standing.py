"""A git that stays answers as one that is started for the question."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_places import MAIN, commit_files, fill, local_of
from nbvault.errors import GitError, VaultError
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.runner import Git
from nbvault.gitstore.standing import Standing
from nbvault.gitstore.writer import blob_id

NOWHERE = "1" * 40
FILES = {
    "root.py": b"root",
    "a/b/c.py": b"",
    "a/b/d e.py": b"with\nlines\r\n\0and bytes \xff",
    "a/Büro/ü.sql": "ü".encode(),
    "a/*/x.py": b"star",
    "line\nbreak/n.py": b"odd folder",
    "a/line\nbreak.py": b"odd name",
}


@pytest.fixture
def standing(git: Git) -> Iterator[Standing]:
    made = Standing(git)
    yield made
    made.close()


def test_it_finds_and_reads_what_a_listing_names(git: Git, standing: Standing) -> None:
    """Every file of a commit, by its path and by its id; a folder whose name cannot be asked for is said to be such."""
    sha = commit_files(git, FILES)
    told = {entry.path: standing.blob_at(sha, entry.path) for entry in ls_tree(git, sha)}
    assert told.pop("line\nbreak/n.py") is None
    assert told == {path: blob_id(data) for path, data in FILES.items() if path in told}
    assert {standing.read(blob_id(data)) for data in FILES.values()} == set(FILES.values())


def test_what_is_not_there_is_told_apart_from_what_cannot_be_told(git: Git, standing: Standing) -> None:
    """A folder without that file: empty. No such folder or commit, or a file for a folder: it cannot tell."""
    sha = commit_files(git, FILES)
    assert [standing.blob_at(sha, path) for path in ("a/b/no.py", "no.py", "a", "a/b")] == [""] * 4
    assert [standing.blob_at(sha, path) for path in ("a/no/c.py", "root.py/c.py")] == [None] * 2
    assert standing.blob_at(NOWHERE, "root.py") is None
    assert standing.read(NOWHERE) is None
    assert standing.read(blob_id(b"root")) == b"root"


def test_what_is_fetched_later_is_found(tmp_path: Path, server: Git) -> None:
    """A blob that only the server has is named by its tree, is not fetched by asking, and is read once it is here."""
    fill(server, tmp_path / "work.git", {"a": b"1", "b": b"2"})
    git, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    standing = Standing(git)
    oid = standing.blob_at(MAIN, "a")
    assert oid == blob_id(b"1")
    assert standing.read(oid) is None
    assert missing_objects(git, [oid]) == [oid]
    reader = BlobReader(git, remote.fetch_objects, standing=standing)
    assert list(reader.read([oid, blob_id(b"2")])) == [(oid, b"1"), (blob_id(b"2"), b"2")]
    assert standing.read(oid) == b"1"
    standing.close()


def test_what_is_missing_for_good_is_an_error_with_its_id(git: Git, standing: Standing) -> None:
    """As for a reader that starts a git of its own."""
    with pytest.raises(VaultError, match=NOWHERE):
        list(BlobReader(git, lambda _: None, standing=standing).read([NOWHERE]))


def test_a_tree_or_damaged_bytes_are_no_blob(git: Git, standing: Standing) -> None:
    """An error, whatever git hands out; the next question is answered all the same."""
    sha = commit_files(git, FILES)
    oid = git.run("hash-object", "-w", "--stdin", stdin=b"good").text
    file = git.repo / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    file.write_bytes(zlib.compress(b"blob 4\0evil"))
    for wrong in (sha, oid):
        with pytest.raises((VaultError, GitError)):
            standing.read(wrong)
    assert standing.read(blob_id(b"root")) == b"root"


def test_a_killed_process_is_replaced(git: Git, standing: Standing) -> None:
    """Whoever kills it does not end the answers."""
    commit_files(git, FILES)
    assert standing.read(blob_id(b"root")) == b"root"
    assert standing._process is not None
    standing._process.kill()
    assert standing.read(blob_id(b"star")) == b"star"


def test_many_ask_at_once(git: Git, standing: Standing) -> None:
    """Nobody gets the answer to another's question."""
    texts = [b"%d" % number * (1 + 997 * number) for number in range(40)]
    sha = commit_files(git, {f"f/{number}": text for number, text in enumerate(texts)})

    def ask(number: int) -> bool:
        oid = standing.blob_at(sha, f"f/{number % 40}")
        return oid is not None and standing.read(oid) == texts[number % 40]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))

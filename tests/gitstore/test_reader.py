"""Trees, commits, history and blobs as they are read back."""

from __future__ import annotations

import os
import zlib
from datetime import timedelta
from pathlib import Path

import pytest

from git_places import AT, MAIN, add_commit, commit_files, fill, local_of
from nbvault.errors import GitError, VaultError
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.reader import (
    PathChange,
    TreeDifference,
    TreeEntry,
    commit_info,
    diff_trees,
    log,
    ls_tree,
    resolve,
)
from nbvault.gitstore.runner import Git
from nbvault.gitstore.writer import FastImport, blob_id
from nbvault.model import FileChange

NOWHERE = "1" * 40


def test_a_tree_is_listed_whole_or_below_a_path(git: Git) -> None:
    """Entries come sorted as Git sorts, and a path is taken literally, not as a pattern."""
    sha = commit_files(git, {"a/b": b"1", "a.py": b"2", "*/c": b"3"})
    assert [entry.path for entry in ls_tree(git, sha)] == ["*/c", "a.py", "a/b"]
    assert list(ls_tree(git, sha, "*")) == [TreeEntry("*/c", "100644", "blob", blob_id(b"3"))]
    assert list(ls_tree(git, sha, "nothing")) == []


def test_a_tree_that_is_not_here_is_an_error(git: Git) -> None:
    """A commit that does not exist is never an empty listing."""
    with pytest.raises(GitError):
        list(ls_tree(git, NOWHERE))
    with pytest.raises(GitError):
        list(diff_trees(git, "", NOWHERE))


def test_leaving_a_listing_early_is_no_error(git: Git) -> None:
    """A reader may stop after the first of many entries."""
    sha = commit_files(git, {f"{number:05}": b"x" for number in range(20_000)})
    assert next(ls_tree(git, sha)).path == "00000"


def test_differences_name_both_sides(git: Git) -> None:
    """Added, changed and removed paths with their ids; nothing is taken for a rename."""
    old = commit_files(git, {"same": b"s", "gone": b"long enough to look like a rename", "new\nline": b"1"})
    with FastImport(git) as stream:
        moved, changed = stream.blob(b"long enough to look like a rename"), stream.blob(b"2")
        changes = [FileChange("gone"), FileChange("here", moved), FileChange("new\nline", changed)]
        new = stream.sha_of(add_commit(stream, changes, parents=[old]))
    assert set(diff_trees(git, old, new)) == {
        TreeDifference("gone", moved, ""),
        TreeDifference("here", "", moved),
        TreeDifference("new\nline", blob_id(b"1"), changed),
    }
    assert {d.path for d in diff_trees(git, "", old)} == {"same", "gone", "new\nline"}
    assert list(diff_trees(git, new, new)) == []


def test_revisions_resolve_to_commits_or_to_none(git: Git) -> None:
    """A branch, a sha and an abbreviation resolve; what names no commit is None, options are no revisions."""
    sha = commit_files(git, {"a": b"1"})
    assert resolve(git, MAIN) == resolve(git, sha[:10]) == sha
    assert [resolve(git, text) for text in ("nope", NOWHERE, blob_id(b"1"), "--all", "")] == [None] * 5


def test_a_commit_that_is_not_here_is_named(git: Git) -> None:
    """Asking for an unknown commit is an error that names it."""
    with pytest.raises(VaultError, match=NOWHERE):
        commit_info(git, NOWHERE)


def history(git: Git) -> list[str]:
    """Root, a side branch with a file, and a merge of it into main; oldest first."""
    with FastImport(git) as stream:
        one, two = stream.blob(b"1"), stream.blob(b"2")
        root = add_commit(stream, [FileChange("a", one), FileChange("odd\n\t😀", one)], message="root")
        side = add_commit(
            stream,
            [FileChange("a", two), FileChange("side/b", one), FileChange("odd\n\t😀")],
            ref="refs/heads/side",
            parents=[root],
            message="side\n\nbody line\n",
        )
        changes = [FileChange("a", two), FileChange("side/b", one), FileChange("odd\n\t😀")]
        merge = add_commit(stream, changes, parents=[root, side], message="merge")
        return [stream.sha_of(mark) for mark in (root, side, merge)]


def test_history_by_paths_says_what_happened(git: Git) -> None:
    """Each commit that touched a path says how; merges that only pass others' changes on are left out."""
    root, side, _ = history(git)
    assert [(e.sha, e.changes) for e in log(git, MAIN, paths=["a"])] == [
        (side, (PathChange("M", "a"),)),
        (root, (PathChange("A", "a"),)),
    ]
    (entry,) = log(git, MAIN, paths=["side"])
    assert (entry.sha, entry.changes) == (side, (PathChange("A", "side/b"),))
    assert [e.changes[0].status for e in log(git, MAIN, paths=["odd\n\t😀"])] == ["D", "A"]


def test_history_by_first_parents_shows_merges_as_changes(git: Git) -> None:
    """Along first parents a merge shows what it brought."""
    root, _, merge = history(git)
    entries = list(log(git, MAIN, first_parent=True, changes=True))
    assert [entry.sha for entry in entries] == [merge, root]
    assert {change.status + change.path for change in entries[0].changes} == {"Ma", "Aside/b", "Dodd\n\t😀"}


def test_history_is_bounded_as_asked(git: Git) -> None:
    """A limit, an end in time, and commits to leave out are obeyed; without paths no changes are named."""
    root, side, merge = history(git)
    assert {entry.sha for entry in log(git, MAIN)} == {root, side, merge}
    assert all(not entry.changes for entry in log(git, MAIN))
    assert [entry.sha for entry in log(git, MAIN, limit=1)] == [merge]
    assert [entry.sha for entry in log(git, MAIN, exclude=[side])] == [merge]
    assert list(log(git, MAIN, until=AT - timedelta(seconds=1))) == []
    with pytest.raises(GitError):
        list(log(git, NOWHERE))


def test_many_large_blobs_are_read_without_deadlock(git: Git) -> None:
    """More ids and bytes than any pipe holds go through one process, in the order asked for, twice if asked twice."""
    data = {blob_id(text): text for text in (os.urandom(5_000) + b"\n" for _ in range(2_000))}
    with FastImport(git) as stream:
        for text in data.values():
            stream.blob(text)
    wanted = [*data, *list(data)[:3]]
    assert [(oid, data[oid]) for oid in wanted] == list(BlobReader(git).read(wanted))


def test_reading_may_stop_early(git: Git) -> None:
    """A reader that leaves after the first blob leaves no process behind."""
    blobs = commit_blobs(git, 500)
    reading = BlobReader(git).read(blobs)
    assert next(reading)[0] == blobs[0]
    reading.close()  # type: ignore[attr-defined]


def commit_blobs(git: Git, count: int) -> list[str]:
    with FastImport(git) as stream:
        return [stream.blob(b"%d" % number) for number in range(count)]


def test_what_is_missing_for_good_is_named(git: Git) -> None:
    """A blob that is nowhere is an error with its id, never an empty blob."""
    with pytest.raises(VaultError, match=NOWHERE):
        list(BlobReader(git).read([NOWHERE]))
    with pytest.raises(VaultError, match=NOWHERE):
        list(BlobReader(git, lambda _: None).read([NOWHERE]))


def test_a_tree_is_no_blob(git: Git) -> None:
    """An id of another kind is an error."""
    sha = commit_files(git, {"a": b"1"})
    with pytest.raises(VaultError, match="no readable blob"):
        list(BlobReader(git).read([sha]))


def test_damaged_bytes_are_found(git: Git) -> None:
    """A blob whose bytes are not what its id says is an error, though git would hand it out."""
    oid = git.run("hash-object", "-w", "--stdin", stdin=b"good").text
    file = git.repo / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    file.write_bytes(zlib.compress(b"blob 4\0evil"))
    with pytest.raises((VaultError, GitError)):
        list(BlobReader(git).read([oid]))
    with pytest.raises((VaultError, GitError)):
        list(BlobReader(git).lines([oid]))


def test_lines_are_those_of_the_whole(git: Git) -> None:
    """Read piece by piece, blobs have the lines that they have when read at once, however long those are."""
    long = b"x" * 700_000
    texts = [b"", b"one", b"one\ntwo\n", b"\n".join([long, b"", long, b"end"]), b"\r\n\n"]
    texts = [*texts, *texts]
    oids = [git.run("hash-object", "-w", "--stdin", stdin=text).text for text in texts]
    expected = [(n, line) for n, text in enumerate(texts) for line in text.removesuffix(b"\n").split(b"\n") if text]
    assert list(BlobReader(git).lines(oids)) == expected


def test_missing_objects_are_found_without_fetching_them(tmp_path: Path, server: Git) -> None:
    """In a partial clone git would fetch each missing object when asked whether it has it; we ask without."""
    fill(server, tmp_path / "work.git", {"a": b"1", "b": b"2"})
    git, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    blobs = [entry.oid for entry in ls_tree(git, MAIN)]
    assert missing_objects(git, [*blobs, NOWHERE, blobs[0]]) == [*blobs, NOWHERE]
    assert missing_objects(git, []) == []
    assert list(BlobReader(git, remote.fetch_objects).read(blobs)) == [(blobs[0], b"1"), (blobs[1], b"2")]
    assert missing_objects(git, blobs) == []


def test_a_batch_of_missing_blobs_is_one_request(tmp_path: Path, server: Git) -> None:
    """Three hundred missing blobs start the server's upload-pack once, and reading them starts it no more."""
    fill(server, tmp_path / "work.git", {f"{number}": b"v%d" % number for number in range(300)})
    git, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    calls = tmp_path / "calls"
    script = tmp_path / "upload-pack"
    script.write_text(f'#!/bin/sh\necho call >> "{calls}"\nexec git-upload-pack "$@"\n')
    script.chmod(0o755)
    git.run("config", "remote.origin.uploadpack", str(script))
    blobs = [entry.oid for entry in ls_tree(git, MAIN)]
    assert len(list(BlobReader(git, remote.fetch_objects).read(blobs))) == 300
    assert calls.read_text() == "call\n"

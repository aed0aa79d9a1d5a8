"""The import stream: what it writes, what it refuses, and what is left when it breaks off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_places import AT, ENVIRONMENT, MAIN, add_commit, commit_files, fill, local_of, recording_git
from nbvault.errors import GitError, VaultError
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.reader import commit_info, ls_tree, resolve
from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.runner import Git, decode, init_bare
from nbvault.gitstore.upkeep import clean_leftovers
from nbvault.gitstore.writer import FastImport, blob_id, check_paths
from nbvault.model import FileChange, Person

ODD_PATHS = [
    "new\nline",
    '"quoted"',
    "tab\tand space ",
    "back\\slash",
    "日本/emoji 🎉",
    decode(b"latin-\xe9"),
    "-dash",
    ":1",
]
A_BLOB = "1" * 40


def tree_of(git: Git, commit: str) -> dict[str, str]:
    """Path -> blob id."""
    return {entry.path: entry.oid for entry in ls_tree(git, commit)}


def write_much(stream: FastImport) -> None:
    """Ten megabytes that do not compress."""
    for _ in range(100):
        stream.blob(os.urandom(100_000))


def test_blob_ids_are_gits(git: Git) -> None:
    """The id computed here is the one that git gives."""
    data = "é\r\n\0".encode()
    assert blob_id(data) == git.run("hash-object", "--stdin", stdin=data).text


def test_a_long_blob_is_one_like_any_other(git: Git) -> None:
    """What comes in pieces is the blob of the whole, also where git keeps it as a stream, and may be named at once."""
    pieces = [os.urandom(3_000_000) for _ in range(6)]
    with FastImport(git) as stream:
        oids = [stream.long_blob(pieces), stream.long_blob([])]
        changes = [FileChange(path, oid) for path, oid in zip(("long", "empty"), oids, strict=True)]
        add_commit(stream, changes)
    whole = b"".join(pieces)
    assert oids == [blob_id(whole), blob_id(b"")]
    assert list(BlobReader(git).read(oids)) == [(oids[0], whole), (oids[1], b"")]


def test_files_come_back_as_they_were(git: Git) -> None:
    """Odd paths and any bytes are in the tree exactly as they were given."""
    files = {path: os.urandom(50) for path in ODD_PATHS}
    sha = commit_files(git, files)
    tree = tree_of(git, sha)
    assert {path: tree[path] for path in files} == {path: blob_id(data) for path, data in files.items()}
    assert dict(BlobReader(git).read(tree.values())) == {blob_id(data): data for data in files.values()}


components = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda raw: not {0, ord("/")} & set(raw) and raw not in (b".", b".."))
    .map(decode)
    .filter(lambda name: name.casefold() != ".git")
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.lists(components, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8))
def test_any_path_round_trips_or_is_refused(paths: set[str]) -> None:
    """Any set of byte strings as paths is either in the tree byte for byte, or refused for a prefix conflict."""
    changes = [FileChange(path, "0" * 40) for path in paths]
    clash = any(other.startswith(path + "/") for path in paths for other in paths)
    if clash:
        with pytest.raises(VaultError):
            check_paths(changes)
        return
    with tempfile.TemporaryDirectory() as folder:
        git = init_bare(Path(folder) / "r.git", ENVIRONMENT)
        assert set(tree_of(git, commit_files(git, dict.fromkeys(paths, b"x")))) == paths


@pytest.mark.parametrize(
    "changes",
    [
        [FileChange("a", A_BLOB), FileChange("a/b", A_BLOB)],
        [FileChange("a/b/c", A_BLOB), FileChange("a", A_BLOB)],
        [FileChange("a", A_BLOB), FileChange("a", A_BLOB)],
        [FileChange("a", A_BLOB), FileChange("a")],
        [FileChange("a"), FileChange("a/b")],
        [FileChange("", A_BLOB)],
        [FileChange("/a", A_BLOB)],
        [FileChange("a//b", A_BLOB)],
        [FileChange("a/../b", A_BLOB)],
        [FileChange(".GIT/config", A_BLOB)],
        [FileChange("a\0b", A_BLOB)],
    ],
)
def test_changes_that_would_destroy_silently_are_refused(changes: list[FileChange]) -> None:
    """A path twice, a file over a folder, and paths that Git cannot hold are errors."""
    with pytest.raises(VaultError):
        check_paths(changes)


def test_a_file_may_take_the_place_of_a_removed_folder(git: Git) -> None:
    """All removals come before all blobs, in whatever order they are given."""
    first = commit_files(git, {"a/b": b"1", "c": b"2"})
    with FastImport(git) as stream:
        blob = stream.blob(b"3")
        changes = [FileChange("a", blob), FileChange("c/d", blob), FileChange("a/b"), FileChange("c")]
        sha = stream.sha_of(add_commit(stream, changes, parents=[first]))
    assert tree_of(git, sha) == {"a": blob, "c/d": blob}


def test_existing_paths_count_as_in_the_way() -> None:
    """A file over a folder of the existing tree is refused unless the folder's files are removed with it."""
    with pytest.raises(VaultError):
        check_paths([FileChange("a", A_BLOB)], existing=["a/b"])
    check_paths([FileChange("a", A_BLOB), FileChange("a/b")], existing=["a/b"])


def test_a_refused_commit_leaves_nothing(git: Git) -> None:
    """An error inside the block moves no ref, also those of earlier commits of the stream."""

    def import_badly() -> None:
        with FastImport(git) as stream:
            blob = stream.blob(b"x")
            mark = add_commit(stream, [FileChange("a", blob)])
            add_commit(stream, [FileChange("a", blob), FileChange("a/b", blob)], parents=[mark])

    with pytest.raises(VaultError):
        import_badly()
    assert resolve(git, MAIN) is None


def test_marks_trees_and_merges(git: Git) -> None:
    """A commit may build on marks, have several parents, and start from another tree than its parent's."""
    with FastImport(git) as stream:
        one, two = stream.blob(b"1"), stream.blob(b"2")
        left = add_commit(stream, [FileChange("left", one)])
        right = add_commit(stream, [FileChange("right", two)], ref="refs/heads/backup/daily")
        stream.checkpoint()
        tree = commit_info(git, stream.sha_of(right)).tree
        merge = stream.sha_of(add_commit(stream, [FileChange("new", one)], parents=[left, right], tree=tree))
        parents = (stream.sha_of(left), stream.sha_of(right))
    assert tree_of(git, merge) == {"right": two, "new": one}
    assert commit_info(git, merge).parents == parents
    assert resolve(git, MAIN) == merge


def test_a_commit_without_parents_begins_anew(git: Git) -> None:
    """Even on a ref that this stream has already moved; the end then refuses to lose the first history."""

    def import_two_roots() -> None:
        with FastImport(git) as stream:
            blob = stream.blob(b"x")
            add_commit(stream, [FileChange("a", blob)])
            stream.checkpoint()
            root = stream.sha_of(add_commit(stream, [FileChange("b", blob)]))
            stream.checkpoint()
            assert commit_info(git, root).parents == ()
            assert tree_of(git, root) == {"b": blob}

    with pytest.raises(GitError, match="Not updating"):
        import_two_roots()
    assert set(tree_of(git, MAIN)) == {"a"}


def test_a_ref_is_never_moved_back(git: Git) -> None:
    """A commit that does not contain the ref's tip is an error, and the ref stays."""
    tip = commit_files(git, {"a": b"1"})
    with pytest.raises(GitError, match="Not updating"):
        commit_files(git, {"b": b"2"})
    assert resolve(git, MAIN) == tip


def test_people_and_times_are_written_as_given(git: Git) -> None:
    """Forbidden characters leave names, nothing left is unknown, the zone stays, and messages keep their text."""
    zone = timezone(timedelta(hours=-3, minutes=-30))
    with FastImport(git) as stream:
        mark = stream.commit(
            MAIN,
            parents=[],
            author=Person("Zoë <z>\nx", "\0<>"),
            committer=Person(" ", "a@b"),
            authored_at=datetime(2020, 1, 2, 3, 4, 5, tzinfo=zone),
            committed_at=AT,
            message="Übung\n\nText: \0 no trailer\n\nNbvault-Session: s1\nNbvault-Session: s2\n",
            changes=[],
        )
        sha = stream.sha_of(mark)
    info = commit_info(git, sha)
    assert info.author == Person("Zoë zx", "unknown")
    assert info.committer == Person("unknown", "a@b")
    assert info.author_at == datetime(2020, 1, 2, 6, 34, 5, tzinfo=timezone.utc)
    assert b"-0330" in git.run("cat-file", "commit", sha).stdout
    assert (info.subject, info.trailers) == ("Übung", {"Nbvault-Session": ["s1", "s2"]})
    assert info.body.startswith("Text:")
    assert info.tree == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_the_same_bytes_are_written_once(git: Git) -> None:
    """A blob given a hundred times is one object of the stream."""
    with FastImport(git, buffer_bytes=1) as stream:
        blobs = {stream.blob(b"same", f"{number}") for number in range(100)}
        add_commit(stream, [FileChange("a", blob) for blob in blobs])
    assert "in-pack: 3" in git.text("count-objects", "-v")


def test_blobs_are_sorted_by_name_inside_the_buffer(git: Git) -> None:
    """Near-duplicates with the same base name become neighbours in the pack, whatever their folders."""
    texts = {name: os.urandom(4000) for name in ("one", "two", "three")}
    with FastImport(git) as stream:
        files = [(f"{client}/{name}", texts[name] + bytes([client])) for client in range(20) for name in texts]
        add_commit(stream, [FileChange(path, stream.blob(data, path)) for path, data in files])
    packed = int(git.text("count-objects", "-v").split("size-pack: ")[1].split()[0])
    assert packed < 40


def test_what_is_written_is_let_go(git: Git) -> None:
    """What the stream holds back to be sorted is counted, and is nothing any more once a commit has sent it."""
    with FastImport(git) as stream:
        changes = [FileChange(f"{number}", stream.blob(b"%d" % number * 100)) for number in range(10)]
        held = stream.held_bytes
        add_commit(stream, changes)
        assert (held, stream.held_bytes) == (1000, 0)


def test_a_quick_stream_has_the_same_objects(git: Git, tmp_path: Path) -> None:
    """Quicker compression changes the size of the pack, and neither a blob nor a tree nor a commit."""
    texts = {f"{number}": (f"{number} ledger " * 50 * (number + 1)).encode() for number in range(50)}
    other = init_bare(tmp_path / "quick.git", ENVIRONMENT)
    tips = []
    for where, quick in ((git, False), (other, True)):
        with FastImport(where, quick=quick) as stream:
            tips.append(
                stream.sha_of(add_commit(stream, [FileChange(name, stream.blob(t)) for name, t in texts.items()]))
            )
    assert tips[0] == tips[1]
    assert tree_of(other, MAIN) == {name: blob_id(text) for name, text in texts.items()}


def test_a_checkpoint_makes_blobs_and_commits_readable(git: Git) -> None:
    """After a checkpoint others can read what was streamed, and refs have moved; later a blob may be given again."""
    with FastImport(git) as stream:
        lonely, used = stream.blob(b"lonely"), stream.blob(b"used")
        mark = add_commit(stream, [FileChange("a", used)])
        assert resolve(git, MAIN) is None
        stream.checkpoint()
        assert resolve(git, MAIN) == stream.sha_of(mark)
        assert missing_objects(git, [lonely, used]) == []
        add_commit(stream, [FileChange("b", stream.blob(b"lonely"))], parents=[mark])
    assert tree_of(git, MAIN) == {"a": used, "b": lonely}


def test_a_kill_in_mid_stream_moves_nothing_and_cleans_up(git: Git) -> None:
    """After kill -9 every ref is where it was at the last checkpoint, and cleaning leaves a sound repository."""
    kept = []

    def import_and_die() -> None:
        with FastImport(git, buffer_bytes=1) as stream:
            mark = add_commit(stream, [FileChange("a", stream.blob(b"1"))])
            stream.checkpoint()
            kept.append(stream.sha_of(mark))
            later = add_commit(stream, [FileChange("b", stream.blob(os.urandom(100_000)))], parents=[mark])
            stream.sha_of(later)
            os.kill(stream.pid, signal.SIGKILL)
            write_much(stream)

    with pytest.raises(GitError, match="killed by signal 9"):
        import_and_die()
    assert [resolve(git, MAIN)] == kept
    assert any("tmp_pack" in path for path in clean_leftovers(git).paths)
    assert not [path for path in git.repo.rglob("*") if "tmp_" in path.name or path.suffix == ".keep"]
    git.run("fsck", "--strict")


def test_a_stream_that_breaks_off_moves_nothing(git: Git) -> None:
    """Without `done`, as when this program is killed, fast-import fails and the refs stay."""
    text = b"commit refs/heads/main\ncommitter a <b> 1 +0000\ndata 1\nx\n"
    done = git.run("fast-import", "--quiet", "--done", "--date-format=raw", stdin=text, ok=(128,))
    assert "stream ends early" in done.stderr
    assert resolve(git, MAIN) is None
    assert any("fast_import_crash" in path for path in clean_leftovers(git).paths)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """When the disk takes no more, the error says what git said, not that a pipe is broken."""
    folder = tmp_path / "bin"
    folder.mkdir()
    # A limit on the size of files stands for a full disk: the same write fails, with another errno.
    limit = 'case "$*" in *fast-import*) trap "" XFSZ; ulimit -f 200;; esac'
    (folder / "git").write_text(f'#!/bin/sh\n{limit}\nexec "{shutil.which("git")}" "$@"\n')
    (folder / "git").chmod(0o755)
    git = init_bare(tmp_path / "r.git", {**ENVIRONMENT, "PATH": f"{folder}{os.pathsep}{ENVIRONMENT['PATH']}"})
    with pytest.raises(GitError, match="File too large"), FastImport(git, buffer_bytes=1) as stream:
        write_much(stream)
    assert resolve(git, MAIN) is None


def test_a_partial_clone_is_written_to_without_fetching(tmp_path: Path, server: Git) -> None:
    """On a blobless clone of depth 1, modifying, adding, removing and pushing fetch nothing at all."""
    tip = fill(server, tmp_path / "work.git", {f"{n % 7}/{n}.py": b"v1 %d" % n for n in range(200)})
    environment, record = recording_git(tmp_path / "bin")
    plain, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    git = Git(plain.repo, environment)
    with FastImport(git) as stream:
        changes = [FileChange(f"{n % 7}/{n}.py", stream.blob(b"v2 %d" % n)) for n in range(20)]
        changes += [FileChange(f"{n % 7}/{n}.py") for n in range(20, 30)]
        sha = stream.sha_of(add_commit(stream, [*changes, FileChange("n", stream.blob(b"n"))], parents=[tip]))
    assert Remote(git, remote.url).push([PushRef(sha, MAIN)])[MAIN].accepted
    commands = [line for line in record.read_text().splitlines() if line.startswith("ARGV")]
    assert commands
    assert not [line for line in commands if " fetch " in line]
    assert len(tree_of(server, sha)) == 191
    server.run("fsck", "--connectivity-only")


def test_blobs_that_only_the_remote_has_come_in_one_batch(tmp_path: Path, server: Git) -> None:
    """A rename in a partial clone names blobs that are not here: they are asked for once, or refused."""
    tip = fill(server, tmp_path / "work.git", {f"{n}": b"v %d" % n for n in range(30)})
    git, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    moved = [FileChange(f"moved/{path}", oid) for path, oid in tree_of(git, tip).items()]
    with pytest.raises(VaultError, match="30 blobs"), FastImport(git) as stream:
        add_commit(stream, moved, parents=[tip])
    asked: list[int] = []

    def fetch(oids: list[str]) -> None:
        asked.append(len(oids))
        remote.fetch_objects(oids)

    with FastImport(git, fetch_missing=fetch) as stream:
        add_commit(stream, moved, parents=[tip])
    assert asked == [30]
    assert len(tree_of(git, MAIN)) == 60


def test_a_dead_stream_says_so(git: Git) -> None:
    """Using a stream outside its block is an error of the program that says what is wrong."""
    with pytest.raises(GitError, match="not open"):
        FastImport(git).checkpoint()


def test_no_process_is_left(git: Git) -> None:
    """When the block is left by an exception, fast-import is gone."""
    pids = []

    def fail() -> None:
        with FastImport(git) as stream:
            pids.append(str(stream.pid))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    found = subprocess.run(["ps", "-o", "stat=", "-p", *pids], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == ""

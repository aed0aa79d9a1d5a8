"""Putting packs together: everything stays, the work is bounded, and a kill between any two steps does no harm."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from git_places import ENVIRONMENT, MAIN, commit_files, fill, local_of, many_packs
from nbvault.errors import GitError
from nbvault.gitstore import repack
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.reader import log, ls_tree, resolve
from nbvault.gitstore.remote import PushRef
from nbvault.gitstore.repack import merge_packs, smallest
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import clean_leftovers, is_partial, sizes


def objects_of(git: Git) -> set[str]:
    """Every object that git can see here."""
    return set(git.offline().text("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())


def test_repacking_keeps_everything_in_fewer_packs(git: Git) -> None:
    """Small packs become one; history and contents stay; there is nothing to do with one pack."""
    tip = many_packs(git, 12)
    assert merge_packs(git)
    assert sizes(git).packs == 1
    assert len(list(log(git, tip))) == 12
    git.run("fsck", "--strict")
    assert not merge_packs(git)


def test_repacking_a_partial_clone_keeps_it_usable(tmp_path: Path, server: Git) -> None:
    """What the remote holds may still be missing afterwards, and can still be fetched."""
    fill(server, tmp_path / "work.git", {"a": b"1", "b": b"2"})
    git, remote = local_of(server, tmp_path / "partial.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    commit_files(git, {"c": b"3"}, parents=[str(resolve(git, MAIN))])
    commit_files(git, {"d": b"4"}, parents=[str(resolve(git, MAIN))])
    assert merge_packs(git)
    remote.fetch([f"+{MAIN}:refs/remotes/origin/main"])
    blobs = [entry.oid for entry in ls_tree(git, MAIN)]
    assert [data for _, data in BlobReader(git, remote.fetch_objects).read(blobs)] == [b"1", b"2", b"3", b"4"]
    git.run("fsck", "--connectivity-only")


def test_repacking_keeps_what_the_commits_of_others_stand_on(tmp_path: Path, server: Git) -> None:
    """Our own history stays here, also where a commit that was fetched without its blobs has it as its parents."""
    git, remote = local_of(server, tmp_path / "ours.git")
    tip = many_packs(git, 5)
    assert remote.push([PushRef(tip, MAIN)])[MAIN].accepted
    theirs = commit_files(server, {"people.md": b"by hand"}, parents=[tip])
    remote.fetch([f"+{MAIN}:refs/remotes/origin/main"])
    before = git.offline().text("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert merge_packs(git)
    after = git.offline().text("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    assert set(before) == set(after) > {tip, theirs}
    assert sizes(git).packs == 2


def test_packs_of_the_remote_are_merged_apart_and_stay_the_remotes(tmp_path: Path, server: Git) -> None:
    """Many small fetches become one pack that still says that more is at the remote; our own become another."""
    git, remote = local_of(server, tmp_path / "ours.git")
    tip = many_packs(git, 3)
    assert remote.push([PushRef(tip, MAIN)])[MAIN].accepted
    for number in range(3):
        tip = commit_files(server, {f"people{number}.md": b"%d" % number}, parents=[tip])
        remote.fetch([f"+{MAIN}:refs/remotes/origin/main"])
    before = objects_of(git)
    assert merge_packs(git)
    assert (objects_of(git), sizes(git).packs) == (before, 2)
    assert len(list((git.repo / "objects" / "pack").glob("*.promisor"))) == 1
    git.run("fsck", "--connectivity-only")
    assert is_partial(git)


def test_loose_objects_are_packed_when_they_are_many(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease writes its commits one by one; they end in a pack."""
    monkeypatch.setattr(repack, "LOOSE_ABOVE", 3)
    for number in range(4):
        git.run("hash-object", "-w", "--stdin", stdin=b"%d" % number)
    before = objects_of(git)
    assert merge_packs(git)
    size = sizes(git)
    assert (objects_of(git), size.loose_objects, size.packs) == (before, 0, 1)


def test_a_pack_that_a_person_keeps_is_left_alone(git: Git) -> None:
    """A ``.keep`` is somebody's word."""
    many_packs(git, 4)
    kept = min((git.repo / "objects" / "pack").glob("*.pack"))
    kept.with_suffix(".keep").write_text("a person wants this")
    assert merge_packs(git)
    assert kept.exists()
    assert sizes(git).packs == 2


def test_the_work_is_bounded() -> None:
    """The smallest packs first, none of half the budget or more, and never more than the budget together."""
    sizes_of = {Path(f"{number}"): size for number, size in enumerate([10, 60, 30, 40, 20, 49, 500])}
    assert [sizes_of[pack] for pack in smallest(sizes_of, 100)] == [10, 20, 30, 40]
    assert smallest({}, 100) == []
    assert smallest({Path("a"): 50, Path("b"): 50}, 100) == []


def test_there_is_nothing_to_do_below_the_threshold(git: Git) -> None:
    """A few packs are left as they are."""
    many_packs(git, 3)
    assert not merge_packs(git, above=3)
    assert sizes(git).packs == 3


def test_who_is_too_slow_tries_less_the_next_time(git: Git) -> None:
    """A git that is killed for taking too long leaves every pack, and half the budget for the next time."""
    many_packs(git, 3)
    before = objects_of(git)
    with pytest.raises(GitError, match="did not end within"):
        merge_packs(git, budget_s=0.0)
    assert (objects_of(git), sizes(git).packs) == (before, 3)
    assert git.text("config", "--get", "nbvault.repackbytes") == str(repack.BUDGET_BYTES // 2)
    assert merge_packs(git, budget_s=600.0)
    assert (objects_of(git), sizes(git).packs) == (before, 1)


class Killed(BaseException):
    """The process dies here; nothing that it would still have done happens."""


class Death:
    """Dies at the n-th file that is moved or removed; until then everything is as ever."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.left = at
        self.came = False
        for owner, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, real: object) -> object:
        def step(*arguments: object, **options: object) -> object:
            self.left -= 1
            if self.left < 0:
                self.came = True
                raise Killed
            return real(*arguments, **options)  # type: ignore[operator]

        return step


def deaths(template: Path, folder: Path) -> Iterator[tuple[int, Git]]:
    """A copy of a repository for each moment at which merging its packs can die, just after it did."""
    for moment in range(1000):
        shutil.copytree(template, folder / str(moment), symlinks=True)
        git = Git(folder / str(moment), ENVIRONMENT)
        with pytest.MonkeyPatch.context() as patch:
            death = Death(patch, moment)
            with suppress(Killed):
                merge_packs(git)
        yield moment, git
        if not death.came:
            return


def test_a_kill_between_any_two_steps_does_no_harm(tmp_path: Path, server: Git) -> None:
    """Nothing is lost, nothing is broken, and the next time ends it: one pack of ours, one of the remote."""
    template, remote = local_of(server, tmp_path / "template.git")
    tip = many_packs(template, 3)
    assert remote.push([PushRef(tip, MAIN)])[MAIN].accepted
    for number in range(2):
        tip = commit_files(server, {f"people{number}.md": b"%d" % number}, parents=[tip])
        remote.fetch([f"+{MAIN}:refs/remotes/origin/main"])
    before, moments = objects_of(template), 0
    for moments, git in deaths(template.repo, tmp_path / "deaths"):
        assert objects_of(git) == before, moments
        git.run("fsck", "--connectivity-only", "--no-dangling")
        clean_leftovers(git)
        merge_packs(git)
        left = sorted(path.suffix for path in (git.repo / "objects" / "pack").iterdir())
        assert (objects_of(git), sizes(git).packs) == (before, 2), moments
        assert left == [".idx", ".idx", ".pack", ".pack", ".promisor"], moments
    assert moments > 20

"""Putting small packs together: bounded work, nothing dropped, and a sound repository wherever it is cut off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from nbvault.errors import GitError
from nbvault.gitstore.runner import Git, configure

BUDGET_BYTES = 256 * 1024 * 1024
"""So much is written anew at a time at most; a pack of half of that is large enough to be left alone for ever."""
LOOSE_ABOVE = 500
LEAST_BYTES = 8 * 1024 * 1024

_MEMORY = "nbvault.repackbytes"
# Sorts what is left to remove of a pack whose index is out of use already.
_RETIRED = ".idx.retired"


def merge_packs(git: Git, *, above: int = 1, budget_bytes: int = BUDGET_BYTES, budget_s: float | None = None) -> bool:
    """Put small packs into one, those of the remote and our own apart; returns whether there was anything to do.

    Not ``git repack``: in a partial clone its geometric way refuses, and ``-a -d`` drops what is ours and what the
    remote's commits stand on (before git 2.48). Here every object of a merged pack is in the new one, no other pack is
    touched, and old packs go only when the new one can be read. A pack marked with ``.keep`` is left alone.

    Args:
        above: Only where there are more small packs than that.
        budget_bytes: How much may be rewritten.
        budget_s: After so many seconds git is killed; the next time half as much is tried.

    Raises:
        GitError: git failed or took too long; all packs are still there.
    """
    packs = git.repo / "objects" / "pack"
    _retire_the_rest(packs)
    budget_bytes = min(budget_bytes, _remembered(git) or budget_bytes)
    try:
        done = [_merge(git, chosen, budget_s) for chosen in _worth_merging(packs, above, budget_bytes)]
        return any([*done, _pack_loose(git, budget_s)])
    except GitError:
        if budget_s is not None:
            configure(git, {_MEMORY: str(max(budget_bytes // 2, LEAST_BYTES))})
        raise


def _worth_merging(packs: Path, above: int, budget_bytes: int) -> Iterator[list[Path]]:
    """The packs to put together: the smallest ones first, of ours and of the remote's each as many as may be."""
    found = [pack for pack in packs.glob("pack-*.pack") if pack.with_suffix(".idx").exists()]
    free = [pack for pack in found if not pack.with_suffix(".keep").exists()]
    for promised in (False, True):
        group = [pack for pack in free if pack.with_suffix(".promisor").exists() is promised]
        if len(chosen := smallest({pack: pack.stat().st_size for pack in group}, budget_bytes)) > max(above, 1):
            yield chosen


def smallest(sizes: dict[Path, int], budget_bytes: int) -> list[Path]:
    """The packs of less than half the budget, the smallest first, as many as the budget takes."""
    chosen, total = [], 0
    for pack, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        total += size
        if size >= budget_bytes // 2 or total > budget_bytes:
            break
        chosen.append(pack)
    return chosen


def _merge(git: Git, old: Sequence[Path], budget_s: float | None) -> bool:
    names = "".join(f"{pack.name}\n" for pack in old).encode()
    promised = old[0].with_suffix(".promisor").exists()
    made = _packed(git, ["--stdin-packs"], names, budget_s, promised=promised)
    _retire([pack for pack in old if pack.stem != made])
    return True


def _pack_loose(git: Git, budget_s: float | None) -> bool:
    """Loose objects are always ours (a fetch keeps its pack): the commits of the lease, mostly."""
    loose = [path for path in (git.repo / "objects").glob("[0-9a-f][0-9a-f]/*") if len(path.name) == 38]
    if len(loose) <= LOOSE_ABOVE:
        return False
    names = "".join(f"{path.parent.name}{path.name}\n" for path in sorted(loose)).encode()
    _packed(git, [], names, budget_s)
    git.offline().run("prune-packed", "-q")
    return True


def _packed(git: Git, options: Sequence[str], stdin: bytes, budget_s: float | None, *, promised: bool = False) -> str:
    """A new pack, whole before git can see it; returns its name without suffix.

    It is made in a folder that `clean_leftovers` knows. The index comes last, for it is what makes a pack visible, and
    a pack of a remote must never be seen without the mark that says so.
    """
    packs = git.repo / "objects" / "pack"
    workshop = packs / "tmp_merged"
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir()
    try:
        command = ("pack-objects", "-q", *options, str(workshop / "pack"))
        name = f"pack-{git.offline().run(*command, stdin=stdin, timeout_s=budget_s).text}"
        if promised:
            (workshop / f"{name}.promisor").touch()
        for suffix in (".promisor", ".rev", ".pack", ".idx"):
            if (file := workshop / f"{name}{suffix}").exists():
                file.replace(packs / file.name)
        return name
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _retire(old: Sequence[Path]) -> None:
    """Remove packs whose objects are in another one; who is cut off here goes on in `_retire_the_rest`."""
    for pack in old:
        # Without its index git does not see a pack; with an index alone it would complain.
        pack.with_suffix(".idx").replace(pack.with_suffix(_RETIRED))
    if old:
        _retire_the_rest(old[0].parent)


def _retire_the_rest(packs: Path) -> None:
    for mark in packs.glob(f"pack-*{_RETIRED}"):
        name = mark.name.removesuffix(_RETIRED)
        for suffix in (".rev", ".bitmap", ".promisor", ".pack"):
            (packs / f"{name}{suffix}").unlink(missing_ok=True)
        mark.unlink()


def _remembered(git: Git) -> int:
    found = git.run("config", "--local", "--get", _MEMORY, ok=(0, 1)).text
    return int(found) if found.isdigit() else 0

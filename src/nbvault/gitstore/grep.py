"""Which files of a commit hold a text: git reads a whole tree several times faster than we could."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import NamedTuple

from nbvault.gitstore.reader import zero_ended
from nbvault.gitstore.runner import Git, LongProcess, decode, failure

# Who reads a tree in its order needs the same delta bases again and again: half the time for 100 MB.
_WIDE = ("-c", "core.deltaBaseCacheLimit=96m", "-c", "core.packedGitLimit=128m")
_PROCESSES = 4
# More than processes, for folders differ in size; not one for each, for there may be thousands.
_SHARES = 16


@contextmanager
def files_with(git: Git, commit: str, text: bytes, *, ignore_case: bool = False) -> Iterator[Iterator[str]]:
    """The paths of a commit's files that hold these bytes, all on one line, as git finds them, in no order.

    Git looks from the start of the block on, also while nothing is taken; by several processes, each with some of the
    root's folders, for the threads of one process unpack objects one after another. All is found only when the iterator
    has ended without an error.

    Args:
        text: Without newline and NUL.
        ignore_case: ASCII letters are the same in both cases.

    Raises:
        GitError: the commit is not here; or, from the iterator, a file of it.
    """
    options = ["--fixed-strings", "--files-with-matches", "--text", "-z", "--threads=1", "-f", "-"]
    options += ["--ignore-case"] if ignore_case else []
    found: SimpleQueue[str | None] = SimpleQueue()
    running: list[LongProcess] = []

    def look(part: _Part) -> None:
        try:
            with git.offline().spawn(*_WIDE, "grep", *options, *part.more, *part.above) as process:
                running.append(process)
                for tree, name in _holding(process, text):
                    for above in part.above[tree]:
                        found.put(above + name)
        finally:
            found.put(None)

    parts = _parts(git, commit)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _PROCESSES), thread_name_prefix="nbvault-grep") as pool:
        try:
            yield _until_all_ended(found, [pool.submit(look, part) for part in parts])
        finally:
            # Whoever leaves early waits for nothing.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.kill()


class _Part(NamedTuple):
    """What one process looks into: trees, each with the paths in front of what is in it."""

    above: dict[str, list[str]]
    more: tuple[str, ...] = ()


def _parts(git: Git, commit: str) -> list[_Part]:
    """What lies in the root itself, and the folders in it, in order and shared out among a few processes."""
    listed = git.offline().run("ls-tree", "-z", "-d", "--full-tree", commit).stdout.split(b"\0")
    heads = ((head.split(), name) for head, _, name in (each.partition(b"\t") for each in listed) if head)
    # A submodule is listed, too, and its files are not ours.
    folders = [(head[2].decode(), f"{decode(name)}/") for head, name in heads if head[1] == b"tree"]
    size = -(-len(folders) // _SHARES) or 1
    parts = [_Part({commit: [""]}, ("--max-depth=0",))]
    for start in range(0, len(folders), size):
        above: dict[str, list[str]] = {}
        for tree, name in folders[start : start + size]:
            above.setdefault(tree, []).append(name)
        parts.append(_Part(above))
    return parts


def _holding(process: LongProcess, text: bytes) -> Iterator[tuple[str, str]]:
    """The tree and the path in it of each file that git names."""
    # If it has died already, its end tells.
    with suppress(BrokenPipeError):
        process.stdin.write(text + b"\n")
        process.stdin.close()
    for name in zero_ended(process):
        tree, _, path = decode(name).partition(":")
        yield tree, path
    if complaints := process.finish(ok=(0, 1)):
        # It says so of a file that it cannot read, and goes on as if the text were not in it.
        raise failure(("grep",), 0, complaints)


def _until_all_ended(found: SimpleQueue[str | None], looking: Sequence[Future[None]]) -> Iterator[str]:
    running = len(looking)
    while running:
        each = found.get()
        if each is None:
            running -= 1
        else:
            yield each
    for part in looking:
        part.result()

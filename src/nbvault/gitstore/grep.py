"""Which files of a commit hold a text: git reads a whole tree several times faster than we could."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from nbvault.gitstore.reader import zero_ended
from nbvault.gitstore.runner import Git, LongProcess, decode, failure

# Who reads a tree in its order needs the same delta bases again and again: half the time for 100 MB.
_WIDE = ("-c", "core.deltaBaseCacheLimit=96m", "-c", "core.packedGitLimit=128m")
_PROCESSES = 4


@contextmanager
def files_with(git: Git, commit: str, text: bytes, *, ignore_case: bool = False) -> Iterator[Iterator[str]]:
    """The paths of a commit's files that hold these bytes, all on one line, as git finds them, in no order.

    Git looks from the start of the block on, also while nothing is taken; by a process for each folder in the root, for
    the threads of one process unpack objects one after another. All is found only when the iterator has ended without
    an error.

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

    def look(above: str, tree: str) -> None:
        # What lies in the root itself is a part of its own.
        depth = [] if above else ["--max-depth=0"]
        try:
            with git.offline().spawn(*_WIDE, "grep", *options, *depth, tree) as process:
                running.append(process)
                for name in _holding(process, text):
                    found.put(above + name)
        finally:
            found.put(None)

    parts = _parts(git, commit)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _PROCESSES), thread_name_prefix="nbvault-grep") as pool:
        try:
            yield _until_all_ended(found, [pool.submit(look, *part) for part in parts])
        finally:
            # Whoever leaves early waits for nothing.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.kill()


def _parts(git: Git, commit: str) -> list[tuple[str, str]]:
    """The root, and each folder in it: the path in front of what it holds, and its tree."""
    listed = git.offline().run("ls-tree", "-z", "-d", "--full-tree", commit).stdout.split(b"\0")
    heads = ((head.split(), name) for head, _, name in (each.partition(b"\t") for each in listed) if head)
    # A submodule is listed, too, and its files are not ours.
    folders = [(f"{decode(name)}/", head[2].decode()) for head, name in heads if head[1] == b"tree"]
    return [("", commit), *folders]


def _holding(process: LongProcess, text: bytes) -> Iterator[str]:
    # If it has died already, its end tells.
    with suppress(BrokenPipeError):
        process.stdin.write(text + b"\n")
        process.stdin.close()
    for name in zero_ended(process):
        yield decode(name).partition(":")[2]
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

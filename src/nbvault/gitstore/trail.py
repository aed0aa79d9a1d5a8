"""The audit trail as the vault has it: the lines of its months, and how they came to be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from nbvault.errors import VaultError
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.epochs import EPOCHS, Force, load_lineage
from nbvault.gitstore.runner import Git

_PREFIX = "records/audit-"


def audit_lines(files: Mapping[str, str], blobs: BlobReader) -> list[bytes]:
    """Every line of the trail, oldest first, each with its newline.

    Args:
        files: The blobs of the meta branch by path.

    Raises:
        NbvaultError: a file cannot be read.
    """
    paths = sorted(path for path in files if path.startswith(_PREFIX))
    content = dict(blobs.read([files[path] for path in paths]))
    return [line for path in paths for line in content[files[path]].splitlines(keepends=True)]


def meta_history(git: Git, tip: str) -> frozenset[str]:
    """Every commit of the meta branch down from a tip, as far as history is here."""
    return frozenset(git.text("rev-list", "--first-parent", tip).split())


def rewritten(git: Git, tip: str, blobs: BlobReader) -> Iterator[tuple[str, str]]:
    """Each commit that did not only add lines to the end of a month of the trail, newest first, with the path.

    A vault that follows another is judged from where it came into force: what a rotation had made ready before, and
    made again when it was cut off, counted for nobody. Needs the commits and trees of the whole branch here; what blobs
    are missing is fetched in one batch.
    """
    steps = _steps(git, tip)
    oids = {oid for step in steps for each in step.files.values() for oid in each if oid.strip("0")}
    content = dict(blobs.read(oids))
    for step in steps[: len(steps) - _not_in_force(steps, content)]:
        for path, (old, new) in step.files.items():
            if path != EPOCHS and old.strip("0") and not content.get(new, b"").startswith(content[old]):
                yield step.commit, path


class _Step(NamedTuple):
    """A commit of the meta branch: the blobs of the trail's months and of the epochs before and after, by path."""

    commit: str
    files: dict[str, tuple[str, str]]


def _steps(git: Git, tip: str) -> list[_Step]:
    """Every commit of the meta branch, newest first."""
    looks = ("--first-parent", "-m", "--root", "--raw", "--no-renames", "--no-abbrev", "--format=commit %H")
    steps: list[_Step] = []
    for line in git.text("log", *looks, tip).splitlines():
        if line.startswith("commit "):
            steps.append(_Step(line.removeprefix("commit "), {}))
        elif line.startswith(":"):
            fields, _, path = line.partition("\t")
            if path == EPOCHS or path.startswith(_PREFIX):
                old, new = fields.split(" ")[2:4]
                steps[-1].files[path] = (old, new)
    return steps


def _not_in_force(steps: Sequence[_Step], content: Mapping[str, bytes]) -> int:
    """How many commits, from the oldest on, were there before the vault came into force.

    Only an unbroken row from the first commit on: what is put on top later, whatever it says of the epoch, is judged.
    """
    state = Force.BEGUN
    for number, step in enumerate(reversed(steps)):
        if EPOCHS in step.files:
            state = _told(content.get(step.files[EPOCHS][1], b""))
        if state is Force.BEGUN:
            return number
    return len(steps)


def _told(data: bytes) -> Force:
    """What is no lineage covers nothing."""
    try:
        return load_lineage(data).state
    except VaultError:
        return Force.BEGUN

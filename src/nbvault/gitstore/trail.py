"""The audit trail as the vault has it: the lines of its months, and how they came to be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nbvault.gitstore.blobs import BlobReader
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

    Needs the commits and trees of the whole branch here; what blobs are missing is fetched in one batch.
    """
    shown = git.text("log", "--first-parent", "-m", "--raw", "--no-renames", "--no-abbrev", "--format=commit %H", tip)
    changes: list[tuple[str, str, str, str]] = []
    commit = ""
    for line in shown.splitlines():
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        elif line.startswith(":") and line.partition("\t")[2].startswith(_PREFIX):
            fields, _, path = line.partition("\t")
            old, new = fields.split(" ")[2:4]
            if old.strip("0"):
                changes.append((commit, path, old, new))
    oids = {oid for _, _, old, new in changes for oid in (old, new) if oid.strip("0")}
    content = dict(blobs.read(oids))
    for commit, path, old, new in changes:
        if not content.get(new, b"").startswith(content[old]):
            yield commit, path

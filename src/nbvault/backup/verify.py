"""Reading back what was written, and comparing it with what the ledger says was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbvault.errors import VerificationError
from nbvault.model import Counts, Row


def check_ledger(counts: Counts) -> None:
    """Every listed object is in exactly one state.

    Raises:
        VerificationError: the counts do not add up, which is a fault of nbvault.
    """
    if not counts.add_up():
        raise VerificationError(
            f"The ledger does not add up: {counts.listed} listed, but {counts.saved} saved + {counts.unchanged}"
            f" unchanged + {counts.skipped} skipped + {counts.failed} failed.",
            hint="This is a fault of nbvault: please report it. Nothing was pushed to main.",
        )


def check_tree(found: Iterable[tuple[str, str]], expected: Mapping[str, str], gone: Iterable[str]) -> int:
    """A tree, read back, holds every row's blob at its path and nothing that was removed.

    Args:
        found: Path and blob id of every file in the tree.
        expected: Blob id by path, for every row.
        gone: Paths that were removed.

    Returns:
        How many files were compared.

    Raises:
        VerificationError: it does not, which is a fault of nbvault; names a few of the paths.
    """
    left = dict(expected)
    removed = set(gone) - expected.keys()
    wrong = []
    for path, blob in found:
        if path in removed or left.pop(path, blob) != blob:
            wrong.append(path)
    wrong += left
    if wrong:
        raise VerificationError(
            f"The tree that was written differs from the ledger at {len(wrong):,} paths, among them {wrong[:3]}.",
            hint="This is a fault of nbvault: please report it. Nothing was pushed to main.",
        )
    return len(expected)


def check_rows(rows: Mapping[int, Row], blobs: Mapping[str, str]) -> None:
    """Every row has a blob, and no two rows share a path.

    Raises:
        VerificationError: they do not, which is a fault of nbvault.
    """
    paths = {row.repo_path for row in rows.values()}
    empty = len(paths - blobs.keys())
    if len(paths) != len(rows) or empty:
        raise VerificationError(
            f"{len(rows):,} rows describe {len(paths):,} paths, of which {empty:,} have no content.",
            hint="This is a fault of nbvault: please report it. Nothing was pushed to main.",
        )

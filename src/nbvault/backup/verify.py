"""Reading back what was written, and comparing it with what the ledger says was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nbvault.errors import VerificationError
from nbvault.inventory import Blobs, Rows
from nbvault.model import Counts


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
    removed = {path for path in gone if path not in expected}
    wrong, compared = [], 0
    for path, blob in found:
        wanted = expected.get(path)
        compared += wanted is not None
        if path in removed or wanted not in (None, blob):
            wrong.append(path)
    # A tree names no path twice, so those that were not compared are not there.
    lacking = len(expected) - compared
    if wrong or lacking:
        raise VerificationError(
            f"The tree that was written differs from the ledger at {len(wrong):,} paths{_some(wrong)}, and lacks"
            f" {lacking:,} that must be there.",
            hint="This is a fault of nbvault: please report it. Nothing was pushed to main.",
        )
    return compared


def _some(paths: Sequence[str]) -> str:
    return f", among them {paths[:3]}" if paths else ""


def check_rows(rows: Rows, blobs: Blobs) -> None:
    """Every row has a blob, and no two rows share a path.

    Raises:
        VerificationError: they do not, which is a fault of nbvault.
    """
    described, empty = blobs.coverage(rows.repo_paths())
    if described != len(rows) or empty:
        raise VerificationError(
            f"{len(rows):,} rows describe {described:,} paths; {empty:,} of them have no content.",
            hint="This is a fault of nbvault: please report it. Nothing was pushed to main.",
        )

"""How much a session adds to the repository, counted as git counts it for a push, from the commits alone.

Each count begins where the one before it ended: just below the last commit on the meta branch that records an end. So
the counts of all sessions add up, whichever machine made them, and what a killed session had pushed is in the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

from nbvault.errors import NbvaultError
from nbvault.gitstore.reader import LogEntry, log
from nbvault.gitstore.runner import Git
from nbvault.gitstore.vault import Vault
from nbvault.model import Growth

FETCHED_AT_MOST = 200

_SESSION, _KIND, _CONTENT = "Nbvault-Session", "Nbvault-Meta", "Nbvault-Content"


def growth_since(vault: Vault, before: Growth | None) -> Growth | None:
    """What has come since the count that gave ``before`` (None: none is known); None where git cannot tell."""
    try:
        end = _last_end(vault)
        known = _known(vault, end)
        tips = [tip for tip in (vault.meta.tip, vault.meta.content, vault.main) if tip]
        objects, pack_bytes, whole = _count(vault, tips, known) if tips else (0, 0, True)
    except NbvaultError:
        return None
    # Where history is cut off before the last end, or nobody has counted what was before, the sum is a lower bound.
    begun = before is not None if end else True
    exact = whole and begun and bool((end and end.commit.parents) or not vault.is_shallow)
    total = before or Growth()
    return Growth(
        objects=objects,
        pack_bytes=pack_bytes,
        total_objects=total.total_objects + objects,
        total_pack_bytes=total.total_pack_bytes + pack_bytes,
        exact=exact and (before is None or before.exact),
    )


def _last_end(vault: Vault) -> LogEntry | None:
    """The newest meta commit that records the end of a session, which is not the one that runs."""
    if not vault.meta.tip:
        return None
    entries = log(vault.git, vault.meta.tip, first_parent=True)
    return next((entry for entry in entries if entry.commit.trailers.get(_KIND, [""])[-1] == "end"), None)


def _known(vault: Vault, end: LogEntry | None) -> list[str]:
    """The commits up to which an earlier session has counted."""
    if end is None:
        return (vault.git.repo / "shallow").read_text().split() if vault.is_shallow else []
    contents = end.commit.trailers.get(_CONTENT, [])[-1:]
    session = end.commit.trailers.get(_SESSION, [""])[-1]
    # The parents are the meta commit before it and the content; where history is cut off just there, it has none.
    below = [*end.commit.parents[:1], *([end.sha] if vault.is_shallow and not end.commit.parents else [])]
    return [*below, *contents, *_main_at(vault, session)]


def _main_at(vault: Vault, session: str) -> list[str]:
    """The conclusion that was the last one when this session had ended."""
    entries = log(vault.git, vault.main, first_parent=True) if vault.main else iter(())
    named = ((entry.sha, entry.commit.trailers.get(_SESSION, [""])[-1]) for entry in entries)
    return [sha for sha, by in named if by and by <= session][:1]


def _count(vault: Vault, tips: Sequence[str], known: Sequence[str]) -> tuple[int, int, bool]:
    """Objects, their bytes in the packs here, and whether all of them are here."""
    view, asked = vault.git.offline(), "\n".join([*tips, *(f"^{sha}" for sha in known), ""]).encode()
    size, missing = _size(view, asked), list[str]()
    if size is None:
        missing = _missing(view, asked)
        if len(missing) <= FETCHED_AT_MOST:
            # The last record of another machine: lines of its audit trail that nobody has read here.
            vault.remote.fetch_objects(missing)
            size, missing = _size(view, asked), []
    here = int(view.run("rev-list", "--objects", "--missing=allow-any", "--count", "--stdin", stdin=asked).text)
    if size is not None:
        return here, size, True
    # Another machine had begun this session's work: its blobs are at the remote only.
    return here + len(missing), _size(view, asked, "--filter=blob:none") or 0, False


def _size(view: Git, asked: bytes, *options: str) -> int | None:
    done = view.run("rev-list", "--objects", *options, "--disk-usage", "--stdin", stdin=asked, ok=(0, 128))
    return int(done.text) if done.returncode == 0 else None


def _missing(view: Git, asked: bytes) -> list[str]:
    done = view.run("rev-list", "--objects", "--missing=print", "--stdin", stdin=asked)
    return [line[1:] for line in done.text.splitlines() if line.startswith("?")]

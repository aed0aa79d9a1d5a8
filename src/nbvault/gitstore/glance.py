"""A look at the remote that leaves no trace: no local repository, nothing pushed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from nbvault.gitstore import lease, meta
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.epochs import SUCCESSOR, load_successor, may_be_asked
from nbvault.gitstore.lease import Entry, parse_entry
from nbvault.gitstore.lineage import ended
from nbvault.gitstore.meta import Meta, Record, read_records
from nbvault.gitstore.reader import EMPTY_TREE, commit_info, ls_tree
from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.runner import Git
from nbvault.model import NBVAULT

THROW_AWAY = "refs/heads/nbvault/doctor"
_LOOK = "refs/nbvault-look/"


class Glance:
    """The remote as it is now. Every method raises as `Remote` does."""

    def __init__(self, git: Git, remote: Remote) -> None:
        self._git = git
        self._remote = remote
        self._refs: dict[str, str] | None = None

    @property
    def refs(self) -> Mapping[str, str]:
        """Its branches and tags, asked for once."""
        if self._refs is None:
            self._refs = self._remote.ls_remote()
        return self._refs

    def check_push(self, *, at: datetime) -> None:
        """See that it would let us push a new branch; nothing is pushed."""
        who = f"{NBVAULT.name} <{NBVAULT.email}> {int(at.timestamp())} +0000"
        text = f"tree {EMPTY_TREE}\nauthor {who}\ncommitter {who}\n\nMay this identity push here?\n"
        self._git.run("hash-object", "-t", "tree", "-w", "--stdin", stdin=b"")
        sha = self._git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()).text
        self._remote.check_push(PushRef(sha, THROW_AWAY))

    def lease(self) -> Entry | None:
        """What the last holder of the lease said; None if there never was one.

        Raises:
            VaultError: that branch was not written by nbvault.
        """
        tip = self._fetched(lease.BRANCH, "lease")
        return parse_entry(commit_info(self._git, tip).body) if tip else None

    def records(self, kind: str, *, months: int | None = None) -> list[Record]:
        """The vault's records of a kind, oldest first; none in a vault that has none.

        Raises:
            VaultError: they are damaged.
        """
        return read_records(Meta("", files=self._files()), kind, blobs=self._blobs, months=months)

    def check_root(self, root: str) -> None:
        """See that the vault, if there is one, backs up this root, and that its format is known here.

        Raises:
            ConfigurationError: it is another vault.
            VaultError: its record of that is missing or damaged.
        """
        if files := self._files():
            meta.check_root(Meta(root, files=files), blobs=self._blobs)

    def check_in_force(self) -> None:
        """See that the vault was not rotated: sessions refuse one that was.

        Raises:
            ConfigurationError: it was, and to where.
        """
        oid = self._files().get(SUCCESSOR)
        if oid:
            successor = load_successor(dict(self._blobs.read([oid]))[oid])
            raise ended(successor, trusted=may_be_asked(successor.remote, configured=self._remote.url))

    @property
    def _blobs(self) -> BlobReader:
        return BlobReader(self._git, self._remote.fetch_objects)

    def _files(self) -> dict[str, str]:
        tip = self._fetched(meta.BRANCH, "meta")
        return {entry.path: entry.oid for entry in ls_tree(self._git, tip)} if tip else {}

    def _fetched(self, ref: str, name: str) -> str:
        tip = self.refs.get(ref, "")
        if tip:
            self._remote.fetch([f"+{tip}:{_LOOK}{name}"], depth=1)
        return tip


@contextmanager
def glance(
    url: str, base_environment: Mapping[str, str], *, token: Callable[[], str | None], timeout_s: float
) -> Iterator[Glance]:
    """A look at the remote, by way of a repository that is gone afterwards.

    Args:
        url: As from `remote_url`.
        timeout_s: What one command may take.
    """
    with tempfile.TemporaryDirectory(prefix="nbvault-look-") as folder:
        git = Git(_repository(Path(folder), url), base_environment)
        yield Glance(git, Remote(git, url, token=token, attempts=1, timeout_s=timeout_s))


def _repository(folder: Path, url: str) -> Path:
    """An empty partial clone, as `open_cache` makes one with a dozen commands; a doctor takes several looks at once."""
    for name in ("objects", "refs"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    (folder / "config").write_text(
        "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n\tquotePath = false\n"
        "[extensions]\n\tpartialClone = origin\n"
        f'[remote "origin"]\n\turl = "{quoted}"\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n'
        "[protocol]\n\tversion = 2\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
        encoding="utf-8",
    )
    return folder

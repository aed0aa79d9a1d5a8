"""The blobs and commits of a session, through one fast-import at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from datetime import datetime

from nbvault.backup.plan import Authored, Plan, without_authors
from nbvault.gitstore import conclude
from nbvault.gitstore.conclude import folders_above
from nbvault.gitstore.meta import MetaDraft, Record
from nbvault.gitstore.reader import commit_info, ls_tree
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.model import NBVAULT, FileChange, Person


class CommitStream:
    """What is done in the thread that writes, in order; that of a `VaultWriter`, which hands it over.

    `at` is the time of its commits. `large` sessions compress quickly and commit in nbvault's name. `taken_bytes` and
    `taken_commits` count what came; `commits` and `authors`, by their addresses, what was made of it.

    Args:
        removed: Paths that the session has taken away by now; read, not changed.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        session: str,
        at: datetime,
        committer: Person,
        large: bool,
        removed: AbstractSet[str],
    ) -> None:
        self._vault = vault
        self._session = session
        self.at = _not_before(vault, at)
        self._committer = committer
        self._removed = removed
        self._stack = ExitStack()
        self._stream: FastImport | None = None
        self.large = large
        self.taken_bytes = self.taken_commits = 0
        self.commits = 0
        self.authors: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        """What is held to be sorted, and not yet given to git."""
        stream = self._stream
        return stream.held_bytes if stream else 0

    def write(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """Blobs with their names and ids; git may get them later, sorted."""
        stream = self._open()
        for name, data, blob in items:
            stream.blob(data, name, oid=blob)
            self.taken_bytes += len(data)

    def send(self) -> None:
        """Give git what is held to be sorted."""
        if self._stream is not None:
            self._stream.flush()

    def commit(self, plan: Plan, kind: str, also: Mapping[str, Sequence[Record]]) -> None:
        """Content and meta in one stream; refs move only when both are written.

        Args:
            kind: ``checkpoint`` or ``content``, as the meta commit says.
            also: Records of other kinds, by the name of their file.
        """
        stream = self._open()
        meta = self._vault.meta
        content = meta.content
        groups = self._groups(plan)
        if plan.changes or not content:
            content = self._base(stream)
            for author, changes in groups:
                content = self._commit_content(stream, content, author, changes)
                self.authors[author.email] += len(changes)
        draft = MetaDraft(meta, session=self._session, at=self.at)
        draft.inventory(plan.rows, plan.tombstones, plan.renames)
        for name, items in also.items():
            draft.record(name, items)
        if kind == "content":
            draft.compact_if_due()
        mark = draft.commit(
            stream, content=content, kind=kind, blobs=self._vault.blobs, sha_of=stream.sha_of, committer=self._committer
        )
        tip = stream.sha_of(mark)
        self._stack.close()
        self._stream = None
        meta.tip = tip
        self.taken_commits += 1

    def close(self) -> None:
        """Stop; what was not committed is left to git's own cleaning."""
        if self._stream is not None:
            self._stack.pop_all().__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
            self._stream = None

    def _open(self) -> FastImport:
        if self._stream is None:
            self._stream = self._stack.enter_context(
                FastImport(self._vault.git, fetch_missing=self._vault.past.fetch_objects, quick=self.large)
            )
        return self._stream

    def _groups(self, plan: Plan) -> list[tuple[Person, list[FileChange]]]:
        return by_author(without_authors(plan, NBVAULT).changes if self.large else plan.changes)

    def _base(self, stream: FastImport) -> str:
        """What the next content commit stands on: our last one, or, in a new vault, a root with the vault's own files.

        What people pushed to ``backup/daily`` becomes a parent; its managed paths are set back to ours.
        """
        content, daily = self._vault.meta.content, self._vault.daily
        if not content:
            return self._root(stream)
        if daily in ("", content) or self._vault.contains(content, daily):
            return content
        composed = conclude.compose(
            self._vault.git, tip=daily, ours=content, previous=content, managed=self._vault.managed(self._removed)
        )
        tree = commit_info(self._vault.git, composed.start).tree
        return self._commit_content(stream, content, NBVAULT, composed.changes, tree=tree, also=[daily])

    def _root(self, stream: FastImport) -> str:
        main = self._vault.main or self._vault.daily
        there = {entry.path for entry in ls_tree(self._vault.git, main)} if main else set()
        files = {".gitattributes": conclude.ATTRIBUTES, ".gitignore": conclude.IGNORE, "README.md": conclude.README}
        changes = [FileChange(path, stream.blob(data, path)) for path, data in files.items() if path not in there]
        if main and not changes:
            return main
        return self._commit_content(stream, main, NBVAULT, changes, subject="Begin the vault")

    def _commit_content(
        self,
        stream: FastImport,
        parent: str,
        author: Person,
        changes: Iterable[FileChange],
        *,
        tree: str | None = None,
        also: Sequence[str] = (),
        subject: str = "",
    ) -> str:
        subject = subject or f"Backup {self.at:%Y-%m-%d %H:%M} UTC: changes by {author.name}"
        self.commits += 1
        return stream.commit(
            conclude.DAILY,
            parents=[*([parent] if parent else []), *also],
            author=author,
            committer=self._committer,
            authored_at=self.at,
            committed_at=self.at,
            message=f"{subject}\n\nNbvault-Session: {self._session}\n",
            changes=list(changes),
            tree=tree,
        )


def by_author(changes: Iterable[Authored]) -> list[tuple[Person, list[FileChange]]]:
    """The changes in commits, one for each author, so that no commit puts a file where a later one removes one.

    A removal that must make room for another author's file goes into a leading commit by nbvault.
    """
    changes = list(changes)
    puts = {change.path: author for change, author in changes if change.blob}
    folders: dict[str, set[Person]] = {}
    for path, author in puts.items():
        for folder in folders_above(path):
            folders.setdefault(folder, set()).add(author)
    groups: dict[Person, list[FileChange]] = {}
    for change, author in changes:
        in_way = not change.blob and _other(change.path, author, puts, folders)
        groups.setdefault(NBVAULT if in_way else author, []).append(change)
    first = groups.pop(NBVAULT, [])
    ordered = sorted(groups.items(), key=lambda item: item[0].email)
    return [*([(NBVAULT, first)] if first else []), *ordered]


def _other(path: str, author: Person, puts: dict[str, Person], folders: dict[str, set[Person]]) -> bool:
    """Whether the file that is removed at ``path`` stands in the way of somebody else's."""
    if folders.get(path, set()) - {author}:
        return True
    return any(puts.get(folder, author) != author for folder in folders_above(path))


def _not_before(vault: Vault, at: datetime) -> datetime:
    """Committer dates never go back, whatever the clock says."""
    known = [sha for sha in (vault.meta.content, vault.main) if sha]
    return max([at, *(commit_info(vault.git, sha).committed_at for sha in known)])

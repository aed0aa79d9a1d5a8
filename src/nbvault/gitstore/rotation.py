"""The next epoch of a vault, made in another repository. Every step may be the last, and all may be done again.

What is pushed has no force before the old vault names it (docs/design.md, section 5d).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nbvault.clock import iso
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.gitstore import conclude, meta, publish, records
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.conclude import Composition
from nbvault.gitstore.epochs import EPOCHS, Epoch, Force, Lineage, Successor, dump
from nbvault.gitstore.meta import FORMAT_WITH_EPOCHS, Meta, MetaDraft, read_meta
from nbvault.gitstore.reader import EMPTY_TREE, commit_info, ls_tree
from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.upkeep import fetch_turn
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.model import FileChange, Person

_NEXT = "refs/next/"


@dataclass(frozen=True, slots=True)
class Making:
    """Who rotates and when, in whose name the commits are, how many files go in a push, and the line for the trail."""

    by: str
    at: datetime
    committer: Person
    push_every: int
    audit: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """What the new repository has: its tips, how many files, and what people had changed at our paths on ``main``."""

    epoch: int
    content: str
    main: str
    meta: str
    files: int
    drift: tuple[str, ...] = ()


class NextEpoch:
    """The repository that goes on, as far as it is made.

    Args:
        vault: The one that ends: open for `rotating`, refreshed, and under the lease from `make` on.
        target: The new repository, seen from the vault's local one.
    """

    def __init__(self, vault: Vault, target: Remote) -> None:
        self._vault = vault
        self._git = vault.git
        self._target = target
        self._refs: dict[str, str] = {}
        self._meta = Meta(vault.root)

    # --- looking -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See what the repository holds: nothing, or what an earlier attempt at this very rotation has left.

        Raises:
            ConfigurationError: it holds anything else.
            AuthenticationError, RemoteUnreachable: as `Remote.ls_remote`.
        """
        if self._target.url == self._vault.remote.url:
            raise ConfigurationError(f"The vault is at {self._target.url} already.", hint="Name another repository.")
        found = self._target.ls_remote()
        self._refs = {ref: sha for ref, sha in found.items() if ref.startswith(("refs/heads/", "refs/tags/"))}
        if self._refs and meta.BRANCH not in self._refs:
            raise self._refused(f"is not empty: it has {', '.join(sorted(self._refs)[:3])}")
        self._fetch()
        if meta.BRANCH in self._refs:
            blobs = BlobReader(self._git, self._target.fetch_objects)
            self._meta = read_meta(self._git, self._refs[meta.BRANCH], root=self._vault.root, blobs=blobs)
            self._refuse_others()

    def _fetch(self) -> None:
        """Our refs for the new repository, as it is; fast-import builds on them."""
        ours = (meta.BRANCH, conclude.DAILY, self._vault.main_ref)
        there = [ref for ref in ours if ref in self._refs]
        for ref in ours:
            self._vault.set_ref(_next(ref), "")
        if there:
            with fetch_turn(self._git.repo):
                self._target.fetch([f"+{ref}:{_next(ref)}" for ref in there])

    def _refuse_others(self) -> None:
        lineage = self._meta.lineage
        if not lineage.earlier:
            raise self._refused("is a vault already")
        if lineage.earlier[-1].remote != self._vault.remote.url:
            raise self._refused(f"is a vault that follows {lineage.earlier[-1].remote}")
        successor = self._vault.meta.successor
        if lineage.state is Force.BEGUN and (successor is None or successor.rotation != lineage.rotation):
            raise self._refused("is a vault already, with sessions of its own")

    def _refused(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"The repository {self._target.url} {why}.", hint="Make an empty one, without a README, and name that."
        )

    @property
    def is_named(self) -> bool:
        """Whether the old vault says that this repository goes on."""
        successor = self._vault.meta.successor
        return successor is not None and successor.rotation == self._meta.lineage.rotation != ""

    # --- making ------------------------------------------------------------------------------------------------------

    def make(self, making: Making, *, say: Callable[[str], None], check: Callable[[], None]) -> Made:
        """Make the epoch and put it in force; afterwards the old vault accepts no session.

        Args:
            check: Called last before the old vault is ended; may raise.

        Raises:
            RemoteMoved: somebody else pushed to one of the repositories meanwhile; the old vault is in force.
            NbvaultError: likewise.
        """
        if not self._meta.tip:
            self._announce(making)
        say("Pushing the content")
        content, files = self._content(making)
        say("Pushing the main branch")
        main, drift = self._main(making, content)
        say("Pushing the records")
        self._ready(making, content, main)
        refs = [PushRef(content, conclude.DAILY), PushRef(main, self._vault.main_ref)]
        publish.confirm(self._target, [*refs, PushRef(self._meta.tip, meta.BRANCH)], contains=lambda _tip, _old: False)
        check()
        say("Ending the old vault")
        self._succeed(making)
        # It is done. Where this fails, the first session there says it.
        with suppress(NbvaultError):
            self.begin(making)
        return Made(self._meta.lineage.epoch, content, main, self._meta.tip, files, drift)

    def begin(self, making: Making) -> None:
        """Let the new vault say that it is in force; nothing happens if it does."""
        if self._meta.lineage.state is not Force.BEGUN:
            begun = replace(self._meta.lineage, state=Force.BEGUN)
            self._push_meta(making, begun, {EPOCHS: dump(begun)}, tree=commit_info(self._git, self._meta.tip).tree)
        for ref in self._git.text("for-each-ref", "--format=%(refname)", _NEXT).splitlines():
            self._vault.set_ref(ref, "")

    def _announce(self, making: Making) -> None:
        """Before anything else is there: sessions that find this repository must leave it alone."""
        lineage = self._lineage(making, Force.PREPARING, rotation=secrets.token_hex(8))
        self._push_meta(making, lineage, {EPOCHS: dump(lineage), "format.json": self._format(making)})

    def _content(self, making: Making) -> tuple[str, int]:
        """The tree of the vault's content, with people's own files; large ones in several commits."""
        vault, ours = self._vault, self._vault.meta.content
        composed = conclude.compose(
            self._git, tip=vault.daily or ours, ours=ours, previous=ours, managed=vault.managed(())
        )
        there, tree = self._refs.get(conclude.DAILY, ""), commit_info(self._git, composed.start).tree
        files = [entry for entry in ls_tree(self._git, composed.start) if entry.kind == "blob"]
        if there and not composed.changes and commit_info(self._git, there).tree == tree:
            return there, len(files)
        self._ensure(composed)
        parts = [files[start : start + making.push_every] for start in range(0, len(files), making.push_every)]
        for part in parts[:-1]:
            there = self._part(making, there, [FileChange(entry.path, entry.oid) for entry in part])
        return self._part(making, there, composed.changes, tree=tree), len(files)

    def _part(self, making: Making, parent: str, changes: Sequence[FileChange], *, tree: str = "") -> str:
        base = tree or (commit_info(self._git, parent).tree if parent else EMPTY_TREE)
        message = f"Begin epoch {self._meta.lineage.epoch}\n\nNbvault-Session: {self._vault.meta.session}\n"
        at = commit_info(self._git, self._vault.meta.content).committed_at
        parents = [parent] if parent else []
        return self._push(making, conclude.DAILY, parents, changes, tree=base, message=message, at=at)

    def _main(self, making: Making, content: str) -> tuple[str, tuple[str, ...]]:
        """The last conclusion once more, with the files that people have beside ours."""
        vault = self._vault
        last = commit_info(self._git, vault.last_conclusion())
        composed = conclude.compose(
            self._git, tip=vault.main, ours=vault.meta.content, previous=last.sha, managed=vault.managed(())
        )
        there = self._refs.get(vault.main_ref, "")
        if not there or not self._is_main(there, content, composed, last.sha):
            self._ensure(composed)
            message = f"{last.subject}\n\n{last.body.rstrip()}\n{conclude.EPOCH}: {self._meta.lineage.epoch}\n"
            parents = [*([there] if there else []), content]
            tree = commit_info(self._git, composed.start).tree
            ref, at = vault.main_ref, last.committed_at
            there = self._push(making, ref, parents, composed.changes, tree=tree, message=message, at=at)
        self._tag(there)
        return there, composed.drift

    def _is_main(self, there: str, content: str, composed: Composition, conclusion: str) -> bool:
        found, last = commit_info(self._git, there), commit_info(self._git, conclusion)
        same = found.trailers.get(conclude.SCAN_STARTED) == last.trailers.get(conclude.SCAN_STARTED)
        same_tree = not composed.changes and found.tree == commit_info(self._git, composed.start).tree
        return same and same_tree and content in found.parents

    def _ensure(self, composed: Composition) -> None:
        """See that all blobs of what is composed are here; what this partial repository lacks comes in one batch."""
        blobs = [entry.oid for entry in ls_tree(self._git, composed.start) if entry.kind == "blob"]
        self._vault.blobs.ensure([*blobs, *(change.blob for change in composed.changes if change.blob)])

    def _tag(self, main: str) -> None:
        tags = {ref.removeprefix("refs/tags/"): sha for ref, sha in self._refs.items() if ref.startswith("refs/tags/")}
        began = conclude.scan_started(commit_info(self._git, main).trailers)
        if began is not None and main not in tags.values():
            ref = f"refs/tags/{conclude.tag_name(began, tags)}"
            publish.push(self._target, [PushRef(main, ref)])
            self._refs[ref] = main

    def _ready(self, making: Making, content: str, main: str) -> None:
        """The whole meta branch of the old vault, and who came before."""
        vault, old = self._vault, self._vault.meta
        rotation = self._meta.lineage.rotation
        began = old.lineage.at or old.created
        epoch = Epoch(
            epoch=old.lineage.epoch,
            remote=vault.remote.url,
            since=began,
            until=iso(making.at),
            session=old.session,
            content=old.content,
            main=vault.main,
            meta=old.tip,
            next=content,
        )
        if self._meta.lineage.state is Force.READY and self._is_up_to_date(epoch, main):
            return
        vault.blobs.ensure(old.files.values())
        lineage = self._lineage(making, Force.READY, rotation=rotation, ending=epoch)
        trail = meta.record_path(old.files, "audit", making.at)
        before = dict(vault.blobs.read([old.files[trail]]))[old.files[trail]] if trail in old.files else b""
        files = {
            EPOCHS: dump(lineage),
            "format.json": self._format(making),
            trail: before + records.dump_lines([making.audit]),
        }
        self._meta.content = content
        self._push_meta(making, lineage, files, tree=commit_info(self._git, old.tip).tree)

    def _is_up_to_date(self, epoch: Epoch, main: str) -> bool:
        """Whether an earlier attempt has made all of it, and the old vault has not moved since."""
        found = self._meta.lineage.earlier[-1]
        return replace(found, until=epoch.until) == epoch and self._refs.get(self._vault.main_ref) == main

    def _succeed(self, making: Making) -> None:
        """The one push that matters: it is a fast-forward of what all of this was made from, or it is refused."""
        vault, lineage = self._vault, self._meta.lineage
        # Not on our own meta branch: what was not pushed must not look as if it were.
        ref = _next("refs/heads/ended")
        self._vault.set_ref(ref, "")
        draft = MetaDraft(vault.meta, session=vault.meta.session, at=making.at)
        draft.end_epoch(Successor(self._target.url, lineage.rotation, self._meta.tip, iso(making.at), making.by))
        draft.record("audit", [making.audit])
        with FastImport(self._git) as stream:
            mark = draft.commit(
                stream,
                content=vault.meta.content,
                kind="note",
                blobs=vault.blobs,
                committer=making.committer,
                ref=ref,
            )
            vault.meta.tip = stream.sha_of(mark)
        refs = [PushRef(vault.meta.tip, meta.BRANCH)]
        publish.push(vault.remote, refs)
        publish.confirm(vault.remote, refs, contains=vault.contains)

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _lineage(self, making: Making, state: Force, *, rotation: str, ending: Epoch | None = None) -> Lineage:
        """Before all is known of the epoch that ends, its tips stand for what it goes on with."""
        vault, old = self._vault, self._vault.meta
        last = ending or Epoch(
            epoch=old.lineage.epoch,
            remote=vault.remote.url,
            since=old.lineage.at or old.created,
            until=iso(making.at),
            session=old.session,
            content=old.content,
            main=vault.main,
            meta=old.tip,
            next=old.content,
        )
        earlier = (*old.lineage.earlier, last)
        return Lineage(old.lineage.epoch + 1, rotation, state, iso(making.at), making.by, earlier)

    def _format(self, making: Making) -> bytes:
        old = self._vault.meta
        found = {"format": FORMAT_WITH_EPOCHS, "root": old.root, "created": iso(making.at), "compacted": old.compacted}
        return json.dumps(found, indent=1).encode() + b"\n"

    def _push_meta(
        self, making: Making, lineage: Lineage, files: Mapping[str, bytes], *, tree: str = EMPTY_TREE
    ) -> None:
        """The next commit on the new meta branch; believed when the repository has taken it."""
        content = self._meta.content
        with FastImport(self._git) as stream:
            changes = [FileChange(path, stream.blob(data, path)) for path, data in files.items()]
            mark = stream.commit(
                _next(meta.BRANCH),
                parents=[parent for parent in (self._meta.tip, content) if parent],
                author=making.committer,
                committer=making.committer,
                authored_at=making.at,
                committed_at=making.at,
                message=meta.message("note", self._vault.meta.session, content),
                changes=changes,
                tree=tree,
            )
            tip = stream.sha_of(mark)
        publish.push(self._target, [PushRef(tip, meta.BRANCH)])
        self._meta.tip, self._meta.lineage = tip, lineage

    def _push(
        self,
        making: Making,
        ref: str,
        parents: Sequence[str],
        changes: Sequence[FileChange],
        *,
        tree: str,
        message: str,
        at: datetime,
    ) -> str:
        """A commit on one of the new branches, pushed."""
        with FastImport(self._git) as stream:
            mark = stream.commit(
                _next(ref),
                parents=parents,
                author=making.committer,
                committer=making.committer,
                authored_at=at,
                committed_at=at,
                message=message,
                changes=changes,
                tree=tree,
            )
            tip = stream.sha_of(mark)
        publish.push(self._target, [PushRef(tip, ref)])
        self._refs[ref] = tip
        return tip


def _next(ref: str) -> str:
    return _NEXT + ref.removeprefix("refs/heads/")

"""The vault as one thing: the local repository, the remote's branches, and what the meta branch says of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass, field

from nbvault.gitstore import conclude, meta
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.epochs import Lineage, Successor
from nbvault.gitstore.lineage import Past
from nbvault.gitstore.meta import Meta, is_ours, read_meta
from nbvault.gitstore.reader import blob_in, commit_info, ls_tree, resolve
from nbvault.gitstore.remote import Remote
from nbvault.gitstore.runner import Git
from nbvault.gitstore.standing import Standing
from nbvault.gitstore.upkeep import fetch_turn
from nbvault.inventory import Blobs
from nbvault.model import Row

EVERY_BRANCH = "refs/heads/"
_TRACKING = "refs/remotes/origin/"


@dataclass(slots=True)
class Vault:
    """An open vault.

    `refs` are the remote's at the last `refresh`, if it `looked`. `blob_at` has the blob id of each row's path in
    the content commit that the meta branch describes. `damaged` names rows whose file is missing there: they are not
    believed. Only a `writing` one, whose holder has the process lock, moves the local branches. It must be in force,
    unless it is `rotating`. `made_now`: there was no local repository before. `past` are the earlier epochs. Without
    `want_tree`, `blob_at` and `damaged` stay empty, and the rows are as the records have them: for who only asks git.

    Args:
        earlier: Where earlier epochs may be asked besides where the remote is, as from `remote_url`.
        say: Told what a reader should know of what cannot be read.
        standing: Where little is asked often: answers what is here without a process for each question.
    """

    git: Git
    remote: Remote
    root: str
    branch: str = "main"
    writing: bool = False
    made_now: bool = False
    rotating: bool = False
    want_tree: bool = True
    earlier: frozenset[str] = frozenset()
    say: Callable[[str], None] = lambda _: None
    standing: Standing | None = None
    past: Past = field(init=False)
    refs: dict[str, str] = field(default_factory=dict)
    meta: Meta = field(default_factory=lambda: Meta(""))
    blob_at: Blobs = field(default_factory=Blobs)
    damaged: list[Row] = field(default_factory=list)
    lost_main: str = ""
    looked: bool = False

    def __post_init__(self) -> None:
        self.past = Past(self, listed=self.earlier, say=self.say)

    @property
    def main_ref(self) -> str:
        return f"refs/heads/{self.branch}"

    @property
    def main(self) -> str:
        """The remote's tip of ``main``, or what ours was before the remote lost it; empty if there is none."""
        return self.refs.get(self.main_ref, "") or self.lost_main

    @property
    def daily(self) -> str:
        """The remote's tip of ``backup/daily``; empty if it has none."""
        return self.refs.get(conclude.DAILY, "")

    @property
    def blobs(self) -> BlobReader:
        return BlobReader(self.git, self.past.fetch_objects, standing=self.standing)

    @property
    def is_new(self) -> bool:
        """Whether no notebook has ever been saved here."""
        return not self.meta.rows and not self.meta.tombstones

    def refresh(self) -> None:
        """Fetch what a sync needs, and read the meta branch.

        Local meta commits that were not pushed count if the remote's tip is an ancestor of theirs; otherwise they are
        dropped, and their work is done again.

        Raises:
            AuthenticationError, RemoteUnreachable, ConfigurationError: as `Remote`.
            ConfigurationError: also if it is opened for writing and not in force.
            VaultError: the meta branch is damaged.
        """
        self.refs, self.looked = self.remote.ls_remote(), True
        self._fetch()
        main = "" if self.main_ref in self.refs else resolve(self.git, self.main_ref) or ""
        self.lost_main = main if main and self._is_whole(main) else ""
        self._choose(self._meta_tip())

    def refresh_branches(self) -> None:
        """Fetch what people pushed meanwhile to ``main`` and ``backup/daily``; our own work stays as it is."""
        self.refs, self.looked = self.remote.ls_remote(), True
        self._fetch()

    def contains(self, tip: str, ancestor: str) -> bool:
        """Whether ``ancestor`` is reached from ``tip``, one of our commits or one that the remote has."""
        if not self.have(tip):
            # Newer than our last look.
            self.refresh_branches()
        if self._reaches(tip, ancestor):
            return True
        if not self.is_shallow:
            return False
        # Where history is cut off, it can say yes but not no.
        self.whole_history()
        return self._reaches(tip, ancestor)

    def _reaches(self, tip: str, ancestor: str) -> bool:
        done = self.git.run("merge-base", "--is-ancestor", ancestor, tip, ok=(0, 1, 128))
        return done.returncode == 0

    def refresh_offline(self) -> None:
        """Read what was fetched last; for looking at a vault whose remote does not answer."""
        listed = self.git.text("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", _TRACKING)
        found = dict(line.split(" ") for line in listed.splitlines())
        self.refs, self.looked = {}, True
        for ref in (meta.BRANCH, self.main_ref, conclude.DAILY):
            fetched, own = found.get(_tracking(ref), ""), found.get(ref, "")
            newer = own and (not fetched or self._reaches(own, fetched))
            if chosen := own if newer else fetched:
                self.refs[ref] = chosen
        self._choose(self.refs.get(meta.BRANCH, ""))

    def known_epochs(self) -> tuple[Lineage, Successor | None]:
        """What the newest meta branch that is here says of epochs; asks no remote."""
        tip = resolve(self.git, _tracking(meta.BRANCH)) or resolve(self.git, meta.BRANCH)
        return meta.read_epochs(self.git, tip) if tip else (Lineage(), None)

    def blob_of(self, repo_path: str) -> str:
        """The blob of a notebook's file in the content commit of the meta branch; empty if it is not there."""
        if self.want_tree:
            return self.blob_at.get(repo_path, "")
        return blob_in(self.git, self.meta.content, repo_path) if self.meta.content else ""

    def load_everything(self) -> None:
        """Read now what was left out without `want_tree`.

        Raises:
            VaultError: the meta branch is damaged.
        """
        if not self.want_tree:
            self.want_tree = True
            self.load_tree()

    def load_tree(self) -> None:
        """Read the tree that the rows describe into `blob_at`."""
        rows, content = self.meta.rows, self.meta.content
        blobs = Blobs.without_content(rows.repo_paths)
        found = sum(blobs.fill(entry.path, entry.oid) for entry in (ls_tree(self.git, content) if content else ()))
        self.damaged = [row for row in rows.values() if not blobs[row.repo_path]] if found < len(rows) else []
        for row in self.damaged:
            del rows[row.object_id]
        for row in self.damaged:
            blobs.pop(row.repo_path, None)
        self.blob_at = blobs

    def last_conclusion(self) -> str:
        """The newest conclusion that the remote's ``main`` reaches; empty if there is none."""
        if not self.main:
            return ""
        found = conclude.last_conclusion(self.git, self.main)
        if not found and self.is_shallow:
            self.whole_history()
            found = conclude.last_conclusion(self.git, self.main)
        return found

    def concluded_content(self) -> str:
        """The content commit of the last conclusion; empty if there is none."""
        conclusion = self.last_conclusion()
        if not conclusion:
            return ""
        if len(commit_info(self.git, conclusion).parents) < 2:
            # People have pushed on top, and our history is cut off just there.
            self.whole_history()
        return commit_info(self.git, conclusion).parents[:2][-1]

    def set_ref(self, ref: str, sha: str) -> None:
        """Move a local ref, or delete it where ``sha`` is empty."""
        if sha:
            self.git.run("update-ref", ref, sha)
        else:
            self.git.run("update-ref", "-d", ref)

    def forget_unpushed(self, *, refused: Collection[str] = ()) -> None:
        """Set the local branches back to the remote's: what was written on top of them is not to be believed.

        Args:
            refused: Commits that the remote will never take. A main branch that the remote has lost, or never had, is
                kept to be pushed again, unless one of them is in it.
        """
        self.set_ref(meta.BRANCH, self.refs.get(meta.BRANCH, ""))
        hopeless = any(commit and self._reaches(self.main, commit) for commit in refused) if self.main else False
        self.set_ref(self.main_ref, self.refs.get(self.main_ref, "") if hopeless else self.main)

    def whole_history(self) -> None:
        """Fetch the commits and trees of all history, once; their blobs come when they are read."""
        if not self.is_shallow:
            return
        branches = [ref for ref in (self.main_ref, conclude.DAILY, meta.BRANCH) if ref in self.refs]
        if not branches:
            return
        with fetch_turn(self.git.repo):
            self.remote.fetch([_tracked(ref) for ref in branches], unshallow=True)

    @property
    def is_shallow(self) -> bool:
        return (self.git.repo / "shallow").exists()

    def _fetch(self) -> None:
        if not self._missing():
            return
        with fetch_turn(self.git.repo):
            # Whoever fetched while we waited may have brought it, or the whole history.
            if missing := self._missing():
                known = self.git.text("for-each-ref", "--count=1", EVERY_BRANCH, _TRACKING)
                fresh = self.is_shallow or not known
                # Depth 2 of the meta branch: its tip, and the content commit that is its second parent.
                self.remote.fetch([_tracked(ref) for ref in missing], depth=2 if fresh else None)
                # A push may have come since we looked; what was cut off at depth 2 below the new tip is no tip to read.
                self.refs |= {ref: tip for ref in missing if (tip := resolve(self.git, _tracking(ref)))}

    def _missing(self) -> list[str]:
        wanted = [meta.BRANCH, self.main_ref, conclude.DAILY]
        return [ref for ref in wanted if ref in self.refs and not self.have(self.refs[ref])]

    def have(self, sha: str) -> bool:
        """Whether this object is in the local repository."""
        return not missing_objects(self.git, [sha])

    def _meta_tip(self) -> str:
        theirs, ours = self.refs.get(meta.BRANCH, ""), resolve(self.git, meta.BRANCH) or ""
        if not ours or ours == theirs or not self.have(ours):
            return theirs
        if theirs and not self.writing:
            # What was not pushed yet is not protected; a reader does not show it as if it were.
            return theirs
        if not theirs:
            # The remote lost it: only who has all of it can fill it again.
            return ours if self._is_whole(ours) else ""
        return ours if self.contains(ours, theirs) else theirs

    def _is_whole(self, tip: str) -> bool:
        """Whether everything that a branch lacks on the remote is here, blobs of other machines' sessions, too."""
        if self.is_shallow:
            return False
        told = dict.fromkeys(self.refs.values())
        missing = set(missing_objects(self.git, told))
        asked = "\n".join([tip, *(f"^{sha}" for sha in told if sha not in missing)]).encode()
        listed = self.git.offline().run("rev-list", "--objects", "--missing=print", "--stdin", stdin=asked).stdout
        return not any(line.startswith(b"?") for line in listed.splitlines())

    def _choose(self, tip: str) -> None:
        as_it_was = tip and tip == self.meta.tip and not self.meta.touched
        if not as_it_was:
            lazily = not (self.writing or self.want_tree)
            if tip and self.is_shallow and not is_ours(self.git, tip):
                # Ours lies below what somebody put on top.
                self.whole_history()
            self.meta = (
                read_meta(self.git, tip, root=self.root, blobs=self.blobs, unread=lazily) if tip else Meta(self.root)
            )
        if self.writing and not self.rotating:
            self.past.refuse_unless_in_force()
        if self.writing:
            self.set_ref(meta.BRANCH, tip)
            self.set_ref(conclude.DAILY, self.meta.content)
            self.set_ref(self.main_ref, self.main)
        if not as_it_was and self.want_tree:
            self.load_tree()

    def managed(self, more: Iterable[str]) -> Container[str]:
        """Every repository path of a living row, and those given."""
        return _Managed(self.blob_at, frozenset(more))


class _Managed:
    """The paths that are nbvault's: asked for one by one, never listed."""

    def __init__(self, living: Container[str], more: Collection[str]) -> None:
        self._living = living
        self._more = more

    def __contains__(self, path: object) -> bool:
        return path in self._more or path in self._living


def _tracked(ref: str) -> str:
    """The refspec that fetches a branch without touching our own."""
    return f"+{ref}:{_tracking(ref)}"


def _tracking(ref: str) -> str:
    """Our name for a branch of the remote as it was fetched last."""
    return _TRACKING + ref.removeprefix(EVERY_BRANCH)

"""The end of a session in the vault: the conclusion, read back; the pushes, confirmed; the record of the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from nbvault.backup.verify import check_rows, check_tree
from nbvault.gitstore import conclude, meta, publish
from nbvault.gitstore.conclude import Composition, Summary
from nbvault.gitstore.meta import MetaDraft, Record
from nbvault.gitstore.publish import RemoteMoved
from nbvault.gitstore.reader import commit_info, diff_trees, log, ls_tree
from nbvault.gitstore.remote import PushRef
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.model import NBVAULT, Person, Problem, Row

# People may push to main while we do; so often the conclusion is composed again on top of theirs.
TRIES = 10


@dataclass(frozen=True, slots=True)
class Published:
    """What the remote has confirmed. `tag` is empty, and `commits` 0, where `main` did not move."""

    head: str
    tag: str = ""
    commits: int = 0
    drift: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Concluded:
    """What `main` is to become, in the local repository only; without `composed` it is right as it is."""

    head: str
    composed: Composition | None


class Conclusion:
    """Ends a session in the vault, in the order that never makes a false claim."""

    def __init__(self, vault: Vault, *, session: str, at: datetime, committer: Person = NBVAULT) -> None:
        self._vault = vault
        self._session = session
        self._at = at
        self._committer = committer

    def taken_up(self) -> list[str]:
        """The sessions whose content no conclusion has yet, this one apart, the oldest first."""
        vault = self._vault
        then = vault.concluded_content()
        if not vault.meta.content or then == vault.meta.content:
            return []
        if then and not vault.have(then):
            vault.whole_history()
        entries = log(vault.git, vault.meta.content, first_parent=True, exclude=[then] if then else [])
        found = [entry.commit.trailers.get("Nbvault-Session", [""])[-1] for entry in entries]
        return [session for session in reversed(list(dict.fromkeys(found))) if session not in ("", self._session)]

    def conclude(self, summary: Summary) -> Concluded:
        """Write the conclusion into the local repository and read it back; what is committed may be pushed meanwhile.

        Raises:
            VerificationError: what was written is not what the rows say.
        """
        vault = self._vault
        check_rows(vault.meta.rows, vault.blob_at)
        composed, parents = self._compose()
        if composed is None:
            return Concluded(vault.main, None)
        head = self._commit(composed, parents, summary)
        tree = ((entry.path, entry.oid) for entry in ls_tree(vault.git, head))
        check_tree(tree, vault.blob_at, composed.removed)
        return Concluded(head, composed)

    def publish(self, summary: Summary, concluded: Concluded) -> Published:
        """Push what `conclude` has made, and have it confirmed; where people pushed meanwhile, conclude again.

        Raises:
            VerificationError: what was written is not what the rows say; this conclusion was not pushed.
            RemoteMoved: another nbvault has pushed; the whole session must be judged anew.
            PushRefused, RemoteUnreachable, AuthenticationError: nothing is claimed; the next session goes on.
        """
        for _ in range(TRIES):
            try:
                return self._push(concluded.head, concluded.composed)
            except RemoteMoved as moved:
                if meta.BRANCH in moved.refs:
                    raise
                self._vault.refresh_branches()
            concluded = self.conclude(summary)
        raise RemoteMoved([self._vault.main_ref])

    def record_end(
        self,
        sessions: Sequence[Record],
        *,
        problems: Sequence[Problem] | None,
        held: Sequence[Row],
        audit: Sequence[Record],
        also: Mapping[str, Sequence[Record]] | None = None,
    ) -> None:
        """Write how the session ended into the meta branch, and push it.

        Raises:
            RemoteMoved, PushRefused, RemoteUnreachable, AuthenticationError: only here is the record.
        """
        vault = self._vault
        draft = MetaDraft(vault.meta, session=self._session, at=self._at)
        draft.record("sessions", sessions)
        draft.record("audit", audit)
        for kind, items in (also or {}).items():
            draft.record(kind, items)
        if problems is not None:
            draft.problems(problems)
        if held:
            draft.held(held)
        with FastImport(vault.git) as stream:
            mark = draft.commit(
                stream, content=vault.meta.content, kind="end", blobs=vault.blobs, committer=self._committer
            )
            tip = stream.sha_of(mark)
        vault.meta.tip = tip
        self.push_meta()

    def push_meta(self, tip: str = "") -> None:
        """Push the meta branch, as it is here or at ``tip``; with it goes the content that it describes."""
        tip = tip or self._vault.meta.tip
        if tip:
            refs = [PushRef(tip, meta.BRANCH)]
            publish.push(self._vault.remote, refs)
            self._vault.refs = publish.confirm(self._vault.remote, refs, contains=self._contains)

    def push_checkpoint(self, tip: str, content: str) -> None:
        """Push a meta commit and the content that it describes, so that any machine can go on from there."""
        self.push_meta(tip)
        if content:
            publish.push(self._vault.remote, [PushRef(content, conclude.DAILY)])

    def _compose(self) -> tuple[Composition | None, list[str]]:
        """What `main` must become, and the parents of that commit; None where it is right as it is."""
        vault = self._vault
        ours = vault.meta.content
        if not ours:
            return None, []
        previous = vault.last_conclusion()
        if not vault.main:
            vault.whole_history()
        tip = vault.main or _root_of(vault)
        managed = vault.managed(self._removed_since_conclusion())
        composed = conclude.compose(vault.git, tip=tip, ours=ours, previous=previous or tip, managed=managed)
        # Content that no conclusion names would be taken for an interrupted session's, again and again.
        if previous and composed.is_empty and vault.concluded_content() == ours:
            return None, []
        return composed, list(dict.fromkeys([previous or tip, ours, tip]))

    def _removed_since_conclusion(self) -> list[str]:
        """The paths of ours that went since the last one, in this session or in one that died before its own.

        What came or changed is in the rows; people's own files on ``backup/daily`` are not ours to bring to main.
        """
        vault = self._vault
        then = vault.concluded_content()
        if not then:
            return []
        if not vault.have(then):
            vault.whole_history()
        return [d.path for d in diff_trees(vault.git, then, vault.meta.content) if not d.new_oid]

    def _commit(self, composed: Composition, parents: Sequence[str], summary: Summary) -> str:
        self._vault.set_ref(self._vault.main_ref, composed.base)
        return self._write(self._vault.main_ref, parents, composed, summary.text())

    def _write(self, ref: str, parents: Sequence[str], composed: Composition, message: str) -> str:
        """A commit whose tree is that where the composition starts, changed as it says."""
        git = self._vault.git
        at = max([self._at, *(commit_info(git, parent).committed_at for parent in parents)])
        with FastImport(git, fetch_missing=self._vault.past.fetch_objects) as stream:
            mark = stream.commit(
                ref,
                parents=parents,
                author=self._committer,
                committer=self._committer,
                authored_at=at,
                committed_at=at,
                message=message,
                changes=composed.changes,
                tree=commit_info(git, composed.start).tree,
            )
            return stream.sha_of(mark)

    def _push(self, head: str, composed: Composition | None) -> Published:
        vault = self._vault
        unpushed = vault.meta.tip != vault.refs.get(meta.BRANCH)
        if unpushed and vault.meta.tip:
            self.push_meta()
        daily = self._daily()
        if daily:
            # By itself and first: a push of several refs is not atomic, and main must not say more than it.
            publish.push(vault.remote, [PushRef(daily, conclude.DAILY)])
        refs = []
        tag = ""
        if composed:
            taken = [ref.removeprefix("refs/tags/") for ref in vault.refs]
            tag = conclude.tag_name(self._at, taken)
            refs.append(PushRef(head, vault.main_ref))
        elif vault.lost_main and vault.main_ref not in vault.refs:
            refs.append(PushRef(vault.lost_main, vault.main_ref))
        if refs:
            publish.push(vault.remote, refs)
        # Only when main is there: a push of several refs is not atomic.
        if tags := [PushRef(head, f"refs/tags/{tag}")] if tag else self._forgotten_tag():
            publish.push(vault.remote, tags)
        pushed = [*([PushRef(daily, conclude.DAILY)] if daily else []), *refs, *tags]
        vault.refs = publish.confirm(vault.remote, pushed, contains=self._contains)
        drift = (composed.drift, composed.conflicts) if composed else ((), ())
        return Published(head, tag, 1 if composed else 0, *drift)

    def _forgotten_tag(self) -> list[PushRef]:
        """The tag of the last conclusion, where the session that made it was cut off before it could push one."""
        vault = self._vault
        last = vault.last_conclusion()
        tags = {ref.removeprefix("refs/tags/"): sha for ref, sha in vault.refs.items() if ref.startswith("refs/tags/")}
        began = conclude.scan_started(commit_info(vault.git, last).trailers) if last else None
        if began is None or last in tags.values():
            return []
        return [PushRef(last, f"refs/tags/{conclude.tag_name(began, tags)}")]

    def _daily(self) -> str:
        """What to push to ``backup/daily``: our content, or a merge where people have pushed beside it."""
        vault = self._vault
        ours, theirs = vault.meta.content, vault.daily
        if not ours or ours == theirs:
            return ""
        if not theirs or self._contains(ours, theirs):
            return ours
        if self._contains(theirs, ours):
            return ""
        managed = vault.managed(self._removed_since_conclusion())
        composed = conclude.compose(vault.git, tip=theirs, ours=ours, previous=ours, managed=managed)
        vault.set_ref(conclude.DAILY, theirs)
        message = f"Merge what was pushed to backup/daily\n\nNbvault-Session: {self._session}\n"
        return self._write(conclude.DAILY, [ours, theirs], composed, message)

    def _contains(self, tip: str, ancestor: str) -> bool:
        return self._vault.contains(tip, ancestor)


def _root_of(vault: Vault) -> str:
    """The first commit of the vault: what the first conclusion stands on."""
    first = ""
    for entry in log(vault.git, vault.meta.content, first_parent=True):
        first = entry.sha
        if "Nbvault-Session" not in entry.commit.trailers or entry.commit.subject == "Begin the vault":
            break
    return first

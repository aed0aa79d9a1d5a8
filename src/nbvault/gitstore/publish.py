"""Pushing in the one safe order, and believing only what the remote confirms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nbvault.errors import GitError, PushRefused, RemoteUnreachable
from nbvault.gitstore.remote import PushRef, PushState, Remote


class RemoteMoved(GitError):
    """A branch of the remote is not where it was: somebody pushed meanwhile. `refs` says which."""

    def __init__(self, refs: Sequence[str]) -> None:
        super().__init__(f"Somebody pushed to {', '.join(refs)} meanwhile.", hint="Run again.")
        self.refs = tuple(refs)


def push(remote: Remote, refs: Sequence[PushRef]) -> None:
    """Push, never with force, all of these refs or raise.

    Raises:
        RemoteMoved: some were no fast-forward; others may have been pushed.
        PushRefused: a policy, hook or missing right refuses one; the message names it.
        AuthenticationError, RemoteUnreachable: as `Remote.push`.
    """
    results = remote.push(refs)
    moved = [ref for ref, result in results.items() if result.state is PushState.MOVED]
    refused = [(ref, result.reason) for ref, result in results.items() if result.state is PushState.REFUSED]
    if refused:
        ref, reason = refused[0]
        raise PushRefused(
            f"The remote refuses the push to {ref.removeprefix('refs/heads/')}: {reason}.",
            hint="Let the backup identity bypass the branch policy and contribute to this repository.",
        )
    if moved:
        raise RemoteMoved(moved)


def confirm(remote: Remote, refs: Sequence[PushRef], *, contains: Callable[[str, str], bool]) -> dict[str, str]:
    """What the remote has after a push; every one of these refs as pushed, or with later commits on top.

    Args:
        contains: Whether the first commit, on the remote, has the second among its ancestors.

    Raises:
        RemoteUnreachable: the remote does not show what it accepted.
    """
    found = remote.ls_remote()
    for wanted in refs:
        tip = found.get(wanted.ref, "")
        if tip != wanted.sha and not (tip and contains(tip, wanted.sha)):
            raise RemoteUnreachable(f"The remote accepted the push to {wanted.ref} but does not show it.")
    return found

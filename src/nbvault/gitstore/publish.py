"""Pushing in the one safe order, and believing only what the remote confirms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nbvault.errors import GitError, PushRefused, RemoteUnreachable
from nbvault.gitstore.complaints import advice
from nbvault.gitstore.findings import Finding, is_about_secrets, read_findings
from nbvault.gitstore.remote import PushRef, PushState, Remote


class RemoteMoved(GitError):
    """A branch of the remote is not where it was: somebody pushed meanwhile. `refs` says which."""

    def __init__(self, refs: Sequence[str]) -> None:
        super().__init__(f"Somebody pushed to {', '.join(refs)} meanwhile.", hint="Run again.")
        self.refs = tuple(refs)


class SecretsRefused(PushRefused):
    """The remote refuses a push for secrets in it; `findings` are those that it names."""

    def __init__(self, branch: str, findings: Sequence[Finding]) -> None:
        named = "; ".join(f"{each.path} line {each.line}: {each.kind}" for each in findings[:5])
        more = f" and {len(findings) - 5} more" if len(findings) > 5 else ""
        super().__init__(
            f"The remote refuses the push to {branch} for secrets in it: {named or 'it does not say which'}{more}.",
            hint="Remove them from the notebooks and revoke them, or turn push protection off for this repository.",
        )
        self.findings = tuple(findings)


def push(remote: Remote, refs: Sequence[PushRef]) -> None:
    """Push, never with force, all of these refs or raise.

    Raises:
        RemoteMoved: some were no fast-forward; others may have been pushed.
        PushRefused: a policy, hook or missing right refuses one; the message names it. SecretsRefused: for secrets.
        AuthenticationError, RemoteUnreachable: as `Remote.push`.
    """
    results = remote.push(refs)
    moved = [ref for ref, result in results.items() if result.state is PushState.MOVED]
    refused = [(ref, result.reason) for ref, result in results.items() if result.state is PushState.REFUSED]
    if refused:
        ref, reason = refused[0]
        branch = ref.removeprefix("refs/heads/")
        if is_about_secrets(reason):
            raise SecretsRefused(branch, read_findings(reason))
        raise PushRefused(f"The remote refuses the push to {branch}: {reason}.", hint=advice(reason, branch))
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

"""What git says when a remote command fails, and which error that is.

The words are git's, curl's, ssh's and Azure Repos'; the first rule that matches decides.
"""

from __future__ import annotations

import re
from pathlib import Path

from nbvault.errors import (
    AuthenticationError,
    ConfigurationError,
    GitError,
    NbvaultError,
    NoRepository,
    PushRefused,
    RemoteUnreachable,
)

_CERTIFICATE = re.compile(r"certificate|SSL_connect.*verif|CAfile|CRLfile", re.IGNORECASE)
_AUTHENTICATION = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied|TF400813|TF401444"
    r"|(?:returned error:|HTTP) (?:401|403|30[1278])\b|_signin|redirection"
)
_NOT_THERE = re.compile(
    r"repository '.*' not found|does not appear to be a git repository|not a git repository|is this a git repository"
    r"|(?:returned error:|HTTP) (?:404|410|400)\b|repository .* does not exist|does not exist|Host key verification"
    r"|dubious ownership|unable to find remote helper|transport '.*' not allowed"
)
_OUT_OF_ORDER = re.compile(r"(?:returned error:|HTTP) (?:429|5\d\d)\b")
_UNREACHABLE = re.compile(
    r"Could not resolve (?:host|hostname)|Failed to connect|Couldn't connect|Connection (?:refused|reset|closed)"
    r"|(?:returned error:|HTTP) 408\b|hung up|early EOF|RPC failed|timed out|too slow|Empty reply"
    r"|Recv failure|Send failure|unexpected disconnect|TF400733|Network is unreachable|No route to host"
    r"|failed to report status|expected flush|transfer closed|GnuTLS recv error|SSL_read|bad line length|protocol error"
    r"|unable to rewind|HTTP/2 stream|gateway|kex_exchange_identification|invalid index-pack output"
)
_FULL = re.compile(r"No space left on device|Out of diskspace|Disk quota exceeded|File too large")
_READ_ONLY = "Read-only file system"
_TOO_LARGE = re.compile(r"(?:returned error:|HTTP) 413\b|exceeds .*limit|TF402462|push size", re.IGNORECASE)
_NEEDS_RIGHT = re.compile(r"TF401027: You need the Git '(\w+)' permission.*?(?:identity '([^']*)')")
_RIGHTS = {"GenericContribute": "Contribute", "CreateBranch": "Create branch", "CreateTag": "Create tag"}
_REFUSED = re.compile(r"hook declined|remote rejected|unpack failed|TF40\d+|VS4\d+|pre-receive|remote: (?:error|fatal)")


def disk_failure(stderr: str, told: str, *, folder: Path | str = "vault.path") -> GitError | None:
    """The error for a command that could not write on this machine, into this folder; None if it does not say that."""
    if re.search(rf"remote: .*(?:No space|quota|{_READ_ONLY})", stderr):
        return None
    if _FULL.search(stderr):
        return GitError(f"The local disk is full: {told}", hint=f"Free some space where {folder} is.")
    if _READ_ONLY in stderr:
        hint = f"Make the disk of {folder} writable, or name another vault.path."
        return GitError(f"The local disk cannot be written: {told}", hint=hint)
    return None


def remote_failure(url: str, stderr: str, *, pushing: bool = False, folder: Path | str = "vault.path") -> NbvaultError:
    """The error for a failed command in a folder, from what git said (already without secrets).

    * `AuthenticationError`: the credentials are missing, wrong, expired, or without the right.
    * `ConfigurationError`: nothing at that address is a Git repository, or its certificate is not trusted.
    * `RemoteUnreachable`: no answer, a broken one, too many requests, or a server error; worth another try.
    * `PushRefused`: the server refuses the push as a whole.
    * `GitError`: anything else, a local disk that is full or cannot be written among it.
    """
    told = _last_words(stderr)
    if unwritten := disk_failure(stderr, told, folder=folder):
        return unwritten
    if _CERTIFICATE.search(stderr):
        hint = "Name your organisation's certificates in network.ca_file, or correct the address in vault.remote."
        return ConfigurationError(f"The certificate of {url} is not trusted: {told}", hint=hint)
    if lacking := _NEEDS_RIGHT.search(stderr):
        return AuthenticationError(
            f"{lacking[2]} may not push to {url}: it lacks the right '{_RIGHTS.get(lacking[1], lacking[1])}'.",
            hint=advice(stderr, ""),
        )
    if _AUTHENTICATION.search(stderr):
        hint = "Check vault.token: is it set, not expired, and may it read and write code there?"
        return AuthenticationError(f"The remote {url} refuses the credentials: {told}", hint=hint)
    if pushing and _TOO_LARGE.search(stderr):
        return PushRefused(f"The remote {url} refuses a push of this size: {told}", hint="Lower sync.push_every.")
    if _OUT_OF_ORDER.search(stderr):
        hint = "It was reached, and is out of order or busy: try again later."
        return RemoteUnreachable(f"The remote {url} answers with an error: {told}", hint=hint)
    if _UNREACHABLE.search(stderr):
        return RemoteUnreachable(f"The remote {url} does not answer: {told}", hint="Check the network and try again.")
    if _NOT_THERE.search(stderr):
        hint = "Check vault.remote; the repository must exist, and an expired token can look like this, too."
        return NoRepository(f"There is no Git repository at {url}: {told}", hint=hint)
    if pushing and _REFUSED.search(stderr):
        return PushRefused(f"The remote {url} refuses the push: {told}")
    return GitError(f"git failed with {url}: {told}")


def advice(reason: str, branch: str) -> str:
    """What an administrator can do about a push that was refused for this reason."""
    if "TF402455" in reason:
        return (
            f"A branch policy lets only pull requests change {branch}. An administrator must exempt the backup "
            f"identity: Project settings > Repositories > the repository > Security > branch {branch}: set "
            "'Bypass policies when pushing' to Allow."
        )
    if lacking := _NEEDS_RIGHT.search(reason):
        right = _RIGHTS.get(lacking[1], lacking[1])
        return f"Project settings > Repositories > the repository > Security: set '{right}' to Allow for this identity."
    return "Let the backup identity bypass the branch policy and contribute to this repository."


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return " | ".join(lines[-6:]) or "it said nothing"

"""Every error that nbvault raises on purpose, and the exit code each ends with.

.. code-block:: text

    NbvaultError                        1
    |-- ConfigurationError              7   wrong settings or usage, a root or remote that is not there
    |   `-- NoRepository                7   there is no Git repository at an address
    |-- AuthenticationError             6   the workspace or the remote refused the credentials
    |-- LockedError                     5   another session holds the lease
    |-- VerificationError               8   what was read back is not what was written
    |-- SessionInterrupted              9   SIGTERM, SIGINT, or the time limit of the run
    |-- VaultError                      1   the vault's content is not what it must be
    |-- StateError                      1   the state store
    |-- GitError                        1   git itself failed
    |   |-- RemoteUnreachable           1
    |   `-- PushRefused                 1   a policy, a hook or a missing right
    `-- WorkspaceError                  1   one answer of the workspace; see workspace/errors.py for the tree

A message says what failed, on which object, and what to do.
"""

from __future__ import annotations


class NbvaultError(Exception):
    """The root of all errors that nbvault raises on purpose.

    Args:
        message: What failed, and on which object.
        hint: What to do about it, as a sentence; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        message = self.message.rstrip()
        stop = "" if message.endswith((".", "!", "?", ":")) else "."
        return f"{message}{stop} {self.hint}" if self.hint else message


class ConfigurationError(NbvaultError):
    """The configuration, the command line, or something that they name is wrong."""

    exit_code = 7


class NoRepository(ConfigurationError):
    """There is no Git repository at an address, or none that we may see."""


class AuthenticationError(NbvaultError):
    """The workspace or the Git server refused the credentials."""

    exit_code = 6


class LockedError(NbvaultError):
    """Another session is writing to this vault."""

    exit_code = 5


class VerificationError(NbvaultError):
    """What was read back differs from what was written or promised."""

    exit_code = 8


class SessionInterrupted(NbvaultError):
    """The session was asked to stop (SIGTERM, SIGINT) or reached its time limit."""

    exit_code = 9


class VaultError(NbvaultError):
    """The vault's own records are missing, damaged, or of a newer format."""


class StateError(NbvaultError):
    """The state store could not be opened or written."""


class GitError(NbvaultError):
    """A git command failed."""


class RemoteUnreachable(GitError):
    """The remote did not answer, or broke off."""


class PushRefused(GitError):
    """The remote is reachable and refuses the push: a branch policy, a hook, or a missing right."""


class WorkspaceError(NbvaultError):
    """The workspace answered with an error, or not at all; `retryable` says whether it was worth trying again."""

    retryable = False

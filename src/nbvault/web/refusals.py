"""What the page refuses, with the HTTP status of each."""

from __future__ import annotations

from nbvault.errors import (
    AuthenticationError,
    ConfigurationError,
    GitError,
    LockedError,
    NbvaultError,
    PushRefused,
    SessionInterrupted,
    StateError,
    VaultError,
    WorkspaceError,
)

MOST_STARS = 6


class Refusal(NbvaultError):
    """A request that is not answered."""

    status = 400


class NotSignedIn(Refusal):
    """Nobody is signed in."""

    status = 401


class NotAllowed(Refusal):
    """This is not for this person, or the request is not one that our pages make."""

    status = 403


class NotThere(Refusal):
    """There is no such thing, or this person may not know of it."""

    status = 404


class TooFast(Refusal):
    """Too many requests; `wait_s` says when to come again."""

    status = 429

    def __init__(self, *, wait_s: float) -> None:
        super().__init__("Too many requests at once.", hint="Wait a moment and try again.")
        self.wait_s = wait_s


class CannotSay(Refusal):
    """The workspace does not answer, so it is not known what this person may see."""

    status = 503


def checked_place(place: str) -> str:
    """A place to search in. Patterns with very many stars would keep everybody waiting.

    Raises:
        ConfigurationError: it has too many.
    """
    if place.count("*") > MOST_STARS:
        raise ConfigurationError(f"A pattern may have {MOST_STARS} stars here at most.")
    return place.strip()


def no_notebook(path: str) -> NotThere:
    """The one answer for what does not exist and for what may not be seen."""
    return NotThere(
        f"There is no notebook or folder {path} in the vault that you may see.",
        hint="Check the spelling; if you should see it, ask whoever manages its folder in the workspace.",
    )


def status_of(error: NbvaultError) -> int:
    """The HTTP status that an error is answered with."""
    if isinstance(error, Refusal):
        return error.status
    statuses: tuple[tuple[type[NbvaultError], int], ...] = (
        (ConfigurationError, 400),
        (AuthenticationError, 502),
        (LockedError, 409),
        (WorkspaceError, 502),
        # Not this request: what it needs is out of reach, damaged, or being ended.
        (PushRefused, 502),
        (GitError, 503),
        (VaultError, 503),
        (StateError, 503),
        (SessionInterrupted, 503),
    )
    return next((status for kind, status in statuses if isinstance(error, kind)), 500)

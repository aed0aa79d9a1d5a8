"""Why a message could not be delivered."""

from __future__ import annotations

from nbvault.errors import NbvaultError


class DeliveryFailed(NbvaultError):
    """A message was not delivered.

    Args:
        retryable: Whether it may well be in a moment.
        after_s: How long the other side asked us to wait; 0 where it did not say.
        partly: Whether some of those who were to get it have it.
    """

    def __init__(
        self, message: str, *, hint: str = "", retryable: bool = False, after_s: float = 0.0, partly: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.after_s = after_s
        self.partly = partly

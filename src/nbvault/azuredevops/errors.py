"""What Azure DevOps answers when it does not do what was asked."""

from __future__ import annotations

import json

from nbvault.errors import NbvaultError


class AzureDevOpsError(NbvaultError):
    """An answer that is none; `status` is 0 where there was not even an answer, `key` the service's name for it."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0, key: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.key = key


class NotThere(AzureDevOpsError):
    """The project or repository does not exist, or is hidden from this identity."""

    exit_code = 7


def what_it_says(body: bytes) -> tuple[str, str]:
    """The service's own words and its name for the error; empty where the body is no error of it."""
    try:
        found = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("message") or ""), str(found.get("typeKey") or "")

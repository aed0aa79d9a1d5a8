"""An organisation of Azure DevOps: who may come in, what they may do, which policies guard a branch.

All of it is one JSON file beside the repositories, so that every worker, and every later start, knows the same.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
import secrets
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nbvault_emulator.signing import Signer

ORGANISATION, PROJECT = "ORG", "PROJECT"
AUDIENCE = "499b84ac-1321-427f-aa17-267ca6975798"
RIGHTS = {
    "Administer": 1,
    "GenericRead": 2,
    "GenericContribute": 4,
    "ForcePush": 8,
    "CreateBranch": 16,
    "CreateTag": 32,
    "PolicyExempt": 128,
    "CreateRepository": 256,
}
_NOT_BY_DEFAULT = frozenset({"Administer", "ForcePush", "PolicyExempt"})
# Policies that judge pull requests: as long as one of them blocks, nobody pushes to the branch.
PULL_REQUEST_POLICIES = {
    "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd": "Minimum number of reviewers",
    "0609b952-1397-4640-95ec-e00a01b2c241": "Build",
    "fd2167ab-b0be-447a-8ec8-39368250530e": "Required reviewers",
    "c6a1889d-b943-4856-b76f-9e46bb6b0df2": "Comment requirements",
    "40e92b44-2fe1-4dd6-b3d8-74a9c21d0c6e": "Work item linking",
    "fa4e907d-c16b-4a4c-9dfa-4916e5d171ab": "Require a merge strategy",
    "cbdc66da-9728-4af8-aada-9a5a32e4a226": "Status",
}
OTHER_POLICIES = {
    "2e26e725-8201-4edd-8bf5-978563c34a80": "File size restriction",
    "001a79cf-fda1-4c4e-9e7c-bac40ee5ead8": "Path Length restriction",
    "db2b9b4c-180d-4529-9701-01541d19f36b": "Reserved names restriction",
    "77ed4bd3-b063-4689-934a-175e4d0a78d7": "Commit author email validation",
    "7ed39669-655c-494e-b4a0-a08b4da0fcce": "Git repository settings",
}
_EMPTY: dict[str, Any] = {
    "rights": {},
    "policies": [],
    "pats": [],
    "push_protection": False,
    "first_pat": True,
    "service_principals": {},
    "workspace_tokens": [],
    "ahead_s": 0,
}


class Organisation:
    """The one organisation of an emulator, with one project.

    Args:
        first_pat: The token of the ready line; valid until it is revoked.
    """

    def __init__(self, directory: Path, *, first_pat: str, signer: Signer) -> None:
        self._file = directory / "azuredevops.json"
        self._first_pat = first_pat
        self._signer = signer

    def state(self) -> dict[str, Any]:
        """Everything that is not as it is at first."""
        try:
            return {**_EMPTY, **json.loads(self._file.read_text(encoding="utf-8"))}
        except FileNotFoundError:
            return json.loads(json.dumps(_EMPTY))  # type: ignore[no-any-return] # a copy that is nobody else's

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The state, to be changed by one at a time; kept when the block ends well."""
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.state()
            yield state
            draft = self._file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(state), encoding="utf-8")
            draft.replace(self._file)

    def sign(self, subject: str, *, audience: str, lifetime_s: float) -> str:
        """A token that expires."""
        ahead_s = self.state()["ahead_s"]
        return self._signer.make(subject, audience=audience, lifetime_s=lifetime_s, ahead_s=ahead_s)

    def subject(self, token: str, *, audience: str) -> str | None:
        """Whom such a token names, if it is ours, for that service, and has not expired."""
        return self._signer.subject(token, audience=audience, ahead_s=self.state()["ahead_s"])

    def caller(self, header: bytes) -> str | None:
        """Who sends this Authorization header; None for nobody we know."""
        scheme, _, value = header.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            # The service takes a personal token as Bearer, too.
            return self.subject(value, audience=AUDIENCE) or self._owner(value)
        if scheme.lower() != "basic":
            return None
        try:
            return self._owner(base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return None

    def _owner(self, token: str) -> str | None:
        state = self.state()
        known = [pat["token"] for pat in state["pats"] if is_active(pat)]
        known += [self._first_pat] if state["first_pat"] else []
        return "backup@clients.example" if token and token in known else None

    def may(self, right: str) -> bool:
        """Whether the caller has a right."""
        return bool(self.state()["rights"].get(right, right not in _NOT_BY_DEFAULT))

    def blocked_branches(self, repository: str) -> list[str]:
        """The branches (as patterns of a shell) that only pull requests may change, for who is not exempt."""
        if self.may("PolicyExempt"):
            return []
        found = []
        for policy in self.state()["policies"]:
            if not (policy["isEnabled"] and policy["isBlocking"]) or policy["type"]["id"] not in PULL_REQUEST_POLICIES:
                continue
            for scope in policy["settings"].get("scope", []):
                if scope.get("repositoryId") in (None, repository_id(repository)):
                    found.append(scope["refName"] + ("*" if scope.get("matchKind", "").lower() == "prefix" else ""))
        return found

    def new_pat(self, name: str, scope: str, valid_to: str) -> dict[str, Any]:
        """Make a token and remember it."""
        pat = {
            "displayName": name,
            "scope": scope,
            "validFrom": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
            "validTo": valid_to,
            "targetAccounts": [str(uuid.uuid5(uuid.NAMESPACE_URL, ORGANISATION))],
            "authorizationId": str(uuid.uuid4()),
            "token": secrets.token_hex(26),
        }
        with self.changing() as state:
            state["pats"].append(pat)
        return pat


def is_active(pat: dict[str, Any]) -> bool:
    """Whether a token is valid."""
    until = datetime.fromisoformat(pat["validTo"].rstrip("Z").partition(".")[0] + "+00:00")
    return not pat.get("revoked") and until > datetime.now(timezone.utc)


def repository_id(name: str) -> str:
    """The id of a repository: the same wherever and whenever it is asked."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ORGANISATION}/{PROJECT}/{name.lower()}"))


def project_id() -> str:
    """The id of the project."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ORGANISATION}/{PROJECT}"))

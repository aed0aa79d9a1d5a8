"""Git folders of the workspace, the Git credentials that they use, and who may use what: values in, values out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from nbvault.workspace.errors import BadAnswer, NotFound, as_json
from nbvault.workspace.transport import Request, Transport

_REPOS = "/api/2.0/repos"
_CREDENTIALS = "/api/2.0/git-credentials"
_PERMISSIONS = "/api/2.0/permissions"
PRINCIPALS = ("user_name", "group_name", "service_principal_name")


class GitFolder(NamedTuple):
    """A Git folder: its id and path, and of what it is a view; `patterns` is empty without sparse checkout."""

    folder_id: int
    path: str
    url: str
    branch: str
    head: str
    patterns: tuple[str, ...] = ()


class GitCredential(NamedTuple):
    """A Git credential of this identity; the workspace never gives the token back."""

    credential_id: int
    provider: str
    name: str


class Grant(NamedTuple):
    """What one principal may do with an object; `kind` is ``user_name``, ``group_name``, or the like."""

    kind: str
    principal: str
    level: str


class GitFolders:
    """The Repos, Git credentials and permissions APIs over a client's transport, with its retries and errors.

    A request that changes something may have been carried out although it ends as an error: where that says
    `maybe_done`, look before believing it.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def credentials(self) -> list[GitCredential]:
        """The Git credentials of this identity."""
        request = Request("other", "GET", _CREDENTIALS, "the Git credentials")
        return await self._transport.ask(request, _read_credentials)

    async def add_credential(self, *, provider: str, user: str, token: str, name: str) -> int:
        """Register a Git credential and return its id."""
        values = {"git_provider": provider, "git_username": user, "personal_access_token": token, "name": name}
        request = self._changing("POST", _CREDENTIALS, "the Git credential", values)
        return await self._transport.ask(request, lambda body: _number(_object(body), "credential_id"))

    async def remove_credential(self, credential_id: int) -> None:
        """Remove a Git credential; no error where it is gone."""
        await self._delete(f"{_CREDENTIALS}/{credential_id}", f"Git credential {credential_id}")

    async def create(
        self, path: str, *, url: str, provider: str, patterns: Sequence[str], credential: int
    ) -> GitFolder:
        """Make a Git folder; its parent must be there. Takes minutes for a large repository.

        Args:
            patterns: The folders of a sparse checkout in cone mode; none for everything.
            credential: The id of the Git credential to use.
        """
        values: dict[str, Any] = {"url": url, "provider": provider, "path": path, "git_credential_id": credential}
        if patterns:
            values["sparse_checkout"] = {"patterns": list(patterns)}
        return await self._transport.ask(self._changing("POST", _REPOS, path, values), _read_folder)

    async def get(self, folder_id: int) -> GitFolder:
        """A Git folder by its id, which is its object id."""
        request = Request("other", "GET", f"{_REPOS}/{folder_id}", f"Git folder {folder_id}")
        return await self._transport.ask(request, _read_folder)

    async def pull(self, folder_id: int, *, branch: str, credential: int) -> None:
        """Check a branch out as the remote has it now; refused over changes that are not committed."""
        values = {"branch": branch, "git_credential_id": credential}
        request = self._changing("PATCH", f"{_REPOS}/{folder_id}", f"Git folder {folder_id}", values)
        await self._transport.ask(request, bytes)

    async def remove(self, folder_id: int) -> None:
        """Remove a Git folder with all that is in it, committed or not; no error where it is gone."""
        await self._delete(f"{_REPOS}/{folder_id}", f"Git folder {folder_id}")

    async def grants(self, kind: str, object_id: int) -> tuple[Grant, ...]:
        """What is granted on an object itself, not what it inherits; ``kind`` is ``directories``, ``repos``, ..."""
        path = f"{_PERMISSIONS}/{kind}/{object_id}"
        request = Request("other", "GET", path, f"the permissions of {kind} {object_id}")
        return await self._transport.ask(request, _read_grants)

    async def grant(self, kind: str, object_id: int, grants: Sequence[Grant]) -> None:
        """Grant more on an object; what is granted already stays."""
        entries = [{each.kind: each.principal, "permission_level": each.level} for each in grants]
        path = f"{_PERMISSIONS}/{kind}/{object_id}"
        about = f"the permissions of {kind} {object_id}"
        await self._transport.ask(self._changing("PATCH", path, about, {"access_control_list": entries}), bytes)

    async def _delete(self, endpoint: str, about: str) -> None:
        try:
            await self._transport.ask(Request("other", "DELETE", endpoint, about), bytes)
        except NotFound:
            return

    @staticmethod
    def _changing(method: str, endpoint: str, about: str, values: dict[str, Any]) -> Request:
        return Request("other", method, endpoint, about, payload=json.dumps(values).encode("ascii"))


def _object(body: bytes) -> dict[str, Any]:
    data = as_json(body)
    if not isinstance(data, dict):
        raise BadAnswer("The answer about Git folders is no JSON object.", path="Git folders", status=200)
    return data


def _number(data: dict[str, Any], key: str) -> int:
    value = data.get(key)
    if type(value) is not int:
        raise BadAnswer(f"The answer about Git folders lacks {key}.", path="Git folders", status=200)
    return value


def _read_folder(body: bytes) -> GitFolder:
    data = _object(body)
    path, url, branch, head = (str(data.get(key) or "") for key in ("path", "url", "branch", "head_commit_id"))
    sparse = data.get("sparse_checkout")
    patterns = sparse.get("patterns") if isinstance(sparse, dict) else None
    return GitFolder(_number(data, "id"), path, url, branch, head, tuple(map(str, patterns or ())))


def _read_credentials(body: bytes) -> list[GitCredential]:
    entries = _object(body).get("credentials") or []
    return [
        GitCredential(_number(each, "credential_id"), str(each.get("git_provider") or ""), str(each.get("name") or ""))
        for each in entries
    ]


def _read_grants(body: bytes) -> tuple[Grant, ...]:
    found = []
    for entry in _object(body).get("access_control_list") or []:
        kind = next((key for key in PRINCIPALS if entry.get(key)), "")
        for each in entry.get("all_permissions") or []:
            if kind and not each.get("inherited"):
                found.append(Grant(kind, str(entry[kind]), str(each.get("permission_level"))))
    return tuple(found)

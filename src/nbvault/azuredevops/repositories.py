"""The repository that holds the vault: found, made where it is missing, and what Azure DevOps says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from nbvault.azuredevops.client import AzureDevOpsClient
from nbvault.azuredevops.errors import AzureDevOpsError, NotThere

API = "7.1"
ADVISED_BYTES = 10 * 1000**3
_TAKEN = "GitRepositoryNameAlreadyExistsException"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as the service knows it. `default_branch` is a full ref, empty while there is no branch."""

    repository_id: str
    name: str
    project_id: str
    remote_url: str
    default_branch: str = ""
    size_bytes: int = 0
    disabled: bool = False

    @property
    def is_too_large(self) -> bool:
        """Whether it is over the size that Microsoft advises."""
        return self.size_bytes > ADVISED_BYTES


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the service takes us for."""

    identity_id: str
    name: str
    account: str = ""

    def __str__(self) -> str:
        return self.account or self.name or self.identity_id


async def who_am_i(client: AzureDevOpsClient) -> Person:
    """Whom the service takes us for."""
    found = await client.get(f"{client.address.collection}/_apis/connectionData", api="7.1-preview.1")
    user = _object(found.get("authenticatedUser"))
    account = _object(_object(user.get("properties")).get("Account")).get("$value")
    name = str(user.get("providerDisplayName") or user.get("customDisplayName") or "")
    return Person(str(user.get("id") or ""), name, str(account or ""))


async def find_repository(client: AzureDevOpsClient) -> Repository | None:
    """The repository of the address; None where the project has none of that name, or hides it.

    Raises:
        NotThere: the project does not exist.
    """
    url = f"{client.address.project_url}/_apis/git/repositories/{quote(client.address.repository, safe='')}"
    try:
        return _repository(await client.get(url, api=API))
    except NotThere as error:
        if error.key == "GitRepositoryNotFoundException" or "TF401019" in error.message:
            return None
        raise


async def ensure_repository(client: AzureDevOpsClient, *, branch: str = "main") -> tuple[Repository, bool]:
    """The repository of the address, made where it is missing, with its default branch; and whether it was made.

    Somebody else may make it at the same moment: then theirs is used. The default branch of a repository that was there
    is left as it is.

    Raises:
        NotThere: the project does not exist, which nbvault does not make.
        AzureDevOpsError: this identity may not make repositories there; the message says which right is missing.
    """
    found = await find_repository(client)
    if found is not None:
        return found, False
    name, ref = client.address.repository, f"refs/heads/{branch}"
    base = f"{client.address.project_url}/_apis/git/repositories"
    try:
        made = _repository(await client.send("POST", base, {"name": name}, api=API))
    except AzureDevOpsError as error:
        there = await find_repository(client) if error.key == _TAKEN else None
        if there is None:
            raise
        return there, False
    if made.default_branch != ref:
        changed = await client.send("PATCH", f"{base}/{made.repository_id}", {"defaultBranch": ref}, api=API)
        made = _repository(changed)
    return made, True


def _repository(found: dict[str, Any]) -> Repository:
    project = _object(found.get("project"))
    size = found.get("size")
    return Repository(
        repository_id=str(found.get("id") or ""),
        name=str(found.get("name") or ""),
        project_id=str(project.get("id") or ""),
        remote_url=str(found.get("remoteUrl") or ""),
        default_branch=str(found.get("defaultBranch") or ""),
        size_bytes=size if isinstance(size, int) else 0,
        disabled=found.get("isDisabled") is True,
    )


def _object(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}

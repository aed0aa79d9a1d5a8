"""What would refuse a push: missing rights, branch policies, rules of the repository, push protection.

It is asked before the first sync, and again when a push was refused, so that people read a name and not a number.
What this identity may not look at is no obstacle, but is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nbvault.azuredevops.client import AzureDevOpsClient
from nbvault.azuredevops.errors import AzureDevOpsError
from nbvault.azuredevops.repositories import API, Repository
from nbvault.errors import AuthenticationError

GIT_NAMESPACE = "2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87"
BYPASS = "PolicyExempt"
RIGHTS = {"GenericRead": 2, "GenericContribute": 4, "CreateBranch": 16, "CreateTag": 32, BYPASS: 128}
_WORDS = {
    "GenericRead": "Read",
    "GenericContribute": "Contribute",
    "CreateBranch": "Create branch",
    "CreateTag": "Create tag",
}
# These judge every push by what is in it, not pull requests.
_PUSH_RULES = {
    "2e26e725-8201-4edd-8bf5-978563c34a80": "a limit on the size of files",
    "001a79cf-fda1-4c4e-9e7c-bac40ee5ead8": "a limit on the length of paths",
    "db2b9b4c-180d-4529-9701-01541d19f36b": "a rule against reserved names",
    "51c78909-e838-41a2-9496-c647091e3c61": "a rule on file names",
    "77ed4bd3-b063-4689-934a-175e4d0a78d7": "a rule on the authors' e-mail addresses",
    "7ed39669-655c-494e-b4a0-a08b4da0fcce": "a rule on upper and lower case",
}
_CASE_RULE = "7ed39669-655c-494e-b4a0-a08b4da0fcce"


class Weight(str, Enum):
    """Whether a push will be refused, may be, or could not be judged."""

    REFUSES = "refuses"
    MAY_REFUSE = "may refuse"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing in the way of a push, and what an administrator can do about it."""

    weight: Weight
    what: str
    hint: str = ""


async def find_obstacles(client: AzureDevOpsClient, repository: Repository, *, branch: str = "main") -> list[Obstacle]:
    """Everything that would or might refuse nbvault's pushes, the worst first.

    Raises:
        AuthenticationError: the credentials are not taken at all.
    """
    found: list[Obstacle] = []
    if repository.disabled:
        found.append(Obstacle(Weight.REFUSES, f"The repository {repository.name} is disabled.", "Enable it."))
    rights = await _unless_forbidden(_rights(client, repository, branch), "the rights", found)
    if rights is not None:
        found += _missing_rights(rights, repository)
    policies = await _unless_forbidden(_policies(client), "the policies", found)
    if policies is not None:
        bypasses = bool(rights and rights[BYPASS])
        found += _judge_policies(policies, repository, branch, bypasses=bypasses)
    if await _unless_forbidden(_blocks_secrets(client, repository), "push protection", found):
        found.append(
            Obstacle(
                Weight.MAY_REFUSE,
                f"Push protection of {repository.name} refuses pushes that contain secrets.",
                "Notebooks with secrets in them will be held back, and everything else saved.",
            )
        )
    return sorted(found, key=lambda obstacle: list(Weight).index(obstacle.weight))


async def protecting_policies(client: AzureDevOpsClient, repository: Repository, *, branch: str) -> list[str]:
    """The names of the policies that let only pull requests change a branch."""
    policies = await _policies(client)
    return list(dict.fromkeys(_name(policy) for policy in _on_branch(policies, repository, branch)))


async def _unless_forbidden(asking: Any, what: str, found: list[Obstacle]) -> Any:
    try:
        return await asking
    except AuthenticationError:
        # Signing in has worked before: this identity, or this kind of token, may not ask that.
        found.append(Obstacle(Weight.UNKNOWN, f"This identity may not look at {what} of the repository."))
    except AzureDevOpsError as error:
        if error.status not in {0, 400, 403, 404, 405, 501}:
            raise
        found.append(Obstacle(Weight.UNKNOWN, f"It could not be seen what {what} say: {error.message.rstrip('.')}."))
    return None


async def _rights(client: AzureDevOpsClient, repository: Repository, branch: str) -> dict[str, bool]:
    token = f"repoV2/{repository.project_id}/{repository.repository_id}"
    found = {}
    for name, bit in RIGHTS.items():
        about = f"{token}/refs/heads/{_encoded(branch)}" if name == BYPASS else token
        url = f"{client.address.collection}/_apis/permissions/{GIT_NAMESPACE}/{bit}"
        answer = await client.get(url, api=API, tokens=about)
        found[name] = answer.get("value") in ([True], True)
    return found


def _encoded(branch: str) -> str:
    """A branch as Azure DevOps writes it in its security tokens: each part in hexadecimal UTF-16."""
    return "/".join(part.encode("utf-16-le").hex() for part in branch.split("/"))


def _missing_rights(rights: Mapping[str, bool], repository: Repository) -> Iterator[Obstacle]:
    for name, words in _WORDS.items():
        if not rights[name]:
            yield Obstacle(
                Weight.REFUSES,
                f"The backup identity lacks the right '{words}' on {repository.name} (Git '{name}').",
                f"Project settings > Repositories > {repository.name} > Security: set '{words}' to Allow.",
            )


async def _policies(client: AzureDevOpsClient) -> list[dict[str, Any]]:
    answer = await client.get(f"{client.address.project_url}/_apis/policy/configurations", api=API)
    value = answer.get("value")
    found = value if isinstance(value, list) else []
    return [
        policy
        for policy in found
        if isinstance(policy, dict) and policy.get("isEnabled") is True and policy.get("isDeleted") is not True
    ]


def _judge_policies(
    policies: Sequence[dict[str, Any]], repository: Repository, branch: str, *, bypasses: bool
) -> Iterator[Obstacle]:
    names = list(dict.fromkeys(_name(policy) for policy in _on_branch(policies, repository, branch)))
    if names and not bypasses:
        yield Obstacle(
            Weight.REFUSES,
            f"Branch policies let only pull requests change {branch}: {', '.join(names)}.",
            f"Project settings > Repositories > {repository.name} > Security > branch {branch}: set "
            "'Bypass policies when pushing' to Allow for the backup identity.",
        )
    for policy in policies:
        rule = _PUSH_RULES.get(_type(policy))
        if rule and any(_is_about(scope, repository) for scope in _scopes(policy)) and _refuses(policy):
            yield Obstacle(
                Weight.MAY_REFUSE,
                f"The repository has {rule} ({_name(policy)}): a push with one such file or commit is refused.",
                f"Project settings > Repositories > {repository.name} > Policies: exempt the vault from it.",
            )


def _refuses(policy: Mapping[str, Any]) -> bool:
    settings = policy.get("settings")
    if _type(policy) == _CASE_RULE:
        return isinstance(settings, dict) and settings.get("enforceConsistentCase") is True
    return policy.get("isBlocking") is True


def _on_branch(policies: Sequence[dict[str, Any]], repository: Repository, branch: str) -> Iterator[dict[str, Any]]:
    for policy in policies:
        if policy.get("isBlocking") is not True or _type(policy) in _PUSH_RULES:
            continue
        if any(_is_about(scope, repository) and _covers(scope, repository, branch) for scope in _scopes(policy)):
            yield policy


def _scopes(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    settings = policy.get("settings")
    scopes = settings.get("scope") if isinstance(settings, dict) else None
    return [scope for scope in scopes if isinstance(scope, dict)] if isinstance(scopes, list) else []


def _is_about(scope: Mapping[str, Any], repository: Repository) -> bool:
    return scope.get("repositoryId") in (None, "", repository.repository_id)


def _covers(scope: Mapping[str, Any], repository: Repository, branch: str) -> bool:
    ref, kind, named = (
        f"refs/heads/{branch}",
        str(scope.get("matchKind") or "").lower(),
        str(scope.get("refName") or ""),
    )
    if kind == "defaultbranch":
        return ref == (repository.default_branch or "refs/heads/main")
    if kind == "prefix":
        return ref == named or ref.startswith(named.rstrip("/") + "/")
    return ref == named


def _type(policy: Mapping[str, Any]) -> str:
    kind = policy.get("type")
    return str(kind.get("id") or "").lower() if isinstance(kind, dict) else ""


def _name(policy: Mapping[str, Any]) -> str:
    kind = policy.get("type")
    name = str(kind.get("displayName") or "") if isinstance(kind, dict) else ""
    return re.sub(r"\s+", " ", name).strip() or f"policy {policy.get('id')}"


async def _blocks_secrets(client: AzureDevOpsClient, repository: Repository) -> bool:
    base = client.address.project_url.replace(client.address.collection, client.address.on("advsec"), 1)
    url = f"{base}/_apis/management/repositories/{repository.repository_id}/enablement"
    answer = await client.get(url, api="7.2-preview.1", includeAllProperties="true")
    return answer.get("advSecEnabled") is True and answer.get("blockPushes") is True

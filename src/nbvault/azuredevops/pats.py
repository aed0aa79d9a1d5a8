"""Personal access tokens by the API of their lifecycle, which takes only tokens of Entra, and only of a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbvault.azuredevops.client import AzureDevOpsClient
from nbvault.azuredevops.errors import AzureDevOpsError
from nbvault.clock import iso, parse_iso

API = "7.1-preview.1"
# Far more pages than anyone has tokens: a service that always says "more" does not keep us.
MOST_PAGES = 100


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """One token. `secret` is there only when it has just been made, and is not printed."""

    authorization_id: str
    name: str
    scope: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    secret: str = field(default="", repr=False)


def _url(client: AzureDevOpsClient) -> str:
    return f"{client.address.on('vssps')}/_apis/tokens/pats"


async def list_tokens(client: AzureDevOpsClient) -> list[PersonalToken]:
    """The tokens of this identity that are valid, all pages."""
    found: list[PersonalToken] = []
    more: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        answer = await client.get(_url(client), api=API, displayFilterOption="active", **more)
        page = answer.get("patTokens")
        found += [_token(item) for item in page if isinstance(item, dict)] if isinstance(page, list) else []
        mark = answer.get("continuationToken")
        if not mark:
            break
        more = {"continuationToken": str(mark)}
    return found


async def create_token(client: AzureDevOpsClient, *, name: str, scope: str, valid_to: datetime) -> PersonalToken:
    """A new token, with its secret.

    Raises:
        AzureDevOpsError: a policy of the organisation, or this identity, forbids it; in the service's own word.
    """
    body = {"displayName": name, "scope": scope, "validTo": iso(valid_to), "allOrgs": False}
    answer = await client.send("POST", _url(client), body, api=API)
    wrong, made = str(answer.get("patTokenError") or "none"), answer.get("patToken")
    if wrong != "none" or not isinstance(made, dict) or not made.get("token"):
        raise AzureDevOpsError(
            f"Azure DevOps makes no token: {wrong}.",
            hint="The organisation's policies may forbid tokens, or so long ones.",
        )
    return _token(made)


async def revoke_token(client: AzureDevOpsClient, authorization_id: str) -> None:
    """End a token for good."""
    await client.send("DELETE", _url(client), api=API, authorizationId=authorization_id)


def _token(found: dict[str, Any]) -> PersonalToken:
    return PersonalToken(
        authorization_id=str(found.get("authorizationId") or ""),
        name=str(found.get("displayName") or ""),
        scope=str(found.get("scope") or ""),
        valid_from=_moment(found.get("validFrom")),
        valid_to=_moment(found.get("validTo")),
        secret=str(found.get("token") or ""),
    )


def _moment(value: object) -> datetime | None:
    """A time of the service, which writes seven digits of a second."""
    if not isinstance(value, str):
        return None
    head, dot, fraction = value.rstrip("Z").partition(".")
    try:
        return parse_iso(head + (f".{fraction[:6].ljust(6, '0')}" if dot else ""))
    except ValueError:
        return None

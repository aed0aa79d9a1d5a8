"""Personal access tokens of the workspace: those that this identity has, new ones, and their end."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from nbvault.clock import Clock
from nbvault.workspace.errors import BadAnswer, as_json
from nbvault.workspace.transport import Authenticator, ClientOptions, Request, Transport

_API = "/api/2.0/token/"


@dataclass(frozen=True, slots=True)
class WorkspaceToken:
    """One token. `secret` is there only when it has just been made, and is not printed."""

    token_id: str
    comment: str
    created: datetime | None = None
    expires: datetime | None = None
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FixedToken:
    """Signs in with one token and no other: to see that it is taken."""

    host: str
    token: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """The headers for one attempt."""
        return {"Authorization": f"Bearer {self.token}"}

    def renew(self) -> dict[str, str]:
        """The same: there is no other."""
        return self.headers()

    def accepted(self, identity: str = "") -> None:
        """That is what was to be seen."""


class WorkspaceTokens:
    """The tokens of one identity; an async context manager. Raises as `WorkspaceClient` does."""

    def __init__(self, auth: Authenticator, *, options: ClientOptions, clock: Clock) -> None:
        self._transport = Transport(auth, options=options, clock=clock, random=random.random)

    async def __aenter__(self) -> WorkspaceTokens:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def list(self) -> list[WorkspaceToken]:
        """Every token of this identity."""
        found = await self._transport.ask(Request("other", "GET", _API + "list", "the tokens"), _object)
        items = found.get("token_infos")
        return [_token(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    async def create(self, *, comment: str, lifetime_s: int) -> WorkspaceToken:
        """A new token, with its secret."""
        found = await self._post("create", {"comment": comment, "lifetime_seconds": lifetime_s})
        info, secret = found.get("token_info"), found.get("token_value")
        if not isinstance(info, dict) or not isinstance(secret, str) or not secret:
            raise BadAnswer("The workspace made a token and does not say which.", path="the tokens", status=200)
        return _token(info, secret)

    async def delete(self, token_id: str) -> None:
        """End a token for good."""
        await self._post("delete", {"token_id": token_id})

    async def _post(self, verb: str, values: Mapping[str, Any]) -> dict[str, Any]:
        payload = json.dumps(values).encode()
        return await self._transport.ask(Request("other", "POST", _API + verb, "the tokens", payload=payload), _object)


def _object(body: bytes) -> dict[str, Any]:
    found = as_json(body) if body.strip() else {}
    return found if isinstance(found, dict) else {}


def _token(found: Mapping[str, Any], secret: str = "") -> WorkspaceToken:
    return WorkspaceToken(
        token_id=str(found.get("token_id") or ""),
        comment=str(found.get("comment") or ""),
        created=_moment(found.get("creation_time")),
        expires=_moment(found.get("expiry_time")),
        secret=secret,
    )


def _moment(value: object) -> datetime | None:
    """Milliseconds; -1 is a token without an end."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return None
    return datetime.fromtimestamp(value / 1000, timezone.utc)

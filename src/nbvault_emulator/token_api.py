"""The workspace's personal access tokens: made, listed and ended by their owner."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from nbvault_emulator.answers import error, json_response
from nbvault_emulator.http import Request, Response
from nbvault_emulator.organisation import Organisation

TOKEN_PATH = "/api/2.0/token/"  # noqa: S105 - a path


class TokenApi:
    """Answers below `TOKEN_PATH`; the tokens are kept where the organisation's are."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation

    def holder(self, header: bytes) -> str | None:
        """Whose token an Authorization header has, if it is one of these and has not expired.

        Empty for a token that the first caller made for itself.
        """
        scheme, _, token = header.decode("latin-1").partition(" ")
        known = self._organisation.state()["workspace_tokens"] if scheme == "Bearer" and token else []
        now_ms = time.time() * 1000
        return next((e.get("user", "") for e in known if e["token"] == token and e["expiry_time"] > now_ms), None)

    def make(self, user_name: str = "", *, comment: str = "", lifetime_s: int = 7_776_000) -> dict[str, Any]:
        """A new token; of a person, if one is named."""
        now = time.time_ns() // 1_000_000
        made = {
            "token_id": secrets.token_hex(32),
            "creation_time": now,
            "expiry_time": now + 1000 * lifetime_s,
            "comment": comment,
            "token": "dapi" + secrets.token_hex(16),
        } | ({"user": user_name} if user_name else {})
        with self._organisation.changing() as state:
            state["workspace_tokens"].append(made)
        return made

    def answer(self, request: Request) -> Response:
        """The answer to a request whose caller is known."""
        verb = request.path[len(TOKEN_PATH) :]
        if request.method == "GET" and verb == "list":
            shown = [_shown(each) for each in self._organisation.state()["workspace_tokens"]]
            return json_response({"token_infos": shown} if shown else {})
        try:
            asked = json.loads(request.body or b"{}")
        except ValueError:
            return error(400, "MALFORMED_REQUEST", "Could not parse request object")
        if request.method == "POST" and verb == "create":
            return self._create(asked)
        if request.method == "POST" and verb == "delete":
            return self._delete(str(asked.get("token_id")))
        return error(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")

    def _create(self, asked: dict[str, Any]) -> Response:
        lifetime_s = int(asked.get("lifetime_seconds", 7_776_000))
        made = self.make(comment=str(asked.get("comment", "")), lifetime_s=lifetime_s)
        return json_response({"token_value": made["token"], "token_info": _shown(made)})

    def _delete(self, token_id: str) -> Response:
        with self._organisation.changing() as state:
            kept = [each for each in state["workspace_tokens"] if each["token_id"] != token_id]
            gone = len(kept) < len(state["workspace_tokens"])
            state["workspace_tokens"] = kept
        if gone:
            return json_response({})
        return error(404, "RESOURCE_DOES_NOT_EXIST", f"Token with tokenId={token_id} does not exist")


def _shown(token: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in token.items() if name != "token"}

"""OAuth of the workspace: a service principal's secret is taken for a token that lives a while (M2M)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs, unquote_plus

from nbvault_emulator.answers import json_response
from nbvault_emulator.gate import Answer, Gate
from nbvault_emulator.http import Request, Response
from nbvault_emulator.organisation import Organisation

OIDC_PATH = "/oidc"
AUDIENCE = "workspace"


class OAuthServer:
    """Answers below `OIDC_PATH`. The service principals are those that the admin API has named."""

    def __init__(self, organisation: Organisation, gate: Gate, *, url: str) -> None:
        self._organisation = organisation
        self._gate = gate
        self._url = url + OIDC_PATH

    def answer(self, request: Request) -> Answer:
        """The answer to a request below `OIDC_PATH`."""
        return self._gate.pass_through("oauth", request.path, lambda _fired: self._answered(request))

    def holds(self, header: bytes) -> bool:
        """Whether an Authorization header has a token of ours that has not expired."""
        scheme, _, token = header.decode("latin-1").partition(" ")
        return scheme == "Bearer" and self._organisation.subject(token, audience=AUDIENCE) is not None

    def _answered(self, request: Request) -> Response:
        rest = request.path[len(OIDC_PATH) :]
        if request.method == "GET" and rest == "/.well-known/oauth-authorization-server":
            ends = {"authorization_endpoint": f"{self._url}/v1/authorize", "token_endpoint": f"{self._url}/v1/token"}
            return json_response({"issuer": self._url, **ends})
        if request.method == "POST" and rest == "/v1/token":
            return self._token(request)
        return json_response({"error": "not_found"}, 404)

    def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        client, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
        known = self._organisation.state()["service_principals"].get(client)
        if known is None or known["secret"] != secret:
            told = {"error": "invalid_client", "error_description": "Client authentication failed"}
            return json_response(told, 401)
        lifetime_s = known.get("lifetime_s", 3600)
        token = self._organisation.sign(client, audience=AUDIENCE, lifetime_s=lifetime_s)
        return json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s, "scope": "all-apis"}
        )


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.header(b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote_plus(client), unquote_plus(secret)

"""Signing in at an identity provider: a small one, with real keys, on a real socket."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from nbvault_emulator.testing import Emulator
from web.places import BOB, Desk, Page, serving

CLIENT, SECRET = "nbvault-web", "provider-secret"


@dataclass
class Provider:
    """Signs everybody in as one person, and hands on the token of the workspace that it was given."""

    token: str
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    forged: RSAKey | None = None
    url: str = ""
    asked: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": self.url + "/authorize",
            "token_endpoint": self.url + "/token",
            "jwks_uri": self.url + "/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def tokens(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """What a code is good for; only with the verifier of the challenge that it was given out for."""
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form.get("code") != "good" or challenge != self.asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "1",
            "exp": now + 600,
            "iat": now,
            "nonce": self.asked["nonce"],
        }
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.forged or self.key)
        return 200, {"access_token": self.token, "token_type": "Bearer", "expires_in": 3600, "id_token": signed}


@pytest.fixture
def provider(emulator: Emulator) -> Iterator[Provider]:
    made = Provider(emulator.user_token(BOB))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/.well-known"):
                self.say(200, made.metadata())
            else:
                self.say(200, {"keys": [made.key.as_dict(private=False)]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
            if self.headers.get("authorization") != f"Basic {basic}":
                self.say(401, {"error": "invalid_client"})
            else:
                self.say(*made.tokens({name: values[0] for name, values in parse_qs(body).items()}))

        def say(self, status: int, value: Any) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def oidc(desk: Desk, provider: Provider) -> Iterator[Page]:
    variables = {
        "NBVAULT_WEB__SIGN_IN": "oidc",
        "NBVAULT_WEB__ADDRESS": "http://127.0.0.1:1",
        "NBVAULT_WEB__OIDC_ISSUER": provider.url,
        "NBVAULT_WEB__OIDC_CLIENT_ID": CLIENT,
        "NBVAULT_WEB__OIDC_CLIENT_SECRET": "env:OIDC_SECRET",
        "OIDC_SECRET": SECRET,
    }
    with serving(desk, **variables) as page:
        yield page


def come_back(page: Page, provider: Provider, code: str = "good", **more: str) -> tuple[httpx.Client, httpx.Response]:
    """A browser that was sent to the provider and comes back with a code."""
    client = page.client().client
    sent = client.get("/sign-in", params={"next": more.get("next", "/sessions")})
    assert sent.status_code == 302, sent.text
    provider.asked = {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["location"]).query).items()}
    state = more.get("state", provider.asked["state"])
    return client, client.get("/sign-in/back", params={"code": code, "state": state})


def test_in_and_out(oidc: Page, provider: Provider) -> None:
    """Sent to the provider with a challenge, back with a code: in, as whom the workspace says; and out again."""
    client, back = come_back(oidc, provider)
    assert (back.status_code, back.headers["location"]) == (303, "/sessions")
    assert provider.asked["code_challenge_method"] == "S256"
    cookies = ";".join(back.headers.get_list("set-cookie"))
    assert "HttpOnly" in cookies
    assert provider.token not in cookies
    told = client.get("/api/me").json()
    assert told["name"] == BOB
    assert client.post("/sign-out", data={"csrf": told["csrf"]}).status_code == 303
    assert client.get("/api/me").status_code == 401


def test_what_does_not_fit_is_refused(oidc: Page, provider: Provider) -> None:
    """Another code, another browser's state, a signature of somebody else: nobody comes in."""
    assert come_back(oidc, provider, code="bad")[1].status_code == 401
    assert come_back(oidc, provider, state="x" * 30)[1].status_code == 401
    provider.forged = RSAKey.generate_key(2048, {"kid": "one"})
    client, back = come_back(oidc, provider)
    assert back.status_code == 401
    assert client.get("/api/me").status_code == 401


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_elsewhere_afterwards(oidc: Page, provider: Provider, elsewhere: str) -> None:
    """The page to go to afterwards is one of ours."""
    assert come_back(oidc, provider, next=elsewhere)[1].headers["location"] == "/"


def test_a_token_that_the_workspace_refuses_opens_nothing(oidc: Page, provider: Provider) -> None:
    """What the provider says does not count if the workspace does not know the token."""
    provider.token = "dapi-of-another-workspace"
    assert come_back(oidc, provider)[1].status_code == 401

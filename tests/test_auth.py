"""Credentials: from the settings, from databricks-sdk, and what is said where there are none."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nbvault.auth import AuthenticationManager
from nbvault.errors import AuthenticationError, ConfigurationError
from nbvault.settings import load_settings

REMOTE = {"NBVAULT_VAULT__REMOTE": "/r.git"}


def manager(tmp_path: Path, environment: dict[str, str]) -> AuthenticationManager:
    environment |= REMOTE
    return AuthenticationManager(load_settings(environment=environment, cwd=tmp_path))


class _OAuth(BaseHTTPRequestHandler):
    """A workspace that says where its tokens come from, and gives a new one at each request."""

    given = 0

    def do_GET(self) -> None:
        base = f"http://{self.headers['Host']}"
        if self.path.endswith("databricks-config"):
            return self._answer(f'{{"oidc_endpoint":"{base}/oidc","workspace_id":"1"}}')
        return self._answer(f'{{"token_endpoint":"{base}/token","authorization_endpoint":"{base}/a"}}')

    def do_POST(self) -> None:
        type(self).given += 1
        return self._answer(f'{{"access_token":"t{self.given}","token_type":"Bearer","expires_in":3600}}')

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_said: object) -> None:
        return


@pytest.fixture
def oauth() -> Iterator[str]:
    _OAuth.given = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OAuth)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The process's environment without anything that databricks-sdk could find; it reads no other."""
    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "ARM_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch


def test_a_token_of_the_settings_is_used_as_it_is_now(tmp_path: Path) -> None:
    """Host and token are all that is needed; a rotated token is in the next headers."""
    environment = {"NBVAULT_WORKSPACE__HOST": "https://a.b", "NBVAULT_WORKSPACE__TOKEN": "env:T", "T": "one"}
    auth = manager(tmp_path, environment)
    assert (auth.host, auth.headers()) == ("https://a.b", {"Authorization": "Bearer one"})
    environment["T"] = "two"
    assert auth.headers() == auth.renew() == {"Authorization": "Bearer two"}


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """The hint says what to set."""
    auth = manager(tmp_path, {"NBVAULT_WORKSPACE__HOST": "https://a.b", "NBVAULT_WORKSPACE__TOKEN": "env:MY_TOKEN"})
    with pytest.raises(AuthenticationError) as caught:
        auth.headers()
    assert "MY_TOKEN" in caught.value.hint


def test_without_a_token_databricks_sdk_finds_one(tmp_path: Path, bare: pytest.MonkeyPatch, oauth: str) -> None:
    """OAuth of a service principal: one token for many headers, a new one after it was refused."""
    bare.setenv("DATABRICKS_HOST", oauth)
    bare.setenv("DATABRICKS_CLIENT_ID", "id")
    bare.setenv("DATABRICKS_CLIENT_SECRET", "s3cr3t")
    auth = manager(tmp_path, {})
    assert [auth.headers() for _ in range(3)] == [{"Authorization": "Bearer t1"}] * 3
    assert auth.host == oauth
    assert auth.renew() == {"Authorization": "Bearer t2"}
    assert _OAuth.given == 2


def test_a_token_with_a_line_break_is_refused(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    """Also where databricks-sdk finds it, since no header can hold it; and it is not quoted."""
    bare.setenv("DATABRICKS_TOKEN", "geheim\r\nX: 1")
    environment = {"NBVAULT_WORKSPACE__HOST": "http://127.0.0.1:1"}
    with pytest.raises(AuthenticationError, match="has a line break") as caught:
        manager(tmp_path, environment).headers()
    assert "geheim" not in str(caught.value)


def test_a_token_without_a_host_takes_the_host_of_the_environment(
    tmp_path: Path, bare: pytest.MonkeyPatch, oauth: str
) -> None:
    """Each half may come from its own place."""
    bare.setenv("DATABRICKS_HOST", oauth + "/")
    auth = manager(tmp_path, {"NBVAULT_WORKSPACE__TOKEN": "env:T", "T": "one"})
    assert (auth.headers(), auth.host) == ({"Authorization": "Bearer one"}, oauth)


@pytest.mark.parametrize("token", [{}, {"NBVAULT_WORKSPACE__TOKEN": "env:T", "T": "one"}])
def test_no_host_is_a_matter_of_configuration(tmp_path: Path, bare: pytest.MonkeyPatch, token: dict[str, str]) -> None:
    """With or without a token, it is said what to set."""
    with pytest.raises(ConfigurationError, match="DATABRICKS_HOST"):
        manager(tmp_path, dict(token)).headers()


def test_plain_http_to_another_machine_is_refused_whoever_names_it(
    tmp_path: Path, bare: pytest.MonkeyPatch, oauth: str
) -> None:
    """The rule holds for the host that databricks-sdk found as well."""
    bare.setenv("DATABRICKS_HOST", oauth.replace("127.0.0.1", "0.0.0.0"))  # noqa: S104 - reaches this machine, is no loopback name
    bare.setenv("DATABRICKS_TOKEN", "one")
    with pytest.raises(ConfigurationError, match="https://"):
        manager(tmp_path, {}).headers()


def test_no_credentials_at_all_says_what_would_do(tmp_path: Path, bare: pytest.MonkeyPatch, oauth: str) -> None:
    """Names the setting and the variables, and shows none of their values."""
    bare.setenv("DATABRICKS_HOST", oauth)
    with pytest.raises(AuthenticationError) as caught:
        manager(tmp_path, {}).headers()
    assert "workspace.token" in caught.value.hint
    assert "DATABRICKS_CLIENT_ID" in caught.value.hint


def test_the_git_token_is_its_own_and_optional(tmp_path: Path) -> None:
    """A local remote needs none."""
    assert manager(tmp_path, {}).git_token() is None
    assert manager(tmp_path, {"NBVAULT_VAULT__TOKEN": "env:PAT", "PAT": "p"}).git_token() == "p"
    with pytest.raises(AuthenticationError, match="PAT"):
        manager(tmp_path, {"NBVAULT_VAULT__TOKEN": "env:PAT"}).git_token()

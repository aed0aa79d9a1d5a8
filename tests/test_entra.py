"""Microsoft Entra and the places of secrets: every method, renewal in mid-run, refusals, and no secret told."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from entra_places import CLIENT, SECRET, TENANT, Entra, azure_settings, local_entra, make_certificate
from nbvault.auth import AuthenticationManager
from nbvault.errors import AuthenticationError, ConfigurationError
from nbvault.settings import Settings, load_settings
from nbvault_emulator.testing import Emulator
from workspace_places import FakeClock


@pytest.fixture
def entra(tmp_path: Path) -> Iterator[Entra]:
    with local_entra(tmp_path) as made:
        yield made


def settings(tmp_path: Path, entra: Entra, *, environment: dict[str, str] | None = None, **more: str) -> Settings:
    """Settings of a vault that is opened by Entra; keys are named ``section.key`` with a double underscore."""
    values = {
        "vault.remote": "https://dev.azure.com/o/p/_git/r",
        "vault.auth": "entra",
        **azure_settings(entra),
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    variables = {f"NBVAULT_{name.replace('.', '__').upper()}": value for name, value in values.items()}
    given = {"SECRET": SECRET, "SSL_CERT_FILE": str(entra.certificate), **(environment or {}), **variables}
    return load_settings(environment=given, cwd=tmp_path)


def test_a_service_principal_signs_in_by_its_secret(tmp_path: Path, entra: Entra) -> None:
    """For Azure DevOps and nothing else; one token for many commands."""
    auth = AuthenticationManager(settings(tmp_path, entra, azure__client_secret="env:SECRET"))
    assert len({auth.git_token() for _ in range(3)}) == 1
    assert [asked["scope"] for asked in entra.asked] == ["499b84ac-1321-427f-aa17-267ca6975798/.default"]
    assert auth.azure_devops_headers() == {"Authorization": f"Bearer {auth.git_token()}"}


def test_by_its_certificate(tmp_path: Path, entra: Entra) -> None:
    """The certificate's key signs; no secret is sent."""
    make_certificate(tmp_path / "principal.pem")
    auth = AuthenticationManager(settings(tmp_path, entra, azure__certificate_path="principal.pem"))
    assert auth.git_token()
    assert (len(entra.asked), "client_assertion" in entra.asked[0], "client_secret" in entra.asked[0]) == (
        1,
        True,
        False,
    )


def test_by_a_workload_identity(tmp_path: Path, entra: Entra) -> None:
    """The token of a pod or a pipeline is exchanged for ours."""
    (tmp_path / "federated").write_text("token-of-the-cluster")
    auth = AuthenticationManager(settings(tmp_path, entra, azure__token_file_path="federated"))
    assert auth.git_token()
    assert entra.asked[0]["client_assertion"] == "token-of-the-cluster"


class _Metadata(BaseHTTPRequestHandler):
    """The place where an App Service or a container app gives tokens of its managed identity."""

    def do_GET(self) -> None:
        ok = self.headers.get("X-IDENTITY-HEADER") == "proof"
        value = {"access_token": "of-the-machine", "expires_on": str(int(time.time()) + 3600), "resource": "r"}
        data = json.dumps(value if ok else {}).encode()
        self.send_response(200 if ok else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_said: object) -> None:
        return


def test_by_a_managed_identity(tmp_path: Path, entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Azure gives to the machine we run on; azure-identity reads the process's own environment."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "proof")
    try:
        auth = AuthenticationManager(settings(tmp_path, entra, azure__credential="managed_identity"))
        assert auth.git_token() == "of-the-machine"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_by_the_azure_cli(tmp_path: Path, entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has signed in with `az login`; the program is started once, not for every git command."""
    script, calls = tmp_path / "az", tmp_path / "calls"
    token = {"accessToken": "of-the-cli", "expires_on": int(time.time()) + 3600, "expiresOn": "2099-01-01 00:00:00.0"}
    script.write_text(f"#!/bin/sh\necho call >> {calls}\ncat <<'END'\n{json.dumps(token)}\nEND\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    auth = AuthenticationManager(settings(tmp_path, entra, azure__credential="cli"))
    assert [auth.git_token() for _ in range(3)] == ["of-the-cli"] * 3
    assert calls.read_text() == "call\n"


def test_a_token_is_renewed_before_it_expires(tmp_path: Path, entra: Entra) -> None:
    """Not earlier than five minutes before its end, and not later; a short one after half of its life."""
    clock = FakeClock()
    auth = AuthenticationManager(settings(tmp_path, entra, azure__client_secret="env:SECRET"), clock=clock)
    first = auth.git_token()
    clock.wait(3600 - 302)
    assert auth.git_token() == first
    entra.lifetime_s = 100
    clock.wait(4)
    auth.entra.forget()
    second = auth.git_token()
    clock.wait(45)
    assert second == auth.git_token() != first
    clock.wait(10)
    auth.git_token()
    assert len(entra.asked) == 3


def test_a_refusal_is_one_sentence_without_the_secret(tmp_path: Path, entra: Entra) -> None:
    """What Entra said, without its trace ids; remembered for the audit trail."""
    auth = AuthenticationManager(
        settings(tmp_path, entra, azure__client_secret="env:WRONG", environment={"WRONG": "w" * 30})
    )
    with pytest.raises(AuthenticationError, match="AADSTS7000215") as caught:
        auth.git_token()
    assert "Trace ID" not in str(caught.value)
    assert "w" * 30 not in str(caught.value)
    event = auth.witness.take()[-1]
    assert (event.system, event.action, event.result) == ("git", "authenticate", "refused")


def test_what_a_credential_needs_is_named(tmp_path: Path, entra: Entra) -> None:
    """Before anybody is asked."""
    auth = AuthenticationManager(settings(tmp_path, entra, azure__credential="certificate", azure__tenant_id=""))
    with pytest.raises(ConfigurationError, match=r"azure\.tenant_id and azure\.certificate_path"):
        auth.git_token()
    assert entra.asked == []


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """azure-identity is not needed by who does not use it."""
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    auth = AuthenticationManager(settings(tmp_path, entra, azure__client_secret="env:SECRET"))
    with pytest.raises(ConfigurationError, match=r"nbvault\[azure\]"):
        auth.git_token()


# --- where secrets are -----------------------------------------------------------------------------------------------


def test_a_secret_in_a_key_vault(tmp_path: Path, entra: Entra) -> None:
    """Asked for once; again when the token was refused; written; a missing one is named."""
    entra.secrets["pat"] = "one"
    read = settings(
        tmp_path, entra, azure__client_secret="env:SECRET", vault__auth="pat", vault__token="keyvault:myvault/pat"
    )
    auth = AuthenticationManager(read)
    assert auth.git_token() == "one"
    entra.secrets["pat"] = "two"
    assert auth.git_token() == "one"
    assert auth.git_answered(accepted=False)
    assert auth.git_token() == "two"
    assert read.vault.token
    read.vault.token.replace("three")
    assert (entra.secrets["pat"], auth.git_token()) == ("three", "three")
    del entra.secrets["pat"]
    read.vault.token.forget()
    with pytest.raises(
        AuthenticationError, match=r"404 for keyvault:myvault/pat: A secret with \(name/id\) pat was not"
    ):
        auth.git_token()
    assert entra.asked[0]["scope"] == "https://vault.azure.net/.default"
    assert "three" not in repr(auth.witness.take())


def test_a_secret_in_a_secret_scope(tmp_path: Path, entra: Entra) -> None:
    """Read and written by the workspace's API, which gives base64; any text comes back as it was."""
    with Emulator(notebooks=0) as emulator:
        read = settings(
            tmp_path,
            entra,
            workspace__host=emulator.workspace_url,
            workspace__token="env:WS",
            vault__auth="pat",
            vault__token="databricks:backup/pat",
            environment={"WS": emulator.workspace_token},
        )
        auth = AuthenticationManager(read)
        with pytest.raises(AuthenticationError, match="secret"):
            auth.git_token()
        make_scope(emulator, "backup")
        assert read.vault.token
        read.vault.token.replace("pät/+=")
        assert auth.git_token() == "pät/+="


def make_scope(emulator: Emulator, name: str) -> None:
    """An administrator makes a secret scope."""
    from databricks.sdk.core import ApiClient, Config

    config = Config(host=emulator.workspace_url, token=emulator.workspace_token, auth_type="pat")
    ApiClient(config).do("POST", "/api/2.0/secrets/scopes/create", body={"scope": name})


@pytest.mark.parametrize(
    ("key", "value"), [("workspace__token", "databricks:a/b"), ("azure__client_secret", "keyvault:v1/n")]
)
def test_a_secret_cannot_be_where_it_is_needed_to_get_in(tmp_path: Path, entra: Entra, key: str, value: str) -> None:
    """Refused when the configuration is read."""
    with pytest.raises(ConfigurationError, match="cannot be in"):
        settings(tmp_path, entra, **{key: value})


def test_a_circle_of_references_ends(tmp_path: Path, entra: Entra) -> None:
    """The key vault opened by a secret of the workspace, which is opened by a secret of the key vault."""
    read = settings(
        tmp_path,
        entra,
        workspace__host="https://127.0.0.1:1",
        workspace__token="keyvault:v1/ws",
        azure__client_secret="databricks:a/b",
    )
    with pytest.raises(ConfigurationError, match="to read itself"):
        AuthenticationManager(read).headers()


def test_a_file_is_replaced_as_a_whole_and_stays_private(tmp_path: Path, entra: Entra) -> None:
    """Its mode stays, a link stays a link; a variable cannot be written."""
    target = tmp_path / "mounted"
    target.write_text("old")
    target.chmod(0o600)
    (tmp_path / "pat").symlink_to(target)
    read = settings(tmp_path, entra, vault__token="file:pat", state__password="env:PW")
    assert read.vault.token
    read.vault.token.replace("new")
    assert (target.read_text(), target.stat().st_mode & 0o777, (tmp_path / "pat").is_symlink()) == (
        "new\n",
        0o600,
        True,
    )
    assert read.vault.token.reveal() == "new"
    assert read.state.password
    with pytest.raises(ConfigurationError, match="variable"):
        read.state.password.replace("x")


@pytest.mark.parametrize("values", [{"tenant": TENANT, "client": CLIENT}])
def test_nothing_prints_a_secret(tmp_path: Path, entra: Entra, values: dict[str, Any]) -> None:
    """Settings and events name the place of a secret only."""
    read = settings(tmp_path, entra, azure__client_secret="env:SECRET")
    auth = AuthenticationManager(read)
    token = auth.git_token()
    auth.git_answered(accepted=True)
    shown = repr(read) + repr(auth.witness.take()) + repr(auth.git_standing())
    assert all(value in shown for value in values.values())
    assert token is not None
    assert SECRET not in shown
    assert token not in shown

"""A local Microsoft Entra and a local key vault behind TLS, for tests that sign in."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

TENANT, CLIENT = "tenant-1", "client-1"
SECRET = "a-secret-of-the-service-principal"


def make_certificate(file: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    return file


@dataclass
class Entra:
    """What the local Entra gave, and to whom; `mint` makes a token that lives so many seconds."""

    url: str = ""
    certificate: Path = Path()
    mint: Callable[[float], str] = lambda lifetime_s: f"opaque-{lifetime_s}-{time.time_ns()}"
    lifetime_s: int = 3600
    asked: list[dict[str, str]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The answer to a request for a token."""
        self.asked.append(form)
        proven = form.get("client_secret") == SECRET or "client_assertion" in form
        if form.get("client_id") != CLIENT or not proven:
            told = "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1\r\nTimestamp: now"
            return 401, {"error": "invalid_client", "error_description": told}
        life = self.lifetime_s
        return 200, {
            "access_token": self.mint(life),
            "token_type": "Bearer",
            "expires_in": life,
            "ext_expires_in": life,
        }


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.endswith("/openid-configuration"):
            base = f"{self.entra.url}/{TENANT}"
            ends = {"token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/a"}
            return self._answer(200, {"issuer": f"{base}/v2.0", **ends})
        return self._vault(path, None)

    def do_POST(self) -> None:
        form = parse_qs(self._body().decode())
        self._answer(*self.entra.token({name: values[0] for name, values in form.items()}))

    def do_PUT(self) -> None:
        self._vault(urlsplit(self.path).path, json.loads(self._body())["value"])

    @property
    def entra(self) -> Entra:
        return cast("Entra", self.server.entra)  # type: ignore[attr-defined]

    def _vault(self, path: str, value: str | None) -> None:
        name = path.removeprefix("/secrets/")
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            return self._answer(
                401, {"error": {"code": "Unauthorized", "message": "AKV10000: Request is missing a token."}}
            )
        if value is not None:
            self.entra.secrets[name] = value
        if name not in self.entra.secrets:
            said = f"A secret with (name/id) {name} was not found in this key vault."
            return self._answer(404, {"error": {"code": "SecretNotFound", "message": said}})
        return self._answer(200, {"value": self.entra.secrets[name], "id": self.entra.url + path})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_said: object) -> None:
        return


@contextmanager
def local_entra(folder: Path) -> Iterator[Entra]:
    """Entra and a key vault on a port of this machine, with a certificate that only those know who are told."""
    certificate = make_certificate(folder / "entra.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    entra = Entra(f"https://127.0.0.1:{server.server_port}", certificate)
    server.entra = entra  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield entra
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def azure_settings(entra: Entra) -> dict[str, str]:
    """The section [azure] for it, by variables of the tests' settings."""
    return {
        "azure.tenant_id": TENANT,
        "azure.client_id": CLIENT,
        "azure.authority": entra.url,
        "azure.disable_instance_discovery": "true",
        "azure.key_vault_url": entra.url,
    }

"""Tokens that expire: JWTs signed with a secret of this emulator, so that any of its workers can judge one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any


class Signer:
    """Makes and judges tokens."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def make(self, subject: str, *, audience: str, lifetime_s: float, ahead_s: float = 0.0) -> str:
        """A token for someone at a service of ours; no two are alike. ``ahead_s``: how far our clock is moved on."""
        now = time.time() + ahead_s
        claims = {"aud": audience, "sub": subject, "iat": now, "exp": now + lifetime_s, "jti": str(time.time_ns())}
        body = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{body}.{self._signature(body)}"

    def subject(self, token: str, *, audience: str, ahead_s: float = 0.0) -> str | None:
        """Whom a token names, if it is ours, for that service, and has not expired."""
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(body).encode()):
            return None
        part = body.partition(".")[2]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return str(claims["sub"]) if claims["aud"] == audience and claims["exp"] > time.time() + ahead_s else None

    def _signature(self, body: str) -> str:
        made = hmac.digest(self._secret, body.encode("utf-8", "replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

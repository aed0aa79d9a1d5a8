"""What a token says of itself: those of Entra and of Databricks OAuth are JWTs. Read for show, never believed."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timezone
from typing import Any

_NAMES = ("upn", "unique_name", "preferred_username", "app_displayname", "appid", "azp", "client_id", "sub", "oid")


def claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified; empty for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: str) -> datetime | None:
    """When a JWT expires; None where it does not say."""
    moment = claims(token).get("exp")
    if not isinstance(moment, int | float) or isinstance(moment, bool) or not 0 < moment < 1e11:
        return None
    return datetime.fromtimestamp(moment, timezone.utc)


def identity(token: str) -> str:
    """Whom a JWT names: the user, else the application; empty where it names nobody."""
    found = claims(token)
    return next((str(found[name]) for name in _NAMES if isinstance(found.get(name), str) and found[name]), "")

"""The part of SCIM that a backup asks: who am I, and who is this user."""

from __future__ import annotations

import re
from typing import Any

from nbvault_emulator.answers import json_response
from nbvault_emulator.http import Response
from nbvault_emulator.world import User, World

_PREFIX = "/api/2.0/preview/scim/v2/"
_FILTER = re.compile(r'^\s*userName\s+eq\s+"([^"]*)"\s*$', re.IGNORECASE)


def answer(world: World, me: User, path: str, query: dict[str, str], *, admin: bool) -> Response:
    """The answer to GET on a SCIM path; ``admin`` says whether the caller is shown as one."""
    rest = path[len(_PREFIX) :]
    if rest == "Me":
        return json_response(_resource(me, admin=me.admin and admin))
    if rest == "Users":
        return _search(world, query)
    user_id = rest.removeprefix("Users/")
    user = world.users.get(int(user_id)) if user_id.isdigit() else None
    if user is None or user.deleted:
        return _error(404, f"User with id {user_id} not found.")
    return json_response(_resource(user, admin=user.admin))


def is_scim(path: str) -> bool:
    """Whether a path belongs here."""
    return path.startswith(_PREFIX)


def _search(world: World, query: dict[str, str]) -> Response:
    found = [user for user in world.users.values() if not user.deleted]
    if "filter" in query:
        asked = _FILTER.match(query["filter"])
        if asked is None:
            return _error(400, "Given filter operator is not supported.")
        found = [user for user in found if user.user_name.lower() == asked.group(1).lower()]
    try:
        start, count = max(1, int(query.get("startIndex", 1))), int(query.get("count", 100))
    except ValueError:
        return _error(400, "startIndex and count are numbers.")
    page = found[start - 1 : start - 1 + max(0, count)]
    return json_response(
        {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(found),
            "startIndex": start,
            "itemsPerPage": len(page),
            "Resources": [_resource(user, admin=user.admin) for user in page],
        }
    )


def _resource(user: User, *, admin: bool) -> dict[str, Any]:
    groups = [{"display": "users", "type": "direct", "value": "100", "$ref": "Groups/100"}]
    if admin:
        groups.append({"display": "admins", "type": "direct", "value": "101", "$ref": "Groups/101"})
    groups += [{"display": name, "type": "direct", "value": f"g-{name}"} for name in user.groups]
    shown: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(user.user_id),
        "userName": user.user_name,
        "displayName": user.display_name,
        "active": True,
        "groups": groups,
    }
    if user.emails:
        shown["emails"] = [
            {"type": "work", "value": value, "primary": place == 0} for place, value in enumerate(user.emails)
        ]
    return shown


def _error(status: int, detail: str) -> Response:
    schemas = ["urn:ietf:params:scim:api:messages:2.0:Error"]
    return json_response({"schemas": schemas, "detail": detail, "status": str(status)}, status)

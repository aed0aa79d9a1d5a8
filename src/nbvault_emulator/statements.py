"""The SQL statement execution API over the audit table, and nothing else: it knows two queries by their form.

A statement's id holds all that is to be known of it, so every worker can answer for it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable
from typing import Any

from nbvault_emulator import answers, imports
from nbvault_emulator.audit_log import DEFAULTS, visible
from nbvault_emulator.http import Request, Response
from nbvault_emulator.warehouses import WAKING_MS, refusal, sleeps, usable
from nbvault_emulator.world import User, World, WorldError

_PATH = re.compile(r"/api/2\.0/sql/statements(?:/([\w=-]+)(/cancel|/result/chunks/\d+)?)?")
_TABLE = re.compile(r"FROM ((?:`[^`]+`\.?)+)")
_COLUMNS = ("event_id", "event_time", "user_identity.email", "action_name", "request_params", "status_code")


def find(world: World, request: Request, user: User) -> tuple[str, Callable[[], Response]] | None:
    """The endpoint by which faults know a request, and who answers it; None if this API does not."""
    found = _PATH.fullmatch(request.path)
    if found is None:
        return None
    if found[1] is None:
        return "sql-statements", lambda: _submit(world, request, user)
    return "sql-statements", lambda: _shown(world, _decoded(found[1]), found[2] or "")


def _submit(world: World, request: Request, user: User) -> Response:
    asked = imports.json_body(request)
    warehouse = usable(world, str(asked.get("warehouse_id", "")), user)
    given = {each["name"]: each["value"] for each in asked.get("parameters", [])}
    text = str(asked.get("statement", ""))
    one = " LIMIT 1" in text
    if not (one or {"since", "until", "workspace"} <= given.keys()) or not (table := _TABLE.search(text)):
        raise WorldError(400, "BAD_REQUEST", "The emulator knows two queries of the audit table, and no others.")
    error = refusal(world, table[1].replace("`", ""), user)
    body = {"at": _now(), "one": one, "error": error, "given": given, "waking": sleeps(warehouse)}
    return _shown(world, body, "")


def _shown(world: World, body: dict[str, Any], what: str) -> Response:
    rules, number = world.audit or DEFAULTS, _encoded(body)
    if what == "/cancel":
        return answers.json_response({})
    if body["at"] + rules["runs_ms"] + (WAKING_MS if body["waking"] else 0) > _now():
        return answers.json_response({"statement_id": number, "status": {"state": "PENDING"}})
    message, sql_state = (f"[{rules['refused']}] the table cannot be read.", "") if rules["refused"] else body["error"]
    if message:
        error = {"error_code": "BAD_REQUEST", "message": message}
        status = {"state": "FAILED", "error": error, "sql_state": sql_state}
        return answers.json_response({"statement_id": number, "status": status})
    rows = _rows(world, body)
    size = rules["chunk"]
    part = int(what.rpartition("/")[2]) if what else 0
    chunk: dict[str, Any] = {"chunk_index": part, "row_offset": part * size, "data_array": rows[part * size :][:size]}
    chunk["row_count"] = len(chunk["data_array"])
    if (part + 1) * size < len(rows):
        link = f"/api/2.0/sql/statements/{number}/result/chunks/{part + 1}"
        chunk |= {"next_chunk_index": part + 1, "next_chunk_internal_link": f"{link}?row_offset={(part + 1) * size}"}
    if what:
        return answers.json_response(chunk)
    names = ["event_time"] if body["one"] else list(_COLUMNS)
    columns = [{"name": name, "type_name": "STRING", "position": place} for place, name in enumerate(names)]
    manifest = {"format": "JSON_ARRAY", "schema": {"column_count": len(names), "columns": columns}, "truncated": False}
    manifest |= {"total_row_count": len(rows), "total_chunk_count": max(-(-len(rows) // size), 1)}
    status = {"state": "SUCCEEDED"}
    return answers.json_response({"statement_id": number, "status": status, "manifest": manifest, "result": chunk})


def _rows(world: World, body: dict[str, Any]) -> list[list[str | None]]:
    given = body["given"]
    if body["one"]:
        return [[str(event["at"])] for event in world.audit_events[:1]]
    since, until = int(given["since"]), int(given["until"])
    return visible(world, since=since, until=until, workspace=given["workspace"], now=body["at"])


def _encoded(body: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(body).encode()).decode()


def _decoded(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error):
        raise WorldError(404, "NOT_FOUND", f"The statement {text[:40]} was not found.") from None
    return found


def _now() -> int:
    return time.time_ns() // 1_000_000

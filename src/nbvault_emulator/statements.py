"""The SQL statement execution API over the audit table, and nothing else: it knows two queries by their form.

A statement's id holds all that is to be known of it, so every worker can answer for it. What a warehouse refuses is
refused in its own words, as they are told in public reports of them.
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
from nbvault_emulator.audit_log import DEFAULTS, Page, visible
from nbvault_emulator.http import Request, Response
from nbvault_emulator.warehouses import WAKING_MS, refusal, sleeps, usable
from nbvault_emulator.world import User, World, WorldError

_PATH = re.compile(r"/api/2\.0/sql/statements(?:/([\w=-]+)(/cancel|/result/chunks/\d+)?)?")
_TABLE = re.compile(r"FROM ((?:`[^`]+`\.?)+)")
_COLUMNS = ("event_id", "at_us", "event_time", "user_identity.email", "action_name", "request_params", "status_code")
INLINE_BYTES = 25 * 1024 * 1024
"""A result that is to come inline may not have more."""
_TOO_LARGE = (
    f"Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most "
    f"{INLINE_BYTES} bytes. Please execute the statement with disposition=EXTERNAL_LINKS if you want to download the "
    "full result."
)
_VERIFY = (
    "cannot be found. Verify the spelling and correctness of the schema and catalog.\nIf you did not qualify the name"
)
_OR = "verify the current_schema() output, or qualify the name with the correct"
_TOLERATE = "To tolerate the error on drop use"
FAILURES = {
    "TABLE_OR_VIEW_NOT_FOUND": f"The table or view `system`.`access`.`audit` {_VERIFY} with a schema, {_OR} schema and "
    f"catalog.\n{_TOLERATE} DROP VIEW IF EXISTS or DROP TABLE IF EXISTS. SQLSTATE: 42P01; line 1 pos 21",
    "SCHEMA_NOT_FOUND": f"The schema `system`.`access` {_VERIFY} with a catalog, {_OR} catalog.\n{_TOLERATE} DROP "
    "SCHEMA IF EXISTS. SQLSTATE: 42704",
    "NO_SUCH_CATALOG_EXCEPTION": "Catalog 'system' was not found. Please verify the catalog name and then retry the "
    "query or command again. SQLSTATE: 42704",
    "UC_NOT_ENABLED": "Unity Catalog is not enabled on this cluster. SQLSTATE: 56038",
    "INSUFFICIENT_PERMISSIONS": "Insufficient privileges:\nUser does not have USE SCHEMA on Schema 'system.access'. "
    "SQLSTATE: 42501",
    "UNRESOLVED_COLUMN.WITH_SUGGESTION": "A column, variable, or function parameter with name `service_name` cannot be "
    "resolved. Did you mean one of the following? [`name`, `at`]. SQLSTATE: 42703; line 1 pos 7",
}
"""How statements fail by which nobody can read the audit table: the class of the error, and its words."""


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
    if asked.get("disposition", "INLINE") != "INLINE":
        raise WorldError(501, "NOT_IMPLEMENTED", "The emulator gives results inline only.")
    given = {each["name"]: each["value"] for each in asked.get("parameters", [])}
    text = str(asked.get("statement", ""))
    limit, table = re.search(r" LIMIT (\d+)$", text), _TABLE.search(text)
    known = not given or {"after", "last", "until", "workspace"} <= given.keys()
    if not (known and limit and table):
        raise WorldError(400, "BAD_REQUEST", "The emulator knows two queries of the audit table, and no others.")
    error = refusal(world, table[1].replace("`", ""), user)
    body = {"at": _now(), "limit": int(limit[1]), "error": error, "given": given, "waking": sleeps(warehouse)}
    if not error[0] and _bytes(_rows(world, body)) > INLINE_BYTES:
        body["error"] = (_TOO_LARGE, "")
    return _shown(world, body, "")


def _shown(world: World, body: dict[str, Any], what: str) -> Response:
    rules, number = world.audit or DEFAULTS, _encoded(body)
    if what == "/cancel":
        return answers.json_response({})
    if body["at"] + rules["runs_ms"] + (WAKING_MS if body["waking"] else 0) > _now():
        return answers.json_response({"statement_id": number, "status": {"state": "PENDING"}})
    message, sql_state = body["error"]
    if refused := rules["refused"]:
        message, sql_state = f"[{refused}] {FAILURES.get(refused, 'the statement failed.')}", ""
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
    names = list(_COLUMNS) if body["given"] else ["event_time"]
    columns = [{"name": name, "type_name": "STRING", "position": place} for place, name in enumerate(names)]
    manifest = {"format": "JSON_ARRAY", "schema": {"column_count": len(names), "columns": columns}, "truncated": False}
    manifest |= {"total_row_count": len(rows), "total_chunk_count": max(-(-len(rows) // size), 1)}
    status = {"state": "SUCCEEDED"}
    return answers.json_response({"statement_id": number, "status": status, "manifest": manifest, "result": chunk})


def _bytes(rows: list[list[str | None]]) -> int:
    return len(json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _rows(world: World, body: dict[str, Any]) -> list[list[str | None]]:
    given, limit = body["given"], body["limit"]
    if not given:
        return [[str(event["at"])] for event in world.audit_events[:limit]]
    page = Page(int(given["after"]), given["last"], int(given["until"]), given["workspace"], limit)
    return visible(world, page, now=body["at"])


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

"""The SQL statement execution API: a query on a warehouse, its result inline. Read-only.

A statement that failed comes under HTTP 200 with the state FAILED; every value is a string or null; a large result
comes in chunks, one over 25 MiB not at all. Polled until the patience given is over, then cancelled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nbvault.clock import Clock
from nbvault.errors import ConfigurationError, WorkspaceError
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import BadAnswer, Forbidden, NotFound, Refused
from nbvault.workspace.transport import Request

_API = "/api/2.0/sql/statements"
_POLL_S = 2.0
_GRANT = (
    "Grant USE CATALOG on system, USE SCHEMA on system.access itself (on the catalog system it does not count) and"
    " SELECT on the table."
)
_NOT_THERE = "Let an account administrator enable the schema system.access, and check editors.table."
_NO_CATALOG = "Check editors.table; the catalog system is there only where the workspace has Unity Catalog."
_HINTS = {
    "TABLE_OR_VIEW_NOT_FOUND": _NOT_THERE,
    "SCHEMA_NOT_FOUND": _NOT_THERE,
    "NO_SUCH_CATALOG": _NO_CATALOG,
    "UC_NOT_ENABLED": _NO_CATALOG,
    "INSUFFICIENT_PERMISSIONS": _GRANT,
    "PERMISSION_DENIED": _GRANT,
    "UNRESOLVED_COLUMN": "editors.table must name a table with the columns of system.access.audit.",
}
# There is no code of its own for it.
_TOO_LARGE = "Inline byte limit exceeded"
_KEY = "editors.warehouse_id"
# The service holds its answer back so long while a statement runs; who has less patience asks again and again.
_HELD_BACK_S = 30
_QUOTED = 500
Parameters = Mapping[str, tuple[str, str]]
"""By name, each with its SQL type."""


class Statements:
    """Queries on one warehouse, by a client that is open; raises as `WorkspaceClient` does.

    Args:
        patience_s: So long a statement may take, a warehouse that has to start included.
    """

    def __init__(self, workspace: WorkspaceClient, warehouse: str, *, clock: Clock, patience_s: float = 600.0) -> None:
        self._workspace = workspace
        self._warehouse = warehouse
        self._clock = clock
        self._patience_s = patience_s

    async def rows(self, statement: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """The rows of a result, by the names of their columns.

        Raises:
            ConfigurationError: there is no such warehouse.
            ResultTooLarge: it has more than 25 MiB.
            StatementFailed: the warehouse refuses it, or its answer did not come in time.
        """
        given = [{"name": name, "value": value, "type": kind} for name, (value, kind) in (parameters or {}).items()]
        body: dict[str, Any] = {"statement": statement, "warehouse_id": self._warehouse, "parameters": given}
        wait_s = _HELD_BACK_S if self._patience_s > 2 * _HELD_BACK_S else 0
        body |= {"wait_timeout": f"{wait_s}s", "on_wait_timeout": "CONTINUE"}
        body |= {"disposition": "INLINE", "format": "JSON_ARRAY"}
        answer = await self._finished(await self._ask("POST", _API, body))
        manifest = answer.get("manifest") or {}
        names = [str(column["name"]) for column in (manifest.get("schema") or {}).get("columns", [])]
        found: list[dict[str, Any]] = []
        result = answer.get("result") or {}
        while True:
            found += [dict(zip(names, row, strict=True)) for row in result.get("data_array") or []]
            link = result.get("next_chunk_internal_link")
            if not link:
                break
            result = await self._ask("GET", str(link), None)
        total = manifest.get("total_row_count", len(found))
        if manifest.get("truncated") or len(found) != int(total):
            raise StatementFailed(f"The result of the query has {len(found):,} rows of {total}.")
        return found

    async def _finished(self, answer: dict[str, Any]) -> dict[str, Any]:
        until = self._clock.monotonic() + self._patience_s
        while True:
            status = answer.get("status") or {}
            state = status.get("state")
            if state == "SUCCEEDED":
                return answer
            where = f"{_API}/{quote(str(answer.get('statement_id', '')), safe='')}"
            if state not in ("PENDING", "RUNNING"):
                raise _failure(status)
            if self._clock.monotonic() >= until:
                await self._ask("POST", f"{where}/cancel", {})
                raise StatementFailed(
                    f"The warehouse gave no answer in {self._patience_s:.0f} s.",
                    hint="It starts, or has much to do: try again in some minutes.",
                )
            await self._clock.sleep(_POLL_S)
            answer = await self._ask("GET", where, None)

    async def _ask(self, method: str, endpoint: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        payload = None if body is None else json.dumps(body).encode("ascii")
        request = Request("other", method, endpoint, f"the warehouse {self._warehouse}", payload=payload)
        try:
            return await self._workspace.ask(request, _object)
        except NotFound as error:
            if endpoint != _API:
                raise StatementFailed(f"The warehouse does not know its own query any more: {error.message}") from error
            raise no_warehouse(self._warehouse, _KEY) from error
        except Refused as error:
            if _TOO_LARGE in error.message:
                raise ResultTooLarge(f"The query failed: {error.message}") from error
            if not is_no_id(error):
                raise
            raise no_warehouse(self._warehouse, _KEY) from error
        except Forbidden as error:
            raise not_ours(self._warehouse, _KEY, error) from error


class StatementFailed(WorkspaceError):
    """A query came to no good end."""


class ResultTooLarge(StatementFailed):
    """The result has more than comes inline."""


def is_no_id(error: Refused) -> bool:
    """Whether the service says that a warehouse's id is none; of one that has the form of an id it answers 403."""
    return "is not a valid endpoint id" in error.message


def no_warehouse(number: str, key: str) -> ConfigurationError:
    """That there is no such warehouse, or no longer; `key` is the setting that names it."""
    return ConfigurationError(f"There is no warehouse {number}.", hint=f"Check {key}: it was deleted, or never there.")


def not_ours(number: str, key: str, error: Forbidden) -> StatementFailed:
    """That it may not be used; the service says the same of one that is gone."""
    hint = f"Give the identity CAN USE on it; if it was deleted, name another in {key}."
    return StatementFailed(f"The warehouse {number} refuses us: {error.message}", hint=hint)


def _failure(status: Mapping[str, Any]) -> StatementFailed:
    told = status.get("error") or {}
    # A warehouse's words have line breaks, and may quote the whole query.
    words = " ".join(str(told.get("message") or "no reason is told").split())[:_QUOTED]
    said = f"{told.get('error_code') or status.get('state')}: {words}"
    hint = next((hint for word, hint in _HINTS.items() if word in said), "")
    kind = ResultTooLarge if _TOO_LARGE in said else StatementFailed
    return kind(f"The query failed: {said}", hint=hint)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadAnswer("The answer of the SQL warehouse is none.", path=_API, status=200)
    return found

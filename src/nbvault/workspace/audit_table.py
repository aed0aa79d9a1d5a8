"""What the audit table says, asked in pages: an answer that comes inline may have 25 MiB, and no table keeps to that.

A page begins after the last event of the one before, by time and id, so that no event is between two pages. A page that
is too large all the same is asked for again with half the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from nbvault.workspace.audit_events import ACTIONS, PARAMETERS, Act, act_of, since_of
from nbvault.workspace.statements import Parameters, ResultTooLarge, StatementFailed

PAGE_ROWS = 20_000
"""So many events at once, at first; one has some 300 bytes, more where paths are long."""

_COLUMNS = (
    "coalesce(event_id, '') AS event_id, unix_micros(event_time) AS at_us, unix_millis(event_time) AS event_time, "
    "user_identity.email AS `user_identity.email`, action_name, {params} AS request_params, "
    "response.status_code AS status_code"
)
# A warehouse's own time zone decides what day a moment is of, so the days are a day wider than the moments.
_WHERE = (
    "service_name = 'notebook' AND action_name IN ({actions}) "
    "AND event_date >= date_sub(CAST(timestamp_micros(:after) AS DATE), 1) "
    "AND event_date <= date_add(CAST(timestamp_millis(:until) AS DATE), 1) "
    "AND event_time >= timestamp_micros(:after) AND event_time < timestamp_millis(:until) "
    "AND (unix_micros(event_time) > :after OR coalesce(event_id, '') > :last) "
    "AND CAST(workspace_id AS STRING) = :workspace"
)


class Queries(Protocol):
    """Whoever answers a query."""

    async def rows(self, statement: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """The rows of a result, by the names of their columns; `ResultTooLarge` where it does not come inline."""


async def audited_acts(
    queries: Queries, table: str, workspace_id: str, since: datetime, until: datetime, *, page_rows: int = PAGE_ROWS
) -> list[Act]:
    """What people did to notebooks in that time, as far as the table has it by now.

    Raises:
        StatementFailed: the warehouse refuses it, or its pages do not come to an end.
    """
    acts: list[Act] = []
    fixed = {"until": (str(since_of(until)), "BIGINT"), "workspace": (workspace_id, "STRING")}
    after, last = since_of(since) * 1000 - 1, ""
    while True:
        place = {"after": (str(after), "BIGINT"), "last": (last, "STRING")}
        try:
            rows = await queries.rows(page_query(table, page_rows), {**fixed, **place})
        except ResultTooLarge:
            if page_rows == 1:
                raise
            page_rows //= 2
            continue
        acts += _read(rows)
        if len(rows) < page_rows:
            return acts
        after, last = _place_of(rows[-1], was=(after, last))


def _place_of(row: Mapping[str, Any], *, was: tuple[int, str]) -> tuple[int, str]:
    """Where the next page begins: after this event."""
    found = int(row["at_us"]), str(row["event_id"])
    if found == was:
        raise StatementFailed(f"The audit table gives the event {found[1]} again and again.")
    return found


def page_query(table: str, page_rows: int) -> str:
    """The events of a workspace that come after a place; its parameters are after, last, until and workspace."""
    # The name is quoted, actions and parameters' names are ours, the rest are parameters.
    columns = _COLUMNS.format(
        params=f"to_json(map_filter(request_params, (name, said) -> name IN ({_in(PARAMETERS)})))"
    )
    return (
        f"SELECT {columns} FROM {_quoted(table)} WHERE {_WHERE.format(actions=_in(ACTIONS))} "  # noqa: S608
        f"ORDER BY at_us, event_id LIMIT {page_rows}"
    )


def probe_query(table: str) -> str:
    """One row, if there is one."""
    return f"SELECT event_time FROM {_quoted(table)} LIMIT 1"  # noqa: S608 - quoted


async def may_read(queries: Queries, table: str) -> int:
    """Whether the table can be read at all; the number of rows that were looked at, 1 at most."""
    return len(await queries.rows(probe_query(table)))


def _read(rows: list[dict[str, Any]]) -> Iterator[Act]:
    for row in rows:
        if (act := act_of(row)) is not None:
            yield act


def _in(words: frozenset[str]) -> str:
    return ", ".join(f"'{word}'" for word in sorted(words))


def _quoted(table: str) -> str:
    return ".".join(f"`{part.replace('`', '``')}`" for part in table.split("."))

"""The dashboard for Databricks SQL over the state tables: its queries, and its `.lvdash.json`. Pure."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

_VERSIONS = {"bar": 3, "line": 3, "table": 1}


class Query(NamedTuple):
    """One dataset and the chart of it; the first column is the x axis, `shown` the y axis."""

    title: str
    columns: tuple[str, ...]
    chart: str
    shown: str
    sql: str


QUERIES: dict[str, Query] = {
    "success_rate": Query(
        "Sessions that ended complete, by day, 30 days (%)",
        ("day", "sessions", "complete", "success_percent"),
        "line",
        "success_percent",
        """SELECT date(start_time) AS day, count(*) AS sessions, count_if(status = 'complete') AS complete,
  round(100.0D * count_if(status = 'complete') / count(*), 1) AS success_percent
FROM sync_sessions
WHERE start_time >= current_timestamp() - INTERVAL 30 DAYS AND status <> 'running'
GROUP BY date(start_time)
ORDER BY day""",
    ),
    "speed": Query(
        "Files a second, 30 days",
        ("started", "session", "minutes", "files_per_second"),
        "line",
        "files_per_second",
        """SELECT start_time AS started, sync_id AS session,
  round(timestampdiff(SECOND, start_time, end_time) / 60.0D, 1) AS minutes,
  round(try_divide(total_files, timestampdiff(SECOND, start_time, end_time)), 1) AS files_per_second
FROM sync_sessions
WHERE start_time >= current_timestamp() - INTERVAL 30 DAYS AND end_time IS NOT NULL
ORDER BY started""",
    ),
    "errors": Query(
        "Errors of 7 days (the first 200 of each session)",
        ("path", "reason", "times", "last_seen"),
        "table",
        "times",
        """SELECT error.path AS path, error.reason AS reason, count(*) AS times, max(start_time) AS last_seen
FROM sync_sessions
  LATERAL VIEW explode(from_json(error_log, 'ARRAY<STRUCT<path: STRING, reason: STRING>>')) found AS error
WHERE start_time >= current_timestamp() - INTERVAL 7 DAYS
GROUP BY error.path, error.reason
ORDER BY times DESC, path""",
    ),
    "people": Query(
        "Changes by person, 30 days",
        ("person", "changes", "sessions"),
        "bar",
        "changes",
        """SELECT person, sum(changes) AS changes, count(*) AS sessions
FROM sync_sessions
  LATERAL VIEW explode(from_json(get_json_object(metadata, '$.authors'), 'MAP<STRING, BIGINT>')) f AS person, changes
WHERE start_time >= current_timestamp() - INTERVAL 30 DAYS
GROUP BY person
ORDER BY changes DESC, person""",
    ),
    "size": Query(
        "Size of the repository, and in 90 days at the pace so far (GB)",
        ("day", "gigabytes", "objects", "in_90_days"),
        "line",
        "gigabytes",
        """WITH sizes AS (
  SELECT date(start_time) AS day,
    max(CAST(get_json_object(metadata, '$.growth.total_pack_bytes') AS DOUBLE)) / 1e9D AS gigabytes,
    max(CAST(get_json_object(metadata, '$.growth.total_objects') AS BIGINT)) AS objects
  FROM sync_sessions
  WHERE get_json_object(metadata, '$.growth.total_pack_bytes') IS NOT NULL
  GROUP BY date(start_time)
)
SELECT day, round(gigabytes, 3) AS gigabytes, objects,
  round(gigabytes + 90 * regr_slope(gigabytes, unix_date(day)) OVER (), 3) AS in_90_days
FROM sizes
ORDER BY day""",
    ),
}


def query(name: str, *, schema: str = "") -> str:
    """A query; ``schema`` qualifies the tables, such as ```main`.`nbvault```, otherwise those of the current one."""
    text = QUERIES[name].sql
    return text.replace("FROM sync_sessions", f"FROM {schema}.sync_sessions") if schema else text


def queries_sql(schema: str = "") -> str:
    """All queries in one file, for whoever wants no dashboard."""
    return "\n".join(f"-- {each.title}\n{query(name, schema=schema)};\n" for name, each in QUERIES.items())


def dashboard_json(schema: str = "") -> str:
    """The dashboard, over the tables of ``schema``."""
    datasets = [
        {"name": name, "displayName": each.title, "queryLines": query(name, schema=schema).splitlines(keepends=True)}
        for name, each in QUERIES.items()
    ]
    layout = [_widget(name, each, place) for place, (name, each) in enumerate(QUERIES.items())]
    page = {"name": "nbvault", "displayName": "nbvault", "layout": layout, "pageType": "PAGE_TYPE_CANVAS"}
    return json.dumps({"datasets": datasets, "pages": [page]}, indent=2) + "\n"


def _widget(name: str, each: Query, place: int) -> dict[str, Any]:
    fields = [{"name": column, "expression": f"`{column}`"} for column in each.columns]
    asked = {"datasetName": name, "fields": fields, "disaggregated": True}
    spec = {
        "version": _VERSIONS[each.chart],
        "widgetType": each.chart,
        "encodings": _encodings(each),
        "frame": {"title": each.title, "showTitle": True},
    }
    widget = {"name": name, "queries": [{"name": "main_query", "query": asked}], "spec": spec}
    return {"widget": widget, "position": {"x": 0, "y": 6 * place, "width": 6, "height": 6}}


def _encodings(each: Query) -> dict[str, Any]:
    if each.chart == "table":
        return {"columns": [{"fieldName": column, "displayName": column} for column in each.columns]}
    kind = "temporal" if each.chart == "line" else "categorical"
    x = {"fieldName": each.columns[0], "scale": {"type": kind}, "displayName": each.columns[0]}
    y = {"fieldName": each.shown, "scale": {"type": "quantitative"}, "displayName": each.shown}
    return {"x": x, "y": y}

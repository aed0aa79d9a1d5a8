"""The SQL for Databricks, parsed by Spark's own parser: what is sent to a warehouse, and what is rendered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from database_places import Lake
from nbvault.model import Problem, State
from nbvault.setup.deploy.dashboard import QUERIES, dashboard_json, query
from nbvault.state.ddl import schema_sql
from nbvault.state.schema import metadata
from nbvault.state.store import StateManager
from nbvault.state.values import AuditHead, Delivery, Incident, Result, SessionRow
from nbvault.workspace.audit_events import Act
from nbvault.workspace.audit_table import audited_acts, may_read, page_query, probe_query
from spark.conftest import Spark
from state.test_databricks import T0, events
from state.test_store import report, start


@pytest.fixture(scope="module")
def session(spark: Spark) -> Any:
    from pyspark.sql import SparkSession

    return SparkSession(spark.context, options={"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"})


def parse(session: Any, text: str) -> None:
    """Raises where Spark's grammar refuses it."""
    session._jsparkSession.sessionState().sqlParser().parsePlan(text)


def use(store: StateManager) -> None:
    """Each method once: every statement that the store can send."""
    start(store, "s1")
    store.session_progress("s1", total=1, processed=1, saved=1, failed=0, bytes_processed=1)
    store.session_checkpoint("s1", at=T0, data={})
    store.interrupted("s1", T0)
    store.session_ended(SessionRow.of_report(report("s1")))
    _ = store.running(), store.sessions(), store.session("s1"), store.problems()
    store.replace_problems("s1", [Problem(1, "/a", State.FAILED, "r")])
    store.record_audit(events(3))
    _ = store.audit(since=T0, until=T0, limit=3), store.audit_waiting()
    store.follow_audit(events(3), AuditHead(3, "d", "c", 1, T0))
    store.accept_audit(events(3), AuditHead(3, "d", "c", 1, T0))
    store.sighting("tip", T0)
    store.forget_sightings()
    store.clean_up(T0)
    store.rebuild([SessionRow.of_report(report("s1"))], [], events(2))
    told = Delivery("d1", "a1", "email", "raised", {}, T0, T0)
    incident = Incident("a1", "no-session", "critical", "s1", "m", T0, T0)
    store.alerts.begin(incident, [told])
    store.alerts.claim("d1", T0)
    store.alerts.settle("d1", Result.SENT, "", at=T0)
    store.alerts.change(incident, [])
    store.alerts.forget(T0)
    _ = store.alerts.open(), store.alerts.recent(), store.alerts.waiting()


def test_the_stores_statements_are_sparks(lake: Lake, session: Any) -> None:
    """Every text that the store sends to a warehouse is one that Spark can parse, and none needs a transaction."""
    with StateManager(lake.url) as store:
        use(store)
    sent = set(lake.warehouse.statements)
    assert {text.split()[0] for text in sent} >= {"CREATE", "MERGE", "UPDATE", "DELETE", "SELECT", "DESCRIBE"}
    for text in sent:
        parse(session, text)


def test_the_parser_would_refuse_what_is_wrong(session: Any) -> None:
    """The check sees a fault."""
    with pytest.raises(Exception, match="PARSE_SYNTAX_ERROR"):
        parse(session, "MERGE INTO t USING s WHEN MATCHED DELETE")


def test_the_schema_file_is_the_stores(session: Any) -> None:
    """Each statement of it is parsed, and it makes each table with each column."""
    text = schema_sql("main", "nbvault")
    statements = [each for each in text.split(";\n") if each.strip()]
    for each in statements:
        parse(session, each)
    for table in metadata.sorted_tables:
        (made,) = [each for each in statements if f"`main`.`nbvault`.`{table.name}` (" in each]
        assert all(f"`{column.name}` " in made for column in table.columns)


def test_the_dashboards_queries_run(session: Any) -> None:
    """Each query of the dashboard gives the columns that its chart shows, over planted rows, with the right figures."""
    now = session.sql("SELECT current_timestamp()").first()[0]
    about = {"growth": {"total_pack_bytes": 1_000_000_000, "total_objects": 500}, "authors": {"ann@example.com": 4}}
    metadata_json = json.dumps(about)
    rows = [
        (f"s{n}", now, now, status, 10, 9, failed, 500, error, metadata_json)
        for n, (status, failed, error) in enumerate(
            [("complete", 0, "[]"), ("failed", 1, '[{"path": "/a", "reason": "too large"}]')]
        )
    ]
    names = "sync_id:string,start_time:timestamp,end_time:timestamp,status:string,total_files:bigint"
    names += ",successful_files:bigint,failed_files:bigint,bytes_processed:bigint,error_log:string,metadata:string"
    session.createDataFrame(rows, names.replace(":", " ")).createOrReplaceTempView("sync_sessions")
    found = {name: session.sql(query(name)) for name in QUERIES}
    assert {name: tuple(frame.columns) for name, frame in found.items()} == {
        name: about.columns for name, about in QUERIES.items()
    }
    rate = found["success_rate"].first()
    assert (rate["sessions"], rate["complete"], rate["success_percent"]) == (2, 1, 50.0)
    errors = found["errors"].first()
    assert (errors["path"], errors["reason"], errors["times"]) == ("/a", "too large", 1)
    assert tuple(found["people"].first()) == ("ann@example.com", 8, 2)
    assert (found["size"].first()["gigabytes"], found["size"].first()["objects"]) == (1.0, 500)
    assert found["speed"].first()["session"] in ("s0", "s1")


def test_the_dashboard_is_the_queries(session: Any) -> None:
    """Its file holds each query against the schema it was made for, and a chart of columns that the query gives."""
    made = json.loads(dashboard_json("`main`.`nbvault`"))
    for each in made["datasets"]:
        text = "".join(each["queryLines"])
        parse(session, text)
        assert "FROM `main`.`nbvault`.sync_sessions" in text
    charts = {each["widget"]["name"]: each["widget"] for each in made["pages"][0]["layout"]}
    assert {
        name: tuple(field["name"] for field in chart["queries"][0]["query"]["fields"]) for name, chart in charts.items()
    } == {name: about.columns for name, about in QUERIES.items()}


# --- the audit table -------------------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
AUDIT = (
    "event_id string, event_time timestamp, event_date date, workspace_id string, service_name string, "
    "action_name string, user_identity struct<email: string>, request_params map<string, string>, "
    "response struct<status_code: int>"
)


@pytest.mark.parametrize("table", ["system.access.audit", "main.gold.my view`s"])
def test_the_audit_queries_are_sparks(session: Any, table: str) -> None:
    """Both queries that are sent about the audit table are ones that Spark can parse, whatever the table is called."""
    for text in (probe_query(table), page_query(table, 20_000)):
        parse(session, text)


class Asked:
    """Answers queries by Spark as a warehouse does: every value a string or null."""

    def __init__(self, session: Any) -> None:
        self.session = session

    async def rows(
        self, statement: str, parameters: Mapping[str, tuple[str, str]] | None = None
    ) -> list[dict[str, Any]]:
        kinds = {"BIGINT": int, "STRING": str}
        given = {name: kinds[kind](value) for name, (value, kind) in (parameters or {}).items()}
        found = [row.asDict() for row in self.session.sql(statement, args=given).collect()]
        return [{name: None if value is None else str(value) for name, value in row.items()} for row in found]


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
async def test_the_audit_queries_tell_every_event(session: Any, zone: str) -> None:
    """Run by Spark over planted events, in pages of any size and a warehouse of any time zone: each of ours, once."""
    ours, others = events_of("42", "notebook", 40), [*events_of("7", "notebook", 3), *events_of("42", "jobs", 3)]
    session.createDataFrame([*ours, *others], AUDIT).createOrReplaceTempView("audit")
    session.conf.set("spark.sql.session.timeZone", zone)
    try:
        queries, day = Asked(session), timedelta(days=1)
        assert await may_read(queries, "audit") == 1
        for rows in (7, 1000):
            found = await audited_acts(queries, "audit", "42", NOON - day, NOON + day, page_rows=rows)
            assert sorted(found) == sorted(act(n) for n in range(40))
        assert await audited_acts(queries, "audit", "42", NOON + day, NOON + 2 * day) == []
    finally:
        session.conf.set("spark.sql.session.timeZone", "UTC")


def moment(number: int) -> datetime:
    """Eight at each of five moments, half a day apart but for microseconds."""
    return NOON + timedelta(hours=5 * (number % 5) - 12, microseconds=number % 3)


def events_of(workspace: str, service: str, count: int) -> list[tuple[Any, ...]]:
    told = ({"path": f"/Clients/{n}", "notebookId": str(n + 1), "commandText": "x" * 99} for n in range(count))
    return [
        (
            f"{n % 7}-{n}",
            moment(n),
            moment(n).date(),
            workspace,
            service,
            "modifyNotebook",
            (f"p{n}@x",),
            params,
            (200,),
        )
        for n, params in enumerate(told)
    ]


def act(number: int) -> Act:
    at_ms = int(moment(number).timestamp() * 1000)
    return Act(at_ms, f"p{number}@x", "modifyNotebook", number + 1, f"/Clients/{number}")

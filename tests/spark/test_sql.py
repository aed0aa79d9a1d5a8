"""The SQL for Databricks, parsed by Spark's own parser: what the state store sends."""

from __future__ import annotations

from typing import Any

import pytest

from database_places import Lake
from nbvault.model import Problem, State
from nbvault.state.store import StateManager
from nbvault.state.values import AuditHead, Delivery, Incident, Result, SessionRow
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

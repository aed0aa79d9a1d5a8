"""What was measured arrives as it was at a collector, Application Insights and Prometheus; trouble harms nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from flow.places import ROOT, Machine, Quiet
from nbvault.backup.surroundings import SyncOptions
from nbvault.errors import ConfigurationError, StateError
from nbvault.metering import scraped
from nbvault.model import Stage, Status
from nbvault.monitoring import telemetry
from nbvault.monitoring.endpoint import Endpoint
from nbvault.monitoring.metrics import Measured
from nbvault.state.store import StateManager
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator
from telemetry.places import Collected, collector

KEY = "0f0e0d0c-1111-4222-8333-444455556666"
BEGAN = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)
HEADERS = "api-key=c0ffee, authorization=Basic%20YTpi=="


def measured(status: Status = Status.COMPLETE) -> Measured:
    stages = [Stage("open", BEGAN, BEGAN + timedelta(seconds=2)), Stage("survey", BEGAN + timedelta(seconds=2), BEGAN)]
    counts = {"listed": 12, "saved": 3, "unchanged": 8, "failed": 1, "added": 2, "modified": 1}
    return Measured(
        "20261121T020000Z-abcdef",
        status,
        BEGAN,
        BEGAN + timedelta(seconds=90),
        counts,
        {"list": 4, "export": 3, "throttled": 2},
        bytes_exported=5000,
        repository_objects=70,
        repository_bytes=9000,
        stages=stages[:1],
        last_success=BEGAN + timedelta(seconds=90),
        labels={"root": "/Clients"},
    )


def expected() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {(each.name, frozenset(each.labels.items())): each.value for each in measured().samples()}


@pytest.fixture
def server() -> Iterator[Collected]:
    with collector() as running:
        yield running


def decoded(bodies: list[bytes]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The gauges of OTLP requests."""
    found = {}
    for body in bodies:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in metric.gauge.data_points:
                    labels = frozenset((each.key, each.value.string_value) for each in point.attributes)
                    value = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
                    found[metric.name, labels] = float(value)
    return found


def spans(bodies: list[bytes]) -> list[Any]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_collector_gets_every_number_and_the_trace(server: Collected) -> None:
    """Decoded by OTLP's own messages, all is there with its labels; stages lie under the session; headers are sent."""
    target = telemetry.otlp(server.url, {"api-key": "c0ffee"}, timeout_s=5)
    assert telemetry.send(measured(), [target], timeout_s=10) == []
    assert decoded(server.bodies("/v1/metrics")) == expected()
    whole, stage = spans(server.bodies("/v1/traces"))
    assert (whole.name, stage.name, stage.parent_span_id) == ("sync", "open", whole.span_id)
    assert (whole.trace_id, whole.end_time_unix_nano - whole.start_time_unix_nano) == (stage.trace_id, 90 * 10**9)
    assert {headers["api-key"] for _, headers, _ in server.requests} == {"c0ffee"}


def test_application_insights_gets_every_number_and_the_trace(
    server: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its envelopes carry the key, each number once, and session and stage as dependencies; no statistics besides."""
    monkeypatch.setenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    connection = f"InstrumentationKey={KEY};IngestionEndpoint={server.url}/"
    target = telemetry.azure_monitor(lambda: connection, timeout_s=5)
    assert telemetry.send(measured(), [target], timeout_s=20) == []
    envelopes = [item for body in server.bodies("/v2.1/track") for item in _envelopes(body)]
    assert {item["iKey"] for item in envelopes} == {KEY}
    data = [item["data"] for item in envelopes]
    numbers = {}
    for found in (each["baseData"] for each in data if each["baseType"] == "MetricData"):
        for metric in found["metrics"]:
            labels = {key: value for key, value in found.get("properties", {}).items() if not key.startswith("_MS")}
            numbers[metric["name"], frozenset(labels.items())] = float(metric["value"])
    assert numbers == expected()
    names = sorted(each["baseData"]["name"] for each in data if each["baseType"] == "RemoteDependencyData")
    assert names == ["open", "sync"]


def _envelopes(body: bytes) -> list[dict[str, Any]]:
    found = json.loads(body)
    return found if isinstance(found, list) else [found]


def test_prometheus_reads_the_file(tmp_path: Path) -> None:
    """Its own parser gives each number with its labels; the file is replaced as a whole."""
    file = tmp_path / "nbvault.prom"
    file.write_text("old")
    assert telemetry.send(measured(), [telemetry.prometheus_file(file)], timeout_s=5) == []
    families = {family.name: family for family in text_string_to_metric_families(file.read_text())}
    (duration,) = families["nbvault_session_duration_seconds"].samples
    assert (duration.value, duration.labels) == (90.0, {"root": "/Clients"})
    states = {sample.labels["state"]: sample.value for sample in families["nbvault_objects"].samples}
    assert states == {"saved": 3, "unchanged": 8, "skipped": 0, "failed": 1}
    assert sum(len(family.samples) for family in families.values()) == len(expected())
    assert [path.name for path in tmp_path.iterdir()] == ["nbvault.prom"]


def test_one_that_fails_or_hangs_stops_no_other(server: Collected, tmp_path: Path) -> None:
    """A refusal, silence, a folder that is not there and a wrong key are told, within the time; the rest is sent."""
    with collector() as deaf, collector() as broken:
        deaf.hang, broken.status = threading.Event(), 400
        targets = [
            telemetry.otlp(deaf.url, {}, timeout_s=0.5),
            telemetry.prometheus_file(tmp_path / "missing" / "x.prom"),
            telemetry.azure_monitor(lambda: "secret nonsense", timeout_s=1),
            telemetry.otlp(broken.url, {}, timeout_s=1),
            telemetry.prometheus_file(tmp_path / "good.prom"),
        ]
        said = telemetry.send(measured(), targets, timeout_s=5)
    assert (tmp_path / "good.prom").exists()
    assert [sentence.split(" failed")[0].split(" did")[0] for sentence in said] == [
        "Telemetry: the OTLP collector",
        "Telemetry: the Prometheus file",
        "Telemetry: Azure Monitor",
        "Telemetry: the OTLP collector",
    ]
    assert "secret nonsense" not in "".join(said)


def test_what_never_answers_is_left_behind() -> None:
    """However an exporter hangs, sending ends with the time that it has."""
    never = threading.Event()
    hanging = telemetry.Target("a deaf one", lambda _: never.wait(30) and None)
    begun = time.monotonic()
    assert telemetry.send(measured(), [hanging], timeout_s=0.2) == ["Telemetry: a deaf one did not answer in time."]
    assert time.monotonic() - begun < 10
    never.set()


def test_what_a_library_says_of_a_failure_is_not_repeated() -> None:
    """Addresses may have keys in them: of an unforeseen error only its kind is told."""

    def fail(_: Measured) -> None:
        raise RuntimeError("https://x/?key=c0ffee")

    said = telemetry.send(measured(), [telemetry.Target("it", fail)], timeout_s=5)
    assert said == ["Telemetry: it failed: RuntimeError"]


def get(url: str) -> tuple[int, str]:
    address = urlsplit(url)
    connection = HTTPConnection(address.netloc, timeout=10)
    connection.request("GET", address.path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    world = [
        {"path": f"{ROOT}/n{number}", "content": f"# Databricks notebook source\n{number}\n"} for number in range(5)
    ]
    with Emulator(world=world) as running:
        yield running


def machine(tmp_path: Path, emulator: Emulator, **keys: object) -> Machine:
    made = Machine(tmp_path / "a", emulator)
    with made.config.open("a") as file:
        file.write("[telemetry]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    return made


def test_every_session_is_sent(
    server: Collected, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync sends its counts, its stages in their order, and when it was well last; a failed one keeps that."""
    monkeypatch.setenv("HEADERS", HEADERS)
    place = machine(tmp_path, emulator, otlp=server.url, otlp_headers="env:HEADERS", prometheus_file="a.prom")
    report = place.sync()
    numbers = decoded(server.bodies("/v1/metrics"))
    root = ("root", ROOT)
    assert numbers["nbvault.changes", frozenset([root, ("kind", "added")])] == 5
    assert numbers["nbvault.last_success", frozenset([root])] == pytest.approx(report.ended_at.timestamp())
    assert {(head["api-key"], head["authorization"]) for _, head, _ in server.requests} == {("c0ffee", "Basic YTpi==")}
    whole, *stages = spans(server.bodies("/v1/traces"))
    assert whole.end_time_unix_nano == max(stage.end_time_unix_nano for stage in stages)
    names = [span.name for span in (whole, *stages)]
    assert names == ["sync", "open", "survey", "commit", "publish"]
    server.requests.clear()
    emulator.faults({"kind": "status", "status": 500, "match": {"endpoint": "git-push-pack"}})
    emulator.edit(f"{ROOT}/n1", "# Databricks notebook source\nnew\n", editor="a@x.example")
    assert place.sync().status is Status.FAILED
    after = decoded(server.bodies("/v1/metrics"))
    assert after["nbvault.session.status", frozenset([root, ("status", "failed")])] == 1
    assert after["nbvault.last_success", frozenset([root])] == numbers["nbvault.last_success", frozenset([root])]
    assert "nbvault_last_success_seconds" in (tmp_path / "a" / "a.prom").read_text()


def test_a_broken_exporter_does_not_touch_the_session(tmp_path: Path, emulator: Emulator) -> None:
    """Nobody listens, the folder is missing, the variable is not set: complete all the same, and said."""
    place = machine(tmp_path, emulator, otlp="http://127.0.0.1:9", prometheus_file="no/x.prom", timeout_s=2)
    screen = Quiet()
    report = run_sync(place.settings(), SyncOptions(), screen)
    assert (report.status, report.exit_code) == (Status.COMPLETE, 0)
    assert sum(stage.startswith("Telemetry: ") for stage in screen.stages) == 2
    other = machine(tmp_path / "b", emulator, azure_monitor="env:NOT_SET_ANYWHERE")
    assert run_sync(other.settings(), SyncOptions(), screen).exit_code == 0
    assert "NOT_SET_ANYWHERE" in screen.stages[-1]


def test_prometheus_scrapes_the_endpoint(tmp_path: Path, emulator: Emulator) -> None:
    """GET of /metrics is the last session as the state store has it; anything else is not found."""
    place = machine(tmp_path, emulator)
    report = place.sync()
    settings = place.settings()
    with Endpoint("127.0.0.1:0", lambda: scraped(settings)) as endpoint:
        thread = threading.Thread(target=endpoint.serve)
        thread.start()
        try:
            (good, text), (elsewhere, _) = get(endpoint.url), get(endpoint.url.replace("/metrics", "/"))
        finally:
            endpoint.stop()
            thread.join()
    assert (good, elsewhere) == (200, 404)
    found = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert {sample.labels["state"]: sample.value for sample in found["nbvault_objects"]}["saved"] == 5
    assert found["nbvault_session_end_seconds"][0].value == pytest.approx(report.ended_at.timestamp(), abs=1)
    assert found["nbvault_repository_objects"][0].value > 0


def test_a_dry_run_is_no_success(tmp_path: Path, emulator: Emulator) -> None:
    """After a backup that failed, neither a dry run nor one that finds another at work is the last session, or good."""
    place = machine(tmp_path, emulator)
    settings = place.settings()
    assert scraped(settings) == ""
    good = place.sync()
    emulator.faults({"kind": "status", "status": 401, "match": {"endpoint": "list"}})
    assert run_sync(settings, SyncOptions(), Quiet()).status is Status.FAILED
    emulator.faults()
    told = scraped(settings)
    assert 'nbvault_session_status{root="/Clients",status="failed"} 1.0' in told
    assert run_sync(settings, SyncOptions(dry_run=True), Quiet()).exit_code == 0
    with StateManager(settings.state.connection_url()) as state:
        busy = replace(state.sessions()[0], session="29991231T000000Z-abcdef", metadata={"exit_code": 5})
        other = replace(busy, session="29991231T000001Z-abcdef", repo_id="another", metadata={"exit_code": 0})
        for row in (busy, other):
            state.session_ended(row)
        assert len(state.sessions()) == 5
    assert scraped(settings) == told
    (line,) = [each for each in told.splitlines() if each.startswith("nbvault_last_success_seconds{")]
    assert float(line.split()[1]) == pytest.approx(good.ended_at.timestamp(), abs=1)


def test_an_endpoint_on_ipv6() -> None:
    """An address in brackets is one of IPv6, and the URL that is told has them."""
    with Endpoint("[::1]:0", lambda: "x 1\n") as endpoint:
        thread = threading.Thread(target=endpoint.serve)
        thread.start()
        try:
            assert endpoint.url.startswith("http://[::1]:")
            assert get(endpoint.url) == (200, "x 1\n")
        finally:
            endpoint.stop()
            thread.join()


def test_an_endpoint_that_cannot_read_says_so() -> None:
    """503 while the state store cannot be read, so that Prometheus shows the target as down."""

    def unreadable() -> str:
        raise StateError("gone")

    with Endpoint("127.0.0.1:0", unreadable) as endpoint:
        thread = threading.Thread(target=endpoint.serve)
        thread.start()
        try:
            assert get(endpoint.url)[0] == 503
        finally:
            endpoint.stop()
            thread.join()


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:x", "127.0.0.1:99999999"])
def test_no_address_is_refused(address: str) -> None:
    """HOST:PORT, or an error that says so."""
    with pytest.raises(ConfigurationError, match="is no address"):
        Endpoint(address, str)

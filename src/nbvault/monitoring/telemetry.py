"""Sends what was measured of a session to where people look: OTLP, Azure Monitor, Prometheus.

Each library is imported when it is used. Every exporter has a thread and all share one time limit: one that is broken,
or does not answer, is told of and left behind; it changes nothing about the session, which has ended by then.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbvault import __version__
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.model import Status
from nbvault.monitoring.metrics import Measured, Sample

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

_SERVICE = {"service.name": "nbvault", "service.version": __version__}
Export = Callable[[Measured], None]


class TelemetryError(NbvaultError):
    """An exporter did not take what was measured; the session is not touched by it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where measurements go: its name for people, and what sends them there."""

    name: str
    export: Export


def send(measured: Measured, targets: Sequence[Target], *, timeout_s: float) -> list[str]:
    """Send to every target at once; returns a sentence for each that did not take it. Never raises, never waits longer.

    Args:
        timeout_s: For all of them together.
    """
    if not targets:
        return []
    errors: dict[str, BaseException] = {}
    pool = ThreadPool(len(targets))
    try:
        jobs = [
            (t, pool.apply_async(t.export, (measured,), error_callback=partial(errors.setdefault, t.name)))
            for t in targets
        ]
        pool.close()
        # Each waits for what the others left of the time.
        with _remaining(timeout_s) as left:
            for _, job in jobs:
                job.wait(left())
        return [_told(target.name, errors.get(target.name)) for target, job in jobs if not _is_done(job)]
    finally:
        # Its threads are daemons: one that hangs is left behind, and ends with the process.
        pool.terminate()


@contextmanager
def _remaining(timeout_s: float) -> Iterator[Callable[[], float]]:
    from time import monotonic

    ends = monotonic() + timeout_s
    yield lambda: max(ends - monotonic(), 0.0)


def _is_done(job: Any) -> bool:
    return bool(job.ready() and job.successful())


def _told(name: str, error: BaseException | None) -> str:
    if error is None:
        return f"Telemetry: {name} did not answer in time."
    # What a library says of a failure may hold the address with a key in it.
    what = str(error) if isinstance(error, NbvaultError) else type(error).__name__
    return f"Telemetry: {name} failed: {what}"


# --- OpenTelemetry ---------------------------------------------------------------------------------------------------


def otlp(endpoint: str, headers: Mapping[str, str], *, timeout_s: float) -> Target:
    """A collector that speaks OTLP over HTTP; metrics go to ``/v1/metrics``, the trace to ``/v1/traces``."""

    def export(measured: Measured) -> None:
        with _extra("otlp"):
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        _quieten()
        base, given = endpoint.rstrip("/"), dict(headers)
        metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", headers=given, timeout=timeout_s)
        spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", headers=given, timeout=timeout_s)
        _export(measured, metrics, spans, timeout_s=timeout_s)

    return Target("the OTLP collector", export)


def azure_monitor(connection: Callable[[], str], *, timeout_s: float) -> Target:
    """Application Insights.

    Args:
        connection: Gives the connection string; it is secret.
    """

    def export(measured: Measured) -> None:
        with _extra("azure-monitor"):
            from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter
        _quieten()
        options: dict[str, Any] = {
            "connection_string": connection(),
            "disable_offline_storage": True,
            "timeout": timeout_s,
            "retry_total": 1,
        }
        try:
            metrics, spans = AzureMonitorMetricExporter(**options), AzureMonitorTraceExporter(**options)
        except ValueError as error:
            raise TelemetryError("the connection string is not one of Application Insights.") from error
        _export(measured, metrics, spans, timeout_s=timeout_s)

    return Target("Azure Monitor", export)


def _export(measured: Measured, metrics: MetricExporter, spans: SpanExporter, *, timeout_s: float) -> None:
    from opentelemetry.sdk.metrics.export import MetricExportResult
    from opentelemetry.sdk.trace.export import SpanExportResult

    try:
        told = metrics.export(metrics_of(measured), timeout_millis=timeout_s * 1000)
        traced = spans.export(trace_of(measured))
    finally:
        metrics.shutdown()
        spans.shutdown()
    if told is not MetricExportResult.SUCCESS or traced is not SpanExportResult.SUCCESS:
        raise TelemetryError("it did not take what was sent; is the address right, and does it answer?")


def metrics_of(measured: Measured) -> MetricsData:
    """The numbers as OpenTelemetry has them: a gauge for each name."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource(_SERVICE), shutdown_on_exit=False)
    meter = provider.get_meter("nbvault", __version__)
    gauges: dict[str, Any] = {}
    for sample in measured.samples():
        if sample.name not in gauges:
            gauges[sample.name] = meter.create_gauge(sample.name, sample.unit, sample.about)
        gauges[sample.name].set(sample.value, dict(sample.labels))
    found = reader.get_metrics_data()
    provider.shutdown()
    return found or MetricsData(resource_metrics=[])


def trace_of(measured: Measured) -> list[ReadableSpan]:
    """The session as a span, and each of its stages as one below it."""
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status as SpanStatus
    from opentelemetry.trace.status import StatusCode

    number, resource = secrets.randbits(128) or 1, Resource(_SERVICE)

    def context() -> SpanContext:
        return SpanContext(
            number, secrets.randbits(64) or 1, is_remote=False, trace_flags=TraceFlags(trace.TraceFlags.SAMPLED)
        )

    def span(name: str, start: datetime, end: datetime, **more: Any) -> ReadableSpan:
        return ReadableSpan(
            name,
            resource=resource,
            instrumentation_scope=InstrumentationScope("nbvault", __version__),
            kind=SpanKind.INTERNAL,
            start_time=_ns(start),
            end_time=_ns(end),
            **more,
        )

    good = measured.status in (Status.COMPLETE, Status.PARTIAL)
    code = StatusCode.OK if good else StatusCode.ERROR
    about = {"nbvault.session": measured.session, "nbvault.status": measured.status.value, **measured.labels}
    about |= {f"nbvault.{name}": value for name, value in measured.counts.items() if value}  # type: ignore[misc]
    root = context()
    # A session has ended before the last push has told so.
    ended = max([measured.ended_at, *(stage.ended_at for stage in measured.stages)])
    whole = span("sync", measured.started_at, ended, context=root, attributes=about, status=SpanStatus(code))
    parts = [
        span(
            stage.name,
            stage.started_at,
            stage.ended_at,
            context=context(),
            parent=root,
            status=SpanStatus(StatusCode.OK),
        )
        for stage in measured.stages
    ]
    return [whole, *parts]


def _ns(at: datetime) -> int:
    return round(at.timestamp() * 1000) * 1_000_000


def _quieten() -> None:
    """Let libraries keep to themselves what they say of a failure, unless somebody has set up logging."""
    for name in ("opentelemetry", "azure"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise TelemetryError(
            f"the packages for it are not installed ({error.name}).", hint=f'pip install "nbvault[{name}]"'
        ) from error


# --- Prometheus ------------------------------------------------------------------------------------------------------


def prometheus_file(path: Path) -> Target:
    """A text file for the textfile collector of node_exporter; it is there whole or as it was."""

    def export(measured: Measured) -> None:
        beside = path.with_name(f".{path.name}.part")
        try:
            beside.write_text(prometheus_text(measured), encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            raise TelemetryError(f"{path} cannot be written: {error.strerror or error}.") from error

    return Target("the Prometheus file", export)


def prometheus_text(measured: Measured | None) -> str:
    """The numbers in the text format of Prometheus; of no session, an empty text."""
    try:
        from prometheus_client import CollectorRegistry, Gauge, generate_latest
    except ImportError as error:
        raise ConfigurationError(
            f"Metrics for Prometheus need a package that is not installed ({error.name}).",
            hint='pip install "nbvault[prometheus]"',
        ) from error
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for sample in measured.samples() if measured else ():
        name = _prometheus_name(sample)
        if name not in gauges:
            gauges[name] = Gauge(name, sample.about, list(sample.labels), registry=registry)
        gauge = gauges[name].labels(**sample.labels) if sample.labels else gauges[name]
        gauge.set(sample.value)
    return generate_latest(registry).decode()


def _prometheus_name(sample: Sample) -> str:
    unit = {"s": "_seconds", "By": "_bytes"}.get(sample.unit, "")
    return sample.name.replace(".", "_") + unit

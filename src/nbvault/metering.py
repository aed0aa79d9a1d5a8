"""From the settings and a session to what is sent, and from the state store to what Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from nbvault.errors import LockedError, NbvaultError
from nbvault.model import SessionReport, Stage, Status
from nbvault.monitoring import telemetry
from nbvault.monitoring.metrics import Measured
from nbvault.settings import Settings, without_vendor_statistics
from nbvault.state.store import SessionRow, StateManager

_LOOKED_AT = 100


def tell_telemetry(
    settings: Settings,
    report: SessionReport,
    stages: Sequence[Stage],
    state: StateManager,
    *,
    say: Callable[[str], None],
) -> None:
    """Send what was measured of a session that has ended to all that the settings name; trouble is only said."""
    if report.dry_run or not report.session or report.exit_code == LockedError.exit_code:
        return
    try:
        targets = targets_of(settings)
        measured = of_report(settings, report, stages, last_success=last_success(settings, state)) if targets else None
    except NbvaultError as error:
        say(f"Telemetry: nothing was sent: {error}")
        return
    if measured is not None:
        for sentence in telemetry.send(measured, targets, timeout_s=settings.telemetry.timeout_s):
            say(sentence)


def targets_of(settings: Settings) -> list[telemetry.Target]:
    """Where the settings want measurements to go.

    Raises:
        ConfigurationError: a secret that is needed is missing.
    """
    wanted, found = settings.telemetry, []
    if wanted.otlp:
        headers = _headers(wanted.otlp_headers.reveal()) if wanted.otlp_headers else {}
        found.append(telemetry.otlp(wanted.otlp, headers, timeout_s=wanted.timeout_s))
    if wanted.azure_monitor:
        without_vendor_statistics()
        found.append(telemetry.azure_monitor(wanted.azure_monitor.reveal, timeout_s=wanted.timeout_s))
    if wanted.prometheus_file:
        found.append(telemetry.prometheus_file(wanted.prometheus_file))
    return found


def _headers(text: str) -> dict[str, str]:
    """``name=value,other=value``, as OpenTelemetry writes them: ``%20`` in a value is a space."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def of_report(
    settings: Settings, report: SessionReport, stages: Sequence[Stage], *, last_success: datetime | None
) -> Measured:
    """What was measured of the session that has just ended."""
    done = report.ended_at if report.status is Status.COMPLETE else last_success
    growth = report.growth
    return Measured(
        report.session,
        report.status,
        report.started_at,
        report.ended_at,
        asdict(report.counts),
        asdict(report.requests),
        report.bytes_exported,
        report.exit_code,
        len(report.secrets),
        growth.total_objects if growth else 0,
        growth.total_pack_bytes if growth else 0,
        stages,
        done,
        _labels(settings),
    )


def of_row(settings: Settings, row: SessionRow, *, last_success: datetime | None) -> Measured:
    """What the state store knows of a session that has ended."""
    data: Mapping[str, Any] = row.metadata
    growth = data.get("growth") or {}
    return Measured(
        row.session,
        row.status,
        row.started_at,
        row.ended_at or row.started_at,
        data.get("counts", {}),
        data.get("requests", {}),
        row.bytes_processed,
        int(data.get("exit_code", 0)),
        int(data.get("secrets", 0)),
        int(growth.get("total_objects", 0)),
        int(growth.get("total_pack_bytes", 0)),
        last_success=last_success,
        labels=_labels(settings),
    )


def _labels(settings: Settings) -> dict[str, str]:
    return {"root": settings.workspace.root}


def last_success(settings: Settings, state: StateManager) -> datetime | None:
    """When the newest complete session ended, of the last hundred."""
    ends = (row.ended_at for row in _backups(settings, state) if row.status is Status.COMPLETE)
    return next((end for end in ends if end is not None), None)


def _backups(settings: Settings, state: StateManager) -> list[SessionRow]:
    """The last backups of this vault that have ended, newest first; a state store may serve several."""
    own = ("", str(settings.vault.remote))
    rows = (row for row in state.sessions(_LOOKED_AT) if row.repo_id in own and row.is_backup)
    return [row for row in rows if row.status is not Status.RUNNING]


def scraped(settings: Settings) -> str:
    """The last session that ended, in the text format of Prometheus.

    Raises:
        StateError: the state store cannot be read.
        ConfigurationError: the package for it is missing.
    """
    with StateManager(settings.state.connection_url()) as state:
        rows = _backups(settings, state)
        measured = of_row(settings, rows[0], last_success=last_success(settings, state)) if rows else None
    return telemetry.prometheus_text(measured)

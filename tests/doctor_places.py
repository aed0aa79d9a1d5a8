"""Somebody whom the doctor examines: an administrator's folder with a configuration, and what is found there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cli_places import configured
from flow.places import Quiet
from nbvault.backup.surroundings import SyncOptions
from nbvault.clock import SystemClock
from nbvault.diagnosis import run_doctor
from nbvault.settings import Settings, load_settings
from nbvault.setup.examining import Check
from nbvault.wiring import run_sync
from nbvault_emulator.testing import Emulator

WAITS = "Not looked at; first put in order: "


class Shifted(SystemClock):
    """A clock that goes wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


@dataclass
class Patient:
    """An administrator's folder with a configuration for an emulator."""

    folder: Path
    emulator: Emulator
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variables = configured(self.folder, self.emulator)

    def settings(self, **variables: str) -> Settings:
        return load_settings(cwd=self.folder, environment={**self.variables, **variables})

    def checks(self, *, ahead: timedelta = timedelta(0), **variables: str) -> list[Check]:
        """What the doctor says."""
        clock = Shifted(ahead) if ahead else None
        # A busy machine is no fault of what is examined.
        patient = {"NBVAULT_NETWORK__CHECK_TIMEOUT_S": "40", **variables}
        return run_doctor(lambda: self.settings(**patient), warn=print, clock=clock)

    def sync(self) -> None:
        assert run_sync(self.settings(), SyncOptions(), Quiet()).exit_code == 0


def wrong(checks: list[Check]) -> dict[str, Check]:
    """What is not in order, apart from what therefore could not be looked at."""
    return {check.name: check for check in checks if not check.ok and check.made}


def only(checks: list[Check], name: str) -> Check:
    """The one check that is not in order; each that was not made says in one line that it waits for that one."""
    found = wrong(checks)
    assert list(found) == [name], checks
    waiting = {check.detail for check in checks if not check.ok and check.name != name}
    assert waiting <= {f"{WAITS}{name}."}
    assert found[name].hint
    return found[name]

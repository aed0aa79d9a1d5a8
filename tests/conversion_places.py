"""Conversions for the tests: a workspace, a machine, and everything that a conversion might leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from databricks.sdk import WorkspaceClient

from flow.places import Machine, Quiet, git, refs_of, server_of
from nbvault.conversions import Conversions, read_conversion
from nbvault.opening import read_vault
from nbvault.setup.conversion import Conversion
from nbvault.setup.report import ConversionReport, ConvertOptions
from nbvault_emulator.testing import Emulator

ROOT = "/Clients"
TARGET = "/Clients_git"
HEADERS = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}


def source(text: str, language: str = "PYTHON") -> str:
    """A notebook's source."""
    return f"{HEADERS[language]} Databricks notebook source\n{text}"


def small_world() -> list[dict[str, Any]]:
    """A few notebooks of every language, some with a newline at the end, an empty folder, and things elsewhere."""
    languages = ("PYTHON", "SQL", "SCALA", "R")
    world: list[dict[str, Any]] = [
        {"path": f"{ROOT}/{2024 + number % 2}/ENG-{number % 3}/n{number}", "language": languages[number % 4]}
        | {"content": source(f"x = {number}" + "\n" * (number % 2), languages[number % 4])}
        for number in range(7)
    ]
    world.append({"path": f"{ROOT}/top", "content": source("top")})
    world.append({"path": f"{ROOT}/2024/empty", "object_type": "DIRECTORY"})
    world.append({"path": "/Shared/other", "content": source("other")})
    return world


def some(cases: Sequence[Any], *chosen: int) -> list[Any]:
    """All cases of a parametrized test; those that are not chosen belong to the campaign."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if number in chosen else pytest.mark.campaign
        )
        for number, case in enumerate(cases)
    ]


class Object(NamedTuple):
    """An object of the workspace, without what a restore cannot bring back: its id, its times, a last newline."""

    path: str
    kind: str
    language: str
    content: str


def everything(emulator: Emulator, path: str = "/") -> list[Object]:
    """All that is in the workspace."""
    found = emulator.world(path, content=True, everything=True)
    return sorted(
        Object(each["path"], each["object_type"], each.get("language", ""), each.get("content", "").removesuffix("\n"))
        for each in found
    )


def sdk_of(emulator: Emulator) -> WorkspaceClient:
    """The SDK's client."""
    return WorkspaceClient(host=emulator.workspace_url, token=emulator.workspace_token, auth_type="pat")


@dataclass
class Desk:
    """A machine from which conversions are run, and what they said."""

    folder: Path
    emulator: Emulator
    settings: Mapping[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # No slice of the day: where a test counts exports, there must be none that no change asks for.
        keys = {"recheck_days": 1_000_000, **self.settings}
        self.machine = Machine(self.folder, self.emulator, sync_keys=keys)

    @property
    def conversions(self) -> Conversions:
        return Conversions(self.machine.settings(), "dana", self.said.append)

    def convert(self, **options: Any) -> ConversionReport:
        return self.conversions.convert(ConvertOptions(**options), Quiet())

    def roll_back(self) -> ConversionReport:
        return self.conversions.roll_back()

    def conversion(self) -> Conversion | None:
        """What the remote says of it."""
        with read_vault(self.machine.settings(), warn=self.said.append) as vault:
            return read_conversion(vault)

    def stage(self) -> str:
        found = self.conversion()
        return found.stage.value if found else ""

    def left(self) -> tuple[list[Object], list[str]]:
        """All that is in the workspace, and the Git credentials."""
        names = [str(each.name) for each in sdk_of(self.emulator).git_credentials.list()]
        return everything(self.emulator), names

    def records(self, kind: str) -> str:
        """The lines of one kind of records on the remote, by plain git."""
        server = server_of(self.emulator)
        if "refs/heads/nbvault/meta" not in refs_of(server):
            return ""
        names = git(server, "ls-tree", "-r", "--name-only", "nbvault/meta").decode().split()
        wanted = [name for name in names if name.startswith(f"records/{kind}-")]
        return "".join(git(server, "show", f"nbvault/meta:{name}").decode() for name in wanted)

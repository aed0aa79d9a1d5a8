"""The door for Databricks notebooks: widgets in, a command run, its end told as the notebook's result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from nbvault import job
from nbvault.cli import output
from nbvault.errors import ConfigurationError, NbvaultError

TOKEN = "NBVAULT_NOTEBOOK_GIT_TOKEN"  # noqa: S105 - the name of a variable
OPERATIONS = ("setup", "sync", "restore")


class WidgetTools(Protocol):
    """What is used of ``dbutils.widgets``."""

    def text(self, name: str, defaultValue: str, label: str) -> Any:  # noqa: N803 - Databricks' name
        """Declare a field."""

    def dropdown(self, name: str, defaultValue: str, choices: list[str], label: str) -> Any:  # noqa: N803
        """Declare a choice."""

    def get(self, name: str) -> str:
        """What it holds."""


class SecretTools(Protocol):
    """What is used of ``dbutils.secrets``."""

    def get(self, scope: str, key: str) -> str:
        """A secret."""


class NotebookTools(Protocol):
    """What is used of ``dbutils.notebook``."""

    def exit(self, value: str) -> Any:
        """End the notebook with a result."""


class Dbutils(Protocol):
    """What is used of ``dbutils``."""

    @property
    def widgets(self) -> WidgetTools:
        """Fields above the notebook."""

    @property
    def secrets(self) -> SecretTools:
        """Secret scopes."""

    @property
    def notebook(self) -> NotebookTools:
        """The notebook itself."""


class Field(NamedTuple):
    """A widget: its default, its label, and its choices where it is no text."""

    default: str
    label: str
    choices: tuple[str, ...] = ()


_YES_NO = ("no", "yes")
_BUT_FOR_SYNC = "yes, but for sync"
_COMMON = {
    "configuration": Field("", "Configuration file (empty: the widgets say all)"),
    "clients_folder": Field("/Clients", "Clients folder"),
    "repository_url": Field("", "Repository URL"),
    "secret": Field("nbvault/azure-devops-pat", "Secret with the Git token: scope/key"),
    "verbose": Field("no", "Verbose", _YES_NO),
    "email": Field("", "E-mail"),
}
_SYNC = {
    "sync_mode": Field("incremental", "Sync mode", ("incremental", "full")),
    "batch_size": Field("5000", "Batch size"),
    "workers": Field("64", "Workers (requests at once)"),
    "dry_run": Field("no", "Dry run", _YES_NO),
}
_GIT_FOLDER = {
    "git_folder": Field("/Clients_git", "Git folder"),
    "dry_run": Field("yes", "Dry run", _YES_NO),
}
_RESTORE = {
    "paths": Field("", "Notebooks or folders, separated by ;"),
    "at": Field("", "As of (time or commit; empty: now)"),
    "to": Field("", "To another place (empty: where it was)"),
    "dry_run": Field("yes", "Dry run", _YES_NO),
}
_EVERYTHING = {
    "operation": Field("sync", "Operation", OPERATIONS),
    **_COMMON,
    **_GIT_FOLDER,
    **_RESTORE,
    **_SYNC,
    # Each operation begins as it does in its own notebook; a schedule that says nothing of it must go on to back up.
    "dry_run": Field(_BUT_FOR_SYNC, "Dry run", (_BUT_FOR_SYNC, *_YES_NO)),
}
_FIELDS: Mapping[str, Mapping[str, Field]] = {
    "configuration": _COMMON,
    "setup": _COMMON | _GIT_FOLDER,
    "sync": _COMMON | _SYNC,
    "restore": _COMMON | _RESTORE,
    "orchestration": _EVERYTHING,
}


class NotebookFailed(NbvaultError):
    """What the notebook was to do failed, so that the run of the notebook fails."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The widgets of a notebook and what is done with them."""

    dbutils: Dbutils
    kind: str

    @classmethod
    def opened(cls, dbutils: Dbutils, kind: str) -> Desk:
        """Put up the widgets of a notebook: configuration, setup, sync, restore or orchestration."""
        for name, field in _FIELDS[kind].items():
            if field.choices:
                dbutils.widgets.dropdown(name, field.default, list(field.choices), field.label)
            else:
                dbutils.widgets.text(name, field.default, field.label)
        return cls(dbutils, kind)

    def run(self) -> None:
        """Do what the widgets say, and end the notebook with a JSON object: operation, exit_code, meaning.

        Raises:
            NotebookFailed: it failed; what was printed above says why.
            ConfigurationError: the widgets do not say what to do.
        """
        operation = self._get("operation") or self.kind
        outcomes = [self._one(arguments) for arguments in self._commands(operation)]
        worst = next((each for each in outcomes if not each.succeeded), None)
        if worst is not None:
            raise NotebookFailed(worst.sentence())
        end = next((each for each in outcomes if each.needs_attention), outcomes[-1])
        result = {"operation": operation, "exit_code": end.exit_code, "meaning": end.meaning}
        self.dbutils.notebook.exit(json.dumps(result))

    def _one(self, arguments: list[str]) -> job.Outcome:
        config = self._get("configuration")
        return job.run([*arguments, *(["--config", config] if config else [])], settings=self.settings())

    def _commands(self, operation: str) -> list[list[str]]:
        if self._get("email"):
            output.note(
                "E-mail is sent by the job's own notifications (nbvault deploy render --success-email and "
                "--failure-email); this notebook sends none."
            )
        made = {"configuration": self._look, "setup": self._set_up, "sync": self._sync, "restore": self._restore}
        return [*made[operation](), *([["status"]] if self._is("verbose") else [])]

    def _look(self) -> list[list[str]]:
        return [["doctor"]]

    def _set_up(self) -> list[list[str]]:
        dry = ["--dry-run"] if self._careful() else []
        return [["doctor"], ["convert", "--to", self._get("git_folder"), *dry]]

    def _sync(self) -> list[list[str]]:
        full = ["--full"] if self._get("sync_mode") == "full" else []
        return [["sync", *full, *(["--dry-run"] if self._is("dry_run") else [])]]

    def _restore(self) -> list[list[str]]:
        paths = [path.strip() for path in self._get("paths").split(";") if path.strip()]
        if not paths:
            raise ConfigurationError("Nothing is named to restore.", hint="Fill in the widget 'paths'.")
        options = [part for name in ("at", "to") if self._get(name) for part in (f"--{name}", self._get(name))]
        return [["restore", *paths, *options, "--dry-run" if self._careful() else "--yes"]]

    def _careful(self) -> bool:
        """Whether what changes the workspace only shows its plan: always, unless somebody says no."""
        return self._get("dry_run") != "no"

    def settings(self) -> dict[str, str]:
        """What the widgets say, as variables. Without a configuration file everything; with one, it wins."""
        if self._get("configuration"):
            return self._debug()
        found = {"NBVAULT_WORKSPACE__ROOT": "clients_folder", "NBVAULT_VAULT__REMOTE": "repository_url"}
        found |= {"NBVAULT_SYNC__BATCH_SIZE": "batch_size", "NBVAULT_SYNC__MAX_IN_FLIGHT": "workers"}
        values = {variable: self._get(name) for variable, name in found.items() if self._get(name)}
        return values | self._local() | self._token() | self._debug()

    def _debug(self) -> dict[str, str]:
        return {"NBVAULT_DEBUG": "1"} if self._is("verbose") else {}

    @staticmethod
    def _local() -> dict[str, str]:
        folder = "/local_disk0"
        return {
            "NBVAULT_VAULT__PATH": f"{folder}/nbvault/vault.git",
            "NBVAULT_STATE__URL": f"sqlite:///{folder}/nbvault.db",
        }

    def _token(self) -> dict[str, str]:
        """The token goes from the secret scope into the settings of this process, and nowhere else."""
        scope, slash, key = self._get("secret").partition("/")
        if not slash:
            return {}
        return {TOKEN: self.dbutils.secrets.get(scope, key), "NBVAULT_VAULT__TOKEN": f"env:{TOKEN}"}

    def _get(self, name: str) -> str:
        return self.dbutils.widgets.get(name).strip() if name in _FIELDS[self.kind] else ""

    def _is(self, name: str) -> bool:
        return self._get(name) == "yes"

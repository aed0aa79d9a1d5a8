"""Finding, reading and checking the configuration; the only module that touches the environment."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from nbvault.errors import ConfigurationError
from nbvault.settings.secret import Context
from nbvault.settings.sections import Settings

FILE_NAME = "nbvault.toml"
_VARIABLE = re.compile(r"NBVAULT_([A-Z0-9_]*?)__([A-Z0-9_]*)")
_INIT_HINT = "Run 'nbvault init' to write one, or name one with --config or NBVAULT_CONFIG."


class NotConfigured(ConfigurationError):
    """Nobody has named a configuration, and there is none where it is looked for."""


class _Found(NamedTuple):
    """The values before they are checked, and where each that is not from the file comes from."""

    values: dict[str, Any]
    file: Path | None
    variables: dict[tuple[str, ...], str]

    def origin(self, key: tuple[str, ...]) -> str:
        """Where a key was set, or should have been, for a message."""
        if variable := self.variables.get(key[:2]):
            return f"the variable {variable}"
        return str(self.file) if self.file else "the environment"


def load_settings(
    config: Path | None = None, *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Settings:
    """Read and check the configuration.

    The file is ``config``, else what NBVAULT_CONFIG names, else ``nbvault.toml`` in the working directory; none is
    needed where variables ``NBVAULT_SECTION__KEY`` say everything. Such a variable wins over the file; a list in one is
    JSON or separated by commas; an empty one unsets what has no default.

    Args:
        environment: Instead of the process's own.
        cwd: Instead of the process's own working directory.

    Raises:
        ConfigurationError: there is none, or it is wrong: one line for each wrong key, no value quoted.
    """
    given = os.environ if environment is None else environment
    folder = Path.cwd() if cwd is None else cwd.absolute()
    file = _find(config, given, folder)
    values = _read(file) if file else {}
    found = _Found(values, file, {})
    mistakes = list(_apply_variables(found, given))
    context = Context(file.parent if file else folder, given, {})
    settings = _check(found, context, mistakes)
    settings._context = context
    return settings


def debug_wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Whether NBVAULT_DEBUG asks for tracebacks on stderr."""
    given = os.environ if environment is None else environment
    return given.get("NBVAULT_DEBUG", "") not in {"", "0"}


def environment_with(variables: Mapping[str, str]) -> dict[str, str]:
    """The process's environment with other variables over it, for `load_settings`."""
    return {**os.environ, **variables}


def without_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without anything that configures nbvault or names a workspace: for a rehearsal."""
    given = os.environ if environment is None else environment
    return {name: value for name, value in given.items() if not name.startswith(("NBVAULT_", "DATABRICKS_"))}


def without_vendor_statistics() -> None:
    """Keep the exporter of Azure Monitor from sending its vendor statistics; it asks only the environment."""
    os.environ["APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL"] = "true"


def _find(config: Path | None, environment: Mapping[str, str], cwd: Path) -> Path | None:
    named = config or (Path(environment["NBVAULT_CONFIG"]) if environment.get("NBVAULT_CONFIG") else None)
    file = cwd / (named.expanduser() if named else FILE_NAME)
    if file.is_file():
        return file
    if named is None and any(_VARIABLE.fullmatch(name) for name in environment):
        return None
    kind = NotConfigured if named is None else ConfigurationError
    raise kind(f"There is no configuration at {file}.", hint=_INIT_HINT)


def _read(file: Path) -> dict[str, Any]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        values: dict[str, Any] = toml.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"The configuration {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The configuration {file} is not UTF-8 text.") from None
    except toml.TOMLDecodeError as error:
        raise ConfigurationError(f"The configuration {file} is no TOML: {error}.") from None
    return values


def _keys() -> dict[str, type[BaseModel]]:
    """The sections and their models."""
    models = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: model for name, model in models.items() if isinstance(model, type) and issubclass(model, BaseModel)}


def _apply_variables(found: _Found, environment: Mapping[str, str]) -> Iterator[str]:
    """Put the variables' values over the file's; yields a sentence for each that cannot be."""
    referred = set(re.findall(r"env:(\w+)", json.dumps(found.values, default=str)))
    sections = _keys()
    for section in sections:
        found.values.setdefault(section, {})
    for name in sorted(environment):
        match = _VARIABLE.fullmatch(name)
        if match is None or name in referred:
            continue
        section, key = match[1].lower(), match[2].lower()
        field = sections[section].model_fields.get(key) if section in sections else None
        if field is None:
            yield f"The variable {name} names no setting{_nearest(f'{section}.{key}', as_variable=True)}"
        elif isinstance(found.values[section], dict):
            is_list = field.annotation == tuple[str, ...]
            found.values[section][key] = _as_list(environment[name]) if is_list else environment[name]
            found.variables[section, key] = name
            if environment[name] == "" and field.default is None:
                found.values[section][key] = None


def _as_list(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _check(found: _Found, context: Context, mistakes: list[str]) -> Settings:
    try:
        settings = Settings.model_validate(found.values, context=context)
    except ValidationError as error:
        mistakes += [_sentence(found, item) for item in error.errors(include_url=False, include_input=False)]
    if mistakes:
        # Not "from": pydantic's own error would print the values.
        raise ConfigurationError("\n".join(mistakes))
    return settings


def _sentence(found: _Found, item: Any) -> str:
    """One wrong key, where it was set, and what it must be."""
    loc = tuple(str(part) for part in item["loc"])
    key, place = ".".join(loc), found.origin(loc)
    if item["type"] == "extra_forbidden":
        return f"{key} in {place} is no setting{_nearest(key)}"
    if item["type"] == "missing":
        return f"{key} is missing in {place}."
    if item["type"] == "model_type":
        return f"{key} in {place} must be a table: [{key}]."
    if item["type"] == "tuple_type":
        return f'{key} in {place} must be a list: ["…"].'
    said = str(item["ctx"]["error"]) if item["type"] == "value_error" else item["msg"].replace("Input should", "must")
    return f"{key} in {place}{' ' if said.startswith(('must', 'refers')) else ': '}{said}."


def _nearest(key: str, *, as_variable: bool = False) -> str:
    """A hint at the setting that was probably meant: the same key elsewhere, or one spelled nearly so."""
    known = [f"{section}.{name}" for section, model in _keys().items() for name in model.model_fields]
    if "." not in key:
        known = list(_keys())
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    best = next(iter(same or get_close_matches(key, known, n=1)), "")
    if not best:
        return "."
    meant = "NBVAULT_" + best.replace(".", "__").upper() if as_variable else best
    return f"; did you mean {meant}?"

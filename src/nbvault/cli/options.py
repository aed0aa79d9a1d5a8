"""The options that every command has, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from nbvault.cli import trail
from nbvault.errors import ConfigurationError

if TYPE_CHECKING:
    from nbvault.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
_CONFIG = "nbvault.config"


def config_option(command: Command) -> Command:
    """Let a command, or a group and each of its commands, take ``--config FILE``; `load` then reads that file."""
    option = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=_keep,
        help="The configuration; otherwise what NBVAULT_CONFIG names, or nbvault.toml here.",
    )
    return option(command)


def json_option(command: Command) -> Command:
    """Let a command take ``--json``, handed on as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON value as the last line of stdout.")(command)


def not_empty(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """The value of an option or argument; one that is given empty is a variable that nobody set.

    Raises:
        ConfigurationError: it is empty.
    """
    asked = context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
    if asked and value is not None and not value.strip():
        option = parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name
        hint = "Give it a value." if parameter.required else "Leave it out, or give it a value."
        raise ConfigurationError(f"{option} is empty.", hint=hint)
    return value


def _keep(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_CONFIG] = value


def config_file() -> Path | None:
    """The file that ``--config`` named, if it was given."""
    found: Path | None = click.get_current_context().meta.get(_CONFIG)
    return found


def load() -> Settings:
    """The settings of the running command.

    Raises:
        ConfigurationError: there are none, or they are wrong.
    """
    from nbvault.auth import attach_secret_stores
    from nbvault.settings import environment_with, load_settings

    given = click.get_current_context().find_root().obj
    settings = load_settings(config_file(), environment=environment_with(given) if given else None)
    attach_secret_stores(settings)
    trail.loaded(settings)
    return settings

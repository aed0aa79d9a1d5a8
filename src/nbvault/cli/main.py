"""The command line: finds the command, and ends the process with an exit code and a sentence, never a traceback.

A command is a module `nbvault.cli.NAME` with a click command called ``command`` that returns its exit code, or None
for 0. It is imported when it is used, so that starting costs nothing.
"""

from __future__ import annotations

import gc
import importlib
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import FrameType
from typing import Any, NoReturn

import click

from nbvault import __version__
from nbvault.cli import failures, output, trail
from nbvault.errors import ConfigurationError, NbvaultError, SessionInterrupted

COMMANDS = {
    "init": "Write a configuration to start from, and try it.",
    "estimate": "What a backup of this workspace will cost.",
    "sync": "Back up the workspace once.",
    "status": "How the last sessions ended, and what is protected.",
    "history": "The versions of a notebook, across renames.",
    "show": "A notebook as it was.",
    "changes": "Who changed what: a day, a period, a session.",
    "diff": "What changed in a notebook, cell by cell.",
    "blame": "Who wrote each line of a notebook.",
    "search": "Where a text stands, now, then or in any version.",
    "restore": "Bring notebooks back as they were.",
    "undo": "Take a restore back.",
    "serve": "The web page: find, compare, restore, undo.",
    "verify": "Compare the vault with the workspace.",
    "drill": "Prove that the vault can be restored, on a sample.",
    "compare": "Compare an exported folder with the vault.",
    "metrics": "The numbers of the last session, for Prometheus.",
    "doctor": "Whether everything that a backup needs is in order.",
    "convert": "The vault as Git folders in the workspace.",
    "rollback": "Take a conversion back.",
    "rotate": "Go on in a new repository.",
    "problems": "What could not be backed up.",
    "audit": "What was done, by whom, and whether the record is whole.",
    "archive": "Close engagements: look at them weekly, hand them over.",
    "alerts": "What is wrong, and who is told of it.",
    "deploy": "Run by itself every night: render, roll back, verify.",
    "credentials": "How nbvault signs in, and until when.",
    "state": "The index of sessions for people and dashboards.",
    "emulator": "A local workspace and Git server, to rehearse on.",
    "demo": "The whole story on a local workspace, in a minute.",
}
_EXIT_CODES = (
    "Exit codes: 0 complete, 3 partial, 4 deletions held, 5 locked by another session, 6 authentication, "
    "7 configuration or wrong usage, 8 verification failed, 9 interrupted, 1 any other failure."
)


class LazyGroup(click.Group):
    """Commands by name, imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"nbvault.cli.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            meant = get_close_matches(name, COMMANDS, n=1)
            raise click.UsageError(
                f"There is no command {name!r}." + (f" Did you mean {meant[0]!r}?" if meant else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
        except BaseException as error:
            trail.keep(ctx, error)
            raise
        trail.keep(ctx, code)
        return code

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="nbvault", message="%(prog)s %(version)s")
@click.pass_context
def nbvault(context: click.Context) -> None:
    """Back up the notebooks of a Databricks workspace into Git, and get them back."""
    if context.invoked_subcommand is None:
        raise click.UsageError("Which command?", context)


def main() -> NoReturn:
    """The program `nbvault`; ends the process."""
    # What a command loads lasts as long as it runs; looking for garbage in it every 700 objects costs a tenth.
    gc.set_threshold(50_000)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], *, settings: Mapping[str, str] | None = None) -> int:
    """Run a command line and return its exit code; whatever goes wrong has been said.

    Args:
        settings: Variables that win over those of the environment.
    """
    _prepare()
    try:
        return _invoke(arguments, settings)
    except BrokenPipeError:
        output.silence()
        return 1
    except (KeyboardInterrupt, click.Abort) as error:
        asked = isinstance(error.__cause__ or error, _Terminated)
        failure: NbvaultError = SessionInterrupted("Asked to stop (SIGTERM)." if asked else "Interrupted.")
    except click.ClickException as error:
        failure = _wrong_usage(error)
    except NbvaultError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the last door: nobody behind it shows this to the user
        failure = failures.unexpected(error)
    with output.unless_nobody_reads():
        failures.tell(failure, arguments)
    return failure.exit_code


def _invoke(arguments: Sequence[str], settings: Mapping[str, str] | None) -> int:
    code: Any = nbvault.main(list(arguments), prog_name="nbvault", standalone_mode=False, obj=settings)
    sys.stdout.flush()
    return int(code or 0)


def _prepare() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    for stream in (sys.stdout, sys.stderr):
        # Names of notebooks may hold what this terminal, or any, cannot encode.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _Terminated(KeyboardInterrupt):
    """SIGTERM. Like Ctrl-C it is no error of nbvault's, which a command may note and go on."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _wrong_usage(error: click.ClickException) -> ConfigurationError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "nbvault"
    return ConfigurationError(error.format_message(), hint=f"See '{path} --help'.")


if __name__ == "__main__":
    main()

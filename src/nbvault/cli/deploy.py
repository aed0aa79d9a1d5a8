"""`nbvault deploy`: nbvault as a scheduled job, rendered, put back, and looked at after its first run."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import is_zipfile

import click

from nbvault.cli import output
from nbvault.cli.options import Command, config_option, json_option, load, not_empty
from nbvault.cli.output import number, shown
from nbvault.errors import ConfigurationError

if TYPE_CHECKING:
    from nbvault.deployment import Handover
    from nbvault.setup.deploy import DeployPlan, Installed
    from nbvault.setup.deploy.plan import Known

_FILE = click.Path(path_type=Path, dir_okay=False)


def _folder_argument(command: Command) -> Command:
    """Let a command take the folder of a rendering; an empty one is not the folder here."""

    def read(context: click.Context, parameter: click.Parameter, value: str) -> Path:
        return Path(not_empty(context, parameter, value))

    return click.argument("folder", metavar="DIR", type=click.Path(file_okay=False), callback=read)(command)


@click.group("deploy")
@config_option
def command() -> None:
    """Run nbvault by itself every night, on Databricks or elsewhere."""


@command.command("render")
@_folder_argument
@click.option("--host", metavar="URL", default="", help="The workspace for development.")
@click.option("--prod-host", metavar="URL", default="", help="The workspace that is backed up for good.")
@click.option("--remote", metavar="URL", default="", help="The vault; otherwise the configuration's.")
@click.option(
    "--dev-remote", metavar="URL", default="", help="The vault of dev; otherwise the other one's name + '-dev'."
)
@click.option("--service-principal", metavar="ID", default="", help="The application id of who backs up.")
@click.option("--compute", type=click.Choice(["job-cluster", "serverless"]), default="job-cluster", show_default=True)
@click.option("--engine", type=click.Choice(["local", "spark"]), default="local", show_default=True)
@click.option("--success-email", metavar="ADDRESS", multiple=True, help="Who hears of success; may be repeated.")
@click.option("--failure-email", metavar="ADDRESS", multiple=True, help="Who hears of failure; may be repeated.")
@click.option("--webhook", metavar="ID", default="", help="A notification destination of the workspace, by its id.")
@click.option("--tag", metavar="NAME=VALUE", multiple=True, help="A tag of jobs and clusters; may be repeated.")
@click.option("--secret-scope", metavar="NAME", default="nbvault", show_default=True, help="Where the secrets are.")
@click.option("--catalog", metavar="NAME", default="", help="Make a schema for the state tables in that catalog.")
@click.option("--wheel", metavar="FILE", type=_FILE, help="The wheel of nbvault, to go with it.")
@config_option
@json_option
def render_command(folder: Path, *, as_json: bool, tag: tuple[str, ...], wheel: Path | None, **given: object) -> None:
    """Write a bundle for Databricks, and files for elsewhere, into DIR; the version before is kept.

    Works without a configuration; with one it fills in what that says. No secret is written: only where they are.
    """
    from nbvault.setup.deploy import install, render

    content = _wheel(wheel)
    plan = _plan(given, tags=dict(map(_tag, tag)), wheel=wheel.name if wheel else "")
    done = install(folder, render(plan, wheel=content))
    if as_json:
        output.emit(_as_json(done))
        return
    output.say(f"Version {done.version} is in {folder}." if done.changed else f"{folder} was up to date.")
    _tell_edited(done)
    for place, step in enumerate(_steps(plan, folder), 1):
        output.say(f"  {place}. {step}")


def _plan(given: dict[str, object], *, tags: dict[str, str], wheel: str) -> DeployPlan:
    from nbvault.cli.main import COMMANDS
    from nbvault.setup.deploy import Compute, DeployPlan

    def text(name: str) -> str:
        return str(given[name])

    def many(name: str) -> tuple[str, ...]:
        value = given[name]
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    return DeployPlan(
        known=_known(),
        host=text("host"),
        prod_host=text("prod_host"),
        remote=text("remote"),
        dev_remote=text("dev_remote"),
        compute=Compute(text("compute")),
        spark=given["engine"] == "spark",
        principal=text("service_principal"),
        success=many("success_email"),
        failure=many("failure_email"),
        webhook=text("webhook"),
        tags=tags,
        scope=text("secret_scope"),
        catalog=text("catalog"),
        wheel=wheel,
        commands=frozenset(COMMANDS),
    )


def _known() -> Known:
    from nbvault.settings import NotConfigured
    from nbvault.setup.deploy import known_of
    from nbvault.setup.deploy.plan import Known

    try:
        return known_of(load())
    except NotConfigured:
        return Known({})


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is no NAME=VALUE.", param_hint="--tag")
    return name, value


def _wheel(file: Path | None) -> bytes:
    if file is None:
        return b""
    try:
        content = file.read_bytes() if file.suffix == ".whl" else b""
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from error
    if not is_zipfile(BytesIO(content)):
        raise ConfigurationError(f"{file} is no wheel.", hint="pip wheel --no-deps makes one.")
    return content


def _as_json(done: Installed) -> dict[str, object]:
    return {
        "version": done.version,
        "changed": done.changed,
        "edited": list(done.edited),
        "kept_as": done.kept_as or None,
    }


def _tell_edited(done: Installed) -> None:
    if done.edited:
        names = ", ".join(done.edited)
        output.say(f"Changed by hand and now kept as version {done.kept_as}: {names}.", style="yellow")


def _steps(plan: DeployPlan, folder: Path) -> list[str]:
    from nbvault.setup.deploy.plan import REMOTE

    steps = [] if plan.wheel else [f"Put the wheel of nbvault into {folder / 'dist'} (or render with --wheel FILE)."]
    if plan.main_remote == REMOTE:
        steps.append("Name the vault: render again with --remote URL.")
    if plan.known.left_out:
        names = ", ".join(plan.known.left_out)
        steps.append(f"{names}: files of this machine, left out. Put them where the jobs can read them, and name them")
        steps[-1] += " in config/dev.toml and config/prod.toml."
    if not plan.principal:
        steps.append("The jobs run as whoever deploys: render again with --service-principal ID for one of their own.")
    steps.append("In that folder: databricks bundle validate -t prod && databricks bundle deploy -t prod")
    steps += [f"databricks secrets put-secret {plan.scope} {key}" for key in plan.keys.values()]
    return [*steps, "databricks bundle run -t prod nbvault_sync", "nbvault deploy verify --report handover.md"]


@command.command("rollback")
@_folder_argument
@config_option
@json_option
def rollback_command(folder: Path, *, as_json: bool) -> None:
    """Put the version before the present one back into DIR; the workspace follows with the next bundle deploy."""
    from nbvault.setup.deploy import rollback

    done = rollback(folder)
    if as_json:
        output.emit(_as_json(done))
        return
    output.say(f"Version {done.version} is in {folder} again.")
    _tell_edited(done)
    output.say("The workspace has the other one until, in that folder: databricks bundle deploy -t prod")


@command.command("verify")
@click.option("--prefix", metavar="TEXT", default="", help="What stands before the jobs' names: '[dev ann] ' in dev.")
@click.option("--report", metavar="FILE", type=_FILE, help="Write the report as a Markdown page, to hand over.")
@config_option
@json_option
def verify_command(*, prefix: str, report: Path | None, as_json: bool) -> int:
    """After the first run: jobs, schedules, runs, last session, alerts and restore drill. Writes nothing.

    Ends with 8 if something is not as it must be.
    """
    from nbvault.cli.main import COMMANDS
    from nbvault.deployment import verify_deployment

    found = verify_deployment(load(), commands=frozenset(COMMANDS), prefix=prefix, warn=output.note)
    with output.unless_nobody_reads():
        if as_json:
            output.emit(found.as_json())
        else:
            _tell(found)
    if report is not None:
        _write(report, found.markdown())
    return found.exit_code


def _tell(found: Handover) -> None:
    for check in found.checks:
        style = "green" if check.ok else "red" if check.exit_code else "yellow"
        output.say(f"{'ok' if check.ok else 'not ok':<7} {check.name}: {shown(check.detail)}", style=style)
        if check.hint:
            output.say(f"        {shown(check.hint)}")
    wrong = sum(bool(check.exit_code) for check in found.checks)
    output.say(f"{number(wrong, 'thing')} to put right." if wrong else "The deployment is ready.")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"The report {file} cannot be written: {error.strerror}.") from error

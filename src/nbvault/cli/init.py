"""`nbvault init`: a configuration to start from, every key with its default and what it means."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.options import config_file, config_option
from nbvault.errors import ConfigurationError

_HOST = "https://adb-1234567890123456.7.azuredatabricks.net"
_REMOTE = "https://dev.azure.com/ORG/PROJECT/_git/REPO"
_TEMPLATE = """\
# The configuration of nbvault. Relative paths are relative to this file. Any key may be overridden by a variable:
# NBVAULT_SECTION__KEY, such as NBVAULT_VAULT__REMOTE. Secrets are never written here, only where they are:
# "env:NAME" (a variable), "file:PATH", "databricks:SCOPE/KEY" or "keyvault:VAULT/NAME".

[workspace]
{host_line}
# Left out: whatever databricks-sdk finds (DATABRICKS_CLIENT_ID and _SECRET, a profile, the Azure CLI, ...).
token = "env:DATABRICKS_TOKEN"
# The folder that is backed up. Another root is another vault.
root = {root}
# Globs on workspace paths: `*` stays in a folder, `**` crosses them. Empty: everything below root.
include = []
exclude = []

[vault]
# A bare repository on this machine. It is a cache of the remote and may be deleted.
path = "vault.git"
# Any Git URL, or a local path.
remote = {remote}
{token_line}
# "pat", or "entra" for an identity of Microsoft Entra: see the section [azure] in docs/authentication.md.
auth = "pat"
branch = "main"

[state]
# An index for people and dashboards, in SQLite, PostgreSQL or Databricks SQL. `nbvault state rebuild` makes it anew.
url = "sqlite:///nbvault.db"

[sync]
# Notebooks in a commit of a first sync, and after how many it is pushed, so that another machine can go on.
batch_size = 5000
push_every = 10000
# Requests under way at most; the workspace's answers decide how many really are.
max_in_flight = 64
# More deletions than this share of the vault (and more than 50) are held until you accept them.
deletion_limit = 0.10
# "prove": a folder that vanished counts as deleted only if a workspace admin looks. "trust": always.
deletions = "prove"
# After so many seconds of silence, another machine's session counts as dead.
lease_stale_s = 900
# Every notebook is exported and compared once in so many days, whatever its times say.
recheck_days = 30

[export]
# "source", or "native" for each notebook's own format.
format = "source"
# Folders as one archive, many times faster at first: "on" where `nbvault doctor --probe` has proven it, "probe" to
# have every session try it and not use it, "off".
bulk = "off"
"""


@click.command("init")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--host", metavar="URL", help="The workspace's address.")
@click.option("--root", metavar="PATH", default="/Clients", show_default=True, help="The folder to back up.")
@click.option("--remote", metavar="URL", help="The Git repository that will hold the backup.")
@click.option("--force", is_flag=True, help="Replace a configuration that is there.")
@config_option
def command(*, path: Path | None, host: str | None, root: str, remote: str | None, force: bool) -> None:
    """Write a configuration to PATH (a file or a folder; here, if it is not given)."""
    file = path or config_file() or Path("nbvault.toml")
    if file.is_dir():
        file /= "nbvault.toml"
    if file.exists() and not force:
        raise ConfigurationError(f"{file} exists already.", hint="Name another place, or replace it with --force.")
    write(file, configuration(host=host, root=root, remote=remote))
    output.say(f"Wrote {file}.")
    for step in _next_steps(file, host=host, remote=remote):
        output.say(step)


def configuration(*, host: str | None, root: str, remote: str | None) -> str:
    """The text of a configuration with every key that the documentation names."""
    local = remote is not None and not remote.startswith(("https://", "http://"))
    return _TEMPLATE.format(
        host_line=f"host = {_quoted(host)}" if host else f"# host = {_quoted(_HOST)}   # or DATABRICKS_HOST",
        root=_quoted(root),
        remote=_quoted(remote or _REMOTE),
        token_line='# token = "env:AZURE_DEVOPS_PAT"   # for http(s)://' if local else 'token = "env:AZURE_DEVOPS_PAT"',
    )


def write(file: Path, text: str) -> None:
    """Write the configuration if it is a good one; what was there stays whole until then.

    Raises:
        ConfigurationError: a value is wrong (or a secret), or the file cannot be written.
    """
    from nbvault.settings import load_settings

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".nbvault-init-", dir=file.parent) as folder:
            draft = Path(folder) / file.name
            draft.write_text(text, encoding="utf-8")
            try:
                load_settings(draft, environment={})
            except ConfigurationError as error:
                raise ConfigurationError(
                    error.message.replace(str(draft.absolute()), "the new configuration")
                ) from None
            draft.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from error


def _next_steps(file: Path, *, host: str | None, remote: str | None) -> list[str]:
    edits = [name for name, value in (("workspace.host", host), ("vault.remote", remote)) if not value]
    steps = [f"Set {' and '.join(edits)} in it."] if edits else []
    steps.append("Set the variables that it names for the tokens.")
    steps.append(f"Then try: nbvault sync --dry-run --config {file}")
    return [f"  {number}. {step}" for number, step in enumerate(steps, 1)]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

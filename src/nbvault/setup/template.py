"""The text of a configuration: every key with its default and what it means, and where secrets are, never what."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from nbvault.errors import ConfigurationError
from nbvault.settings import Settings, VaultAuth, load_settings
from nbvault.setup.quoting import as_toml

HOST = "https://adb-1234567890123456.7.azuredatabricks.net"
REMOTE = "https://dev.azure.com/ORG/PROJECT/_git/REPO"
WORKSPACE_TOKEN = "env:DATABRICKS_TOKEN"  # noqa: S105 - where it is
VAULT_TOKEN = "env:AZURE_DEVOPS_PAT"  # noqa: S105 - where it is
_TEMPLATE = """\
# The configuration of nbvault. Relative paths are relative to this file. Any key may be overridden by a variable:
# NBVAULT_SECTION__KEY, such as NBVAULT_VAULT__REMOTE. Secrets are never written here, only where they are:
# "env:NAME" (a variable), "file:PATH", "databricks:SCOPE/KEY" or "keyvault:VAULT/NAME".

[workspace]
{host_line}
# Left out: whatever databricks-sdk finds (DATABRICKS_CLIENT_ID and _SECRET, a profile, the Azure CLI, ...).
{workspace_token_line}
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
auth = {auth}
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
{more}"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What somebody who sets nbvault up must say. Empty is not said yet.

    Args:
        workspace_token: Where the workspace's token is; empty lets databricks-sdk find credentials.
        vault_token: Where the Git server's token is.
        tenant_id, client_id, client_secret: Of the section ``[azure]``, where `auth` is Entra.
        ca_file: The authorities to trust.
        mail_host, mail_to, mail_user: Of the section ``[email]``; without a host there is no mail.
        mail_changes_to: Who gets the change report of each day.
        mail_password, slack_webhook, teams_webhook: Where these secrets are; empty leaves that channel out.
    """

    host: str = ""
    workspace_token: str = WORKSPACE_TOKEN
    root: str = "/Clients"
    remote: str = ""
    auth: VaultAuth = VaultAuth.PAT
    vault_token: str = VAULT_TOKEN
    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    ca_file: str = ""
    mail_host: str = ""
    mail_to: str = ""
    mail_changes_to: str = ""
    mail_user: str = ""
    mail_password: str = ""
    slack_webhook: str = ""
    teams_webhook: str = ""

    @property
    def missing(self) -> list[str]:
        """The keys that must be set before the first session."""
        return [key for key, value in (("workspace.host", self.host), ("vault.remote", self.remote)) if not value]

    def absolute(self, folder: Path) -> Answers:
        """The same, with files that are named from `folder` named in full."""

        def full(reference: str) -> str:
            scheme, _, name = reference.partition(":")
            return f"file:{folder / Path(name).expanduser()}" if scheme == "file" else reference

        remote = self.remote
        if remote and "://" not in remote and ":" not in remote:
            remote = str(folder / Path(remote).expanduser())
        return replace(
            self,
            workspace_token=full(self.workspace_token),
            vault_token=full(self.vault_token),
            client_secret=full(self.client_secret),
            mail_password=full(self.mail_password),
            slack_webhook=full(self.slack_webhook),
            teams_webhook=full(self.teams_webhook),
            remote=remote,
            ca_file=str(folder / Path(self.ca_file).expanduser()) if self.ca_file else "",
        )


def configuration(answers: Answers) -> str:
    """The text of a configuration with every key that the documentation names."""
    local = bool(answers.remote) and not answers.remote.startswith(("https://", "http://"))
    token = f"token = {as_toml(answers.vault_token or VAULT_TOKEN)}"
    without = local or answers.auth is VaultAuth.ENTRA or not answers.vault_token
    workspace_token = f"token = {as_toml(answers.workspace_token or WORKSPACE_TOKEN)}"
    return _TEMPLATE.format(
        host_line=f"host = {as_toml(answers.host)}"
        if answers.host
        else f"# host = {as_toml(HOST)}   # or DATABRICKS_HOST",
        workspace_token_line=workspace_token if answers.workspace_token else f"# {workspace_token}",
        root=as_toml(answers.root),
        remote=as_toml(answers.remote or REMOTE),
        token_line=f"# {token}   # for http(s)://" if without else token,
        auth=as_toml(answers.auth.value),
        more="".join(_sections(answers)),
    )


def _sections(answers: Answers) -> list[str]:
    found = []
    if answers.auth is VaultAuth.ENTRA:
        keys = ("tenant_id", "client_id", "client_secret")
        lines = [f"{key} = {as_toml(value)}\n" for key in keys if (value := getattr(answers, key))]
        intro = "# Who we are to Microsoft Entra; with no key at all, whatever azure-identity finds.\n"
        found.append("\n[azure]\n" + intro + "".join(lines))
    found += _channels(answers)
    if answers.ca_file:
        intro = "# The authorities to trust, instead of those of this machine.\n"
        found.append(f"\n[network]\n{intro}ca_file = {as_toml(answers.ca_file)}\n")
    return found


def _channels(answers: Answers) -> list[str]:
    """Who is told when something is wrong."""
    found = []
    if answers.mail_host:
        lines = [f"host = {as_toml(answers.mail_host)}\n", f"to = {_listed(answers.mail_to)}\n"]
        signing = (("user", answers.mail_user), ("password", answers.mail_password))
        lines += [f"{key} = {as_toml(value)}\n" for key, value in signing if value]
        intro = '# Alerts by mail: by STARTTLS on port 587; with TLS from the start: security = "tls", port = 465.\n'
        if answers.mail_changes_to:
            lines.append("# Who gets the report of what changed, each morning.\n")
            lines.append(f"changes_to = {_listed(answers.mail_changes_to)}\n")
        found.append("\n[email]\n" + intro + "".join(lines))
    for name, webhook in (("slack", answers.slack_webhook), ("teams", answers.teams_webhook)):
        if webhook:
            intro = "# Where the address is that alerts are posted to.\n"
            found.append(f"\n[{name}]\n{intro}webhook = {as_toml(webhook)}\n")
    return found


def trial(answers: Answers, *, folder: Path) -> Settings:
    """The settings that these answers would give, with this process's variables, for trying them.

    Raises:
        ConfigurationError: one of them cannot be, or is a secret; none is quoted.
    """
    with tempfile.TemporaryDirectory(prefix="nbvault-init-") as draft_folder:
        draft = Path(draft_folder) / "nbvault.toml"
        draft.write_text(configuration(answers.absolute(folder.absolute())), encoding="utf-8")
        try:
            return load_settings(draft)
        except ConfigurationError as error:
            raise _without_path(error, draft) from None


def write(file: Path, text: str) -> None:
    """Write the configuration if it is a good one; what was there stays whole until then.

    Raises:
        ConfigurationError: a value is wrong (or a secret), or the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".nbvault-init-", dir=file.parent) as folder:
            draft = Path(folder) / file.name
            draft.write_text(text, encoding="utf-8")
            try:
                load_settings(draft, environment={})
            except ConfigurationError as error:
                raise _without_path(error, draft) from None
            draft.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from error


def _without_path(error: ConfigurationError, draft: Path) -> ConfigurationError:
    return ConfigurationError(error.message.replace(str(draft.absolute()), "the new configuration"), hint=error.hint)


def _listed(addresses: str) -> str:
    return as_toml([each.strip() for each in addresses.split(",") if each.strip()])

"""The sections of the configuration, their keys and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from nbvault.settings.checks import (
    AzureReference,
    Branch,
    Count,
    Fingerprints,
    Host,
    HttpsUrl,
    LocalPath,
    Megabytes,
    Networks,
    OptionalPath,
    Rate,
    Reference,
    Remote,
    Root,
    Seconds,
    Share,
    StateUrl,
    Text,
    VaultAddress,
    WebAddress,
    WorkspaceReference,
    is_loopback,
)
from nbvault.settings.secret import Context, SecretStore
from nbvault.settings.told_checks import (
    Address,
    AtLeastADay,
    ChannelNames,
    HourOfDay,
    Mailbox,
    Mailboxes,
    MailHost,
    OfFive,
    OptionalAddress,
    Port,
    Positive,
    RuleNames,
)

# What git and TLS need of the environment; everything else, secrets above all, stays here.
_HANDED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TMP|TEMP|LD_LIBRARY_PATH|XDG_\w+|SYSTEMROOT|COMSPEC|PATHEXT"
    r"|USERPROFILE|(HTTPS?|ALL|NO|FTP)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO"
    r"|GIT_SSL_CAPATH|GIT_EXEC_PATH|GIT_SSH|GIT_SSH_COMMAND|SSH_AUTH_SOCK",
    re.I,
)


class Deletions(str, Enum):
    """When a folder that vanished counts as deleted: if the identity is an admin, or always."""

    PROVE = "prove"
    TRUST = "trust"


class ExportFormat(str, Enum):
    """SOURCE for every notebook, or for each its native format."""

    SOURCE = "source"
    NATIVE = "native"


class Bulk(str, Enum):
    """Whether folders are exported as one archive: never, where it was proven, or always."""

    OFF = "off"
    PROBE = "probe"
    ON = "on"


class VaultAuth(str, Enum):
    """How we sign in to the Git server: with a token of our own, or with one that Microsoft Entra gives for an hour."""

    PAT = "pat"
    ENTRA = "entra"


class Credential(str, Enum):
    """Which credential of azure-identity is used; `AUTO` is what the other keys of the section suggest."""

    AUTO = "auto"
    DEFAULT = "default"
    CLIENT_SECRET = "client_secret"  # noqa: S105 - the name of a method
    CERTIFICATE = "certificate"
    MANAGED_IDENTITY = "managed_identity"
    WORKLOAD_IDENTITY = "workload_identity"
    CLI = "cli"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


class WorkspaceSection(_Section):
    """Which workspace, and what of it. Without a host, databricks-sdk finds one in its own ways.

    `run_as`: who is to run the nightly job, by user name or application id; empty where nobody said.
    """

    host: Host = None
    token: WorkspaceReference = None
    token_name: Text = "nbvault"  # noqa: S105 - what it is called
    run_as: str = ""
    root: Root = "/Clients"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    requests_per_second: Rate = 0.0
    retry_s: Seconds = 60.0
    timeout_s: Seconds = 120.0


class VaultSection(_Section):
    """Where the backup goes. `path` is absolute; `remote` is a URL or an absolute local path.

    `earlier`: where earlier epochs are, if not where `remote` is; `token` is given to these, too.
    `token_name` is what the token is called where it was made; `credentials` finds it by that name.
    """

    path: LocalPath = Field(default=Path("vault.git"), validate_default=True)
    remote: Remote
    auth: VaultAuth = VaultAuth.PAT
    token: Reference = None
    earlier: tuple[str, ...] = ()
    token_name: Text = "nbvault"  # noqa: S105 - what it is called
    branch: Branch = "main"
    committer_name: Text = "nbvault"
    committer_email: Text = "nbvault@nbvault.invalid"


class AzureSection(_Section):
    """Who we are to Microsoft Entra; the names are those of azure-identity. Needs the extra ``nbvault[azure]``."""

    credential: Credential = Credential.AUTO
    tenant_id: str = ""
    client_id: str = ""
    client_secret: AzureReference = None
    certificate_path: OptionalPath = None
    certificate_password: AzureReference = None
    token_file_path: OptionalPath = None
    authority: HttpsUrl = "https://login.microsoftonline.com"
    disable_instance_discovery: bool = False
    key_vault_url: VaultAddress = "https://{vault}.vault.azure.net"


class NetworkSection(_Section):
    """How other machines are reached.

    `ca_file` names the authorities that are trusted, instead of those of this machine; git is told of it, too. `init`
    and `doctor` wait `check_timeout_s` for one answer, for somebody sits there and waits for them.
    """

    ca_file: OptionalPath = None
    check_timeout_s: Seconds = 8.0


class StateSection(_Section):
    """The state store. `url` never holds the password; `connection_url` does."""

    url: StateUrl = Field(default="sqlite:///nbvault.db", validate_default=True)
    password: Reference = None

    def connection_url(self) -> str:
        """The URL with the password in it, made anew at each call; not for logs or messages."""
        if self.password is None:
            return self.url
        scheme, _, rest = self.url.partition("://")
        user, at, server = rest.partition("@")
        return f"{scheme}://{user if at else ''}:{quote(self.password.reveal(), safe='')}@{server if at else rest}"


class SyncSection(_Section):
    """How a session works. Times in seconds; above `large` changes, commits are made in batches."""

    batch_size: Count = 5000
    push_every: Count = 10000
    max_in_flight: Count = 64
    deletion_limit: Share = 0.10
    deletions: Deletions = Deletions.PROVE
    lease_stale_s: Seconds = 900.0
    recheck_days: Count = 30
    time_limit_s: Seconds = 14400.0
    large: Count = 20000


class ExportSection(_Section):
    """In what form notebooks are taken."""

    format: ExportFormat = ExportFormat.SOURCE
    bulk: Bulk = Bulk.OFF


class Screening(str, Enum):
    """What happens to a notebook with a credential in it: it is saved and reported, held back, or not looked at."""

    REPORT = "report"
    HOLD = "hold"
    OFF = "off"


class ScreeningSection(_Section):
    """Credentials in notebooks, before they are committed. `allow` has the fingerprints of those that may pass."""

    policy: Screening = Screening.REPORT
    allow: Fingerprints = ()


class TelemetrySection(_Section):
    """Where the numbers of each session go; what is not named gets none. `timeout_s` is for all of them together.

    `otlp_headers` is a reference to ``name=value,other=value``.
    """

    otlp: OptionalAddress = ""
    otlp_headers: Reference = None
    azure_monitor: Reference = None
    prometheus_file: OptionalPath = None
    timeout_s: Seconds = 5.0


class MailSecurity(str, Enum):
    """How the connection to the mail server becomes secret: after a greeting, from its start, or (here only) never."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


_EVERY_CHANNEL = ("email", "slack", "teams")


class AlertsSection(_Section):
    """When somebody is told, and by which channels; a channel that is not configured is passed over.

    `success` names the channels that are told of every complete session; `off` the rules that are not looked at.
    """

    critical: ChannelNames = _EVERY_CHANNEL
    high: ChannelNames = _EVERY_CHANNEL
    medium: ChannelNames = _EVERY_CHANNEL
    low: ChannelNames = _EVERY_CHANNEL
    success: ChannelNames = ()
    off: RuleNames = ()
    repeat_h: AtLeastADay = 24.0
    complete_h: Positive = 25.0
    failed_of_five: OfFive = 2
    credential_days: Positive = 7.0
    drill_days: Positive = 35.0
    restore_days: Positive = 7.0
    success_rate: Share = 0.80
    success_days: Positive = 30.0
    stale_days: Positive = 3.0
    size_gb: Positive = 8.0
    objects: Count = 8_000_000
    throttled: Share = 0.20


class EmailSection(_Section):
    """The mail server, and who gets mail; without a host and somebody to write to, there is no mail.

    `changes_to` get the change report of each day, from hour `changes_h` (UTC) on.
    """

    host: MailHost = ""
    port: Port = 587
    security: MailSecurity = MailSecurity.STARTTLS
    user: str = ""
    password: Reference = None
    sender: Mailbox = ""
    to: Mailboxes = ()
    changes_to: Mailboxes = ()
    changes_h: HourOfDay = 6

    @model_validator(mode="after")
    def _whole(self) -> EmailSection:
        if self.security is MailSecurity.NONE and self.host and not is_loopback(self.host):
            raise ValueError('must not have security = "none": that is only for a mail server on this machine itself')
        if bool(self.host) != bool(self.to):
            raise ValueError("must have both a host and somebody to write to, or neither")
        if self.password and not self.user:
            raise ValueError("must have a user where it has a password")
        if self.changes_to and not self.host:
            raise ValueError("must have a host where somebody is to get the change report")
        return self


class SlackSection(_Section):
    """An incoming webhook for alerts; a bot's token and a channel for the line that follows a running session."""

    webhook: Reference = None
    token: Reference = None
    channel: str = ""
    api: Address = "https://slack.com/api"

    @model_validator(mode="after")
    def _whole(self) -> SlackSection:
        if bool(self.token) != bool(self.channel):
            raise ValueError("must have both a token and a channel, or neither")
        return self


class TeamsSection(_Section):
    """The address of a workflow that takes an adaptive card."""

    webhook: Reference = None


class SignIn(str, Enum):
    """How people sign in to the page; `AUTO` is the app's proxy inside a Databricks App, else `LOCAL`."""

    AUTO = "auto"
    LOCAL = "local"
    APP = "databricks-app"
    PROXY = "proxy"
    OIDC = "oidc"


class WebSection(_Section):
    """The page (`nbvault serve`). Groups are the workspace's, and ``*`` is everybody who has signed in.

    `proxies` are the addresses (or networks) of reverse proxies whose ``X-Forwarded-*`` headers are believed; `address`
    is where people reach the page. What a person may read is asked anew after `access_s`, the vault after `refresh_s`.
    A page that waits longer than `patience_s` for the workspace says how far it is instead. Texts are fetched
    beforehand until the local repository's packs have `texts_mb`; 0: none.
    """

    sign_in: SignIn = SignIn.AUTO
    address: WebAddress = ""
    proxies: Networks = ()
    readers: tuple[str, ...] = ("*",)
    restorers: tuple[str, ...] = ("*",)
    administrators: tuple[str, ...] = ("admins",)
    access_s: Seconds = 300.0
    patience_s: Seconds = 0.25
    refresh_s: Seconds = 60.0
    texts_mb: Megabytes = 2000
    requests_per_second: Rate = 30.0
    oidc_issuer: WebAddress = ""
    oidc_client_id: str = ""
    oidc_client_secret: Reference = None
    oidc_scope: str = "openid profile email 2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/user_impersonation"


class EditorsSource(str, Enum):
    """Who tells whose a change was, besides the listing: the workspace's audit table, or an export of it."""

    LISTING = "listing"
    AUDIT = "audit"
    EXPORT = "export"


class EditorsSection(_Section):
    """Whose a change was. Events of the last `days` are asked for, since they come late."""

    source: EditorsSource = EditorsSource.LISTING
    warehouse_id: str = ""
    table: str = "system.access.audit"
    workspace_id: str = ""
    file: OptionalPath = None
    days: Count = 3


class Settings(_Section):
    """All settings, checked; secrets only as references."""

    workspace: WorkspaceSection
    vault: VaultSection
    state: StateSection
    sync: SyncSection
    export: ExportSection
    screening: ScreeningSection
    telemetry: TelemetrySection
    azure: AzureSection
    network: NetworkSection
    editors: EditorsSection
    alerts: AlertsSection
    email: EmailSection
    slack: SlackSection
    teams: TeamsSection
    web: WebSection
    _context: Context = PrivateAttr(default=Context(Path(), {}))
    _kept: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def process_environment(self) -> dict[str, str]:
        """The environment for git and other processes: what they need to run and to find servers, never a secret."""
        azure = (self.azure.client_secret, self.azure.certificate_password)
        told = (self.email.password, self.slack.webhook, self.slack.token, self.teams.webhook)
        own = (self.workspace.token, self.vault.token, self.state.password, self.web.oidc_client_secret)
        references = (*own, *azure, *told)
        secret = {reference.variable for reference in references if reference}
        given = self._context.environment
        handed_on = {name: given[name] for name in given if _HANDED_ON.fullmatch(name) and name not in secret}
        if self.network.ca_file:
            handed_on["GIT_SSL_CAINFO"] = str(self.network.ca_file)
        return handed_on

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """The one thing of that name that belongs to these settings, made when it is first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def keep_secrets_in(self, stores: Mapping[str, SecretStore]) -> None:
        """From now on follow references of these schemes by these stores."""
        if self._context.stores is not None:
            self._context.stores.update(stores)

    @property
    def on_databricks(self) -> bool:
        """Whether this process runs on a cluster of the workspace."""
        return bool(self._context.environment.get("DATABRICKS_RUNTIME_VERSION"))

    @property
    def in_databricks_app(self) -> bool:
        """Whether this process runs as a Databricks App, which only the platform's proxy can reach."""
        return bool(self._context.environment.get("DATABRICKS_APP_NAME"))

    @property
    def ca_file(self) -> str:
        """The file of the authorities to trust: `network.ca_file`, or what the environment names for databricks-sdk.

        Empty for the system's own.
        """
        if self.network.ca_file:
            return str(self.network.ca_file)
        given = self._context.environment
        return next(
            (given[name] for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE") if given.get(name)), ""
        )

    def proxy_for(self, url: str) -> str:
        """The HTTP proxy that the environment names for a URL; empty for none, and always for this machine itself."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if is_loopback(host) or _is_direct(host, _variable(self._context.environment, "no_proxy")):
            return ""
        names = (f"{parts.scheme}_proxy", "all_proxy")
        proxy = next((value for name in names if (value := _variable(self._context.environment, name))), "")
        return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _is_direct(host: str, no_proxy: str) -> bool:
    """Whether a list as in ``no_proxy`` names the host, a domain above it, or everything."""
    names = [name.strip().lstrip("*").lstrip(".").lower() for name in no_proxy.split(",")]
    return no_proxy.strip() == "*" or any(name and (host == name or host.endswith("." + name)) for name in names)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""

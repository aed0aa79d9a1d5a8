"""What a deployment is to be, as values; what the configuration knows of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from nbvault.errors import ConfigurationError
from nbvault.settings import Context, Secret, Settings, VaultAuth, checked_host
from nbvault.settings.secret import looks_secret

REMOTE = "https://dev.azure.com/ORG/PROJECT/_git/REPO"
"""What stands where no repository was named."""
TOKEN = "AZURE_DEVOPS_PAT"  # noqa: S105 - the name of a variable
_SCOPE = re.compile(r"[\w@.-]{1,128}")
_ID = re.compile(r"[\w.-]{1,128}")
_MAIL = re.compile(r"[^\s@,]+@[^\s@,]+")
# What is another machine's own: paths, and who we are to the workspace.
_LOCAL = {"workspace": {"host", "token"}, "vault": {"path", "remote", "token"}, "state": {"url", "password"}}


class Compute(str, Enum):
    """On what the jobs run: a cluster made for the run, or serverless compute."""

    JOB_CLUSTER = "job-cluster"
    SERVERLESS = "serverless"


class Known(NamedTuple):
    """What a configuration says that holds on every machine, by section; and the variables its secrets are in.

    `token` is the variable of the vault's token, empty where Entra gives one; `variables` has that, the state store's
    password's, and all others. `left_out` are the keys that name files of this machine. `extras` are those of nbvault
    that it cannot do without.
    """

    sections: Mapping[str, Mapping[str, Any]]
    remote: str = ""
    state_url: str = ""
    state_password: Secret | None = None
    token: str = TOKEN
    variables: tuple[str, ...] = (TOKEN,)
    left_out: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What to render. Empty values become variables of the bundle, which it asks for, or are left out.

    `commands` are those that this version has: jobs and apps for others are not rendered.

    Raises:
        ConfigurationError: a value is wrong, or two do not go together.
    """

    known: Known = field(default_factory=lambda: Known({}))
    host: str = ""
    prod_host: str = ""
    remote: str = ""
    dev_remote: str = ""
    compute: Compute = Compute.JOB_CLUSTER
    spark: bool = False
    principal: str = ""
    success: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    webhook: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    scope: str = "nbvault"
    catalog: str = ""
    node_type: str = "Standard_D4ds_v5"
    runtime: str = "16.4.x-scala2.12"
    wheel: str = ""
    commands: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, host in (("--host", self.host), ("--prod-host", self.prod_host)):
            _checked_host(name, host)
        if wrong := next((each for each in (*self.success, *self.failure) if not _MAIL.fullmatch(each)), ""):
            raise ConfigurationError(f"{wrong!r} is no e-mail address.", hint="One address for each option.")
        if not _SCOPE.fullmatch(self.scope):
            raise ConfigurationError(
                "--secret-scope must be 1 to 128 letters, digits, dashes, underscores, periods or @."
            )
        tags = (*self.tags, *self.tags.values())
        if any(map(looks_secret, (self.scope, self.principal, self.catalog, self.webhook, *tags))):
            raise ConfigurationError("An option holds what looks like a secret; the bundle must hold none.")
        if self.webhook and not _ID.fullmatch(self.webhook):
            hint = "The workspace keeps the address, as a notification destination; name the id that it shows of that."
            raise ConfigurationError("--webhook takes the id of a notification destination, no address.", hint=hint)
        for option, remote in (("--remote", self.remote), ("--dev-remote", self.dev_remote)):
            if remote and not _is_elsewhere(remote):
                hint = "Name a repository on a server, as https://... or git@host:path."
                raise ConfigurationError(f"{option} is a path of this machine, which the jobs cannot reach.", hint=hint)
        if _place(self.remote_of("dev")) == _place(self.main_remote):
            hint = "Give --dev-remote another repository, or leave it out."
            raise ConfigurationError("dev and prod would write to one vault.", hint=hint)
        if self.spark and self.compute is Compute.SERVERLESS:
            hint = "Use --compute job-cluster with --engine spark; docs/scaling.md says when that helps."
            raise ConfigurationError("Serverless compute has no executors that nbvault could export on.", hint=hint)

    @property
    def main_remote(self) -> str:
        """The production vault."""
        return self.remote or self.known.remote or REMOTE

    def remote_of(self, target: str) -> str:
        """The vault of a target: two workspaces must never write to one vault."""
        if target == "prod":
            return self.main_remote
        main = self.main_remote.rstrip("/")
        return self.dev_remote or main.removesuffix(".git") + "-dev" + (".git" if main.endswith(".git") else "")

    @property
    def keys(self) -> dict[str, str]:
        """The key in the secret scope of each variable that a job needs."""
        return {name: name.lower().replace("_", "-") for name in self.known.variables}


def _is_elsewhere(remote: str) -> bool:
    """Whether a remote is on a server rather than a path: a URL, or ``user@host:path``."""
    if "://" in remote:
        return not remote.lower().startswith("file:")
    return re.match(r"[^/\\:]{2,}:", remote) is not None


def _place(remote: str) -> tuple[str, str]:
    """Server and repository of an address, the same however it is spelled: ``https://a@HOST/r.git/``, ``https://host/r``."""
    host, _, path = remote.partition("://")[2].partition("/") if "://" in remote else remote.partition(":")
    return host.rpartition("@")[2].lower(), path.rstrip("/").removesuffix(".git")


def _checked_host(option: str, host: str) -> None:
    try:
        _ = host and checked_host(host)
    except ValueError as error:
        raise ConfigurationError(f"{option} {error}.") from None


def known_of(settings: Settings) -> Known:
    """What a configuration says that holds on another machine, too."""
    given = {name: dict(_plain(getattr(settings, name), _LOCAL.get(name, set()))) for name in Settings.model_fields}
    left_out = tuple(f"{name}.{key}" for name, keys in given.items() for key in keys if isinstance(keys[key], Path))
    sections = {name: dict(_portable(name, keys)) for name, keys in given.items()}
    state = "" if settings.state.url.startswith("sqlite") else settings.state.url
    token = None if settings.vault.auth is VaultAuth.ENTRA else _in_variable(settings.vault.token, TOKEN)
    password = settings.state.password if state else None
    if password:
        password = _in_variable(password, "NBVAULT_STATE_PASSWORD")
    found = [token, password, *(each for section in sections.values() for each in section.values())]
    variables = dict.fromkeys(each.variable for each in found if isinstance(each, Secret) and each.variable)
    remote = str(settings.vault.remote)
    return Known(
        sections,
        remote=remote if _is_elsewhere(remote) else "",
        state_url=state,
        state_password=password,
        token=token.variable if token else "",
        variables=tuple(variables),
        left_out=left_out,
        extras=tuple(_extras(settings, state, [each for each in found if isinstance(each, Secret)])),
    )


def _extras(settings: Settings, state: str, secrets: Iterable[Secret]) -> Iterator[str]:
    if settings.vault.auth is VaultAuth.ENTRA or any(secret.scheme == "keyvault" for secret in secrets):
        yield "azure"
    if settings.telemetry.azure_monitor:
        yield "azure-monitor"
    if settings.telemetry.otlp:
        yield "otlp"
    kind = state.partition("://")[0].partition("+")[0]
    yield from {"postgresql": ["postgres"], "databricks": ["databricks-sql"]}.get(kind, [])


def _in_variable(secret: Secret | None, name: str) -> Secret:
    """The secret in the variable that it is in, or else in one of that name, which a job has from the scope."""
    return secret if secret and secret.variable else Secret(f"env:{name}", context=Context(Path(), {}))


def _portable(section: str, keys: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a section without this machine's files; a secret that is in one of these gets a variable."""
    for key, value in keys.items():
        if isinstance(value, Secret) and value.scheme == "file":
            yield key, _in_variable(value, f"NBVAULT_{section}_{key}".upper())
        elif not isinstance(value, Path):
            yield key, value


def _plain(section: object, local: set[str]) -> Iterator[tuple[str, Any]]:
    """The keys of a section that are not at their default, and not this machine's own."""
    if not isinstance(section, BaseModel):
        return
    for name, about in type(section).model_fields.items():
        value = getattr(section, name)
        if name not in local and value != about.get_default(call_default_factory=True):
            yield name, value

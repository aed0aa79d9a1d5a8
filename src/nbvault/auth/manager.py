"""AuthenticationManager: headers and tokens as they are needed, made for each attempt, renewed before they expire."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbvault.auth import tokens
from nbvault.auth.entra import AZURE_DEVOPS_SCOPE, EntraTokens
from nbvault.auth.events import Witness, witness_of
from nbvault.auth.stores import DatabricksSecrets, KeyVaultSecrets
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import AuthenticationError, ConfigurationError
from nbvault.settings import Settings, VaultAuth, checked_host, is_one_line

if TYPE_CHECKING:
    from databricks.sdk.config import Config

_METHODS_HINT = (
    'Set workspace.token = "env:DATABRICKS_TOKEN" and that variable, or DATABRICKS_CLIENT_ID and '
    "DATABRICKS_CLIENT_SECRET, or whatever else databricks-sdk authenticates with."
)
_HOST_HINT = "Set workspace.host in the configuration, or the variable DATABRICKS_HOST."
_BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class Standing:
    """How we sign in to one system: by which method, as whom, and until when; None where nobody tells."""

    system: str
    method: str
    identity: str = ""
    expires: datetime | None = None


class AuthenticationManager:
    """Credentials from the settings, or from any method that databricks-sdk knows; safe to use from several threads.

    Where `workspace.host` and `workspace.token` are set, nothing else is asked; the token is looked up anew for each
    attempt, so that a rotated one is seen. Otherwise databricks-sdk finds what is missing: variables, profiles, the
    Azure CLI, the notebook it runs in. Its first answer may block for seconds; later ones are cached by it and renewed
    before they expire. So are the tokens of Entra for the Git server.

    Args:
        witness: Told of every sign-in, renewal and refusal.
        clock: Says when a token of Entra is due to be renewed.
    """

    def __init__(self, settings: Settings, *, witness: Witness | None = None, clock: Clock | None = None) -> None:
        self._workspace = settings.workspace
        self._vault = settings.vault
        self.witness = witness or witness_of(settings, clock=clock)
        self.entra = EntraTokens(settings.azure, clock=clock or SystemClock(), ca_file=settings.ca_file)
        self._config: Config | None = None
        self._lock = threading.RLock()
        self._shown = ""
        self._taken = False
        self._git_used = self._git_accepted = ""
        self._keep_stores(settings)

    def _keep_stores(self, settings: Settings) -> None:
        settings.keep_secrets_in(
            {
                "databricks": DatabricksSecrets(self._unified, self.witness, on_databricks=settings.on_databricks),
                "keyvault": KeyVaultSecrets(
                    settings.azure.key_vault_url, self.entra.credential, self.witness, ca_file=settings.ca_file
                ),
            }
        )

    # --- the workspace -----------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The workspace's address, as ``https://name``. May block as `headers` does.

        Raises:
            ConfigurationError: there is none, or it is plain HTTP to another machine.
            AuthenticationError: databricks-sdk finds no credentials.
        """
        return self._workspace.host or self._found_host(self._unified())

    def headers(self) -> dict[str, str]:
        """The headers for one attempt at a request.

        Raises:
            AuthenticationError: there are no credentials, or no token for them; the hint names what is missing.
            ConfigurationError: no workspace is named.
        """
        if self._workspace.host and self._workspace.token:
            return {"Authorization": _BEARER + self._workspace.token.reveal()}
        config = self._unified()
        self._found_host(config)
        try:
            made = dict(config.authenticate())
        except (ValueError, OSError) as error:
            failure = _refused(error)
            self.witness.saw("workspace", "authenticate", "refused", detail=failure.message)
            raise failure from error
        if not is_one_line(made.get("Authorization", "")):
            raise AuthenticationError(
                "The workspace's token that databricks-sdk found has a line break or another control character inside.",
                hint="Set DATABRICKS_TOKEN, or the token of the profile, again, as one line.",
            )
        self._notice(made.get("Authorization", ""))
        return made

    def renew(self) -> dict[str, str]:
        """The same, with nothing kept from before: the workspace has refused the last token."""
        self.witness.saw("workspace", "authenticate", "refused", detail=f"by {self._method()}: the token is refused")
        with self._lock:
            self._config = None
        if self._workspace.token:
            self._workspace.token.forget()
            self._taken = False
        return self.headers()

    def accepted(self, identity: str = "") -> None:
        """The workspace has answered a request with these headers, or said who we are; called for every one."""
        if identity or not self._taken:
            self.workspace_accepted(identity)

    def workspace_accepted(self, identity: str) -> None:
        """The workspace has said whom it takes us for."""
        self._taken = True
        self.witness.saw(
            "workspace",
            "authenticate",
            "ok",
            identity=identity,
            detail=_told(self._method(), tokens.expiry(self._shown)),
        )

    def workspace_standing(self) -> Standing:
        """How we sign in to the workspace now; the identity only where the token itself tells.

        Raises:
            AuthenticationError, ConfigurationError: as `headers`.
        """
        token = self.headers().get("Authorization", "").removeprefix(_BEARER)
        return Standing("workspace", self._method(), tokens.identity(token), tokens.expiry(token))

    # --- the Git server ----------------------------------------------------------------------------------------------

    def git_token(self) -> str | None:
        """The Git server's token now; None if it needs none. May block for seconds.

        Raises:
            AuthenticationError: the secret is missing or empty, or Entra gives no token.
            ConfigurationError: azure-identity is not installed, or the section [azure] lacks something.
        """
        if self._vault.auth is VaultAuth.ENTRA:
            try:
                self._git_used = self.entra.token(AZURE_DEVOPS_SCOPE).value
            except AuthenticationError as error:
                self.witness.saw("git", "authenticate", "refused", detail=error.message)
                raise
        else:
            self._git_used = self._vault.token.reveal() if self._vault.token else ""
        return self._git_used or None

    def azure_devops_headers(self) -> dict[str, str]:
        """The headers for one call of Azure DevOps' REST API, by the credentials of the Git server; none without them.

        Raises:
            AuthenticationError, ConfigurationError: as `git_token`.
        """
        token = self.git_token()
        if not token:
            return {}
        if self._vault.auth is VaultAuth.ENTRA:
            return {"Authorization": _BEARER + token}
        return {"Authorization": self.basic(token)}

    @staticmethod
    def basic(token: str) -> str:
        """The value of an Authorization header for a personal access token of Azure DevOps."""
        return "Basic " + base64.b64encode(f":{token}".encode()).decode()

    def entra_headers(self) -> dict[str, str]:
        """The same by a token of Entra, which the API of personal access tokens insists on.

        Raises:
            AuthenticationError, ConfigurationError: as `EntraTokens.token`.
        """
        return {"Authorization": _BEARER + self.entra.token(AZURE_DEVOPS_SCOPE).value}

    def git_answered(self, *, accepted: bool) -> bool:
        """The Git server has taken or refused the last token; returns whether another one may be had."""
        used, method = self._git_used, self.git_method
        if accepted:
            if used and used != self._git_accepted:
                action = "renew token" if self._git_accepted else "authenticate"
                detail = _told(method, tokens.expiry(used))
                self.witness.saw("git", action, "ok", identity=tokens.identity(used), detail=detail)
                self._git_accepted = used
            return False
        self.witness.saw("git", "authenticate", "refused", identity=tokens.identity(used), detail=f"by {method}")
        return self._may_differ(used)

    def git_standing(self) -> Standing:
        """How we sign in to the Git server now.

        Raises:
            AuthenticationError, ConfigurationError: as `git_token`.
        """
        token = self.git_token() or ""
        return Standing("git", self.git_method, tokens.identity(token), tokens.expiry(token))

    @property
    def git_method(self) -> str:
        """How we sign in to the Git server, for people."""
        if self._vault.auth is VaultAuth.ENTRA:
            return self.entra.method
        return f"token {self._vault.token.reference}" if self._vault.token else "none"

    def _may_differ(self, used: str) -> bool:
        if self._vault.auth is VaultAuth.ENTRA:
            self.entra.forget()
            return True
        if self._vault.token is None:
            return False
        self._vault.token.forget()
        try:
            return self._vault.token.reveal() != used
        except AuthenticationError:
            return False

    # --- databricks-sdk ----------------------------------------------------------------------------------------------

    def _method(self) -> str:
        if self._workspace.token:
            return f"token {self._workspace.token.reference}"
        return f"databricks-sdk {self._config.auth_type or ''}".strip() if self._config else "databricks-sdk"

    def _notice(self, header: str) -> None:
        """Keep in mind which token was shown last, and tell of a new one."""
        token = header.removeprefix(_BEARER)
        if token != self._shown:
            if self._shown:
                detail = _told(self._method(), tokens.expiry(token))
                self.witness.saw("workspace", "renew token", "ok", identity=tokens.identity(token), detail=detail)
            self._shown = token

    def _unified(self) -> Config:
        with self._lock:
            if self._config is None:
                self._config = self._make_config()
            return self._config

    def _make_config(self) -> Config:
        from databricks.sdk.config import Config

        token = self._workspace.token
        # The SDK asks the host for its metadata first: one that is not there must not hold us up for five minutes.
        values: dict[str, Any] = {"retry_timeout_seconds": 10, "http_timeout_seconds": 10}
        if token:
            values |= {"token": token.reveal(), "auth_type": "pat"}
        try:
            return Config(host=self._workspace.host, **values)
        except (ValueError, OSError) as error:
            # Its message ends with the settings it found; without a host among them, no method could work.
            if self._workspace.host is None and "host=" not in str(error):
                raise ConfigurationError("No Databricks workspace is named.", hint=_HOST_HINT) from error
            raise _refused(error) from error

    @staticmethod
    def _found_host(config: Config) -> str:
        if not config.host:
            raise ConfigurationError("No Databricks workspace is named.", hint=_HOST_HINT)
        try:
            return checked_host(config.host)
        except ValueError as error:
            raise ConfigurationError(f"The workspace's address {error}.", hint=_HOST_HINT) from None


def attach_secret_stores(settings: Settings) -> None:
    """Let references of these settings lead into secret scopes and key vaults; none is asked before it is followed."""
    AuthenticationManager(settings)


def _told(method: str, expires: datetime | None) -> str:
    return f"by {method}, until {iso(expires)}" if expires else f"by {method}"


def _refused(error: Exception) -> AuthenticationError:
    said = str(error).partition(". Config:")[0].partition(" Config:")[0]
    return AuthenticationError(f"Authentication to the workspace failed: {said}.", hint=_METHODS_HINT)

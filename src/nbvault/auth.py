"""Who we are, to the workspace and to the Git server. Nothing is written; headers are made for each attempt."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nbvault.errors import AuthenticationError, ConfigurationError
from nbvault.settings import Settings, checked_host

if TYPE_CHECKING:
    from databricks.sdk.config import Config

_METHODS_HINT = (
    'Set workspace.token = "env:DATABRICKS_TOKEN" and that variable, or DATABRICKS_CLIENT_ID and '
    "DATABRICKS_CLIENT_SECRET, or whatever else databricks-sdk authenticates with."
)
_HOST_HINT = "Set workspace.host in the configuration, or the variable DATABRICKS_HOST."


class AuthenticationManager:
    """Credentials from the settings, or from any method that databricks-sdk knows; safe to use from several threads.

    Where `workspace.host` and `workspace.token` are set, nothing else is asked; the token is looked up anew for each
    attempt, so that a rotated one is seen. Otherwise databricks-sdk finds what is missing: variables, profiles, the
    Azure CLI, the notebook it runs in. Its first answer may block for seconds; later ones are cached by it and renewed
    before they expire.
    """

    def __init__(self, settings: Settings) -> None:
        self._workspace = settings.workspace
        self._vault = settings.vault
        self._config: Config | None = None
        self._lock = threading.Lock()

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
            return {"Authorization": f"Bearer {self._workspace.token.reveal()}"}
        config = self._unified()
        self._found_host(config)
        try:
            return dict(config.authenticate())
        except (ValueError, OSError) as error:
            raise _refused(error) from error

    def renew(self) -> dict[str, str]:
        """The same, with nothing kept from before: the workspace has refused the last token."""
        with self._lock:
            self._config = None
        return self.headers()

    def git_token(self) -> str | None:
        """The Git server's token now; None if it needs none.

        Raises:
            AuthenticationError: the variable or file that holds it is missing or empty.
        """
        return self._vault.token.reveal() if self._vault.token else None

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


def _refused(error: Exception) -> AuthenticationError:
    said = str(error).partition(". Config:")[0].partition(" Config:")[0]
    return AuthenticationError(f"Authentication to the workspace failed: {said}.", hint=_METHODS_HINT)

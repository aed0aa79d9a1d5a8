"""Tokens of Microsoft Entra through azure-identity, which is imported when it is used (extra ``nbvault[azure]``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, ConfigurationError
from nbvault.settings import AzureSection, Credential

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

AZURE_DEVOPS_SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
# A token is renewed so long before its end, so that none expires in the middle of a long push.
RENEW_BEFORE_S = 300.0

_INSTALL = 'Install it: pip install "nbvault[azure]".'
_NEEDS = {
    Credential.CLIENT_SECRET: ("tenant_id", "client_id", "client_secret"),
    Credential.CERTIFICATE: ("tenant_id", "client_id", "certificate_path"),
}


class EntraToken(NamedTuple):
    """An access token; `expires` is what Entra said."""

    value: str
    expires: datetime


def chosen(azure: AzureSection) -> Credential:
    """The credential that the settings mean."""
    if azure.credential is not Credential.AUTO:
        return azure.credential
    if azure.client_secret:
        return Credential.CLIENT_SECRET
    if azure.certificate_path:
        return Credential.CERTIFICATE
    return Credential.WORKLOAD_IDENTITY if azure.token_file_path else Credential.DEFAULT


class EntraTokens:
    """Tokens of one identity, each kept until shortly before its end; safe to use from several threads.

    Args:
        ca_file: Additional certificate authorities; empty for the system's own.
    """

    def __init__(self, azure: AzureSection, *, clock: Clock, ca_file: str = "") -> None:
        self._azure = azure
        self._clock = clock
        self._ca_file = ca_file
        # Reading the secret of the credential may lead back here, which is found out and refused, not waited for.
        self._lock = threading.RLock()
        self._credential: TokenCredential | None = None
        self._kept: dict[str, tuple[float, EntraToken]] = {}

    @property
    def method(self) -> str:
        """How tokens are got, for people."""
        return f"entra {chosen(self._azure).value}"

    def token(self, scope: str) -> EntraToken:
        """A token for the scope that is good for some minutes yet. May block for seconds.

        Raises:
            AuthenticationError: Entra refuses, or there is no such identity here.
            ConfigurationError: azure-identity is not installed, or a key that the credential needs is not set.
        """
        with self._lock:
            renew_at, kept = self._kept.get(scope, (0.0, None))
            if kept is None or self._clock.monotonic() >= renew_at:
                before, kept = kept, self._ask(scope)
                if before is not None and kept.value == before.value:
                    # From the credential's own cache, which is not due by its reckoning.
                    self._credential = None
                    kept = self._ask(scope)
                left_s = kept.expires.timestamp() - time.time()
                ahead_s = max(left_s - min(RENEW_BEFORE_S, left_s / 2), 0.0)
                self._kept[scope] = (self._clock.monotonic() + ahead_s, kept)
            return kept

    def forget(self) -> None:
        """Sign in anew at the next `token`: the last one was refused."""
        with self._lock:
            self._credential = None
            self._kept.clear()

    def credential(self) -> TokenCredential:
        """The credential itself, for a client of Azure's own."""
        with self._lock:
            return self._made()

    def _ask(self, scope: str) -> EntraToken:
        credential = self._made()
        from azure.core.exceptions import AzureError

        try:
            found = credential.get_token(scope)
        except (AzureError, ValueError, OSError) as error:
            raise _refused(self._azure, error) from None
        return EntraToken(found.token, datetime.fromtimestamp(found.expires_on, timezone.utc))

    def _made(self) -> TokenCredential:
        if self._credential is None:
            self._credential = _make(self._azure, self._ca_file)
        return self._credential


def _make(azure: AzureSection, ca_file: str) -> TokenCredential:
    kind = chosen(azure)
    missing = [f"azure.{name}" for name in _NEEDS.get(kind, ()) if not getattr(azure, name)]
    if missing:
        raise ConfigurationError(f"The credential {kind.value} needs {' and '.join(missing)}.")
    try:
        import azure.identity as library
    except ImportError:
        raise ConfigurationError("Signing in with Microsoft Entra needs azure-identity.", hint=_INSTALL) from None
    common: dict[str, Any] = {
        "authority": azure.authority,
        "disable_instance_discovery": azure.disable_instance_discovery,
    }
    if ca_file:
        common["connection_verify"] = ca_file
    try:
        return _MAKERS[kind](library, azure, common)
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"The credential {kind.value} cannot be made: {error}.") from None


def _client_secret(library: Any, azure: AzureSection, common: dict[str, Any]) -> TokenCredential:
    secret = azure.client_secret.reveal() if azure.client_secret else ""
    made: TokenCredential = library.ClientSecretCredential(azure.tenant_id, azure.client_id, secret, **common)
    return made


def _certificate(library: Any, azure: AzureSection, common: dict[str, Any]) -> TokenCredential:
    if azure.certificate_password:
        common["password"] = azure.certificate_password.reveal()
    path = str(azure.certificate_path)
    made: TokenCredential = library.CertificateCredential(azure.tenant_id, azure.client_id, path, **common)
    return made


def _workload_identity(library: Any, azure: AzureSection, common: dict[str, Any]) -> TokenCredential:
    path = str(azure.token_file_path) if azure.token_file_path else None
    named = {"tenant_id": azure.tenant_id or None, "client_id": azure.client_id or None, "token_file_path": path}
    given = {name: value for name, value in named.items() if value}
    made: TokenCredential = library.WorkloadIdentityCredential(**given, **common)
    return made


def _managed_identity(library: Any, azure: AzureSection, _common: dict[str, Any]) -> TokenCredential:
    made: TokenCredential = library.ManagedIdentityCredential(client_id=azure.client_id or None)
    return made


def _cli(library: Any, azure: AzureSection, _common: dict[str, Any]) -> TokenCredential:
    made: TokenCredential = library.AzureCliCredential(tenant_id=azure.tenant_id, process_timeout=30)
    return made


def _default(library: Any, azure: AzureSection, common: dict[str, Any]) -> TokenCredential:
    if azure.client_id:
        common["managed_identity_client_id"] = azure.client_id
    made: TokenCredential = library.DefaultAzureCredential(**common)
    return made


_MAKERS: dict[Credential, Callable[[Any, AzureSection, dict[str, Any]], TokenCredential]] = {
    Credential.CLIENT_SECRET: _client_secret,
    Credential.CERTIFICATE: _certificate,
    Credential.WORKLOAD_IDENTITY: _workload_identity,
    Credential.MANAGED_IDENTITY: _managed_identity,
    Credential.CLI: _cli,
    Credential.DEFAULT: _default,
}


def _refused(azure: AzureSection, error: Exception) -> AuthenticationError:
    """One sentence of what Entra, or azure-identity, said; its later lines are advice for programmers."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    hint = "Check the section [azure]: tenant_id, client_id, and whether its secret or certificate has expired."
    return AuthenticationError(
        f"Microsoft Entra gives no token ({chosen(azure).value}): {said.rstrip('.')}.", hint=hint
    )

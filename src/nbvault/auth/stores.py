"""Where secrets are that are neither a variable nor a file: secret scopes of the workspace, and key vaults of Azure."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from nbvault.auth.events import Witness
from nbvault.errors import AuthenticationError, ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from databricks.sdk.config import Config

KEY_VAULT_API = "7.4"


class _Remembering(ABC):
    """Asks a store once for each secret; again after `forget`. A reference that leads to itself is refused."""

    def __init__(self, scheme: str, witness: Witness) -> None:
        self._scheme = scheme
        self._witness = witness
        self._known: dict[str, str] = {}
        self._asking = threading.local()
        self._lock = threading.RLock()

    def read(self, name: str) -> str:
        """The secret, as the store had it when it was asked last."""
        with self._lock, self._not_in_a_circle(name):
            if name not in self._known:
                self._known[name] = self._told("read secret", name, lambda: self._get(name))
            return self._known[name]

    def write(self, name: str, value: str) -> None:
        """Put another in its place."""
        with self._lock, self._not_in_a_circle(name):
            self._told("write secret", name, lambda: self._put(name, value))
            self._known.pop(name, None)

    def forget(self) -> None:
        """Ask again."""
        with self._lock:
            self._known.clear()

    @abstractmethod
    def _get(self, name: str) -> str:
        """The secret, from the store itself."""

    @abstractmethod
    def _put(self, name: str, value: str) -> str:
        """Write it into the store; returns it."""

    def _told(self, action: str, name: str, ask: Callable[[], str]) -> str:
        try:
            found = ask()
        except AuthenticationError as error:
            self._witness.saw(f"{self._scheme}:{name}", action, "refused", detail=error.message)
            raise
        self._witness.saw(f"{self._scheme}:{name}", action, "ok")
        return found

    @contextmanager
    def _not_in_a_circle(self, name: str) -> Iterator[None]:
        if getattr(self._asking, "busy", False):
            raise ConfigurationError(f"The secret {self._scheme}:{name} would be needed to read itself.")
        self._asking.busy = True
        try:
            yield
        finally:
            self._asking.busy = False


class DatabricksSecrets(_Remembering):
    """Secret scopes, by the workspace's API, or by ``dbutils`` on a cluster that gives its notebooks no credentials.

    Args:
        config: The workspace's configuration, made when it is needed.
        on_databricks: Whether this process runs on a cluster, where there is a ``dbutils``.
    """

    def __init__(self, config: Callable[[], Config], witness: Witness, *, on_databricks: bool = False) -> None:
        super().__init__("databricks", witness)
        self._config = config
        self._on_databricks = on_databricks

    def _get(self, name: str) -> str:
        scope, _, key = name.partition("/")
        try:
            found = self._call("GET", "get", query={"scope": scope, "key": key})
        except AuthenticationError:
            if not self._on_databricks:
                raise
            return self._by_dbutils(scope, key)
        try:
            return base64.b64decode(str(found.get("value", "")), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise AuthenticationError(f"The secret databricks:{name} is not text.") from None

    def _put(self, name: str, value: str) -> str:
        scope, _, key = name.partition("/")
        self._call("POST", "put", body={"scope": scope, "key": key, "string_value": value})
        return value

    def _call(self, method: str, verb: str, **more: Any) -> dict[str, Any]:
        from databricks.sdk.core import ApiClient
        from databricks.sdk.errors.base import DatabricksError

        config = self._config()
        try:
            found = ApiClient(config).do(method, f"/api/2.0/secrets/{verb}", **more)
        except (DatabricksError, ValueError, OSError, TimeoutError) as error:
            raise AuthenticationError(
                f"The workspace's secrets cannot be used ({verb}): {str(error).rstrip('.')}.",
                hint="Check the scope and the key, and that this identity may read (to rotate: write) that scope.",
            ) from None
        return found if isinstance(found, dict) else {}

    @staticmethod
    def _by_dbutils(scope: str, key: str) -> str:
        from databricks.sdk.runtime import dbutils

        try:
            return str(dbutils.secrets.get(scope, key))
        except Exception as error:  # noqa: BLE001 - the JVM's errors have no common class in Python
            raise AuthenticationError(f"dbutils gives no secret databricks:{scope}/{key}: {error}.") from None


class KeyVaultSecrets(_Remembering):
    """Key vaults of Azure, by their REST API and the identity of the section ``[azure]``.

    Args:
        address: Such as ``https://{vault}.vault.azure.net``.
        credential: Who we are, made when it is needed.
        ca_file: Additional certificate authorities; empty for the system's own.
    """

    def __init__(
        self, address: str, credential: Callable[[], TokenCredential], witness: Witness, *, ca_file: str = ""
    ) -> None:
        super().__init__("keyvault", witness)
        self._address = address
        self._credential = credential
        self._ca_file = ca_file

    def _get(self, name: str) -> str:
        return str(self._call("GET", name).get("value", ""))

    def _put(self, name: str, value: str) -> str:
        self._call("PUT", name, {"value": value})
        return value

    def _call(self, method: str, name: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        credential = self._credential()
        from azure.core import PipelineClient
        from azure.core.exceptions import AzureError
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
        from azure.core.rest import HttpRequest

        vault, _, secret = name.partition("/")
        base = self._address.replace("{vault}", vault)
        policies = [RetryPolicy(retry_total=4), BearerTokenCredentialPolicy(credential, _scope_of(base))]
        more: dict[str, Any] = {"connection_verify": self._ca_file} if self._ca_file else {}
        client: PipelineClient[Any, Any] = PipelineClient(base, policies=policies, **more)
        request = HttpRequest(
            method, f"{base}/secrets/{quote(secret)}", params={"api-version": KEY_VAULT_API}, json=body
        )
        try:
            with client:
                answer = client.send_request(request)
                return _read_vault_answer(answer.status_code, answer.text(), name)
        except (AzureError, OSError) as error:
            said = next(iter(str(error).splitlines()), type(error).__name__)
            raise AuthenticationError(
                f"The key vault {vault} cannot be reached: {said.rstrip('.')}.",
                hint=f"Check its name, and that this machine may reach {base} and sign in to Microsoft Entra.",
            ) from None


def _scope_of(base: str) -> str:
    """The resource of tokens for a key vault: that of its cloud."""
    cloud = (urlsplit(base).hostname or "").partition(".")[2]
    return f"https://{cloud}/.default" if cloud.startswith("vault.") else "https://vault.azure.net/.default"


def _read_vault_answer(status: int, text: str, name: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    if status == 200:
        return body
    told = body.get("error")
    said = str(told.get("message", "")) if isinstance(told, dict) else ""
    raise AuthenticationError(
        f"The key vault answers {status} for keyvault:{name}: {(said or 'nothing more').splitlines()[0].rstrip('.')}.",
        hint="Check the names, and that the identity of [azure] may get (to rotate: set) secrets there.",
    )

"""Secrets by reference: the configuration says where one is, and nothing here keeps or prints it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from nbvault.errors import AuthenticationError, ConfigurationError

_SECRET_LIKE = re.compile(r"(dapi|dkea|dose|ghp_|github_pat_|glpat-|eyJ)|(?=.*\d)(?=.*[a-z])[A-Za-z0-9]{32,}$")
# No header and no URL can hold them; and two lines are two secrets, of which nobody knows which is meant.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FORMS = {
    "env": (re.compile(r"\w+"), "must name a variable after env:"),
    "file": (re.compile(r".+"), "must name a file after file:"),
    "databricks": (re.compile(r"[\w.@-]{1,128}/[\w.-]{1,128}"), "must be databricks:SCOPE/KEY"),
    "keyvault": (re.compile(r"[A-Za-z][A-Za-z0-9-]{1,23}/[A-Za-z0-9-]{1,127}"), "must be keyvault:VAULT/NAME"),
}
_KINDS = "env:NAME, file:PATH, databricks:SCOPE/KEY or keyvault:VAULT/NAME"


def looks_secret(text: str) -> bool:
    """Whether a text has the form of a token rather than of a name."""
    return _SECRET_LIKE.match(text) is not None


def is_one_line(text: str) -> bool:
    """Whether a text has no control characters, so that it can be a header."""
    return _CONTROL.search(text) is None


class SecretStore(Protocol):
    """Where secrets are kept that are neither a variable nor a file."""

    def read(self, name: str) -> str:
        """The secret now, or an AuthenticationError that says why not."""

    def write(self, name: str, value: str) -> None:
        """Put another in its place, confirmed by the store."""

    def forget(self) -> None:
        """Ask the store again at the next `read`."""


class Context(NamedTuple):
    """What values are read against: the folder of relative paths, the environment, and the stores by scheme."""

    base: Path
    environment: Mapping[str, str]
    stores: dict[str, SecretStore] | None = None


class Secret:
    """A reference to a secret, looked up anew at each `reveal`, so that a rotated one is seen; prints as that."""

    __slots__ = ("_context", "_name", "_scheme")

    def __init__(self, reference: str, *, context: Context) -> None:
        """Read ``env:NAME``, ``file:PATH``, ``databricks:SCOPE/KEY`` or ``keyvault:VAULT/NAME``.

        Raises:
            ValueError: it is no reference that can be followed; the text says why and does not quote it.
        """
        scheme, colon, name = reference.strip().partition(":")
        if not colon or scheme not in _FORMS or not name or looks_secret(name):
            raise ValueError(f"must be a reference, {_KINDS}, never the secret itself")
        form, wrong = _FORMS[scheme]
        if not form.fullmatch(name):
            raise ValueError(wrong)
        self._scheme, self._name, self._context = scheme, name, context

    @property
    def reference(self) -> str:
        """Where the secret is; not the secret."""
        return f"{self._scheme}:{self._name}"

    @property
    def scheme(self) -> str:
        """What kind of place that is."""
        return self._scheme

    @property
    def variable(self) -> str:
        """The variable it is in, or empty."""
        return self._name if self._scheme == "env" else ""

    def reveal(self) -> str:
        """The secret now. May block where it is in a store.

        Raises:
            AuthenticationError: the variable, file or store's entry is missing or empty, or has more than one line; the
                text names it.
        """
        if self._scheme == "env":
            value = self._context.environment.get(self._name, "").strip()
        elif self._scheme == "file":
            value = self._from_file()
        else:
            value = self._store().read(self._name).strip()
        if not value:
            hints = {"env": f"Set the variable {self._name}.", "file": "Write the secret into that file."}
            raise AuthenticationError(
                f"The secret {self.reference} is missing or empty.",
                hint=hints.get(self._scheme, "Put the secret there."),
            )
        if not is_one_line(value):
            raise AuthenticationError(
                f"The secret {self.reference} has a line break or another control character inside.",
                hint="Put the secret there again, as one line.",
            )
        return value

    def forget(self) -> None:
        """Look again at the next `reveal`, also in a store that is asked once and remembered."""
        if self._scheme in (self._context.stores or {}):
            self._store().forget()

    def check_writable(self) -> None:
        """See that `replace` could work, without writing.

        Raises:
            ConfigurationError: nothing can be written there.
        """
        if self._scheme == "env":
            raise ConfigurationError(
                f"The secret {self.reference} is a variable, which nobody can rotate from here.",
                hint="Keep it in file:PATH, databricks:SCOPE/KEY or keyvault:VAULT/NAME, or rotate it by hand.",
            )
        if self._scheme == "file" and not os.access(self._path.parent, os.W_OK):
            raise ConfigurationError(f"The folder of {self.reference} cannot be written.")

    def replace(self, value: str) -> None:
        """Write another secret in its place: all of it or no change, readable by nobody new.

        Raises:
            ConfigurationError: nothing can be written there.
            AuthenticationError: the store refuses it.
        """
        self.check_writable()
        if self._scheme == "file":
            self._to_file(value)
        else:
            self._store().write(self._name, value)

    @property
    def _path(self) -> Path:
        return self._context.base / Path(self._name).expanduser()

    def _store(self) -> SecretStore:
        found = (self._context.stores or {}).get(self._scheme)
        if found is None:
            raise ConfigurationError(f"The secret {self.reference} cannot be reached from here.")
        return found

    def _from_file(self) -> str:
        try:
            return self._path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise AuthenticationError(
                f"The secret {self.reference} cannot be read: {reason}.", hint="Check the file and its permissions."
            ) from None

    def _to_file(self, value: str) -> None:
        # A secret mounted as a link (Kubernetes, systemd) stays one: what it points to is replaced.
        target = self._path.resolve()
        draft = ""
        try:
            descriptor, draft = tempfile.mkstemp(prefix=".nbvault-", dir=target.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(value + "\n")
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                Path(draft).chmod(target.stat().st_mode & 0o777)
            Path(draft).replace(target)
        except OSError as error:
            with suppress(OSError):
                Path(draft).unlink(missing_ok=True)
            raise ConfigurationError(f"The secret {self.reference} cannot be written: {error.strerror}.") from None

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reference == other.reference

    def __hash__(self) -> int:
        return hash(self.reference)

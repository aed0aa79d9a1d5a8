"""Secrets by reference: the configuration says where one is, and nothing here keeps or prints it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from nbvault.errors import AuthenticationError

_SECRET_LIKE = re.compile(r"(dapi|dkea|dose|ghp_|github_pat_|glpat-|eyJ)|(?=.*\d)(?=.*[a-z])[A-Za-z0-9]{32,}$")


def looks_secret(text: str) -> bool:
    """Whether a text has the form of a token rather than of a name."""
    return _SECRET_LIKE.match(text) is not None


class Context(NamedTuple):
    """What values are read against: the folder of relative paths, and the environment of references."""

    base: Path
    environment: Mapping[str, str]


class Secret:
    """A reference to a secret, looked up anew at each `reveal`, so that a rotated one is seen; prints as that."""

    __slots__ = ("_context", "_name", "_scheme")

    def __init__(self, reference: str, *, context: Context) -> None:
        """Read ``env:NAME`` or ``file:PATH``.

        Raises:
            ValueError: it is no reference that can be followed; the text says why and does not quote it.
        """
        scheme, colon, name = reference.strip().partition(":")
        if colon and scheme in {"databricks", "keyvault"}:
            raise ValueError(
                f"refers to a {scheme} secret, which comes with a later version; use env:NAME or file:PATH"
            )
        if not colon or scheme not in {"env", "file"} or not name or looks_secret(name):
            raise ValueError("must be a reference, env:NAME or file:PATH, never the secret itself")
        if scheme == "env" and not re.fullmatch(r"\w+", name):
            raise ValueError("must name a variable after env:")
        self._scheme, self._name, self._context = scheme, name, context

    @property
    def reference(self) -> str:
        """Where the secret is; not the secret."""
        return f"{self._scheme}:{self._name}"

    @property
    def variable(self) -> str:
        """The variable it is in, or empty."""
        return self._name if self._scheme == "env" else ""

    def reveal(self) -> str:
        """The secret now.

        Raises:
            AuthenticationError: the variable or file is missing or empty; the hint names it.
        """
        value = self._from_file() if self._scheme == "file" else self._context.environment.get(self._name, "").strip()
        if not value:
            raise AuthenticationError(
                f"The secret {self.reference} is missing or empty.",
                hint=f"Set the variable {self._name}." if self._scheme == "env" else "Write the secret into that file.",
            )
        return value

    def _from_file(self) -> str:
        try:
            return (self._context.base / Path(self._name).expanduser()).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise AuthenticationError(
                f"The secret {self.reference} cannot be read: {reason}.", hint="Check the file and its permissions."
            ) from None

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reference == other.reference

    def __hash__(self) -> int:
        return hash(self.reference)

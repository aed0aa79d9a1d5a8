"""Who looks at the page: the values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256

from nbvault.settings import WebSection

EVERYBODY = "*"


class Role(IntEnum):
    """What somebody may do here; each one includes those before it."""

    NOBODY = 0
    READER = 1
    RESTORER = 2
    ADMINISTRATOR = 3

    @classmethod
    def of(cls, groups: Collection[str], section: WebSection) -> Role:
        """The highest role that one of these groups has."""
        wanted = ((section.administrators, cls.ADMINISTRATOR), (section.restorers, cls.RESTORER))
        for names, role in (*wanted, (section.readers, cls.READER)):
            if EVERYBODY in names or set(names) & set(groups):
                return role
        return cls.NOBODY


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who has signed in.

    `sees_all`: no folder need be asked for, since this is a workspace administrator, or whoever has the configuration
    itself. `token` is the viewer's own for the workspace; empty where the configured credentials are the viewer's.
    """

    name: str
    role: Role
    sees_all: bool = False
    token: str = field(default="", repr=False)

    @property
    def key(self) -> str:
        """What tells one viewer from another, without the token itself."""
        return fingerprint(self.token) if self.token else self.name

    def may(self, role: Role) -> bool:
        """Whether this is one of those, or more."""
        return self.role >= role


def fingerprint(secret: str) -> str:
    """A secret's name in memory: nothing that holds it can be used to sign in."""
    return sha256(secret.encode()).hexdigest()

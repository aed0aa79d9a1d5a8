"""The epochs of a vault: which repository held which time, and which of them may be asked. Pure.

An epoch's address comes out of the vault, and so from whoever could write to it: see `may_be_asked`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote, urlsplit

from nbvault.errors import VaultError

EPOCHS = "epochs.json"
SUCCESSOR = "successor.json"

_SHA = re.compile(r"[0-9a-f]{40}")
_PLACE = re.compile(r"(?:[A-Za-z0-9._][A-Za-z0-9._-]*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")
_PLAIN = re.compile(r"[^\s\\?#\x00-\x1f\x7f]+")
_SCP_LIKE = re.compile(r"(?:[A-Za-z0-9._]+@)?([A-Za-z0-9._][A-Za-z0-9._-]*):(?!//)(.+)")
_PORTS = {"https": "443", "http": "80", "ssh": "22", "git+ssh": "22"}


class Force(str, Enum):
    """Whether an epoch accepts sessions: `PREPARING` no; `READY` if the one before names it; `BEGUN` yes."""

    PREPARING = "preparing"
    READY = "ready"
    BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class Epoch:
    """An earlier epoch.

    `session` is its last one; `content`, `main` and `meta` are its tips; `next` is the commit with which the content of
    the epoch after it begins. `since` and `until` are ISO 8601.
    """

    epoch: int
    remote: str
    since: str
    until: str
    session: str
    content: str
    main: str
    meta: str
    next: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a vault that follows others says of itself and of them, oldest first; `rotation` names how it came about."""

    epoch: int = 1
    rotation: str = ""
    state: Force = Force.BEGUN
    at: str = ""
    by: str = ""
    earlier: tuple[Epoch, ...] = ()

    @property
    def after(self) -> str:
        """The last session of the epoch before; empty if there was none."""
        return self.earlier[-1].session if self.earlier else ""


@dataclass(frozen=True, slots=True)
class Successor:
    """What a vault that ended says of the one that goes on; `meta` is that one's tip when it was made."""

    remote: str
    rotation: str
    meta: str
    at: str
    by: str


def dump(value: Lineage | Successor) -> bytes:
    """The file that holds it."""
    return json.dumps(asdict(value), indent=1).encode() + b"\n"


def load_lineage(data: bytes) -> Lineage:
    """The inverse of `dump`.

    Raises:
        VaultError: it is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(data)
        earlier = tuple(_epoch(item) for item in found["earlier"])
        at, by, rotation = (_text(found, name) for name in ("at", "by", "rotation"))
        return Lineage(int(found["epoch"]), rotation, Force(found["state"]), at, by, earlier)
    except (ValueError, KeyError, TypeError) as error:
        raise VaultError(f"The vault's {EPOCHS} is damaged: {error}.") from error


def load_successor(data: bytes) -> Successor:
    """The inverse of `dump`.

    Raises:
        VaultError: it is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(data)
        return Successor(*(_text(found, name) for name in ("remote", "rotation", "meta", "at", "by")))
    except (ValueError, KeyError, TypeError) as error:
        raise VaultError(f"The vault's {SUCCESSOR} is damaged: {error}.") from error


def _epoch(item: Mapping[str, Any]) -> Epoch:
    number = int(item["epoch"])
    texts = {name: _text(item, name) for name in Epoch.__slots__ if name != "epoch"}
    # They become arguments and refs of git commands.
    if number < 1 or not all(_SHA.fullmatch(texts[name]) for name in ("content", "main", "meta", "next")):
        raise ValueError("an epoch names no commits")
    return Epoch(epoch=number, **texts)


def _text(item: Mapping[str, Any], name: str) -> str:
    """A text that can be shown in a terminal."""
    text = str(item[name])
    if not text.isprintable():
        raise ValueError(f"{name} is not printable")
    return text


def may_be_asked(url: str, *, configured: str, listed: Collection[str] = ()) -> bool:
    """Whether a request, and with it the token, may go to an address that was found in the vault.

    Only where the configured remote is, or where the configuration says: on the same server below the same first folder
    (the organisation); of local repositories in the same folder.

    Args:
        configured: The remote of the configuration, as from `remote_url`.
        listed: Other addresses that the configuration names, likewise.
    """
    if url in listed:
        return True
    place = _place(url)
    return place is not None and place == _place(configured)


def _place(url: str) -> tuple[str, ...] | None:
    """Server and first folder, or the folder of a local repository; None where two programs may read it differently."""
    if not _PLAIN.fullmatch(url):
        return None
    if "://" not in url:
        scp = _SCP_LIKE.fullmatch(url)
        return ("ssh", scp[1].lower(), "22", _first(scp[2])) if scp and _is_straight(scp[2]) else None
    parts = urlsplit(url)
    if not _is_straight(parts.path):
        return None
    if parts.scheme == "file":
        return ("file", parts.netloc, parts.path.rstrip("/").rpartition("/")[0])
    server = parts.netloc.rpartition("@")[2] if parts.scheme in ("ssh", "git+ssh") else parts.netloc
    if parts.scheme not in _PORTS or not _PLACE.fullmatch(server):
        return None
    host, _, port = server.rpartition(":") if re.search(r":\d+$", server) else (server, "", _PORTS[parts.scheme])
    return (parts.scheme, host.lower(), port, _first(parts.path))


def _is_straight(path: str) -> bool:
    """Whether no part of a path leads upwards, also where it is encoded."""
    return not {".", ".."} & set(unquote(path).replace("\\", "/").split("/"))


def _first(path: str) -> str:
    return path.strip("/").partition("/")[0]

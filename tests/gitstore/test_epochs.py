"""Which address that stands in the vault may be asked, and what is said of epochs."""

from __future__ import annotations

import json

import pytest

from nbvault.errors import VaultError
from nbvault.gitstore.epochs import Epoch, Force, Lineage, Successor, dump, load_lineage, load_successor, may_be_asked

AZURE = "https://dev.azure.com/ORG/PROJECT/_git/vault-2027"
SHA = "0123456789012345678901234567890123456789"


@pytest.mark.parametrize(
    ("configured", "url"),
    [
        (AZURE, "https://dev.azure.com/ORG/PROJECT/_git/vault"),
        (AZURE, "https://dev.azure.com/ORG/OTHER/_git/vault"),
        (AZURE, "https://DEV.azure.com:443/ORG/PROJECT/_git/vault"),
        ("http://127.0.0.1:8080/ORG/P/_git/b", "http://127.0.0.1:8080/ORG/P/_git/a"),
        ("file:///srv/git/b.git", "file:///srv/git/a.git"),
        ("git@ssh.dev.azure.com:v3/ORG/P/b", "git@ssh.dev.azure.com:v3/ORG/P/a"),
        ("ssh://git@host/org/b", "ssh://git@host:22/org/a"),
    ],
)
def test_asked(configured: str, url: str) -> None:
    """What lies on the same server below the same first folder is asked."""
    assert may_be_asked(url, configured=configured)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/ORG/PROJECT/_git/vault",
        "https://dev.azure.com.evil.example/ORG/PROJECT/_git/vault",
        "https://dev.azure.com@evil.example/ORG/PROJECT/_git/vault",
        "https://dev.azure.com:443@evil.example/ORG/PROJECT/_git/vault",
        "https://dev.azure.com\\@evil.example/ORG/PROJECT/_git/vault",
        "https://evil.example#@dev.azure.com/ORG/PROJECT/_git/vault",
        "https://evil.example?@dev.azure.com/ORG/PROJECT/_git/vault",
        "https://dev.azure.com:8443/ORG/PROJECT/_git/vault",
        "http://dev.azure.com/ORG/PROJECT/_git/vault",
        "https://dev.azure.com/EVIL/PROJECT/_git/vault",
        "https://dev.azure.com/ORG/../EVIL/_git/vault",
        "https://dev.azure.com/ORG/%2e%2E/EVIL/_git/vault",
        "https://dev.azure.com/ORG/PROJECT\n.evil/_git/vault",
        "https://dev.azure.com /ORG/PROJECT/_git/vault",
        "https:///ORG/PROJECT/_git/vault",
        "ssh://git@dev.azure.com/ORG/PROJECT/_git/vault",
        "ext::sh -c touch% /tmp/evil",
        "--upload-pack=evil",
        "file:///etc/passwd",
        "/srv/git/vault",
        "",
    ],
)
def test_not_asked(url: str) -> None:
    """Anything else is not asked, however it is written; unless the configuration lists it."""
    assert not may_be_asked(url, configured=AZURE)
    assert may_be_asked(url, configured=AZURE, listed={url})


def test_local_repositories_are_asked_in_one_folder_only() -> None:
    """A path may not lead out of the folder of the configured repository."""
    here = "file:///srv/git/b.git"
    others = [
        "file:///srv/a.git",
        "file:///srv/git/../x/a.git",
        "file:///srv/git/sub/a.git",
        "file://host/srv/git/a.git",
    ]
    assert [may_be_asked(each, configured=here) for each in others] == [False] * 4


def test_round_trip() -> None:
    """What is written of epochs is what is read."""
    epoch = Epoch(1, "https://x/y", "2024-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z", "S", SHA, SHA, SHA, SHA)
    lineage = Lineage(2, "abc", Force.READY, "2026-01-01T00:00:00.000Z", "ann", (epoch,))
    successor = Successor("https://x/z", "abc", SHA, "2026-01-01T00:00:00.000Z", "ann")
    assert (load_lineage(dump(lineage)), load_successor(dump(successor))) == (lineage, successor)


@pytest.mark.parametrize(
    ("name", "value"), [("content", "--upload-pack=x"), ("main", "main"), ("next", ""), ("epoch", 0), ("meta", None)]
)
def test_damaged(name: str, value: object) -> None:
    """Whatever is no commit is never handed to git."""
    epoch = Epoch(1, "https://x/y", "", "", "S", SHA, SHA, SHA, SHA)
    found = json.loads(dump(Lineage(2, "abc", Force.BEGUN, "", "", (epoch,))))
    found["earlier"][0][name] = value
    with pytest.raises(VaultError, match="damaged"):
        load_lineage(json.dumps(found).encode())

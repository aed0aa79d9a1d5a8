"""Which repository a Git URL means."""

from __future__ import annotations

import pytest

from nbvault.azuredevops import RepositoryAddress, address_of

CLOUD = RepositoryAddress("https://dev.azure.com/contoso", "Data Platform", "note books")


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/contoso/Data%20Platform/_git/note%20books",
        "https://contoso@dev.azure.com/contoso/Data%20Platform/_git/note%20books/",
        "https://dev.azure.com/contoso/Data%20Platform/_git/_full/note%20books",
        "https://contoso.visualstudio.com/Data%20Platform/_git/note%20books",
        "https://contoso.visualstudio.com/DefaultCollection/Data%20Platform/_git/note%20books",
        "git@ssh.dev.azure.com:v3/contoso/Data%20Platform/note%20books",
        "ssh://git@ssh.dev.azure.com:22/v3/contoso/Data%20Platform/note%20books",
        "contoso@vs-ssh.visualstudio.com:v3/contoso/Data%20Platform/note%20books",
    ],
)
def test_every_spelling_of_a_repository_in_the_cloud(url: str) -> None:
    """Both hosts, with and without collection and user, and both forms of ssh."""
    assert address_of(url) == CLOUD


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://dev.azure.com/o/_git/r", ("https://dev.azure.com/o", "r", "r")),
        ("https://o.visualstudio.com/_git/r", ("https://dev.azure.com/o", "r", "r")),
        ("https://tfs.corp.net/tfs/Main/p/_git/r", ("https://tfs.corp.net/tfs/Main", "p", "r")),
        ("http://127.0.0.1:8080/ORG/PROJECT/_git/vault", ("http://127.0.0.1:8080/ORG", "PROJECT", "vault")),
    ],
)
def test_other_places(url: str, address: tuple[str, str, str]) -> None:
    """A project with one repository of its name, Azure DevOps Server, the emulator."""
    assert address_of(url) == address


@pytest.mark.parametrize(
    "url",
    ["/srv/git/vault.git", "https://github.com/o/r.git", "git@github.com:o/r.git", "https://dev.azure.com/o/p/_git/",
     "https://dev.azure.com/_git/r", "https://dev.azure.com/o/p/_git/r/extra", "file:///_git/r"],
)  # fmt: skip
def test_what_is_none(url: str) -> None:
    """Other hosts, folders, and addresses that lack something."""
    assert address_of(url) is None


def test_the_services_other_hosts() -> None:
    """Tokens and advanced security live elsewhere in the cloud, and nowhere else on a server of one's own."""
    assert CLOUD.on("vssps") == "https://vssps.dev.azure.com/contoso"
    assert CLOUD.project_url == "https://dev.azure.com/contoso/Data%20Platform"
    own = RepositoryAddress("https://tfs.corp.net/tfs/Main", "p", "r")
    assert own.on("vssps") == own.collection

"""The addresses of Azure Repos: which organisation, project and repository a Git URL means. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

_SSH = re.compile(r"(?:ssh://)?(?:[^@/]+@)?(?:ssh\.dev\.azure\.com|vs-ssh\.visualstudio\.com)(?::22)?[:/]v3/(.+)")
_CLOUD = "dev.azure.com"


class RepositoryAddress(NamedTuple):
    """One repository. `collection` is the organisation's address, such as ``https://dev.azure.com/contoso``."""

    collection: str
    project: str
    repository: str

    @property
    def project_url(self) -> str:
        """What the project's own calls begin with."""
        return f"{self.collection}/{quote(self.project, safe='')}"

    def on(self, service: str) -> str:
        """The organisation's address at another host of the service, such as ``vssps``; elsewhere it is one host."""
        parts = urlsplit(self.collection)
        return (
            self.collection.replace(_CLOUD, f"{service}.{_CLOUD}", 1) if parts.hostname == _CLOUD else self.collection
        )


def address_of(url: str) -> RepositoryAddress | None:
    """The repository that a Git URL means; None where it is none of Azure DevOps.

    Knows ``https://dev.azure.com/ORG/PROJECT/_git/REPO``, ``https://ORG.visualstudio.com[/DefaultCollection]/PROJECT/_git/REPO``,
    both without the project where it is called like the repository, Azure DevOps Server, and the forms of ssh.
    """
    if found := _SSH.fullmatch(url.strip()):
        parts = [unquote(part) for part in found[1].strip("/").split("/")]
        return RepositoryAddress(f"https://{_CLOUD}/{quote(parts[0])}", parts[1], parts[2]) if len(parts) == 3 else None
    split = urlsplit(url.strip())
    if split.scheme not in {"https", "http"} or not split.hostname:
        return None
    before, mark, after = split.path.partition("/_git/")
    names = [unquote(part) for part in after.split("/") if part]
    # `_full` and `_optimized` choose what a clone gets; the repository is the same.
    names = names[1:] if names[:1] in (["_full"], ["_optimized"]) else names
    if not mark or len(names) != 1:
        return None
    host = split.hostname if split.port is None else f"{split.hostname}:{split.port}"
    return _in_collection(split.scheme, host, [unquote(part) for part in before.split("/") if part], names[0])


def _in_collection(scheme: str, host: str, folders: list[str], repository: str) -> RepositoryAddress | None:
    if host.endswith(".visualstudio.com"):
        folders = folders[1:] if folders[:1] == ["DefaultCollection"] else folders
        folders = [host.removesuffix(".visualstudio.com"), *folders]
        host = _CLOUD
    above = 1 if host == _CLOUD or len(folders) <= 2 else len(folders) - 1
    if len(folders) < above:
        return None
    project = folders[above] if len(folders) > above else repository
    return RepositoryAddress("/".join([f"{scheme}://{host}", *map(quote, folders[:above])]), project, repository)

"""What must be so before a conversion begins, and which Git folders it is to make. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from nbvault.backup.detect import why_skipped
from nbvault.errors import ConfigurationError
from nbvault.gitstore.blobs import blob_sizes
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.vault import Vault
from nbvault.model import DIRECTORY, NOTEBOOK, REPO
from nbvault.paths import relative
from nbvault.setup.conversion import Conversion
from nbvault.setup.convert import same_url, status
from nbvault.setup.ports import Workspace
from nbvault.setup.showing import list_all
from nbvault.setup.views import Load, View, ViewPlan, not_covered

DEFAULT_PROVIDER = "azureDevOpsServices"
_PROVIDERS = {"github.com": "gitHub", "gitlab.com": "gitLab", "bitbucket.org": "bitbucketCloud"}


def provider_of(url: str) -> str:
    """The Git provider, as Databricks names it, of a repository's address.

    Raises:
        ConfigurationError: the address is none that a Git folder can have.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http"):
        raise ConfigurationError(
            "A Git folder needs a remote that the workspace can reach by https.",
            hint="Set vault.remote to the repository's https:// address.",
        )
    return _PROVIDERS.get(parts.hostname or "", DEFAULT_PROVIDER)


async def check_places(workspace: Workspace, wanted: Conversion, before: Conversion | None) -> None:
    """Whether the root can be converted, and nothing is in the way beside it.

    Raises:
        ConfigurationError: it cannot.
    """
    root = await status(workspace, wanted.root)
    if root is None:
        raise ConfigurationError(f"The root {wanted.root} does not exist.", hint="Check workspace.root.")
    if root.kind != DIRECTORY:
        raise ConfigurationError(f"{wanted.root} is a {root.kind} already, no folder that could be converted.")
    if before is not None:
        if not same_url(before.url, wanted.url) or before.target != wanted.target:
            raise ConfigurationError(
                f"{before.root} was converted to {before.target}, of {before.url}.",
                hint="`nbvault rollback` takes that back; then it can be converted anew.",
            )
        return
    there = await status(workspace, wanted.target)
    if there is not None:
        raise ConfigurationError(f"{wanted.target} is there already, a {there.kind}.", hint="Name another place: --to.")
    parent = wanted.target.rpartition("/")[0]
    above = await status(workspace, parent) if parent else None
    if parent and (above is None or above.kind == REPO):
        raise ConfigurationError(f"{parent} is no folder in which a Git folder can be made.", hint="Make it first.")


async def credential_for(workspace: Workspace, provider: str) -> int:
    """The id of the Git credential that this identity has for a provider; 0 if it has none."""
    found = await workspace.git_folders.credentials()
    return next((each.credential_id for each in found if each.provider.lower() == provider.lower()), 0)


def files_of(vault: Vault, commit: str) -> dict[str, int]:
    """Every file of a commit with its size; the size of one that is not here is guessed from the others."""
    blobs = {entry.path: entry.oid for entry in ls_tree(vault.git, commit)}
    known = blob_sizes(vault.git, set(blobs.values()))
    guess = sum(known.values()) // len(known) if known else 0
    return {path: known.get(oid, guess) for path, oid in blobs.items()}


class Scanned(NamedTuple):
    """What is below the root: notebooks about as the vault will hold them, without sizes; and what it will not."""

    files: dict[str, int]
    others: tuple[tuple[str, str], ...]


async def scan(workspace: Workspace, root: str) -> Scanned:
    """Look at everything below the root."""
    listed, unreadable = await list_all(workspace, root)
    files = {"/".join(relative(root, path)): 0 for path, entry in listed.items() if entry.kind == NOTEBOOK}
    others = [(path, why_skipped(e.kind)) for path, e in listed.items() if e.kind not in (NOTEBOOK, DIRECTORY)]
    return Scanned(files, tuple(sorted([*others, *unreadable.items()])))


def more_views(files: Sequence[str], conversion: Conversion) -> tuple[View, ...]:
    """The Git folders that a conversion lacks to show all these files: for each, of the highest folder that is free."""
    taken = {view.folder for view in conversion.views}
    above = {folder[:place] for folder in taken for place in range(len(folder)) if folder[place] == "/"}
    found = {}
    for path in not_covered(files, conversion.views):
        parts = path.split("/")[:-1]
        folders = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        folder = next((each for each in folders if each not in above), "")
        if folder:
            found[folder] = View(f"{conversion.target}/{folder}", folder)
    return tuple(found[folder] for folder in sorted(found))


def load_of(files: Mapping[str, int], view: View) -> Load:
    """How much a Git folder shows."""
    sizes = [size for path, size in files.items() if view.shows(path)]
    return Load(len(sizes), sum(sizes))


def refuse_impossible(plan: ViewPlan) -> None:
    """Say what Databricks does not allow, before anything begins.

    Raises:
        ConfigurationError: a limit cannot be kept.
    """
    if plan.refusals:
        hint = "The vault itself has no such limit, and needs no Git folder."
        raise ConfigurationError("\n".join(plan.refusals), hint=hint)

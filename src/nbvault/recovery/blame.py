"""Who wrote each line of a notebook, when, and in which session: across its renames, by its own versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbvault.errors import ConfigurationError
from nbvault.gitstore.vault import Vault
from nbvault.notebook.align import align
from nbvault.recovery.history import Change, Version, history
from nbvault.recovery.moments import Moment, moment
from nbvault.recovery.notebooks import Notebooks
from nbvault.recovery.past import Content, content_at


@dataclass(frozen=True, slots=True)
class BlamedLine:
    """A line of a notebook's file, without its end, and the version that brought it. `number` counts from 1."""

    number: int
    text: str
    version: Version

    def as_json(self) -> dict[str, Any]:
        """As ``blame --json`` prints it: the version's fields are those of ``history``."""
        return {"line": self.number, "text": self.text, **self.version.as_json()}


@dataclass(frozen=True, slots=True)
class Blame:
    """The lines of a notebook as it was at `path`; `note` says what a person would not expect, or nothing."""

    path: str
    lines: tuple[BlamedLine, ...]
    note: str = ""


def blame(
    vault: Vault,
    path: str,
    *,
    at: str = "",
    notebooks: Notebooks | None = None,
    versions: Sequence[Version] | None = None,
) -> Blame:
    """Who brought each line of the notebook that ``path`` means: of its last version, or of that at a moment.

    A line is as old as the version since which it stands between the same neighbours; one that was moved is new. What
    a first backup found is nbvault's, for it does not know who wrote it.

    Args:
        path: As `Notebooks.find` takes it.
        at: As `moment` takes it; empty for the last version, also of a deleted notebook.
        notebooks: Those of the vault, where they are known already.
        versions: What `history` says of the notebook, where that is known already.

    Raises:
        ConfigurationError: no such notebook, no such moment, or it was not in the vault then.
        VaultError: bytes are missing or damaged.
        RemoteUnreachable: what is needed is not here, and the remote does not answer.
    """
    notebooks = notebooks or Notebooks.of(vault)
    found = notebooks.find(path)
    when = moment(vault, at) if at else None
    stays = notebooks.stays(found.object_id)
    if when and content_at(vault, stays, when) is None:
        raise ConfigurationError(
            f"{found.path} was not in the vault at {when.label}.",
            hint=f"`nbvault history '{found.path}'` shows when it was.",
        )
    told = history(vault, path, notebooks=notebooks) if versions is None else versions
    versions = [version for version in told if when is None or version.session <= when.session]
    vault.past.refuse_gaps()
    kept = [version for version in reversed(versions) if version.change is not Change.DELETED]
    contents = [content_at(vault, stays, Moment(each.commit, each.session, "")) for each in kept]
    known = [(version, content) for version, content in zip(kept, contents, strict=True) if content]
    last = known[-1][1].path if known else found.path
    note = f"{last} was deleted; this is its last version." if versions[0].change is Change.DELETED else ""
    return Blame(last, tuple(_lines(vault, known)), note)


def _lines(vault: Vault, versions: list[tuple[Version, Content]]) -> list[BlamedLine]:
    blobs = list(dict.fromkeys(content.blob for _, content in versions))
    data = dict(vault.blobs.read(blobs))
    before: list[str] = []
    owners: list[Version] = []
    for version, content in versions:
        after = _cut(data[content.blob])
        new = [version] * len(after)
        for old_at, new_at in align(before, after):
            new[new_at] = owners[old_at]
        before, owners = after, new
    return [BlamedLine(at, text, owner) for at, (text, owner) in enumerate(zip(before, owners, strict=True), 1)]


def _cut(data: bytes) -> list[str]:
    lines = data.decode(errors="backslashreplace").replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]

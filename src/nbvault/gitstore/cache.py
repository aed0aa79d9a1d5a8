"""The local repository as a cache of the remote: made where there is none, set aside where it is damaged.

Nothing is ever deleted: what the local repository holds may be the only copy of work that was not pushed yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbvault.clock import Clock, SystemClock
from nbvault.errors import ConfigurationError, GitError
from nbvault.gitstore.runner import Git, configure, decode, init_bare
from nbvault.ids import stamp

_TRACES = ("HEAD", "config", "objects", "refs", "packed-refs")
_SHA1_BYTES = 20


@dataclass(frozen=True, slots=True)
class Cache:
    """An open local repository.

    Args:
        created: It was made now and holds nothing yet.
        set_aside: Where a damaged one was moved to, if there was one.
        damage: What was wrong with that one.
    """

    git: Git
    created: bool = False
    set_aside: Path | None = None
    damage: str = ""


def open_cache(path: Path, *, url: str, base_environment: Mapping[str, str], clock: Clock | None = None) -> Cache:
    """Open the local repository at ``path``, or make an empty one that knows the remote; asks no remote.

    The caller holds the process lock of this repository, has cleaned what was left over, and fetches afterwards.

    Args:
        url: As from `remote_url`; replaces another one that the repository may name.

    Raises:
        ConfigurationError: something else than a bare repository is there.
    """
    damage = _damage(path, base_environment) if is_there(path) else ""
    aside = _set_aside(path, clock or SystemClock()) if damage else None
    created = not is_there(path)
    try:
        git = init_bare(path, base_environment)
    except OSError as error:
        raise ConfigurationError(f"No repository can be made at {path}: {error}.", hint="Check vault.path.") from error
    _point_at(git, url)
    return Cache(git, created, aside, damage)


def opened_as_it_is(path: Path, *, url: str, base_environment: Mapping[str, str]) -> Git | None:
    """The local repository for reading, also while another process writes to it; checks and changes nothing.

    None where there is no whole one that knows this remote: `open_cache` then makes or mends it.
    """
    if not (path / "config").is_file() or not (path / "offline" / "HEAD").is_file():
        return None
    git = Git(path, base_environment)
    done = git.run("config", "--local", "--null", "--list", ok=range(256))
    found = dict(entry.partition("\n")[::2] for entry in decode(done.stdout).split("\0"))
    # The filter is the last thing that is set in a new one.
    whole = found.get("remote.origin.url") == url and "remote.origin.partialclonefilter" in found
    return git if whole else None


def is_there(path: Path) -> bool:
    """Whether a repository, whole or not, is there; nothing is asked of git.

    Raises:
        ConfigurationError: something else is.
    """
    if not path.exists():
        return False
    hint = "Let vault.path name a folder that is empty or does not exist."
    if not path.is_dir():
        raise ConfigurationError(f"{path} is no folder.", hint=hint)
    if (path / ".git").exists():
        raise ConfigurationError(f"{path} is a repository with a working tree, which nbvault does not use.", hint=hint)
    if not any(path.iterdir()):
        return False
    if sum((path / name).exists() for name in _TRACES) < 2:
        raise ConfigurationError(f"{path} is not empty and no Git repository.", hint=hint)
    return True


def _damage(path: Path, base_environment: Mapping[str, str]) -> str:
    """What is wrong with the repository, by checks that cost the trees of its branches, never all objects."""
    if not (path / "objects").is_dir() or not (path / "refs").is_dir():
        return "its objects or refs are gone"
    git = Git(path, base_environment)
    try:
        git.run("rev-parse", "--git-dir")
        torn = next(_torn_packs(path), None)
        if torn is not None:
            return f"pack {torn.name} is missing, cut off, or not that of its index"
        view = git.offline()
        tips = view.run("for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes")
        if "broken ref" in tips.stderr:
            return tips.stderr.strip()
        trees = ("--objects", "--no-walk", "--filter=blob:none")
        view.run("rev-list", *trees, "--quiet", "--stdin", stdin=tips.stdout)
    except GitError as error:
        return error.message
    return ""


def _torn_packs(path: Path) -> Iterator[Path]:
    """Packs whose end is not the checksum that their index names: told by forty bytes, without reading the pack."""
    for index in sorted((path / "objects" / "pack").glob("*.idx")):
        pack = index.with_suffix(".pack")
        if not pack.exists() or _end(pack, _SHA1_BYTES) != _end(index, 2 * _SHA1_BYTES)[:_SHA1_BYTES]:
            yield pack


def _end(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - size, 0))
        return file.read(size)


def _set_aside(path: Path, clock: Clock) -> Path:
    made = stamp(clock.now())
    aside, number = path.with_name(f"{path.name}.damaged-{made}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{made}-{number}")
    return path.rename(aside)


def _point_at(git: Git, url: str) -> None:
    known = git.run("config", "--local", "--get", "remote.origin.url", ok=(0, 1)).text
    if known and known != url:
        # What another server could do says nothing about this one.
        git.run("config", "--local", "--unset-all", "nbvault.fetch", ok=(0, 5))
    configure(
        git,
        {
            "core.repositoryFormatVersion": "1",
            "extensions.partialClone": "origin",
            "remote.origin.url": url,
            "remote.origin.promisor": "true",
            "remote.origin.partialCloneFilter": "blob:none",
        },
    )

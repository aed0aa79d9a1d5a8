"""Which Git folders show the vault: as few as Databricks' limits allow, each a folder of the vault. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nbvault.paths import extension_of

MAX_FILES = 20_000
MAX_BYTES = 1024**3
MAX_FOLDERS = 2_000


class View(NamedTuple):
    """One Git folder: where it is, and which folder of the vault it shows; `folder` is empty for all of it."""

    path: str
    folder: str = ""

    @property
    def patterns(self) -> tuple[str, ...]:
        """The cone patterns of its sparse checkout; none where it shows everything."""
        return (self.folder,) if self.folder else ()

    def shows(self, repo_path: str) -> bool:
        """Whether a file of the vault is in this Git folder: below its folder, or directly in one above it."""
        if not self.folder or repo_path.startswith(self.folder + "/"):
            return True
        parent = repo_path.rpartition("/")[0]
        return not parent or f"{self.folder}/".startswith(f"{parent}/")

    def path_of(self, repo_path: str) -> str:
        """Under which path a notebook's file is shown: Git folders leave its extension out."""
        return f"{self.path}/{repo_path.removesuffix(extension_of(repo_path))}"


class Limits(NamedTuple):
    """Databricks' limits: `files` is advice, the others hold."""

    files: int = MAX_FILES
    size_bytes: int = MAX_BYTES
    folders: int = MAX_FOLDERS


class Load(NamedTuple):
    """How much is in a place."""

    files: int = 0
    size_bytes: int = 0

    def plus(self, other: Load) -> Load:
        """Both together."""
        return Load(self.files + other.files, self.size_bytes + other.size_bytes)


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """The Git folders with their loads; what is beyond advice (`warnings`), and what cannot be at all (`refusals`)."""

    views: tuple[View, ...]
    loads: tuple[Load, ...]
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    direct: Load = field(default_factory=Load)
    whole: Load = field(default_factory=Load)
    children: set[str] = field(default_factory=set)


def plan_views(files: Mapping[str, int], target: str, limits: Limits) -> ViewPlan:
    """The Git folders for a vault with these files (repository path to size in bytes) at the workspace path ``target``.

    Everything in one Git folder where that keeps the limits. Otherwise one for each folder of the first level, split
    again where it breaks them. A cone holds the files of the folders above it, too; they count in each.
    """
    places = _places(files)
    found = list(_split(places, "", limits))
    warnings, refusals = [], []
    for folder, load in found:
        name = folder or "the vault"
        end = "in a Git folder, and it cannot be split further."
        if "[" in folder:
            refusals.append(f"{name} has a [ in its name, which git takes for a pattern in a sparse checkout.")
        if load.files > limits.files:
            warnings.append(f"{name} has {load.files:,} files; Databricks advises at most {limits.files:,} {end}")
        if load.size_bytes > limits.size_bytes:
            refusals.append(f"{name} has {load.size_bytes:,} bytes; Databricks allows {limits.size_bytes:,} {end}")
    if len(found) > limits.folders:
        refusals.append(f"{len(found):,} Git folders would be needed; a workspace may have {limits.folders:,}.")
    views = tuple(View(f"{target}/{folder}" if folder else target, folder) for folder, _ in found)
    return ViewPlan(views, tuple(load for _, load in found), tuple(warnings), tuple(refusals))


def _places(files: Mapping[str, int]) -> dict[str, _Place]:
    places: dict[str, _Place] = {"": _Place()}
    for path, size in files.items():
        folder, load = path.rpartition("/")[0], Load(1, size)
        places.setdefault(folder, _Place()).direct = places.setdefault(folder, _Place()).direct.plus(load)
        for above in _way(folder):
            place = places.setdefault(above, _Place())
            place.whole = place.whole.plus(load)
            if above:
                places.setdefault(above.rpartition("/")[0], _Place()).children.add(above)
    return places


def _way(folder: str) -> Iterator[str]:
    """A folder and all above it, up to the top."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _split(places: Mapping[str, _Place], folder: str, limits: Limits) -> Iterator[tuple[str, Load]]:
    place = places[folder]
    load = place.whole
    for above in _way(folder):
        if above != folder:
            load = load.plus(places[above].direct)
    fits = load.files <= limits.files and load.size_bytes <= limits.size_bytes
    if fits or not place.children:
        yield folder, load
        return
    for child in sorted(place.children):
        yield from _split(places, child, limits)


def parents(views: Iterable[View], target: str) -> list[str]:
    """The ordinary folders that must hold these Git folders, from the top; none for a single one at ``target``."""
    found = set()
    for view in views:
        folder = view.path.rpartition("/")[0]
        while f"{folder}/".startswith(f"{target}/"):
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(found)


def not_covered(files: Iterable[str], views: Sequence[View]) -> list[str]:
    """The files that none of these Git folders shows; a look-up for each file and each folder above it."""
    folders = {view.folder for view in views}
    if "" in folders:
        return []
    inner = {above for folder in folders for above in _way(folder)} if folders else set()
    return [
        path
        for path in files
        if path.rpartition("/")[0] not in inner and not folders.intersection(_way(path.rpartition("/")[0]))
    ]

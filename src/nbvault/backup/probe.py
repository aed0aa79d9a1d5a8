"""Finding out whether the zip of a folder is worth any trust here: a sample, compared with single exports."""

from __future__ import annotations

import asyncio
import random
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nbvault.backup import folders
from nbvault.backup.archive import Archive, Layout, is_leaf, names_clash, unpack
from nbvault.backup.folders import Compared, compare
from nbvault.backup.scan import FolderListing, Lister
from nbvault.backup.trust import Result, place
from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import DIRECTORY, NOTEBOOK, ListedObject
from nbvault.workspace.errors import DeadlineExceeded, TooLarge

# Less than this proves nothing.
ENOUGH = 4
AT_ONCE = 8
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Workspace(Lister, folders.Source, Protocol):
    """What a probe needs of a workspace."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many folders are chosen for which reason, and how many notebooks of each are compared."""

    odd: int = 3
    languages: int = 2
    large: int = 1
    drawn: int = 4
    each: int = 20


# In every session of `export.bulk = "probe"`: some thirty requests.
SMALL = Sample(odd=1, languages=0, large=0, drawn=2, each=10)


class Picker:
    """Chooses folders to probe: with odd names, with many languages, with many notebooks, and by lot."""

    def __init__(self, sample: Sample, *, day: int) -> None:
        self.sample = sample
        self._day = day
        self._best: dict[str, list[tuple[int, int, FolderListing]]] = {}
        self._nested: tuple[int, FolderListing] | None = None

    def offer(self, listing: FolderListing) -> None:
        """A folder that was listed completely."""
        notebooks = notebooks_of(listing)
        if not is_leaf(listing.objects):
            below = sum(entry.kind == DIRECTORY for entry in listing.objects)
            if below and (self._nested is None or below < self._nested[0]):
                self._nested = (below, listing)
        elif len(notebooks) >= 2 and not names_clash(listing.objects):
            lot = (zlib.crc32(listing.path.encode("utf-8", "surrogatepass")) + self._day) % 2**31
            self._consider("odd", sum(map(is_odd, notebooks)), lot, listing)
            self._consider("languages", len({entry.language for entry in notebooks}), lot, listing)
            self._consider("large", len(notebooks), lot, listing)
            self._consider("drawn", 1, lot, listing)

    def _consider(self, reason: str, score: int, lot: int, listing: FolderListing) -> None:
        best = self._best.setdefault(reason, [])
        best.append((score, lot, listing))
        best.sort(key=lambda each: each[:2], reverse=True)
        del best[getattr(self.sample, reason) :]

    def chosen(self) -> list[FolderListing]:
        """The folders without subfolders, each once."""
        found = {each[2].path: each[2] for best in self._best.values() for each in best}
        return list(found.values())

    def nested(self) -> FolderListing | None:
        """The folder with the fewest subfolders, but some."""
        return self._nested[1] if self._nested else None


def notebooks_of(listing: FolderListing) -> list[ListedObject]:
    """The notebooks directly in a folder."""
    return [entry for entry in listing.objects if entry.kind == NOTEBOOK]


def is_odd(entry: ListedObject) -> bool:
    """Whether a name has more in it than letters, digits, `_` and `-` of ASCII."""
    return _PLAIN_NAME.fullmatch(entry.path.rsplit("/", 1)[-1]) is None


@dataclass(slots=True)
class Finding:
    """What a probe found.

    Of `compared` notebooks of `archives` folders, the `same` are alike in both, and `odd` of these have unusual names.
    `left_out` are not in their archive and can be read, `unreadable` neither. `deeper`: an archive holds what is in
    subfolders, too; None where no folder could tell.
    """

    folders: int = 0
    archives: int = 0
    compared: int = 0
    same: int = 0
    odd: int = 0
    left_out: int = 0
    unreadable: int = 0
    layouts: set[Layout] = field(default_factory=set)
    deeper: bool | None = None
    too_large: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why it is no proof; empty if it is one."""
        if self.different:
            return f"the archive of its folder has other bytes for {self.different[0]}"
        if len(self.layouts) > 1:
            return "the names in archives are not always built the same way"
        if len(self.unusable) > self.archives:
            return self.unusable[0]
        if self.compared < ENOUGH:
            return f"only {self.compared} notebooks could be compared, which proves nothing"
        return ""

    @property
    def result(self) -> Result:
        return Result.FAILED if self.reason else Result.OK

    def record(self) -> dict[str, object]:
        """The fields for the vault's records."""
        counted = ("folders", "archives", "compared", "same", "odd", "left_out", "unreadable", "deeper")
        return {
            **{name: getattr(self, name) for name in counted},
            "layout": next(iter(self.layouts)).value if len(self.layouts) == 1 else None,
            "too_large": self.too_large[:5],
            "unusable": self.unusable[:5],
            "different": self.different[:5],
            "reason": self.reason,
        }

    def sentences(self) -> list[str]:
        """What was found, for people."""
        told = [
            f"{self.same:,} of {self.compared:,} notebooks ({self.odd:,} with odd names) of {self.archives:,} folders "
            f"are in the archive of their folder byte for byte as in their own export."
        ]
        shapes = {Layout.DIRECTORY: "<folder>/<name>.<extension>", Layout.FLAT: "<name>.<extension>"}
        told += [f"Names are {shapes[layout]}." for layout in sorted(self.layouts)]
        told += ["An archive holds subfolders, too."] if self.deeper else []
        told += ["An archive does not hold subfolders."] if self.deeper is False else []
        told += [f"{self.left_out:,} notebooks are left out though they can be read."] if self.left_out else []
        told += [f"{self.unreadable:,} notebooks are left out, and cannot be read."] if self.unreadable else []
        told += [f"Over the size limit: {said}" for said in self.too_large[:3]]
        told += [f"Of no use: {said}." for said in self.unusable[:3]]
        told += [f"Different bytes: {path}." for path in self.different[:3]]
        return told


class Probe:
    """Compares archives with single exports; writes nothing anywhere."""

    def __init__(self, workspace: Workspace, *, day: int) -> None:
        self._workspace = workspace
        self._day = day
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self, picker: Picker) -> Finding:
        """Try the chosen folders.

        Raises:
            AuthenticationError, DeadlineExceeded: it could not come to its end.
        """
        finding = Finding()
        for listing in picker.chosen():
            finding.folders += 1
            archive = await self._archive(listing, finding)
            if archive is not None:
                finding.archives += 1
                finding.layouts.add(archive.layout)
                await self._compare(listing, archive, picker.sample.each, finding)
        if (nested := picker.nested()) is not None:
            archive = await self._archive(nested, Finding())
            finding.deeper = archive.deeper if archive is not None else None
        return finding

    async def _archive(self, listing: FolderListing, finding: Finding) -> Archive | None:
        try:
            return unpack(await self._workspace.export_folder(listing.path), listing.path, listing.objects)
        except (AuthenticationError, DeadlineExceeded):
            raise
        except TooLarge as error:
            finding.too_large.append(error.message)
        except WorkspaceError as error:
            finding.unusable.append(error.message.rstrip("."))
        return None

    async def _compare(self, listing: FolderListing, archive: Archive, each: int, finding: Finding) -> None:
        ordered = sorted(notebooks_of(listing), key=lambda e: (not is_odd(e), place(e.object_id, self._day)))
        chosen = _mixed(ordered)[:each]
        await asyncio.gather(*(self._compare_one(listing, archive, entry, finding) for entry in chosen))

    async def _compare_one(
        self, listing: FolderListing, archive: Archive, entry: ListedObject, finding: Finding
    ) -> None:
        async with self._slots:
            try:
                if entry.path not in archive.sources:
                    await self._workspace.export(entry.path)
                    finding.left_out += 1
                    return
                found = await compare(self._workspace, listing, archive, entry.path)
            except (AuthenticationError, DeadlineExceeded):
                raise
            except WorkspaceError:
                finding.unreadable += entry.path not in archive.sources
                return
        if found is not Compared.CHANGED:
            finding.compared += 1
            finding.same += found is Compared.SAME
            finding.odd += found is Compared.SAME and is_odd(entry)
        if found is Compared.DIFFERENT:
            finding.different.append(entry.path)


def _mixed(entries: Sequence[ListedObject]) -> list[ListedObject]:
    """The same with one of each language in front."""
    first = {entry.language: entry for entry in reversed(entries)}
    return [*first.values(), *(entry for entry in entries if entry not in first.values())]


async def look_around(
    workspace: Lister, root: str, picker: Picker, *, may_contain: Callable[[str], bool], seed: int, lists: int = 200
) -> None:
    """Show the picker some of the folders below a root, deep ones and others, in so many calls at most.

    Raises:
        WorkspaceError: the root cannot be listed.
    """
    draw = random.Random(seed)  # noqa: S311 - a lot, no secret
    frontier = [root]
    while frontier and lists > 0:
        batch = [_drawn(frontier, draw) for _ in range(min(AT_ONCE, len(frontier), lists))]
        lists -= len(batch)
        for path, objects in zip(batch, await asyncio.gather(*(_listed(workspace, p) for p in batch)), strict=True):
            if isinstance(objects, WorkspaceError):
                if path == root:
                    raise objects
                continue
            picker.offer(FolderListing(path, objects))
            below = [entry.path for entry in objects if entry.kind == DIRECTORY and may_contain(entry.path)]
            draw.shuffle(below)
            frontier += below


def _drawn(frontier: list[str], draw: random.Random) -> str:
    """Mostly what was found last, which leads down to where the notebooks are; now and then anything."""
    return frontier.pop(draw.randrange(len(frontier)) if draw.random() < 0.3 else -1)


async def _listed(workspace: Lister, path: str) -> Sequence[ListedObject] | WorkspaceError:
    try:
        return await workspace.list_folder(path)
    except (AuthenticationError, DeadlineExceeded):
        raise
    except WorkspaceError as error:
        return error

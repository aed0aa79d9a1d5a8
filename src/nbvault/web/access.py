"""What a person may see of the vault: asked of the workspace with the person's own token, folder by folder.

A notebook is shown if its owner's listing of the folder shows it. One that nobody's listing shows any more (deleted, or
moved since the last backup) is shown to whoever sees everything in that folder that the service itself sees; where the
folder is gone too, the folder above decides. What cannot be found out is not shown.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, NbvaultError
from nbvault.model import DIRECTORY, REPO, ListedObject
from nbvault.recovery.plan import parent_of
from nbvault.web.patience import WORKSPACE, in_time, unknown, went_on
from nbvault.web.refusals import CannotSay, NotSignedIn
from nbvault.web.viewer import Viewer
from nbvault.web.workspaces import Workspaces
from nbvault.workspace.errors import Forbidden, NotADirectory, NotFound, Unauthorized

# So long what was found out before is good where the workspace does not answer now.
GRACE_S = 3600.0
# Folders whose listings are kept, of all viewers together.
KEPT = 20_000
SERVICE = ""
# Of so many folders at most, those above are asked at the same time.
AHEAD = 3


class Shown(Protocol):
    """A notebook that may be shown: where it is, and its object id."""

    @property
    def path(self) -> str: ...
    @property
    def object_id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder as somebody sees it; `there` is False where the workspace says that there is none."""

    there: bool
    ids: frozenset[int] = frozenset()
    folders: frozenset[str] = frozenset()

    @classmethod
    def of(cls, objects: Iterable[ListedObject]) -> Listing:
        """From what the workspace lists."""
        found = list(objects)
        folders = frozenset(each.path for each in found if each.kind in (DIRECTORY, REPO))
        return cls(there=True, ids=frozenset(each.object_id for each in found), folders=folders)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a viewer may see in a folder: these, these folders, and with `rest` also what is in no listing any more.

    `present` are the objects that the service itself sees there: of these a viewer sees the own ones only.
    """

    ids: frozenset[int] = frozenset()
    folders: frozenset[str] = frozenset()
    rest: bool = False
    present: frozenset[int] = frozenset()
    present_folders: frozenset[str] = frozenset()

    def shows(self, object_id: int) -> bool:
        """Whether a notebook that is or was here may be shown."""
        return object_id in self.ids or (self.rest and object_id not in self.present)

    def shows_folder(self, path: str) -> bool:
        """Whether a folder that is or was here may be named."""
        return path in self.folders or (self.rest and path not in self.present_folders)

    @property
    def is_blind(self) -> bool:
        """Whether nothing at all may be seen."""
        return not (self.ids or self.folders or self.rest)


BLIND = Sight()
# The listing of a folder that somebody may not list.
_CLOSED = Listing(there=True)


@dataclass(slots=True)
class _Kept:
    listing: Listing
    at_s: float


class Access:
    """Answers who may see what; for one event loop.

    Where a request has a limit (`patience`) and the workspace takes longer, whoever asks is told how far it is, and
    the asking goes on: asked again, most is known.

    Args:
        root: The backed-up root; nothing above it is asked for.
        keep_s: For so long an answer is not asked for again.
    """

    def __init__(self, workspaces: Workspaces, *, root: str, keep_s: float, clock: Clock) -> None:
        self._workspaces = workspaces
        self._root = root.rstrip("/") or "/"
        self._keep_s = keep_s
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Future[Listing]] = {}

    async def may_see(self, viewer: Viewer, path: str, object_id: int) -> bool:
        """Whether a notebook that is or was at a path may be shown.

        Raises:
            StillAsking: the workspace has not said yet.
            CannotSay: the workspace does not answer, and nothing is known from before.
            NotSignedIn: the viewer's token is not accepted.
        """
        if viewer.sees_all:
            return True
        folder = parent_of(path)
        return object_id in (await self._shown(viewer, {folder: frozenset((object_id,))}))[folder]

    async def visible(self, viewer: Viewer, notebooks: Sequence[Shown]) -> list[bool]:
        """The same for many at once."""
        if viewer.sees_all:
            return [True] * len(notebooks)
        wanted: dict[str, set[int]] = {}
        for each in notebooks:
            wanted.setdefault(parent_of(each.path), set()).add(each.object_id)
        shown = await self._shown(viewer, {folder: frozenset(ids) for folder, ids in wanted.items()})
        return [each.object_id in shown[parent_of(each.path)] for each in notebooks]

    async def may_enter(self, viewer: Viewer, folder: str) -> bool:
        """Whether a folder may be named and looked into."""
        if viewer.sees_all:
            return True
        return await in_time(self._may_enter(viewer, folder.rstrip("/") or "/"), WORKSPACE, unknown)

    async def folders(self, viewer: Viewer, above: str, folders: Sequence[str]) -> list[str]:
        """Those of the folders directly in ``above`` that may be named."""
        if viewer.sees_all:
            return list(folders)
        sight = await in_time(self._sight(viewer, above), WORKSPACE, unknown)
        return [folder for folder in folders if sight.shows_folder(folder)]

    async def _may_enter(self, viewer: Viewer, folder: str) -> bool:
        self._ask_ahead(viewer, folder)
        if folder == self._root:
            return not (await self._sight(viewer, self._root)).is_blind
        above = await self._sight(viewer, parent_of(folder))
        return above.shows_folder(folder) or not (await self._sight(viewer, folder)).is_blind

    def _ask_ahead(self, viewer: Viewer, folder: str) -> None:
        """Begin to ask at once what would be asked one after the other where no folder on the way is closed."""
        if not self._is_inside(folder):
            return
        above = parent_of(folder)
        for each in {*self._way(folder), *([above] if folder != self._root else [])}:
            if self._fresh(viewer, each) is None:
                self._begin(viewer, each)
        for each in {folder, above if folder != self._root else folder}:
            if self._fresh(None, each) is None:
                self._begin(None, each)

    async def _shown(self, viewer: Viewer, wanted: Mapping[str, frozenset[int]]) -> dict[str, frozenset[int]]:
        """Of the objects wanted in each folder, those that may be shown."""
        told = {folder: self._known(viewer, folder, ids) for folder, ids in wanted.items()}
        found = {folder: known for folder, known in told.items() if known is not None}
        rest = sorted(wanted.keys() - found.keys())
        if rest:

            async def ask() -> list[frozenset[int]]:
                # For a few, the folders above are asked at the same time: that saves waiting, and costs little.
                ahead = [each for folder in rest if len(rest) <= AHEAD for each in self._way(folder)]
                for each in ahead:
                    if self._fresh(viewer, each) is None:
                        self._begin(viewer, each)
                return await asyncio.gather(*(self._shown_in(viewer, folder, wanted[folder]) for folder in rest))

            def far() -> tuple[int, int]:
                return sum(self._fresh(viewer, folder) is not None for folder in wanted), len(wanted)

            found |= zip(rest, await in_time(ask(), WORKSPACE, far), strict=True)
        return found

    def _known(self, viewer: Viewer, folder: str, ids: frozenset[int]) -> frozenset[int] | None:
        """The answer where the common case can be told at once: everything is shown, and so are the folders above."""
        theirs = self._fresh(viewer, folder)
        if theirs is None or not ids <= theirs.ids:
            return None
        above = self._way(folder)[:-1]
        above += [parent_of(folder)] if parent_of(folder) not in above else []
        for each, below in pairwise(above):
            listing = self._fresh(viewer, each)
            if listing is None or below not in listing.folders:
                return None
        return ids

    async def _shown_in(self, viewer: Viewer, folder: str, ids: frozenset[int]) -> frozenset[int]:
        """Of some objects of a folder, those that may be shown. The viewer's own listing of it mostly says it all.

        The folder right above is not asked then: it seldom has others below it, and those further up are asked once
        for many.
        """
        if not self._is_inside(folder):
            return frozenset()
        if folder != self._root:
            if not await self._leads_to(viewer, parent_of(folder)):
                return frozenset()
            if ids <= (await self._listing(viewer, folder)).ids:
                return ids
        sight = await self._sight(viewer, folder)
        return frozenset(each for each in ids if sight.shows(each))

    async def _sight(self, viewer: Viewer, folder: str) -> Sight:
        """What the viewer may see in a folder. Those above are asked first: most are closed, or open, as a whole."""
        folder = folder.rstrip("/") or "/"
        if not self._is_inside(folder) or not await self._leads_to(viewer, folder):
            return BLIND
        theirs = await self._listing(viewer, folder)
        if theirs is _CLOSED:
            return BLIND
        ours = await self._listing(None, folder)
        if not theirs.there:
            gone = not ours.there and folder != self._root
            return Sight(rest=(await self._sight(viewer, parent_of(folder))).rest) if gone else BLIND
        whole = ours is not _CLOSED and ours.there and theirs.ids >= ours.ids
        return Sight(theirs.ids, theirs.folders, whole, ours.ids, ours.folders)

    async def _leads_to(self, viewer: Viewer, folder: str) -> bool:
        """Whether no folder on the way from the root hides the next one from the viewer."""
        if folder == self._root:
            return True
        above = parent_of(folder)
        if not await self._leads_to(viewer, above):
            return False
        if folder in (await self._listing(viewer, above)).folders:
            return True
        return folder not in (await self._listing(None, above)).folders

    def _is_inside(self, folder: str) -> bool:
        return folder == self._root or folder.startswith(self._root.rstrip("/") + "/")

    def _way(self, folder: str) -> list[str]:
        """The folders from the root to this one, but for the one right above it; none outside the root."""
        if not self._is_inside(folder):
            return []
        found = [folder]
        while found[-1] != self._root:
            found.append(parent_of(found[-1]))
        return [each for place, each in enumerate(found) if place != 1 or each == self._root][::-1]

    def _fresh(self, viewer: Viewer | None, folder: str) -> Listing | None:
        kept = self._kept.get((viewer.key if viewer else SERVICE, folder))
        return kept.listing if kept and self._clock.monotonic() - kept.at_s < self._keep_s else None

    async def _listing(self, viewer: Viewer | None, folder: str) -> Listing:
        """A folder as somebody sees it, or the service (None); asked once for all who want to know at the same time."""
        if (found := self._fresh(viewer, folder)) is not None:
            return found
        # Whoever leaves must not take the answer away from the others.
        return await asyncio.shield(self._begin(viewer, folder))

    def _begin(self, viewer: Viewer | None, folder: str) -> asyncio.Future[Listing]:
        key = (viewer.key if viewer else SERVICE, folder)
        if key in self._asking:
            return self._asking[key]

        def answered(asked: asyncio.Future[Any]) -> None:
            self._asking.pop(key, None)
            went_on(asked)

        asking = self._asking[key] = asyncio.ensure_future(self._ask(viewer, folder, key))
        asking.add_done_callback(answered)
        return asking

    async def _ask(self, viewer: Viewer | None, folder: str, key: tuple[str, str]) -> Listing:
        try:
            listing = await self._listed(viewer.token if viewer else SERVICE, folder)
        except AuthenticationError as error:
            if viewer is None:
                return _CLOSED
            self._forget(viewer)
            raise NotSignedIn("The workspace does not accept your token any more.", hint="Sign in again.") from error
        except NbvaultError as error:
            before = self._kept.get(key)
            if before and self._clock.monotonic() - before.at_s < GRACE_S:
                return before.listing
            if viewer is None and not self._workspaces.is_silent:
                return _CLOSED
            raise CannotSay(
                "The workspace does not answer, so it is not known what you may see.", hint="Try again in a minute."
            ) from error
        self._kept[key] = _Kept(listing, self._clock.monotonic())
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return listing

    async def _listed(self, token: str, folder: str) -> Listing:
        try:
            return Listing.of(await self._workspaces.ask(token, lambda workspace: workspace.list_folder(folder)))
        except Unauthorized:
            raise
        except NotFound:
            return Listing(there=False)
        except (Forbidden, NotADirectory):
            return _CLOSED

    def changed(self, folders: Collection[str]) -> None:
        """Something was written in these folders: nobody's listing of them is good any more.

        One person's of before and another's of after cannot be compared, and then less would be shown than may be.
        """
        for key in [key for key in self._kept if key[1] in folders]:
            del self._kept[key]

    def _forget(self, viewer: Viewer) -> None:
        for key in [key for key in self._kept if key[0] == viewer.key]:
            del self._kept[key]

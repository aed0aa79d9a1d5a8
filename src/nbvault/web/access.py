"""What a person may see of the vault: asked of the workspace with the person's own token, folder by folder.

A notebook is shown if its owner's listing of the folder shows it. One that nobody's listing shows any more (deleted, or
moved since the last backup) is shown to whoever sees everything in that folder that the service itself sees; where the
folder is gone too, the folder above decides. What cannot be found out is not shown.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, NbvaultError
from nbvault.model import DIRECTORY, REPO, ListedObject
from nbvault.recovery.plan import parent_of
from nbvault.web.refusals import CannotSay, NotSignedIn
from nbvault.web.viewer import Viewer
from nbvault.web.workspaces import Workspaces
from nbvault.workspace.errors import Forbidden, NotADirectory, NotFound, Unauthorized

# So long what was found out before is good where the workspace does not answer now.
GRACE_S = 3600.0
# Folders whose listings are kept, of all viewers together.
KEPT = 20_000
SERVICE = ""


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
            CannotSay: the workspace does not answer, and nothing is known from before.
            NotSignedIn: the viewer's token is not accepted.
        """
        return viewer.sees_all or (await self._sight(viewer, parent_of(path))).shows(object_id)

    async def visible(self, viewer: Viewer, notebooks: Sequence[Shown]) -> list[bool]:
        """The same for many at once."""
        if viewer.sees_all:
            return [True] * len(notebooks)
        sights = await self._sights(viewer, {parent_of(each.path) for each in notebooks})
        return [sights[parent_of(each.path)].shows(each.object_id) for each in notebooks]

    async def may_enter(self, viewer: Viewer, folder: str) -> bool:
        """Whether a folder may be named and looked into."""
        if viewer.sees_all:
            return True
        if folder.rstrip("/") == self._root:
            return not (await self._sight(viewer, self._root)).is_blind
        above = await self._sight(viewer, parent_of(folder))
        return above.shows_folder(folder) or not (await self._sight(viewer, folder)).is_blind

    async def folders(self, viewer: Viewer, above: str, folders: Sequence[str]) -> list[str]:
        """Those of the folders directly in ``above`` that may be named."""
        if viewer.sees_all:
            return list(folders)
        sight = await self._sight(viewer, above)
        return [folder for folder in folders if sight.shows_folder(folder)]

    async def _sights(self, viewer: Viewer, folders: set[str]) -> dict[str, Sight]:
        ordered = sorted(folders)
        found = await asyncio.gather(*(self._sight(viewer, folder) for folder in ordered))
        return dict(zip(ordered, found, strict=True))

    async def _sight(self, viewer: Viewer, folder: str) -> Sight:
        """What the viewer may see in a folder. Those above are asked first: most are closed, or open, as a whole."""
        folder = folder.rstrip("/") or "/"
        if folder != self._root and not folder.startswith(self._root.rstrip("/") + "/"):
            return BLIND
        above: Sight | None = None
        if folder != self._root:
            above = await self._sight(viewer, parent_of(folder))
            if folder in above.present_folders and folder not in above.folders:
                return BLIND
        theirs = await self._listing(viewer, folder)
        if theirs is _CLOSED:
            return BLIND
        ours = await self._listing(None, folder)
        if not theirs.there:
            gone = not ours.there and above is not None
            return Sight(rest=above.rest) if gone and above is not None else BLIND
        whole = ours is not _CLOSED and ours.there and theirs.ids >= ours.ids
        return Sight(theirs.ids, theirs.folders, whole, ours.ids, ours.folders)

    async def _listing(self, viewer: Viewer | None, folder: str) -> Listing:
        """A folder as somebody sees it, or the service (None); asked once for all who want to know at the same time."""
        key = (viewer.key if viewer else SERVICE, folder)
        kept = self._kept.get(key)
        if kept and self._clock.monotonic() - kept.at_s < self._keep_s:
            return kept.listing
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._ask(viewer, folder, key))
            self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
        # Whoever leaves must not take the answer away from the others.
        return await asyncio.shield(self._asking[key])

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

    def _forget(self, viewer: Viewer) -> None:
        for key in [key for key in self._kept if key[0] == viewer.key]:
            del self._kept[key]

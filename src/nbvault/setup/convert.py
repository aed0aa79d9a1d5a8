"""Git folders beside the original: made, compared with the vault, and taken away again.

Every step can be done again: what it wants may be there already, from a try that was killed. Every step is undone by
looking at what is there, never by believing that it was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbvault.errors import ConfigurationError, NbvaultError, VerificationError, WorkspaceError
from nbvault.model import REPO, ListedObject
from nbvault.setup.conversion import Conversion, Stage, dump_views
from nbvault.setup.ports import Around, Workspace
from nbvault.setup.showing import SOMEBODYS, Comparer, Finding, Showing, Unlike, list_all
from nbvault.setup.views import View, parents
from nbvault.workspace.errors import NotFound, RequestFailed
from nbvault.workspace.git_folders import GitFolder

_SETTLES_WITHIN_S = 600.0
_LOOK_EVERY_S = 5.0
_NAMED = 5
_WORK_HINT = "Move that work elsewhere or discard it in the Git folder, then run again."


@dataclass(frozen=True, slots=True)
class ShownFolder:
    """A Git folder that is there and right: its commit, how many notebooks are the same, and what is only a file."""

    view: View
    head: str
    same: int
    as_file: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As ``convert --json`` prints it."""
        shown = {"path": self.view.path, "folder": self.view.folder, "head": self.head, "same": self.same}
        return shown | {"as_file": list(self.as_file)}


class GitFolderConverter:
    """Makes the Git folders of the conversion that the log tells of, and takes them away."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._log = around.log

    @property
    def _conversion(self) -> Conversion:
        return self._log.conversion

    def make(self) -> tuple[ShownFolder, ...]:
        """Bring every Git folder of the conversion about, compare it, and write down that they are right.

        What fails is taken back, down to what was there when the conversion last came to its end.

        Raises:
            NbvaultError: why it failed.
            KeyboardInterrupt: it was interrupted.
        """
        try:
            return self._make()
        except (NbvaultError, KeyboardInterrupt) as error:
            self._give_up(error)
            raise

    def _make(self) -> tuple[ShownFolder, ...]:
        self._check_main()
        self._credential()
        for folder in self._conversion.folders:
            self._mkdirs(folder)
        made = tuple(self.show(view) for view in self._conversion.views)
        total = sum(each.same for each in made)
        detail = f"{total:,} notebooks shown, each the same as in the vault"
        self._log.note("compared", self._conversion.target, detail, stage=Stage.CONVERTED.value, same=total)
        return made

    def _mkdirs(self, path: str) -> None:
        self._around.ask(lambda workspace: workspace.mkdirs(path))

    def _check_main(self) -> None:
        """What is shown is the main branch: it must be what the vault says, or nothing could be compared with it."""
        vault = self._around.vault
        main = self._around.files(vault.main)
        other = [path for path, oid in vault.blob_at.items() if main.get(path) != oid]
        if other:
            raise VerificationError(
                f"{len(other):,} notebooks were changed on {vault.branch} since the last sync: {other[0]}, ...",
                hint="Run `nbvault sync`, and then again.",
            )

    def _credential(self) -> None:
        now = self._conversion
        if now.credential and not now.own_credential:
            return
        there = self._around.ask(lambda workspace: _named(workspace, now.own_credential))
        # Ours may have been removed since, and then nothing could be pulled.
        if there and there == now.credential:
            return
        number = there or self._register(now)
        self._log.note("credential", now.own_credential, f"for {now.provider}", id=number)

    def _register(self, now: Conversion) -> int:
        token = self._around.token()
        if not token:
            raise ConfigurationError(
                f"The workspace has no Git credential for {now.provider}, and vault.token is not set.",
                hint="Set vault.token, or register a credential in the workspace: User settings, Linked accounts.",
            )
        self._around.say(f"Registering a Git credential for {now.provider}")

        async def register(workspace: Workspace) -> int:
            try:
                return await workspace.git_folders.add_credential(
                    provider=now.provider, user=self._around.user, token=token, name=now.own_credential
                )
            except RequestFailed:
                # An earlier try may have been carried out, and only its answer was lost.
                if number := await _named(workspace, now.own_credential):
                    return number
                raise

        return self._around.ask(register)

    # --- one Git folder ---

    def show(self, view: View) -> ShownFolder:
        """See that this Git folder is there, complete, the same as its commit, and up to date.

        Raises:
            VerificationError: it is not what the vault has, or holds somebody's work.
            ConfigurationError: something else is at its path.
            NbvaultError: it cannot be made.
        """
        for _ in range(2):
            folder = self.found(view) or self._created(view)
            showing = self._compared(view, folder)
            if wrong := showing.of(*SOMEBODYS):
                raise _wrong(view, "is not what the vault has", wrong)
            if not (missing := showing.of(Unlike.MISSING)):
                return self._current(view, folder, showing)
            if view in self._conversion.views[: self._conversion.settled[0]]:
                # It was whole once: somebody has deleted something in it.
                raise _wrong(view, "lacks what somebody has deleted there", missing, _WORK_HINT)
            self._around.say(f"{view.path} is incomplete; making it again")
            self.remove_unless_used(view, folder)
        raise _wrong(view, "stays incomplete", showing.of(Unlike.MISSING))

    def _current(self, view: View, folder: GitFolder, showing: Showing) -> ShownFolder:
        """The same with the newest content."""
        vault = self._around.vault
        if folder.head != vault.main and not vault.contains(folder.head, vault.main):
            self._around.say(f"Bringing {view.path} up to date")
            now = self._conversion
            self._around.ask(
                lambda workspace: workspace.git_folders.pull(
                    folder.folder_id, branch=now.branch, credential=now.credential
                )
            )
            folder = self._around.ask(lambda workspace: workspace.git_folders.get(folder.folder_id))
            showing = self._compared(view, folder)
            if wrong := showing.of(*SOMEBODYS, Unlike.MISSING):
                raise _wrong(view, "is not what the vault has", wrong)
        as_file = tuple(each.path for each in showing.of(Unlike.AS_FILE))
        return ShownFolder(view, folder.head, showing.same, as_file)

    def _compared(self, view: View, folder: GitFolder) -> Showing:
        files = self._around.files(folder.head)
        self._around.say(f"Comparing what {view.path} shows with the vault")
        return self._around.ask(lambda workspace: self._comparer(workspace).compare(view, files))

    def _comparer(self, workspace: Workspace) -> Comparer:
        around = self._around
        read = around.vault.blobs.read
        return Comparer(workspace, around.workers, lambda oid: dict(read([oid]))[oid], around.advance)

    def found(self, view: View) -> GitFolder | None:
        """The Git folder that is at a view's path, if it is ours; None if nothing is there.

        Raises:
            ConfigurationError: something else is there.
        """
        entry = self._around.ask(lambda workspace: status(workspace, view.path))
        if entry is None:
            return None
        folder = self._ours(view, entry)
        if folder is None:
            raise ConfigurationError(
                f"{view.path} is a {entry.kind} that this conversion has not made.",
                hint="Move it, or name another place with --to.",
            )
        return folder

    def _ours(self, view: View, entry: ListedObject) -> GitFolder | None:
        if entry.kind != REPO:
            return None
        folder = self._around.ask(lambda workspace: workspace.git_folders.get(entry.object_id))
        same = same_url(folder.url, self._conversion.url) and folder.patterns == view.patterns
        return folder if same else None

    def _created(self, view: View) -> GitFolder:
        now = self._conversion
        self._around.say(f"Making the Git folder {view.path}")
        try:
            folder = self._around.ask(
                lambda workspace: workspace.git_folders.create(
                    view.path, url=now.url, provider=now.provider, patterns=view.patterns, credential=now.credential
                )
            )
        except RequestFailed as error:
            # Nothing was there before: whatever is there now came of this request, whole or not.
            left = self.found(view)
            if left is None:
                raise
            self._around.say(f"The workspace did not say that {view.path} is complete ({error.message}); looking")
            folder = self._settled(left.folder_id, error)
        if folder.branch != now.branch:
            self._around.ask(
                lambda workspace: workspace.git_folders.pull(
                    folder.folder_id, branch=now.branch, credential=now.credential
                )
            )
            folder = self._around.ask(lambda workspace: workspace.git_folders.get(folder.folder_id))
        self._log.note("created", view.path, f"at {folder.head}", id=folder.folder_id)
        return folder

    def _settled(self, folder_id: int, error: RequestFailed) -> GitFolder:
        """The Git folder, as soon as it has a commit; a clone may go on after its request was given up."""
        clock = self._around.clock
        until = clock.monotonic() + _SETTLES_WITHIN_S
        while True:
            folder = self._around.ask(lambda workspace: workspace.git_folders.get(folder_id))
            if folder.head:
                return folder
            if clock.monotonic() >= until:
                raise error
            clock.wait(_LOOK_EVERY_S)

    # --- backwards ---

    def _give_up(self, error: BaseException) -> None:
        now = self._conversion
        self._around.say("It failed; taking back what was done")
        try:
            self.take_back(problem=str(error) or "interrupted")
        except NbvaultError as second:
            self._around.say(f"It could not all be taken back: {second}")
            self._around.say(f"`nbvault rollback` takes back the rest of conversion {now.conversion}.")

    def take_back(self, *, problem: str = "", everything: bool = False) -> None:
        """Take away what the conversion has made since it last came to its end, or all of it.

        Nothing of anybody's is touched: a Git folder with work in it that is not on the remote stays, and is named.

        Raises:
            NbvaultError: something had to stay, or could not be removed; all else is gone.
        """
        now = self._conversion
        if now.stage is not Stage.REMOVING:
            stage = {"stage": Stage.REMOVING.value} if everything else {}
            self._log.note("removing", now.target, problem=problem, **stage)
        views, folders = (0, 0) if everything else now.settled
        stayed: list[NbvaultError] = []
        for view in reversed(now.views[views:]):
            try:
                self.remove(view)
            except NbvaultError as error:
                stayed.append(error)
        if stayed:
            raise stayed[0]
        for folder in sorted(now.folders[folders:], reverse=True):
            self._remove_if_empty(folder)
        if views:
            self._log.note("taken back", now.target, problem=problem)
            return
        self._remove_credential(now)
        self._log.note("rolled back", now.target, problem=problem, stage=Stage.ROLLED_BACK.value)

    def remove(self, view: View) -> None:
        """Remove a Git folder that we have made, if it is there.

        Raises:
            VerificationError: it holds somebody's work, and stays.
        """
        entry = self._around.ask(lambda workspace: status(workspace, view.path))
        if entry is None:
            return
        folder = self._ours(view, entry)
        if folder is None:
            self._around.say(f"{view.path} is a {entry.kind} that this conversion has not made; it stays")
            return
        self.remove_unless_used(view, folder)

    def _remove_if_empty(self, path: str) -> None:
        """An ordinary folder that we have made; somebody's things in it let it stay."""

        async def remove(workspace: Workspace) -> None:
            if await status(workspace, path) is not None and not await workspace.list_folder(path):
                await workspace.delete(path)

        self._around.ask(remove)

    def remove_unless_used(self, view: View, folder: GitFolder) -> None:
        """Remove a Git folder that holds nothing but what its commit has, and its commit is on the remote.

        Raises:
            VerificationError: it holds somebody's work.
        """
        files = self._around.files(folder.head) if folder.head else {}
        self._around.say(f"Looking whether somebody's work is in {view.path}")

        async def remove(workspace: Workspace) -> list[Finding]:
            before, _ = await list_all(workspace, view.path)
            showing = await self._comparer(workspace).compare(view, files)
            found = showing.of(*SOMEBODYS)
            now, _ = await list_all(workspace, view.path)
            found += [Finding(path, Unlike.DIFFERS) for path in now if now[path] != before.get(path)]
            if not found:
                await workspace.git_folders.remove(folder.folder_id)
            return found

        if found := self._around.ask(remove):
            raise _wrong(view, "holds work that its commit does not have, and stays", found, _WORK_HINT)
        if self._around.ask(lambda workspace: status(workspace, view.path)) is not None:
            raise WorkspaceError(f"{view.path} was removed, but is still there.", hint="Run `nbvault rollback` again.")
        self._log.note("removed", view.path)

    def _remove_credential(self, now: Conversion) -> None:
        """Only our own: by its name, too, for its id may never have been written down."""
        if not now.own_credential:
            return

        async def remove(workspace: Workspace) -> None:
            for each in await workspace.git_folders.credentials():
                if each.name == now.own_credential:
                    await workspace.git_folders.remove_credential(each.credential_id)

        self._around.ask(remove)


def extend(around: Around, views: tuple[View, ...]) -> None:
    """Let a conversion that came to its end show more of the vault."""
    now = around.log.conversion
    wanted = parents(views, now.target)
    there = set(now.folders) | {view.path for view in now.views}
    folders = [path for path in wanted if path not in there]
    data: Mapping[str, Any] = {"views": dump_views(views), "folders": folders}
    around.log.note("extended", now.target, ", ".join(view.path for view in views), **data)


async def status(workspace: Workspace, path: str) -> ListedObject | None:
    """What is at a path; None for nothing."""
    try:
        return await workspace.get_status(path)
    except NotFound:
        return None


async def _named(workspace: Workspace, name: str) -> int:
    """The id of the Git credential of that name; 0 for none."""
    found = {each.name: each.credential_id for each in await workspace.git_folders.credentials()}
    return found.get(name, 0)


def same_url(one: str, other: str) -> bool:
    """Whether two URLs are of one repository."""
    return one.rstrip("/").removesuffix(".git") == other.rstrip("/").removesuffix(".git")


def _wrong(view: View, what: str, findings: list[Finding], hint: str = "") -> VerificationError:
    named = "; ".join(f"{each.path} ({each.kind.value})" for each in findings[:_NAMED])
    more = f" and {len(findings) - _NAMED:,} more" if len(findings) > _NAMED else ""
    return VerificationError(f"{view.path} {what}: {named}{more}.", hint=hint)

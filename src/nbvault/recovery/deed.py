"""One notebook's way through a restore: saved, looked at once more, written, read back. Ends in exactly one outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from nbvault.errors import AuthenticationError, NbvaultError, WorkspaceError
from nbvault.gitstore.writer import blob_id
from nbvault.model import NOTEBOOK, Language, ListedObject, NotebookFormat, source_language
from nbvault.recovery.contents import format_of, is_blob, same, written_in
from nbvault.recovery.plan import ABSENT, Action, Entry, parent_of
from nbvault.recovery.receipt import Outcome, Result
from nbvault.recovery.saver import Image
from nbvault.workspace.errors import NotFound, RequestFailed

LOOKS = 3
"""So often a pre-image is taken before a notebook that keeps changing is left alone."""

_Failure = (WorkspaceError, AuthenticationError)


class Workspace(Protocol):
    """What a deed needs of the workspace."""

    async def export(self, path: str, *, form: NotebookFormat = ...) -> bytes:
        """A notebook's bytes."""

    async def inspect(self, path: str) -> tuple[ListedObject, NotebookFormat | None]:
        """What is at a path, and a notebook's own format."""

    async def import_notebook(
        self, path: str, source: bytes, language: Language | None, *, overwrite: bool, form: NotebookFormat = ...
    ) -> None:
        """Write a notebook."""

    async def mkdirs(self, path: str) -> None:
        """Make a folder and those above it."""

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete an object."""


class Limited(Protocol):
    """What stopping needs of the workspace."""

    deadline: float | None

    def stop_by(self, moment: float) -> None:
        """Let no request last beyond a moment of ``clock.monotonic()``."""


class Manner(NamedTuple):
    """How entries are treated.

    `rewrite`: also what is identical. `forced`: also what is not as expected. `resumed`: what has the wanted content is
    taken as done, and what is not as expected has moved.
    """

    rewrite: bool = False
    forced: bool = False
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all deeds of a restore share.

    `go_on` raises when nothing new may be begun. `begun` waits for the intent, `save` for a pre-image, to be confirmed.
    `folder` sees that a folder is there (``again``: it was believed to be, and is not). `trouble` is told of every
    error that an outcome swallows.
    """

    workspace: Workspace
    manner: Manner
    go_on: Callable[[], None]
    begun: Callable[[], Awaitable[None]]
    save: Callable[[int, str, Image], Awaitable[str]]
    folder: Callable[[str], Awaitable[None]]
    folder_again: Callable[[str], Awaitable[None]]
    trouble: Callable[[NbvaultError], None]


class Deed:
    """What is done for one entry; errors before anything was sent are raised, later ones are in the outcome.

    Args:
        wanted: The bytes that are to be there; empty for a deletion.
    """

    def __init__(self, entry: Entry, wanted: bytes, around: Surroundings) -> None:
        self._entry = entry
        self._wanted = wanted
        self._around = around
        self._workspace = around.workspace
        self._target = entry.target
        self._form = format_of(entry.extension)
        self._language = None if self._form is NotebookFormat.IPYNB else written_in(wanted, entry.extension)
        self._text_language: Language | None = None
        self._text = b""
        self._pre = ""

    async def do(self) -> Outcome:
        """Do it.

        Raises:
            NbvaultError: nothing was changed.
        """
        if self._entry.action is Action.CREATE:
            return await self._create()
        found = await self._saved()
        if isinstance(found, Outcome):
            return found
        self._around.go_on()
        if self._entry.action is Action.DELETE:
            return await self._delete()
        return await (self._overwrite(found) if self._fits(found) else self._replace(found))

    # --- before anything is changed ----------------------------------------------------------------------------------

    async def _create(self) -> Outcome:
        expect, live = self._entry.expect, self._entry.live
        if live is not None:
            return await self._created_before()
        if expect not in ("", ABSENT) and not (self._around.manner.forced or self._around.manner.resumed):
            return self._outcome(Result.CHANGED, "it was deleted or moved since")
        await self._around.begun()
        await self._around.folder(parent_of(self._target))
        self._around.go_on()
        return await self._import_new(Action.CREATE)

    async def _created_before(self) -> Outcome:
        """A resumed restore finds something where it was to create: its own deed, or somebody else's."""
        back = await self._workspace.export(self._target, form=self._form)
        if same(back, self._wanted, self._form):
            return self._outcome(Result.RESTORED, verified=True, written=blob_id(back))
        return self._maybe_ours("something else has been put there since the plan")

    async def _saved(self) -> Image | Outcome:
        """The pre-image, confirmed by the remote and still true; or why the notebook is left alone."""
        seen, form = self._entry.live, NotebookFormat.SOURCE
        for _ in range(LOOKS + 1):
            try:
                data = await self._workspace.export(self._target, form=form)
                image = Image(data, form, seen.language if seen else None, seen.object_id if seen else 0)
                if spared := self._spared(image):
                    return spared
                if self._around.manner.resumed:
                    # What the run before has saved must not be replaced by what somebody made of it since.
                    now, native = await self._workspace.inspect(self._target)
                    if native is NotebookFormat.IPYNB and form is NotebookFormat.SOURCE:
                        seen, form = now, NotebookFormat.IPYNB
                        continue
                    if moved := self._unexpected(image):
                        return moved
                self._pre = await self._around.save(self._entry.number, self._target, image)
                now, native = await self._workspace.inspect(self._target)
                if now.kind != NOTEBOOK:
                    return self._outcome(Result.MOVED, f"a {now.kind} is there now")
                if native is NotebookFormat.IPYNB and form is NotebookFormat.SOURCE:
                    # Its outputs are in the document only.
                    seen, form = now, NotebookFormat.IPYNB
                elif _unchanged(seen, now) and (now.modified_at_ms or await self._is_still(image)):
                    return self._unexpected(image) or image
                else:
                    seen = now
            except NotFound:
                return self._gone()
        return self._outcome(Result.MOVED, "it is being edited: it changed again and again")

    def _spared(self, image: Image) -> Outcome | None:
        """The outcome if nothing need be done, by what is there."""
        if image.form is NotebookFormat.SOURCE:
            self._text = image.data
            self._text_language = source_language(image.data, image.language)
        if self._entry.action is Action.DELETE or image.form is not self._form or self._around.manner.rewrite:
            return None
        if not (same(image.data, self._wanted, self._form) and self._fits(image)):
            return None
        if self._around.manner.resumed:
            return self._outcome(Result.RESTORED, verified=True, written=blob_id(image.data))
        return self._outcome(Result.IDENTICAL)

    def _unexpected(self, image: Image) -> Outcome | None:
        expect = self._entry.expect
        if not expect or self._around.manner.forced or is_blob(image.data, expect) or is_blob(self._text, expect):
            return None
        if self._around.manner.resumed:
            return self._maybe_ours("it is neither as it was nor as it is to be")
        return self._outcome(Result.CHANGED, "somebody has changed it since")

    def _gone(self) -> Outcome:
        if self._entry.action is Action.DELETE:
            if self._entry.expect == ABSENT:
                return self._outcome(Result.DELETED, verified=True)
            return self._outcome(Result.IDENTICAL, "nothing is there any more")
        result = Result.CHANGED if self._entry.expect and not self._around.manner.resumed else Result.MOVED
        return self._outcome(result, "it was deleted or moved away meanwhile")

    async def _is_still(self, image: Image) -> bool:
        """Where the workspace tells no times, the bytes tell."""
        return await self._workspace.export(self._target, form=image.form) == image.data

    def _fits(self, image: Image) -> bool:
        """Whether the notebook that is there can be written over; otherwise it must be replaced."""
        if self._form is NotebookFormat.IPYNB:
            return image.form is NotebookFormat.IPYNB
        return self._text_language is self._language

    # --- changing the workspace --------------------------------------------------------------------------------------

    async def _overwrite(self, before: Image) -> Outcome:
        try:
            await self._import(overwrite=True)
        except _Failure as error:
            return await self._after(error, Action.OVERWRITE, before)
        return await self._read_back(Action.OVERWRITE)

    async def _replace(self, before: Image) -> Outcome:
        try:
            await self._workspace.delete(self._target)
        except NotFound:
            pass
        except _Failure as error:
            if not await self._is_gone(error):
                return self._outcome(Result.FAILED, _said(error), action=Action.REPLACE)
        done = await self._import_new(Action.REPLACE)
        return await self._put_back(before, done) if done.result is Result.FAILED else done

    async def _put_back(self, before: Image, failed: Outcome) -> Outcome:
        """The old notebook is deleted and the new one was refused."""
        try:
            await self._workspace.import_notebook(
                self._target, before.data, self._text_language, overwrite=False, form=before.form
            )
            back = await self._workspace.export(self._target, form=before.form)
        except _Failure as error:
            self._around.trouble(error)
            why = f"{failed.reason} The old one was deleted and could not be put back: {error.message}"
            return failed._replace(result=Result.REMOVED, reason=why)
        if same(back, before.data, before.form):
            return failed._replace(reason=f"{failed.reason} The old one was put back.")
        return failed._replace(result=Result.MOVED, reason="something else was put there while it was being replaced")

    async def _import_new(self, action: Action) -> Outcome:
        try:
            try:
                await self._import(overwrite=False)
            except NotFound:
                # The folder has vanished since we looked.
                await self._around.folder_again(parent_of(self._target))
                await self._import(overwrite=False)
        except _Failure as error:
            return await self._after(error, action, None)
        return await self._read_back(action)

    async def _delete(self) -> Outcome:
        try:
            await self._workspace.delete(self._target)
        except NotFound:
            pass
        except _Failure as error:
            if not await self._is_gone(error):
                return self._outcome(Result.FAILED, _said(error))
        return self._outcome(Result.DELETED, verified=True)

    async def _import(self, *, overwrite: bool) -> None:
        await self._workspace.import_notebook(
            self._target, self._wanted, self._language, overwrite=overwrite, form=self._form
        )

    # --- what became of it -------------------------------------------------------------------------------------------

    async def _read_back(self, action: Action) -> Outcome:
        try:
            back = await self._workspace.export(self._target, form=self._form)
        except _Failure as error:
            self._around.trouble(error)
            why = f"written, but it could not be read back: {error.message}"
            return self._outcome(Result.RESTORED, why, action=action, verified=False)
        return self._compared(back, action)

    def _compared(self, back: bytes, action: Action) -> Outcome:
        written = blob_id(back)
        if same(back, self._wanted, self._form):
            return self._outcome(Result.RESTORED, action=action, verified=True, written=written)
        why = "what was read back is not what was written"
        return self._outcome(Result.DIFFERS, why, action=action, verified=False, written=written)

    async def _after(self, error: NbvaultError, action: Action, before: Image | None) -> Outcome:
        """What an import that ended in an error has done: read back before believing it."""
        self._around.trouble(error)
        exists = isinstance(error, RequestFailed) and error.error_code == "RESOURCE_ALREADY_EXISTS"
        if not (isinstance(error, RequestFailed) and error.maybe_done):
            result, why = (Result.MOVED, "something was put there since the plan") if exists else (Result.FAILED, "")
            return self._outcome(result, why or _said(error), action=action)
        try:
            return await self._judged(error, action, before)
        except NotFound:
            return self._outcome(Result.FAILED, _said(error), action=action)
        except _Failure as second:
            self._around.trouble(second)
            why = f"{error.message} What is there now could not be read."
            return self._outcome(Result.UNCLEAR, why, action=action)

    async def _judged(self, error: NbvaultError, action: Action, before: Image | None) -> Outcome:
        back = await self._workspace.export(self._target, form=self._form)
        if same(back, self._wanted, self._form):
            return self._compared(back, action)
        if before is not None:
            if before.form is not self._form:
                back = await self._workspace.export(self._target, form=before.form)
            if same(back, before.data, before.form):
                return self._outcome(Result.FAILED, _said(error), action=action)
        return self._outcome(Result.MOVED, "somebody else wrote there at the same time", action=action)

    async def _is_gone(self, error: NbvaultError) -> bool:
        """Whether a deletion that ended in an error was carried out all the same."""
        self._around.trouble(error)
        if not (isinstance(error, RequestFailed) and error.maybe_done):
            return False
        try:
            await self._workspace.inspect(self._target)
        except NotFound:
            return True
        except _Failure as second:
            self._around.trouble(second)
        return False

    def _maybe_ours(self, why: str) -> Outcome:
        """Left alone by a resumed restore: what the run before wrote there, if it did, somebody has changed since."""
        return self._outcome(Result.MOVED, why, written=self._entry.blob)

    def _outcome(
        self,
        result: Result,
        reason: str = "",
        *,
        action: Action | None = None,
        verified: bool | None = None,
        written: str = "",
    ) -> Outcome:
        return Outcome(action or self._entry.action, result, reason, verified, self._pre, written)


def _unchanged(seen: ListedObject | None, now: ListedObject) -> bool:
    return seen is not None and (
        (seen.object_id, seen.modified_at_ms, seen.interactive_at_ms, seen.language)
        == (now.object_id, now.modified_at_ms, now.interactive_at_ms, now.language)
    )


def _said(error: NbvaultError) -> str:
    return str(error)

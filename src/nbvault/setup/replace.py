"""The swap of the original for its Git folder, and the way back.

The workspace has no move. So the original is deleted, notebook by notebook, each only when the vault was shown twice to
have it, and the Git folder is made in its place. docs/design.md says why this order loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbvault.errors import ConfigurationError, NbvaultError, VerificationError
from nbvault.gitstore.meta import read_meta
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.writer import blob_id
from nbvault.model import DIRECTORY, NOTEBOOK, REPO, ListedObject, NotebookFormat, Row, source_language
from nbvault.notebook.jupyter import same_cells
from nbvault.setup.conversion import Original, Stage, dump_original
from nbvault.setup.convert import GitFolderConverter, ShownFolder, status
from nbvault.setup.ports import Around, Workspace, for_each
from nbvault.setup.showing import form_of, is_blob, list_all
from nbvault.setup.views import View
from nbvault.workspace.errors import NotFound, RequestFailed
from nbvault.workspace.git_folders import Grant

_KINDS = {DIRECTORY: "directories", NOTEBOOK: "notebooks", REPO: "repos"}
_NAMED = 5
Listed = Mapping[str, ListedObject]


@dataclass(frozen=True, slots=True)
class Saved:
    """What the vault holds of the original: each notebook's row and blob, by workspace path."""

    rows: Mapping[str, Row]
    blobs: Mapping[str, str]


class Replacement:
    """Puts the Git folder of a finished conversion in the place of the original, and takes that back."""

    def __init__(self, around: Around, converter: GitFolderConverter) -> None:
        self._around = around
        self._converter = converter
        self._log = around.log

    @property
    def _root(self) -> str:
        return self._log.conversion.root

    # --- forwards ---

    def replace(self, *, accept_changes: bool, as_file: Sequence[str] = ()) -> ShownFolder:
        """Swap; what fails is taken back, so that the original stands again. Goes on where a killed one stopped.

        Args:
            accept_changes: What Git folders show otherwise, and permissions that they cannot hold, are no obstacle.
            as_file: What the Git folder beside it does not show as a notebook.

        Raises:
            NbvaultError: why not, or why it failed.
            KeyboardInterrupt: it was interrupted.
        """
        if self._log.conversion.stage is not Stage.REPLACING:
            self._begin(accept_changes=accept_changes, as_file=as_file)
        try:
            shown = self._swap()
        except (NbvaultError, KeyboardInterrupt) as error:
            self._give_up(error)
            raise
        self._remove_side()
        return shown

    def _begin(self, *, accept_changes: bool, as_file: Sequence[str]) -> None:
        """Prove that the vault has everything, and write down what stands there; deletes nothing."""
        now = self._log.conversion
        if len(now.views) != 1 or now.views[0].folder:
            raise ConfigurationError(
                f"{now.root} needs {len(now.views):,} Git folders, and in each the notebooks would have other paths.",
                hint="Only what one Git folder can show can be replaced by it.",
            )
        vault = self._around.vault
        saved = self._saved(vault.meta.rows.values(), vault.meta.content)
        listed = self._listed(saved, whole=True)
        self._around.say(f"Comparing {len(saved.rows):,} notebooks of {now.root} with the vault")
        self._around.ask(lambda workspace: self._verify(workspace, saved, listed))
        grants = self._around.ask(lambda workspace: self._grants(workspace, listed))
        if not accept_changes:
            _refuse_changes(now.root, saved, [path for path in sorted(grants) if path != now.root], as_file)
        again = self._listed(saved, whole=True)
        if again != listed:
            differ = [path for path in {**again, **listed} if again.get(path) != listed.get(path)]
            raise _changed(differ)
        original = Original(vault.meta.content, vault.meta.tip, len(saved.rows), _empty(listed), grants)
        detail = f"{len(saved.rows):,} notebooks, each the same as in the vault"
        self._log.note("replacing", now.root, detail, **dump_original(original))

    def _swap(self) -> ShownFolder:
        now = self._log.conversion
        there = self._around.ask(lambda workspace: status(workspace, now.root))
        if there is not None and there.kind != REPO:
            self._delete_original()
        shown = self._show_in_place()
        self._grant_again({now.root: (now.original.grants or {}).get(now.root, ())} if now.original else {})
        self._log.note("replaced", now.root, "a Git folder stands in its place", stage=Stage.REPLACED.value)
        return shown

    def _delete_original(self) -> None:
        saved = self._original()
        listed = self._listed(saved, whole=False)
        notebooks = [entry for entry in listed.values() if entry.kind == NOTEBOOK]
        folders = sorted((path for path, entry in listed.items() if entry.kind == DIRECTORY), reverse=True)
        self._around.say(f"Replacing {self._root}: {len(notebooks):,} notebooks are compared again and deleted")

        async def delete(workspace: Workspace) -> None:
            async def one(entry: ListedObject) -> None:
                await _delete_if_unchanged(workspace, entry, saved)
                self._around.advance()

            await for_each(notebooks, one, workers=self._around.workers)
            for folder in [*folders, self._root]:
                # Not recursive: what somebody has put there meanwhile is in the way, and stops us.
                await _delete_folder(workspace, folder)

        self._around.ask(delete)

    def _show_in_place(self) -> ShownFolder:
        shown = self._converter.show(View(self._root))
        missing = self._log.conversion.original
        if missing is not None and shown.same + len(shown.as_file) < missing.notebooks:
            raise VerificationError(f"{self._root} shows {shown.same:,} of {missing.notebooks:,} notebooks.")
        return shown

    def _remove_side(self) -> None:
        """Remove the Git folder beside the original, now that another one stands in its place."""
        now = self._log.conversion
        try:
            for view in now.views:
                self._converter.remove(view)
        except VerificationError as error:
            self._around.say(f"{now.root} is replaced, and the Git folder beside it stays: {error}")
            return
        self._log.note("finished", now.root, "the Git folder beside it is removed", stage=Stage.REPLACED.value)

    # --- backwards ---

    def _give_up(self, error: BaseException) -> None:
        self._around.say("It failed; bringing the original back")
        try:
            self.restore(problem=str(error) or "interrupted")
        except NbvaultError as second:
            self._around.say(f"It could not all be brought back: {second}")
            self._around.say("`nbvault rollback` goes on; every notebook is in the vault.")

    def restore(self, *, problem: str = "") -> None:
        """Bring the original back: what is missing of it is written from the vault, and read back.

        What stands there is left as it is: a notebook that was never deleted, or that somebody has written since.

        Raises:
            VerificationError: somebody's work is in the Git folder, or a notebook reads back differently.
            NbvaultError: it could not come to its end; run again, it goes on.
        """
        now = self._log.conversion
        if now.original is None:
            return
        if now.stage is not Stage.RESTORING:
            self._log.note("restoring", now.root, problem=problem, stage=Stage.RESTORING.value)
        view = View(now.root)
        there = self._around.ask(lambda workspace: status(workspace, now.root))
        if there is not None and there.kind == REPO and (folder := self._converter.found(view)):
            self._converter.remove_unless_used(view, folder)
        saved = self._original()
        missing = self._around.ask(lambda workspace: self._missing(workspace, saved))
        data = dict(self._around.vault.blobs.read({saved.blobs[row.path] for row in missing}))
        self._around.say(f"Bringing back {len(missing):,} notebooks of {now.root}")
        self._around.ask(lambda workspace: self._write(workspace, missing, saved, data))
        back = {row.path for row in missing}
        grants = now.original.grants or {}
        self._grant_again({path: given for path, given in grants.items() if path in back or path not in saved.rows})
        detail = f"{len(missing):,} notebooks written from the vault"
        self._log.note("restored", now.root, detail, problem=problem, stage=Stage.CONVERTED.value)

    async def _missing(self, workspace: Workspace, saved: Saved) -> list[Row]:
        there: Listed = {}
        if await status(workspace, self._root) is not None:
            there, unreadable = await list_all(workspace, self._root)
            if unreadable:
                path, why = next(iter(unreadable.items()))
                raise VerificationError(f"{path} cannot be read: {why}", hint="Run `nbvault rollback` again.")
        return [row for path, row in sorted(saved.rows.items()) if path not in there]

    async def _write(self, workspace: Workspace, rows: list[Row], saved: Saved, data: Mapping[str, bytes]) -> None:
        original = self._log.conversion.original
        empty = original.empty if original else ()
        # One after the other: the workspace makes folders twice that are made at the same time.
        for folder in sorted({row.path.rpartition("/")[0] for row in rows}.union(empty, [self._root])):
            await workspace.mkdirs(folder)

        async def one(row: Row) -> None:
            await _write_back(workspace, row, data[saved.blobs[row.path]])
            self._around.advance()

        await for_each(rows, one, workers=self._around.workers)

    # --- what both need ---

    def _original(self) -> Saved:
        """What the vault holds of the original, as it was written down; from any machine."""
        now, vault = self._log.conversion, self._around.vault
        if now.original is None:
            raise ConfigurationError(f"{now.root} was not replaced.")
        # A commit that is here may be where a shallow history is cut off, and then lacks its parents.
        vault.whole_history()
        meta = read_meta(vault.git, now.original.meta, root=vault.root, blobs=vault.blobs)
        return self._saved(meta.rows.values(), now.original.content)

    def _saved(self, rows: Iterable[Row], content: str) -> Saved:
        blobs = {entry.path: entry.oid for entry in ls_tree(self._around.vault.git, content)}
        by_path = {row.path: row for row in rows}
        lost = [path for path, row in by_path.items() if row.repo_path not in blobs]
        if lost:
            raise VerificationError(f"The vault does not have {lost[0]}.", hint="Run `nbvault sync --full`.")
        return Saved(by_path, {path: blobs[row.repo_path] for path, row in by_path.items()})

    def _listed(self, saved: Saved, *, whole: bool) -> Listed:
        """The original as it is now: nothing in it but folders and notebooks that the vault has.

        Args:
            whole: Every notebook of the vault must be there.

        Raises:
            VerificationError: it is otherwise; deleting it would lose something.
        """
        listed, unreadable = self._around.ask(lambda workspace: list_all(workspace, self._root))
        wrong = [f"{path} cannot be read" for path in unreadable]
        for path, entry in listed.items():
            row = saved.rows.get(path)
            if entry.kind == NOTEBOOK and (row is None or row.object_id != entry.object_id):
                wrong.append(f"{path} is not in the vault")
            elif entry.kind not in (NOTEBOOK, DIRECTORY):
                wrong.append(f"{path} is a {entry.kind}, which is not backed up")
        if whole:
            wrong += [f"{path} is in the vault, but not there" for path in saved.rows if path not in listed]
        if wrong:
            raise VerificationError(
                f"{self._root} cannot be replaced, for something would be lost: {_named(wrong)}.",
                hint="Move what is not backed up elsewhere, or run `nbvault sync`; then run again.",
            )
        return listed

    async def _verify(self, workspace: Workspace, saved: Saved, listed: Listed) -> None:
        wrong: list[str] = []

        async def one(path: str) -> None:
            if not await _is_saved(workspace, listed[path], saved):
                wrong.append(path)
            self._around.advance()

        await for_each(sorted(saved.rows), one, workers=self._around.workers)
        if wrong:
            raise _changed(wrong)

    async def _grants(self, workspace: Workspace, listed: Listed) -> dict[str, tuple[tuple[str, str, str], ...]]:
        found: dict[str, tuple[tuple[str, str, str], ...]] = {}
        root = await workspace.get_status(self._root)

        async def one(entry: ListedObject) -> None:
            grants = await workspace.git_folders.grants(_KINDS[entry.kind], entry.object_id)
            if grants:
                found[entry.path] = tuple((each.kind, each.principal, each.level) for each in grants)

        await for_each([root, *listed.values()], one, workers=self._around.workers)
        return found

    def _grant_again(self, grants: Mapping[str, tuple[tuple[str, str, str], ...]]) -> None:
        async def give(workspace: Workspace) -> None:
            for path, given in sorted(grants.items()):
                if given:
                    entry = await workspace.get_status(path)
                    wanted = [Grant(*each) for each in given]
                    await workspace.git_folders.grant(_KINDS[entry.kind], entry.object_id, wanted)

        self._around.ask(give)


async def _is_saved(workspace: Workspace, entry: ListedObject, saved: Saved) -> bool:
    """Whether a notebook is byte for byte what the vault has."""
    data = await workspace.export(entry.path, form=form_of(saved.rows[entry.path].repo_path))
    return is_blob(data, saved.blobs[entry.path])


async def _delete_if_unchanged(workspace: Workspace, entry: ListedObject, saved: Saved) -> None:
    """Compare once more, look whether it is still the same, and delete; nothing lies between the last two.

    Raises:
        VerificationError: somebody has changed it.
    """
    try:
        same = await _is_saved(workspace, entry, saved)
        now = await workspace.get_status(entry.path)
    except NotFound as error:
        raise _changed([entry.path]) from error
    if not same or now != entry:
        raise _changed([entry.path])
    try:
        await workspace.delete(entry.path)
    except NotFound:
        # An earlier try was carried out, and only its answer was lost.
        return


async def _delete_folder(workspace: Workspace, path: str) -> None:
    try:
        await workspace.delete(path)
    except NotFound:
        return


async def _write_back(workspace: Workspace, row: Row, data: bytes) -> None:
    form = form_of(row.repo_path)
    language = None if form is NotebookFormat.IPYNB else source_language(data, row.language)
    try:
        await workspace.import_notebook(row.path, data, language, overwrite=False, form=form)
    except RequestFailed as error:
        if not error.maybe_done:
            raise
    back = await workspace.export(row.path, form=form)
    if not is_blob(back, blob_id(data)) and not (form is NotebookFormat.IPYNB and same_cells(back, data)):
        raise VerificationError(f"{row.path} reads back differently from what was written.")


def _empty(listed: Listed) -> tuple[str, ...]:
    """The folders with nothing in them."""
    full = {path.rpartition("/")[0] for path in listed}
    return tuple(sorted(path for path, entry in listed.items() if entry.kind == DIRECTORY and path not in full))


def _refuse_changes(root: str, saved: Saved, granted: Sequence[str], as_file: Sequence[str]) -> None:
    view = View(root)
    wrong = [
        f"{path} would be called {shown}"
        for path, row in sorted(saved.rows.items())
        if (shown := view.path_of(row.repo_path)) != path
    ]
    wrong += [f"{path} would be a file, no notebook" for path in as_file]
    wrong += [f"{path} has permissions of its own, which end" for path in granted]
    if wrong:
        raise ConfigurationError(
            f"{root} would change: {_named(wrong)}.",
            hint="`--accept-changes` lets that happen; `nbvault rollback` takes it back.",
        )


def _changed(paths: Iterable[str]) -> VerificationError:
    hint = "Nothing of that was deleted. Run `nbvault sync`, then again, when nobody works there."
    return VerificationError(f"Somebody has changed it meanwhile: {_named(sorted(paths))}.", hint=hint)


def _named(texts: list[str]) -> str:
    more = f" and {len(texts) - _NAMED:,} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more

"""Which names are taken in which folder of the repository, and the form that each new notebook gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from nbvault.paths import (
    PATH_LIMIT_BYTES,
    Form,
    PathTooLong,
    UnwritablePath,
    folder_forms,
    forms,
    is_spelled,
    key,
    plain_folder_form,
    plain_form,
)

VAULT_FILES = ("README.md", ".gitattributes", ".gitignore")


# Folders whose files are indexed; those of the others wait as bytes, a tenth of the memory.
_INDEXED_FOLDERS = 200


class _Folder:
    """A folder with something in it. In `entries` a file is its name, and a list holds what shares a key.

    Sharing happens only to what was there already: foreign files, and names that a newer Unicode folds differently.
    `spelled` counts the entries of marked forms: where there are none, none need be looked for. Files that nobody has
    asked for wait as bytes, each name with a `/` behind it.
    """

    __slots__ = ("_entries", "_spelled", "_waiting", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._spelled = 0
        self._entries: dict[str, _Entry | list[_Entry]] = {}
        self._waiting = bytearray()

    @property
    def entries(self) -> dict[str, _Entry | list[_Entry]]:
        self._index()
        return self._entries

    @property
    def spelled(self) -> int:
        self._index()
        return self._spelled

    def _index(self) -> None:
        if not self._waiting:
            return
        names, self._waiting = self._waiting.decode("utf-8", "surrogatepass").split("/"), bytearray()
        for name in names[:-1]:
            name_key = key(name)
            self.add(name_key, name_key if name_key == name else name)

    def add_file(self, name: str) -> None:
        """Take the name of a file; it is indexed when somebody asks."""
        self._waiting += f"{name}/".encode("utf-8", "surrogatepass")

    def put_away(self) -> None:
        """Let the files wait as bytes again; folders, reserved names and what shares a key stay indexed."""
        files = {k: e for k, e in self.entries.items() if isinstance(e, str) and not e.startswith("\0")}
        self._spelled -= sum(map(is_spelled, files.values()))
        self._entries = {k: e for k, e in self._entries.items() if k not in files}
        for name in files.values():
            self.add_file(name)

    def at(self, name_key: str) -> Sequence[_Entry]:
        found = self.entries.get(name_key)
        if found is None:
            return ()
        return found if isinstance(found, list) else (found,)

    def add(self, name_key: str, entry: _Entry) -> None:
        others = self.at(name_key)
        self.entries[name_key] = [*others, entry] if others else entry
        self._spelled += is_spelled(_name_of(entry))

    def remove(self, name_key: str, entry: _Entry) -> None:
        left = list(self.at(name_key))
        left.remove(entry)
        self._spelled -= is_spelled(_name_of(entry))
        if not left:
            del self.entries[name_key]
        else:
            self.entries[name_key] = left if len(left) > 1 else left[0]

    def folder(self, name: str) -> _Folder | None:
        found = self.entries.get(key(name))
        if isinstance(found, list):
            return next((entry for entry in found if isinstance(entry, _Folder) and entry.name == name), None)
        return found if isinstance(found, _Folder) and found.name == name else None

    def holds_file(self, name: str) -> bool:
        return name in self.at(key(name))


_Entry: TypeAlias = str | _Folder


class _Choice(NamedTuple):
    """A repository path; the folder of the notebook, if it is there, and the form of its name in it."""

    path: str
    folder: _Folder | None
    form: Form


class Namespace:
    """The names in use in the repository; one value for a whole session.

    Folders and notebooks share one namespace, and a folder's name is free again when nothing is under it. Every
    `occupy` and every `assign` is undone by one `release`. The answers depend on the order of the calls: whoever
    wants the same tree from the same workspace assigns in sorted order.

    Args:
        reserved: Repository paths, files or folders, that are not nbvault's and never given away. The files that
            nbvault itself keeps at the root are always among them.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._root = _Folder("")
        self._indexed: dict[_Folder, None] = {}
        # Where the folders of the workspace are, as long as no folder comes or goes.
        self._found: dict[tuple[str, ...], tuple[tuple[str, ...], _Folder]] = {}
        for path in {*VAULT_FILES, *reserved}:
            parent, name = self._parent_of(path)
            # No component begins with NUL, so this entry takes the key and is never mistaken for a notebook's file.
            parent.add(key(name), "\0" + name)

    @classmethod
    def of(cls, repo_paths: Iterable[str], *, reserved: Iterable[str] = ()) -> Namespace:
        """The namespace in which all these are taken: the repository paths of the carried rows."""
        namespace = cls(reserved)
        parents: dict[str, _Folder] = {}
        for path in repo_paths:
            above, _, name = path.rpartition("/")
            if above not in parents:
                parents[above] = namespace._parent_of(path)[0]
            parents[above].add_file(name)
        return namespace

    def occupy(self, repo_path: str) -> None:
        """Take a repository path; never refuses, whatever stands there."""
        parent, name = self._parent_of(repo_path)
        parent.add_file(name)

    def release(self, repo_path: str) -> None:
        """Give a repository path back, and with it every folder that is empty then.

        Raises:
            ValueError: nothing occupies that path.
        """
        *above, name = repo_path.split("/")
        trail = [self._root]
        for component in above:
            folder = trail[-1].folder(component)
            if folder is None:
                raise ValueError(f"{repo_path!r} is not occupied")
            trail.append(folder)
        if not trail[-1].holds_file(name):
            raise ValueError(f"{repo_path!r} is not occupied")
        trail[-1].remove(key(name), name)
        for parent, folder in zip(trail[-2::-1], trail[:0:-1], strict=True):
            if folder.entries:
                return
            parent.remove(key(folder.name), folder)
            self._found.clear()

    def is_free(self, repo_path: str) -> bool:
        """Whether a file could be put there without meeting the key of anything else on the way."""
        return _is_free(self._root, tuple(repo_path.split("/")))

    def assign(self, components: Sequence[str], extension: str) -> str:
        """Take the repository path for a notebook: the one that it has, else its plain form, else its marked form.

        ``components`` lead from the backed-up root to the notebook. All notebooks in one workspace folder share one
        folder of the repository while any of them is there.

        Raises:
            PathTooLong: the path would be longer than 4,000 bytes.
            UnwritablePath: a file that is not nbvault's stands even at the marked form.
            ValueError: there are no components, or one is empty.
        """
        chosen = self._choose_any(components, extension)
        if chosen.folder is None or len(chosen.form) > 1:
            self.occupy(chosen.path)
        else:
            chosen.folder.add_file(chosen.form[0])
        return chosen.path

    def check(self, components: Sequence[str], extension: str) -> None:
        """Raises what `assign` would raise now; takes nothing."""
        self._choose_any(components, extension)

    def is_vacant(self, components: Sequence[str], extension: str) -> bool:
        """Whether `assign` would give a path at which nothing stands, without marking a name that is not marked yet.

        Raises:
            PathTooLong: the path would be longer than 4,000 bytes.
            ValueError: there are no components, or one is empty.
        """
        chosen = self._choose(components, extension, mark=False)
        if chosen is None:
            return False
        return self.is_free(chosen.path) if chosen.folder is None else _is_free(chosen.folder, chosen.form)

    def _parent_of(self, repo_path: str) -> tuple[_Folder, str]:
        *above, name = repo_path.split("/")
        folder = self._root
        for component in above:
            inner = folder.folder(component)
            if inner is None:
                inner = _Folder(component)
                folder.add(key(component), inner)
                self._found.clear()
            folder = inner
        return folder, name

    def _choose_any(self, components: Sequence[str], extension: str) -> _Choice:
        chosen = self._choose(components, extension, mark=True)
        if chosen is None:
            raise UnwritablePath(
                f"The vault has no place for {'/'.join(components)!r}: foreign files stand at every form of its name.",
                hint="Rename the notebook, or move those files in the vault.",
            )
        return chosen

    def _choose(self, components: Sequence[str], extension: str, *, mark: bool) -> _Choice | None:
        if not components:
            raise ValueError("the root itself is no notebook")
        found = self._choose_folder(tuple(components[:-1]), mark=mark)
        if found is None:
            return None
        chosen, folder = found
        form = _plain_form(folder, plain_form(components[-1], extension), is_file=True) or _choose_form(
            folder, forms(components[-1], extension), is_file=True, mark=mark
        )
        if form is None:
            return None
        return _Choice(_checked("/".join((*chosen, *form)), components), folder, form)

    def _choose_folder(self, components: tuple[str, ...], *, mark: bool) -> tuple[Sequence[str], _Folder | None] | None:
        """The forms of the folders on the way, and the last of them if it is there."""
        if found := self._found.get(components):
            return found
        chosen: list[str] = []
        folder: _Folder | None = self._root
        for name in components:
            form = _plain_form(folder, plain_folder_form(name), is_file=False) or _choose_form(
                folder, folder_forms(name), is_file=False, mark=mark
            )
            if form is None:
                return None
            chosen += form
            folder = _descend(folder, form)
        if folder is not None:
            self._found[components] = tuple(chosen), folder
            self._keep_few_indexed(folder)
        return chosen, folder

    def _keep_few_indexed(self, folder: _Folder) -> None:
        self._indexed.pop(folder, None)
        self._indexed[folder] = None
        if len(self._indexed) > _INDEXED_FOLDERS:
            oldest = next(iter(self._indexed))
            del self._indexed[oldest]
            oldest.put_away()
            self._found.clear()


def _name_of(entry: _Entry) -> str:
    return entry if isinstance(entry, str) else entry.name


def _plain_form(folder: _Folder | None, plain: Form | None, *, is_file: bool) -> Form | None:
    """The plain form where it is beyond question, which it nearly always is; None where all must be weighed."""
    if plain is None or folder is None:
        return plain
    there = folder.at(key(plain[0]))
    if not there:
        return None if folder.spelled else plain
    stands = folder.holds_file(plain[0]) if is_file else folder.folder(plain[0]) is not None
    return plain if stands else None


def _choose_form(folder: _Folder | None, options: tuple[Form, ...], *, is_file: bool, mark: bool) -> Form | None:
    """The form that the name has in the folder (None: a new one), else the first that is free, else None."""
    if folder is None:
        return options[0]
    for form in options:
        if _stands(folder, form, is_file=is_file):
            return form
    return next((form for form in (options if mark else options[:1]) if _is_free(folder, form)), None)


def _descend(folder: _Folder | None, form: Sequence[str]) -> _Folder | None:
    for component in form:
        folder = folder and folder.folder(component)
    return folder


def _stands(folder: _Folder, form: Form, *, is_file: bool) -> bool:
    if not is_file:
        return _descend(folder, form) is not None
    parent = _descend(folder, form[:-1])
    return parent is not None and parent.holds_file(form[-1])


def _is_free(folder: _Folder, form: Form) -> bool:
    for component in form[:-1]:
        inner = folder.folder(component)
        if inner is None:
            return not folder.at(key(component))
        folder = inner
    return not folder.at(key(form[-1]))


def _checked(path: str, components: Sequence[str]) -> str:
    if len(path.encode()) > PATH_LIMIT_BYTES:
        raise PathTooLong(
            f"The path {'/'.join(components)[:200]!r}... would take more than {PATH_LIMIT_BYTES:,} bytes in the vault.",
            hint="Give the notebook or its folders shorter names.",
        )
    return path

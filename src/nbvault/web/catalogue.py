"""Every notebook of the vault by its path: to search while somebody types, to filter, and as a tree. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from heapq import merge
from typing import Any, NamedTuple

from nbvault.model import Language, Row
from nbvault.recovery.notebooks import Notebooks

_LANGUAGES = tuple(Language)
_NUMBERS = {language.value: number for number, language in enumerate(_LANGUAGES, 1)}
_NO_LANGUAGE = 255
_DELETED, _STALE = 1, 2


class State(str, Enum):
    """Which notebooks are meant."""

    LIVING = "living"
    DELETED = "deleted"
    STALE = "stale"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody looks for; empty fields do not matter. `text` are words, all of which are in the path."""

    text: str = ""
    folder: str = ""
    year: str = ""
    engagement: str = ""
    language: str = ""
    editor: str = ""
    state: State = State.LIVING

    @property
    def is_empty(self) -> bool:
        """Whether nothing but perhaps the folder is given."""
        rest = (self.text.strip(), self.year, self.engagement, self.language, self.editor)
        return not any(rest) and self.state is State.LIVING


class Item(NamedTuple):
    """A notebook, living or deleted. `editor` is empty for a deleted one; `modified_at_ms` 0 where nobody knows."""

    number: int
    path: str
    object_id: int
    language: str
    editor: str
    deleted: bool
    stale: bool
    modified_at_ms: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0] or "/"

    def as_json(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "path": self.path,
            "object_id": self.object_id,
            "language": self.language or None,
            "editor": self.editor or None,
            "deleted": self.deleted,
            "stale": self.stale,
            "modified_at_ms": self.modified_at_ms or None,
        }


class Catalogue:
    """The paths in order, with what is filtered by beside them; made once for each state of the vault.

    Args:
        stale: The object ids whose last good version is old, since they could not be saved.
    """

    def __init__(self, notebooks: Notebooks, *, stale: Collection[int] = ()) -> None:
        self.root = notebooks.root.rstrip("/")
        self._rows, self._stones = notebooks.rows, notebooks.stones
        self._paths: list[str] = []
        self._ids: list[int] = []
        self._flags = bytearray()
        self._languages = bytearray()
        self._editors = array("I")
        self._names: list[str] = []
        self._by_editor: list[array[int]] = []
        self._fill(frozenset(stale))
        self._rare = {
            state: array(
                "L", (number for number, flags in enumerate(self._flags) if flags and self._is_meant(number, state))
            )
            for state in (State.DELETED, State.STALE)
        }
        folded = [path.casefold() for path in self._paths]
        # One text, so that a word is found in all paths by one call; a path cannot hold a newline that matters here.
        self._text = "\n".join(each.replace("\n", " ") for each in folded)
        self._starts = array("L")
        at = 0
        for each in folded:
            self._starts.append(at)
            at += len(each) + 1

    def _fill(self, stale: frozenset[int]) -> None:
        numbers: dict[str, int] = {}
        living = ((row.path, row.object_id, row) for row in self._rows.values())
        gone = ((stone.path, stone.object_id, None) for stone in self._stones.values())
        entries: list[tuple[str, int, Row | None]] = [*living, *gone]
        for path, object_id, row in sorted(entries, key=lambda entry: entry[:2]):
            editor = row.editor if row else ""
            self._paths.append(path)
            self._ids.append(object_id)
            self._flags.append((0 if row else _DELETED) | (_STALE if object_id in stale else 0))
            self._languages.append(_LANGUAGES.index(row.language) + 1 if row else 0)
            if editor not in numbers:
                numbers[editor] = len(self._names)
                self._names.append(editor)
                self._by_editor.append(array("I"))
            self._by_editor[numbers[editor]].append(len(self._editors))
            self._editors.append(numbers[editor])

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def living(self) -> int:
        """How many notebooks live."""
        return len(self._rows)

    def item(self, number: int) -> Item:
        """The notebook with this number."""
        object_id, flags = self._ids[number], self._flags[number]
        language = self._languages[number]
        row = None if flags & _DELETED else self._rows.get(object_id)
        return Item(
            number,
            self._paths[number],
            object_id,
            _LANGUAGES[language - 1].value if language else "",
            self._names[self._editors[number]],
            bool(flags & _DELETED),
            bool(flags & _STALE),
            row.modified_at_ms if row else 0,
        )

    def find(self, query: Query, *, after: int = -1) -> Iterator[Item]:
        """The notebooks that are meant, in the order of their paths, from behind the number ``after`` on."""
        start, end = self._stretch(query)
        words = query.text.casefold().split()
        start = max(start, after + 1)
        editors = self._editors_like(query.editor)
        for number in self._candidates(query, words, editors, start, end):
            if self._fits(number, query, editors):
                yield self.item(number)

    def _candidates(
        self, query: Query, words: list[str], editors: frozenset[int], start: int, end: int
    ) -> Iterable[int]:
        """Numbers in order, all that can be meant among them: what few notebooks have is not looked for in all."""
        if words or query.engagement:
            # An engagement is a part of the path, too, if not each part of the path is one.
            return self._with(words or [query.engagement.casefold().replace("\n", " ")], start, end)
        if (few := self._rare.get(query.state)) is not None:
            return few[bisect_left(few, start) : bisect_left(few, end)]
        if query.editor:
            theirs = [self._by_editor[editor] for editor in sorted(editors)]
            return merge(*(numbers[bisect_left(numbers, start) : bisect_left(numbers, end)] for numbers in theirs))
        if query.language:
            return self._written_in(_NUMBERS.get(query.language, _NO_LANGUAGE), start, end)
        return range(start, end)

    def _written_in(self, language: int, start: int, end: int) -> Iterator[int]:
        number = self._languages.find(language, start, end)
        while number >= 0:
            yield number
            number = self._languages.find(language, number + 1, end)

    def _editors_like(self, wanted: str) -> frozenset[int]:
        """The numbers of the editors whose names hold this."""
        wanted = wanted.casefold()
        return frozenset(number for number, name in enumerate(self._names) if wanted in name.casefold())

    def below(self, folder: str, *, state: State = State.LIVING) -> Iterator[Item]:
        """Everything in a folder and its folders."""
        return self.find(Query(folder=folder, state=state))

    def holds_folder(self, folder: str) -> bool:
        """Whether anything ever was in a folder."""
        if self.root and not folder.strip("/"):
            # Above the root nothing is known, and an empty path is none.
            return False
        start, end = self._stretch(Query(folder=folder))
        return start < end

    def children(self, folder: str, *, state: State = State.LIVING) -> tuple[list[str], list[Item]]:
        """The folders and the notebooks directly in a folder. Whole folders are stepped over, not walked through."""
        above = (folder.rstrip("/") or "") + "/"
        number, end = self._stretch(Query(folder=folder))
        folders: list[str] = []
        items: list[Item] = []
        while number < end:
            head, slash, _ = self._paths[number][len(above) :].partition("/")
            if slash:
                inner = above + head
                stop = self._end_of(inner + "/", number)
                if any(self._is_meant(each, state) for each in range(number, stop)):
                    folders.append(inner)
                number = stop
            else:
                if self._is_meant(number, state):
                    items.append(self.item(number))
                number += 1
        return folders, items

    def _stretch(self, query: Query) -> tuple[int, int]:
        """Where in the order the folder and the year are."""
        prefix = query.folder.rstrip("/") or self.root
        if query.year and prefix == self.root:
            prefix = f"{self.root}/{query.year}"
        start = bisect_left(self._paths, prefix + "/")
        return start, self._end_of(prefix + "/", start)

    def _end_of(self, prefix: str, start: int) -> int:
        # The character after a slash in the order of Unicode.
        return bisect_left(self._paths, prefix[:-1] + chr(ord("/") + 1), start)

    def _with(self, words: list[str], start: int, end: int) -> Iterator[int]:
        """The numbers from ``start`` to before ``end`` whose paths hold all the words."""
        if start >= end:
            return
        # The longest word is in the fewest paths.
        first, *rest = sorted(words, key=len, reverse=True)
        at = self._text.find(first, self._starts[start])
        while at >= 0:
            number = bisect_right(self._starts, at) - 1
            if number >= end:
                return
            stop = self._starts[number + 1] if number + 1 < len(self._starts) else len(self._text)
            line = self._text[self._starts[number] : stop]
            if all(word in line for word in rest):
                yield number
            at = self._text.find(first, stop)

    def _fits(self, number: int, query: Query, editors: frozenset[int]) -> bool:
        if not self._is_meant(number, query.state):
            return False
        if query.language and self._languages[number] != _NUMBERS.get(query.language, _NO_LANGUAGE):
            return False
        if query.editor and self._editors[number] not in editors:
            return False
        if query.year or query.engagement:
            parts = self._paths[number][len(self.root) + 1 :].split("/")
            if query.year and parts[0] != query.year:
                return False
            if query.engagement and (len(parts) < 3 or query.engagement.casefold() not in parts[1].casefold()):
                return False
        return True

    def _is_meant(self, number: int, state: State) -> bool:
        flags = self._flags[number]
        if state is State.ANY:
            return True
        if state is State.DELETED:
            return bool(flags & _DELETED)
        return not flags & _DELETED and (state is State.LIVING or bool(flags & _STALE))

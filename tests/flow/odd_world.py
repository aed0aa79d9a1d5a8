"""Workspaces full of oddities, and random changes to them as people make them."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flow.places import ROOT

LANGUAGES = ("PYTHON", "SQL", "SCALA", "R")
HEADERS = {
    "PYTHON": "# Databricks notebook source\n",
    "SQL": "-- Databricks notebook source\n",
    "SCALA": "// Databricks notebook source\n",
    "R": "# Databricks notebook source\n",
}
PEOPLE = ("ann@clients.example", "bob.builder@clients.example", "çelik@clients.example", "zoë@clients.example")
KINDS = ("FILE", "LIBRARY", "DASHBOARD", "MLFLOW_EXPERIMENT", "REPO", "GENIE_SPACE_2031")
NAMES = (
    *("etl", "Etl", "ETL", "eTl", "x", "x.py", "x.py.py", "X.PY", "etl.sql", "a.ipynb", "straße", "STRASSE"),
    *("a:b", "a*b", "a?b", 'say "hi"', "a<b>c", "a|b", "back\\slash", "100% done", "%41", "%_", "a%_", "a%+", "%"),
    *(
        "CON",
        "con",
        "nul.txt",
        "COM1",
        "LPT9.x",
        "aux ",
        "trailing.",
        "trailing..",
        "trailing ",
        " leading",
        "...",
        " ",
    ),
    *("😀", "👩‍👩‍👧", "日本語", "é", "e\u0301", "É", "Å", "\u212b", "ſ", "K", "\u212a", "ı", "İ", "a\u200db", "ab"),
    *("x" * 300, "X" * 300, "é" * 300, "😀" * 100, "x" * 251, "x" * 255, "." * 300),
    *(".git", ".GIT", "git~1", ".gitmodules", ".gitattributes", ".gitignore", "README.md", "readme.MD", ".g\u200cit"),
    *(
        "two\nlines",
        "tab\there",
        "bell\x07",
        "it's",
        "`tick`",
        "$HOME",
        "-rf",
        "--help",
        "#",
        "a b  c",
        "~",
        "@",
        "^",
        "!x",
    ),
    *("HEAD", "refs", "main", "a..b", "a.lock", "@{0}", ":(top)", "*", "[x]"),
)


def sources(language: str) -> Iterator[bytes]:
    """Odd contents, without end."""
    head = HEADERS[language].encode()
    yield head
    yield head.rstrip(b"\n")
    yield b"\n"
    yield head + b"print(1)"
    yield head + b"print(1)\n"
    yield head + b"print(1)\n\n\n"
    yield head.replace(b"\n", b"\r\n") + b"one\r\ntwo\r\n"
    yield head + b"mixed\r\nline\nends\r"
    yield head + bytes(range(256))
    yield b"\xff\xfe" + "utf-16".encode("utf-16-le")
    yield b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "only looks like one"}'
    yield b"{}"
    yield head + b"$Id$ $Date$ " + "äöü 😀".encode()
    yield head + b"done\n\ncommit refs/heads/main\nfrom 0000000000000000000000000000000000000000\n"
    number = 0
    while True:
        number += 1
        # Every third is a duplicate of one before it.
        yield head + b"\n".join(b"value_%d = %d" % (line, number // 3) for line in range(20 + number % 50))


def odd_world(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """So many notebooks with every oddity, and some objects that are none."""
    draw = random.Random(seed)
    contents = {language: sources(language) for language in LANGUAGES}
    taken: set[str] = set()
    made: list[dict[str, Any]] = []
    for path in _paths(draw):
        if len(taken) >= count:
            break
        if path not in taken:
            taken.add(path)
            made.append(_notebook(path, draw, contents))
    folders = [{"path": f"{ROOT}/empty/{number}", "object_type": "DIRECTORY"} for number in range(5)]
    others = [
        {"path": f"{ROOT}/2024/others/{kind.lower()}{number}", "object_type": kind, "content": "x"}
        for kind in KINDS
        for number in range(3)
    ]
    return [*made, *folders, *others]


def _paths(draw: random.Random) -> Iterator[str]:
    """First each name as a notebook and as a folder, then whole engagements, some with odd notebooks in them."""
    for name in NAMES:
        yield f"{ROOT}/{name}" if name not in ("etl.py",) else f"{ROOT}/odd-{name}"
        yield f"{ROOT}/notebooks/{name}"
        yield f"{ROOT}/folders/{name}/inner"
        yield f"{ROOT}/folders/{name}/{name}"
    yield from (f"{ROOT}/like/etl", f"{ROOT}/like/etl.py/inner", f"{ROOT}/like/x.py", f"{ROOT}/like/x")
    yield from (f"{ROOT}/like/Etl/a", f"{ROOT}/like/ETL/a", f"{ROOT}/like/ETL/A", f"{ROOT}/like/eTL.PY/a")
    number = 0
    while True:
        number += 1
        folder = f"{ROOT}/{2020 + number % 6}/ENG-{draw.randrange(1000, 1200)}/NOTEBOOKS"
        yield f"{folder}/{draw.choice(NAMES)}" if number % 5 == 0 else f"{folder}/step {number % 97:02d}"


def _notebook(path: str, draw: random.Random, contents: dict[str, Iterator[bytes]]) -> dict[str, Any]:
    language = draw.choices(LANGUAGES, (6, 2, 1, 1))[0]
    made: dict[str, Any] = {"path": path, "language": language, "editor": draw.choice(PEOPLE)}
    kind = draw.random()
    if kind < 0.05:
        made |= {"format": "IPYNB", "content": HEADERS[language] + f"print({draw.random()})\n"}
    else:
        made["content_base64"] = base64.b64encode(next(contents[language])).decode()
    if kind > 0.98:
        made["modified_at"] = 0
    elif kind > 0.96:
        made["interactive"] = False
    return made


@dataclass
class Crowd:
    """People who change a workspace: makes operations for the emulator, and knows which paths are taken by then."""

    notebooks: set[str]
    seed: int
    folders: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self._contents = {language: sources(language) for language in LANGUAGES}
        for _ in range(self.draw.randrange(20, 40)):
            for each in self._contents.values():
                next(each)
        for path in self.notebooks:
            self._note_folders(path)

    def see(self, notebooks: set[str], folders: set[str]) -> None:
        """Look at the workspace as it is now."""
        self.notebooks, self.folders = set(notebooks), set(folders)

    def _note_folders(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent != ROOT and parent not in self.folders:
            self.folders.add(parent)
            parent = parent.rpartition("/")[0]

    def operations(self, count: int, *, deletions: int = 40) -> list[dict[str, Any]]:
        """So many changes, at most ``deletions`` of them deletions."""
        made: list[dict[str, Any]] = []
        gone = 0
        while len(made) < count:
            kind = self.draw.choices(
                ["edit", "create", "move", "case", "swap", "folder", "delete"], (10, 4, 4, 1, 1, 0.5, 2)
            )[0]
            if kind == "delete":
                gone += 1
                if gone > deletions:
                    continue
            made += getattr(self, f"_{kind}")()
        return made

    def _pick(self) -> str:
        return self.draw.choice(sorted(self.notebooks))

    def content(self, language: str = "PYTHON") -> str:
        """New odd content in base64."""
        stamp = f"# {self.draw.random()}\n".encode()
        return base64.b64encode(next(self._contents[language]) + stamp).decode()

    def _edit(self) -> list[dict[str, Any]]:
        path = self._pick()
        self.touched.add(path)
        edit: dict[str, Any] = {"op": "edit", "path": path, "editor": self.draw.choice(PEOPLE)}
        # The header line goes with the language, as in a real workspace.
        language = self.draw.choice(LANGUAGES)
        return [{**edit, "language": language, "format": "SOURCE", "content_base64": self.content(language)}]

    def free_path(self) -> str:
        """A path where nothing is, in an old or a new folder."""
        while True:
            folder = self.draw.choice(sorted(self.folders)) if self.draw.random() < 0.8 else f"{ROOT}/new"
            name = self.draw.choice(NAMES) if self.draw.random() < 0.5 else f"n{self.draw.randrange(10**6)}"
            path = f"{folder}/{name}"
            if path not in self.notebooks and path not in self.folders:
                return path

    def _create(self) -> list[dict[str, Any]]:
        path = self.free_path()
        self._add(path)
        language = self.draw.choice(LANGUAGES)
        content = self.content(language)
        who = self.draw.choice(PEOPLE)
        return [{"op": "create", "path": path, "language": language, "content_base64": content, "editor": who}]

    def _add(self, path: str) -> None:
        self.notebooks.add(path)
        self._note_folders(path)

    def _move(self) -> list[dict[str, Any]]:
        return self._rename(self._pick(), self.free_path())

    def _rename(self, start: str, to: str) -> list[dict[str, Any]]:
        self.notebooks.discard(start)
        self._add(to)
        return [{"op": "move", "from": start, "to": to}]

    def _case(self) -> list[dict[str, Any]]:
        start = self._pick()
        folder, _, name = start.rpartition("/")
        to = f"{folder}/{name.swapcase()}"
        if to in self.notebooks or to in self.folders:
            return []
        return self._rename(start, to)

    def _swap(self) -> list[dict[str, Any]]:
        one, other = self._pick(), self._pick()
        if one == other:
            return []
        between = self.free_path()
        moves = ((one, between), (other, one), (between, other))
        self._note_folders(between)
        return [{"op": "move", "from": start, "to": to} for start, to in moves]

    def _folder(self) -> list[dict[str, Any]]:
        start = self.draw.choice(sorted(self.folders))
        to = self.free_path()
        if self.draw.random() < 0.3:
            folder, _, name = start.rpartition("/")
            to = f"{folder}/{name.swapcase()}"
        if (to + "/").startswith(start + "/") or to in self.notebooks or to in self.folders:
            return []
        self.folders = {_moved(path, start, to) for path in self.folders}
        self.notebooks = {_moved(path, start, to) for path in self.notebooks}
        self._note_folders(to)
        return [{"op": "move", "from": start, "to": to}]

    def _delete(self) -> list[dict[str, Any]]:
        path = self._pick()
        self.notebooks.discard(path)
        return [{"op": "delete", "path": path}]


def _moved(path: str, start: str, to: str) -> str:
    return to + path[len(start) :] if path == start or path.startswith(start + "/") else path

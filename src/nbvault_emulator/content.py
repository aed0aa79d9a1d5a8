"""Notebook text made from the standard library's own sources: real code, cut into cells, varied by engagement.

Nothing is stored: a notebook is one of a bounded set of templates (shared between engagements, so engagements hold
near-duplicates, as in life) plus a heading and zero to four cells of its own. The same seed on the same Python gives
the same bytes.
"""

from __future__ import annotations

import functools
import math
import os
import random
import re
import sysconfig
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

EXPORT_LIMIT_BYTES = 10_485_760
_TEMPLATE_CACHE_BYTES = 96 * 1024 * 1024
_VARIANTS = 6
_MASK = (1 << 64) - 1
_PREFIXES = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}
_DEFINITION = re.compile(r"def ([a-z][a-z0-9_]{2,30})\(([a-z_0-9, ]*)\)")
_DOCSTRING = re.compile(r'"""([^"\\]{20,600})"""')


class Subject(NamedTuple):
    """Which notebook is wanted: its number, its place among its siblings, and whom it is about."""

    number: int
    slot: int
    group: int
    title: str
    client: str
    engagement: str


def mix(*numbers: int) -> int:
    """A 64-bit hash of some numbers; cheap, and the same everywhere."""
    value = 0x9E3779B97F4A7C15
    for number in numbers:
        value = ((value ^ number) * 0xBF58476D1CE4E5B9) & _MASK
        value ^= value >> 29
        value = (value * 0x94D049BB133111EB) & _MASK
        value ^= value >> 32
    return value


def language_of_slot(seed: int, slot: int) -> str:
    """The language of all notebooks in this place: three in four are Python."""
    draw = mix(seed, slot, 11) % 100
    return "PYTHON" if draw < 76 else "SQL" if draw < 90 else "SCALA" if draw < 96 else "R"


def header_of(language: str) -> str:
    """The first line of a notebook's SOURCE form."""
    return f"{_PREFIXES[language]} Databricks notebook source"


def join_cells(language: str, cells: list[str]) -> str:
    """The SOURCE form of these cells, without a trailing newline."""
    prefix = _PREFIXES[language]
    return header_of(language) + "\n" + f"\n\n{prefix} COMMAND ----------\n\n".join(cells)


def magic(language: str, command: str, text: str) -> str:
    """A cell in another language: each line behind the MAGIC prefix."""
    prefix = f"{_PREFIXES[language]} MAGIC"
    lines = [f"%{command}", *text.split("\n")]
    return "\n".join(f"{prefix} {line}".rstrip() for line in lines)


class Library:
    """The templates, made when first needed and kept while they fit in memory."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._templates: OrderedDict[tuple[int, int], tuple[bytes, ...]] = OrderedDict()
        self._bytes = 0

    def notebook(self, subject: Subject, language: str, *, oversize: bool = False) -> bytes:
        """The SOURCE form of a notebook, without a trailing newline."""
        seed = self._seed
        group = mix(seed, subject.group) % _VARIANTS
        key = (subject.slot, group)
        if mix(seed, subject.number, 5) % 4001 == 7 or oversize:
            key = (-1 - subject.number % 5, subject.slot)
        cells = list(self._template(key, language))
        draw = mix(seed, subject.number, 3)
        for number in range(draw % 5):
            draw = mix(draw, number)
            cells.insert(draw % (len(cells) + 1), _own_cell(language, subject, number, draw).encode())
        prefix = _PREFIXES[language].encode()
        cells.insert(0, magic(language, "md", f"# {subject.title}\n\n{subject.client}, {subject.engagement}").encode())
        separator = b"\n\n" + prefix + b" COMMAND ----------\n\n"
        source = header_of(language).encode() + b"\n" + separator.join(cells)
        if oversize:
            source = separator.join([source] * (EXPORT_LIMIT_BYTES // len(source) + 1))
        return source

    def _template(self, key: tuple[int, int], language: str) -> tuple[bytes, ...]:
        found = self._templates.get(key)
        if found is not None:
            self._templates.move_to_end(key)
            return found
        made = tuple(cell.encode("utf-8", "replace") for cell in _make_template(self._seed, key, language))
        self._templates[key] = made
        self._bytes += sum(map(len, made))
        while self._bytes > _TEMPLATE_CACHE_BYTES and len(self._templates) > 1:
            self._bytes -= sum(map(len, self._templates.popitem(last=False)[1]))
        return made


def _own_cell(language: str, subject: Subject, number: int, draw: int) -> str:
    client, engagement = subject.client, subject.engagement
    place = f"/mnt/clients/{engagement.lower()}/raw/{draw % 97:02d}"
    if language == "SQL":
        return "\n".join(["SELECT *", f"FROM ledger_{draw % 89}", f"WHERE client = '{client}'"])
    if language == "SCALA":
        return f'val client{number} = "{client}"\nval source{number} = spark.read.parquet("{place}")'
    if language == "R":
        return f'client <- "{client}"\nrows_{number} <- SparkR::read.df("{place}", "parquet")\nhead(rows_{number})'
    return (
        f'# DBTITLE 1,Parameters for {client}\nclient = "{client}"\nengagement = "{engagement}"\n'
        f'source_path = "{place}"\nrow_limit = {draw % 90_000}'
    )


def _make_template(seed: int, key: tuple[int, int], language: str) -> list[str]:
    rng = random.Random(mix(seed, key[0] & _MASK, key[1]))
    target = rng.uniform(1e6, 5e6) if key[0] < 0 else min(max(4_800 * math.exp(rng.gauss(0, 1.1)), 500), 250_000)
    files = _sources()
    position = rng.randrange(len(files))
    cells: list[str] = []
    size = 0
    while size < target:
        chunks = _chunks(files[position % len(files)])
        position += 1
        for chunk in chunks[rng.randrange(max(1, len(chunks) // 2)) :]:
            cell = _CELL_MAKERS[language](chunk, rng)
            cells.append(cell)
            size += len(cell) + 25
            if size >= target:
                break
    return cells


@functools.lru_cache(maxsize=1)
def _sources() -> tuple[Path, ...]:
    top = Path(sysconfig.get_paths()["stdlib"])
    found: list[Path] = []
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(set(folders) - {"site-packages", "dist-packages", "__pycache__", "lib2to3"})
        found += [Path(folder, name) for name in sorted(names) if name.endswith(".py")]
    return tuple(found)


@functools.lru_cache(maxsize=256)
def _chunks(path: Path) -> tuple[str, ...]:
    text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return tuple(chunk.strip("\n") for chunk in re.split(r"\n\n\n+", text) if chunk.strip())


def _python_cell(chunk: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.12:
        return magic("PYTHON", "md", _prose(chunk))
    if draw < 0.22:
        return f"# DBTITLE 1,{_first_words(chunk)}\n{chunk}"
    if draw < 0.27:
        return magic("PYTHON", "sql", _sql_statement(chunk, rng))
    return chunk


def _sql_cell(chunk: str, rng: random.Random) -> str:
    return magic("SQL", "md", _prose(chunk)) if rng.random() < 0.4 else _sql_statement(chunk, rng)


def _scala_cell(chunk: str, rng: random.Random) -> str:
    if rng.random() < 0.4:
        return magic("SCALA", "md", _prose(chunk))
    name, columns = _definition(chunk, rng)
    arguments = ", ".join(f"{column}: String" for column in columns)
    filters = "".join(f'\n    .filter(col("{column}") === {column})' for column in columns)
    return f'def {name}({arguments}): DataFrame = {{\n  spark.table("{name}"){filters}\n}}'


def _r_cell(chunk: str, rng: random.Random) -> str:
    if rng.random() < 0.4:
        return magic("R", "md", _prose(chunk))
    name, columns = _definition(chunk, rng)
    listed = ", ".join(columns)
    statement = " ".join(["SELECT", listed, "FROM", name])
    return f'{name} <- function({listed}) {{\n  SparkR::sql("{statement}")\n}}'


_CELL_MAKERS = {"PYTHON": _python_cell, "SQL": _sql_cell, "SCALA": _scala_cell, "R": _r_cell}


def _sql_statement(chunk: str, rng: random.Random) -> str:
    name, columns = _definition(chunk, rng)
    where = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    source = f"raw.{name}_{rng.randrange(99)}"
    columns_listed = ",\n  ".join(columns)
    lines = [f"CREATE OR REPLACE VIEW {name} AS", "SELECT", "  " + columns_listed, "FROM " + source, "WHERE " + where]
    return "\n".join(lines)


def _definition(chunk: str, rng: random.Random) -> tuple[str, list[str]]:
    found = _DEFINITION.findall(chunk)
    name, arguments = rng.choice(found) if found else (f"step_{rng.randrange(1000)}", "client, amount, posted_on")
    columns = [word.strip() for word in arguments.split(",") if word.strip() not in {"", "self", "cls"}]
    return name, columns or ["id"]


def _prose(chunk: str) -> str:
    found = _DOCSTRING.search(chunk)
    if found:
        return "\n".join(line.strip() for line in found.group(1).strip().split("\n"))
    comments = [line.strip(" #") for line in chunk.split("\n") if line.lstrip().startswith("#")]
    return "\n".join(comments[:12]) or f"## {_first_words(chunk)}"


def _first_words(chunk: str) -> str:
    return " ".join(re.findall(r"[A-Za-z]+", chunk[:200])[:5]) or "Step"

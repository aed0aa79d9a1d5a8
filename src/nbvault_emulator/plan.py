"""The generated workspace as arithmetic: which folders and notebooks there are, without making any of them."""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nbvault_emulator.content import Library, Subject, language_of_slot, mix

FIRST_FOLDER_ID = 1_000_000_000_000_000
FIRST_NOTEBOOK_ID = 2_000_000_000_000_000
FIRST_NEW_ID = 3_000_000_000_000_000
FIRST_USER_ID = 4_000_000_000_000_000
LAST_YEAR = 2025
_YEAR_END_MS = 1_767_139_200_000  # 2025-12-31
_DAY_MS = 86_400_000
_FIRST_NAMES = [
    "Ana",
    "Ben",
    "Chloé",
    "Dmitri",
    "Elif",
    "Femi",
    "Grace",
    "Hiro",
    "Inês",
    "Jonas",
    "Karin",
    "Liam",
    "Mei",
    "Nadia",
    "Omar",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Tara",
    "Uma",
    "Viktor",
    "Wanda",
    "Xin",
    "Yusuf",
    "Zoë",
]
_LAST_NAMES = [
    "Almeida",
    "Bauer",
    "Castro",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hughes",
    "Ivanov",
    "Jansen",
    "Kovács",
    "Lindqvist",
    "Murphy",
    "Novák",
    "Okafor",
    "Patel",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Weber",
]
_CLIENTS = [
    "Aldgate",
    "Bramble",
    "Corvid",
    "Dunmore",
    "Everhart",
    "Foxglove",
    "Granite",
    "Harbour",
    "Ironbridge",
    "Juniper",
    "Kestrel",
    "Larkspur",
    "Meridian",
    "Northgate",
    "Orchard",
    "Pinnacle",
    "Quarry",
    "Redwood",
    "Sterling",
    "Thornbury",
    "Umber",
    "Vale",
    "Westmark",
    "Yarrow",
    "Zenith",
]
_TRADES = ["Holdings", "Logistics", "Foods", "Energy", "Insurance", "Textiles", "Mining", "Media", "Pharma", "Retail"]
_STEPS = ["ingest", "clean", "reconcile", "sample", "match", "aggregate", "review", "report"]
_THINGS = [
    "ledger",
    "invoices",
    "payroll",
    "inventory",
    "receivables",
    "journals",
    "fixed_assets",
    "bank",
    "vendors",
    "contracts",
    "tax",
    "revenue",
    "leases",
    "grants",
    "consolidation",
]


class PlannedNotebook(NamedTuple):
    """A generated notebook as the workspace lists it."""

    number: int
    object_id: int
    name: str
    language: str
    created_at: int
    modified_at: int
    interactive_at: int
    interactive_user: int


@dataclass(frozen=True, slots=True)
class PlannedUser:
    """A generated person. Some have no e-mail address, some were deleted."""

    user_id: int
    user_name: str
    display_name: str
    has_emails: bool
    deleted: bool


class Plan:
    """The base world of a seed: years, engagements, notebooks, people; everything computed when asked."""

    def __init__(self, *, notebooks: int, years: int, engagements: int, seed: int, oversize: int) -> None:
        self.notebooks = notebooks
        self.years = max(1, years) if notebooks else 0
        self.engagements = max(1, engagements) if notebooks else 0
        self.seed = seed
        self.library = Library(seed)
        self._oversize = min(oversize, notebooks)
        self._starts = _spread(notebooks, self.years * self.engagements, seed)
        self.people = 0 if not notebooks else max(5, self.years * self.engagements // 30)

    def year_names(self) -> list[str]:
        """The names of the year folders, oldest first."""
        return [str(LAST_YEAR - self.years + 1 + number) for number in range(self.years)]

    def engagement_names(self, year: int) -> list[str]:
        """The names of the engagement folders of the year-th year."""
        return [self.engagement(year * self.engagements + number) for number in range(self.engagements)]

    def engagement(self, group: int) -> str:
        """The name of the group-th engagement."""
        return f"ENG-{1001 + group:04d}"

    def folder_id(self, kind: int, number: int) -> int:
        """The object id of a folder: kind 0 a year, 1 an engagement, 2 its NOTEBOOKS."""
        return FIRST_FOLDER_ID + 1000 + number * 3 + kind

    def members(self, group: int) -> Iterator[PlannedNotebook]:
        """The notebooks of the group-th engagement."""
        start, end = self._starts[group], self._starts[group + 1]
        return (self._notebook(index, index - start, group) for index in range(start, end))

    def source(self, index: int) -> bytes:
        """The SOURCE form of the index-th notebook."""
        group = bisect.bisect_right(self._starts, index) - 1
        slot = index - self._starts[group]
        client = f"{_CLIENTS[group % len(_CLIENTS)]} {_TRADES[group // len(_CLIENTS) % len(_TRADES)]}"
        title = slot_name(slot).replace("_", " ")
        subject = Subject(index, slot, group, title, client, self.engagement(group))
        return self.library.notebook(subject, language_of_slot(self.seed, slot), oversize=self.is_oversize(index))

    def is_oversize(self, index: int) -> bool:
        """Whether the index-th notebook is over the export limit."""
        many, total = self._oversize, self.notebooks
        return bool(many) and (index * many) // total != ((index - 1) * many) // total

    def users(self) -> Iterator[PlannedUser]:
        """The people of the workspace."""
        for number in range(self.people):
            first = _FIRST_NAMES[number % len(_FIRST_NAMES)]
            last = _LAST_NAMES[mix(self.seed, number) % len(_LAST_NAMES)]
            mail = f"{_ascii(first)}.{_ascii(last)}{number or ''}@clients.example"
            yield PlannedUser(FIRST_USER_ID + number, mail, f"{first} {last}", number % 17 != 13, number % 23 == 19)

    def _notebook(self, index: int, slot: int, group: int) -> PlannedNotebook:
        draw = mix(self.seed, index, 1)
        year_end = _YEAR_END_MS - (self.years - 1 - group // self.engagements) * 365 * _DAY_MS
        created = year_end - (30 + draw % 330) * _DAY_MS - draw % _DAY_MS
        modified = created + mix(draw, 2) % (year_end - created)
        owners = [mix(self.seed, group, owner) % self.people for owner in range(4)]
        user = FIRST_USER_ID + owners[draw % 7 % 4]
        interactive = modified
        if draw % 20 == 0:
            user, interactive = 0, 0
        elif draw % 20 == 1:
            interactive = created + (modified - created) // 2
        name, language = slot_name(slot), language_of_slot(self.seed, slot)
        return PlannedNotebook(index, FIRST_NOTEBOOK_ID + index, name, language, created, modified, interactive, user)


def slot_name(slot: int) -> str:
    """The name of the slot-th notebook of an engagement; a few are as people really call them."""
    if slot % 19 == 11:
        return f"New Notebook {LAST_YEAR}-0{1 + slot % 9}-1{slot % 10} 09:{slot % 60:02d}:{slot // 60 % 60:02d}"
    if slot % 23 == 17:
        return f"Análise & résumé (v{slot})"
    step, thing = _STEPS[slot % len(_STEPS)], _THINGS[slot // len(_STEPS) % len(_THINGS)]
    return f"{slot:02d}_{step}_{thing}"


def _spread(notebooks: int, groups: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    weights = [rng.uniform(0.7, 1.3) for _ in range(groups)]
    total = sum(weights) or 1.0
    starts, seen = [0], 0.0
    for weight in weights:
        seen += weight
        starts.append(round(notebooks * seen / total))
    return starts


def _ascii(name: str) -> str:
    table = str.maketrans("éêëíóøöňáčâãñúü", "eeeioooaacaanuu"[:15])
    return name.lower().translate(table).encode("ascii", "ignore").decode()

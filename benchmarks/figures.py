"""Rows of figures, and what is made of several runs of them: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

# Of memory the worst of all runs counts, not the middle.
_LARGEST = frozenset({"peak_all_mb", "peak_own_mb", "peak_git_mb"})


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario at one size under one set of limits; `figures` by name, in the units that the names end with."""

    scenario: str
    notebooks: int
    limits: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes two rows runs of the same thing."""
        return self.scenario, self.notebooks, self.limits

    def as_json(self) -> dict[str, Any]:
        """The row as results files keep it."""
        kept = {name: round(value, 3) for name, value in self.figures.items()}
        found = {"scenario": self.scenario, "notebooks": self.notebooks, "limits": self.limits, "figures": kept}
        return found | ({"note": self.note} if self.note else {})

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Row:
        """The inverse of `as_json`."""
        return cls(kept["scenario"], kept["notebooks"], kept["limits"], kept["figures"], kept.get("note", ""))


def medians(runs: Iterable[Row]) -> list[Row]:
    """One row for each thing that was run, in the order of its first run: each figure is the median of its runs.

    Peaks are the largest of all runs. Added are ``runs`` and, of several, ``wall_min_s`` and ``wall_max_s``.
    """
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in runs:
        groups.setdefault(row.key, []).append(row)
    return [_middle(group) for group in groups.values()]


def _middle(rows: Sequence[Row]) -> Row:
    names = dict.fromkeys(name for row in rows for name in row.figures)
    figures = {name: _of_runs(name, [row.figures[name] for row in rows if name in row.figures]) for name in names}
    walls = [row.figures["wall_s"] for row in rows if "wall_s" in row.figures]
    figures |= {"runs": len(rows)} | ({"wall_min_s": min(walls), "wall_max_s": max(walls)} if len(walls) > 1 else {})
    first = rows[0]
    return Row(first.scenario, first.notebooks, first.limits, figures, first.note)


def _of_runs(name: str, values: Sequence[float]) -> float:
    return max(values) if name in _LARGEST else median(values)


def ratio(value: float, base: float) -> float:
    """How many times ``base`` a value is; 0 where there is nothing to compare with."""
    return value / base if base else 0.0

"""What a backup of this workspace will cost: requests, time, bytes, and the facts that each figure stands on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, median, stdev
from typing import Any, NamedTuple

DAY_MS = 86_400_000
DAYS = 7
PROJECTED = (70_000, 100_000)
EXPORT_LIMIT = 60.0
"""Exports a second that Azure Databricks is said to allow a workspace; a small sample may be over before it is met."""
FEW = 8
"""A third of fewer than so many is not looked at by itself."""
WORSE_NIGHT = 1.5
"""A listing may take so many times as long as the one that was measured."""


class Range(NamedTuple):
    """From the least to the most that is to be expected."""

    low: float
    high: float

    def times(self, factor: float) -> Range:
        """Both ends multiplied."""
        return Range(self.low * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        """Least and most of both together."""
        return Range(self.low + other.low, self.high + other.high)

    def as_json(self) -> list[float]:
        """Two numbers."""
        return [round(self.low, 1), round(self.high, 1)]


@dataclass(frozen=True, slots=True)
class Census:
    """What a whole listing showed, and how fast: notebooks in scope, folders, the last changes day by day."""

    notebooks: int
    folders: int
    others: int
    unreadable: Sequence[str]
    seconds: float
    changed: Sequence[int]


@dataclass(frozen=True, slots=True)
class Sample:
    """Notebooks that were exported: their sizes, each by itself compressed, and when each was there, in seconds.

    `latency_s` is the median of a few that were asked for one after another.
    """

    sizes: Sequence[int] = ()
    packed: Sequence[int] = ()
    ended_s: Sequence[float] = ()
    latency_s: float = 0.0
    too_large: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """One session's."""

    requests: Range
    seconds: Range
    bytes_exported: Range

    def as_json(self) -> dict[str, list[float]]:
        """Every range as two numbers."""
        return {
            "requests": self.requests.as_json(),
            "seconds": self.seconds.as_json(),
            "bytes_exported": self.bytes_exported.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Outlook:
    """A workspace of so many notebooks: a first session, a daily one, and what the vault takes at most."""

    notebooks: int
    folders: int
    first: Cost
    daily: Cost
    vault_bytes_at_most: int

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "notebooks": self.notebooks,
            "folders": self.folders,
            "first": self.first.as_json(),
            "daily": self.daily.as_json(),
            "vault_bytes_at_most": self.vault_bytes_at_most,
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """The workspace as it is, the same grown to the sizes that are asked for, and the facts behind it."""

    root: str
    census: Census
    sample: Sample
    export_rate: Range
    outlooks: Sequence[Outlook]
    facts: Sequence[str] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """As ``estimate --json`` prints it."""
        census, sample = self.census, self.sample
        return {
            "root": self.root,
            "notebooks": census.notebooks,
            "folders": census.folders,
            "other_objects": census.others,
            "unreadable_folders": list(census.unreadable),
            "sample": {
                "exported": len(sample.sizes),
                "too_large": sample.too_large,
                "failed": sample.failed,
                "bytes_mean": round(mean(sample.sizes)) if sample.sizes else 0,
                "bytes_median": round(median(sample.sizes)) if sample.sizes else 0,
                "bytes_largest": max(sample.sizes, default=0),
            },
            "measured": {
                "listing_s": round(census.seconds, 2),
                "export_latency_s": round(sample.latency_s, 3),
                "exports_per_s": self.export_rate.as_json(),
                "changed_per_day": list(census.changed),
            },
            "estimates": [outlook.as_json() for outlook in self.outlooks],
            "facts": list(self.facts),
        }


def estimate(root: str, census: Census, sample: Sample, *, recheck_days: int, requests_per_second: float) -> Estimate:
    """The estimate from what was seen.

    Args:
        recheck_days: `sync.recheck_days`: every notebook is exported once in so many days.
        requests_per_second: `workspace.requests_per_second`, a ceiling of the user's own; 0 for none.
    """
    rate = export_rate(sample, ceiling=requests_per_second)
    sizes = (census.notebooks, *PROJECTED) if census.notebooks else (0,)
    outlooks = [
        _outlook(census, sample, rate, grown=size / census.notebooks if census.notebooks else 1.0, days=recheck_days)
        for size in sizes
    ]
    facts = tuple(_facts(census, sample, rate, days=recheck_days, ceiling=requests_per_second))
    return Estimate(root, census, sample, rate, outlooks, facts)


def export_rate(sample: Sample, *, ceiling: float) -> Range:
    """Exports a second: the slowest and the fastest third of the sample, its first quarter left out, while it warms up.

    The slow end is never above the limit that the workspace is said to have. A sample too small for thirds gives the
    rate of one export after another as the slow end, and its rate as a whole as the fast one.
    """
    ended = sorted(sample.ended_s)[len(sample.ended_s) // 4 :]
    third = len(ended) // 3
    if third < FEW:
        rates = [1 / max(sample.latency_s, 1e-3), _rate(sorted(sample.ended_s))]
    else:
        parts = (ended[: third + 1], ended[third : 2 * third + 1], ended[2 * third :])
        rates = [_rate(part) for part in parts]
    known = [rate for rate in rates if rate] or [1.0]
    most = ceiling or float("inf")
    high = min(max(known), most)
    return Range(min(*known, EXPORT_LIMIT, high), high)


def _rate(ended_s: Sequence[float]) -> float:
    """How many came a second after the first of them; 0 where that says nothing."""
    span = ended_s[-1] - ended_s[0] if ended_s else 0.0
    return (len(ended_s) - 1) / span if span > 0 else 0.0


def _outlook(census: Census, sample: Sample, rate: Range, *, grown: float, days: int) -> Outlook:
    notebooks, folders = round(census.notebooks * grown), round(census.folders * grown)
    listing = Range(census.seconds * grown, census.seconds * grown * WORSE_NIGHT)
    changed = Range(min(census.changed, default=0), max(census.changed, default=0)).times(grown)
    every = Range(notebooks, notebooks)
    tonight = changed.plus(Range(notebooks / days, notebooks / days))
    tonight = Range(min(tonight.low, notebooks), min(tonight.high, notebooks))
    size = _mean_size(sample.sizes)
    return Outlook(
        notebooks=notebooks,
        folders=folders,
        first=_cost(folders, every, listing, rate, size),
        daily=_cost(folders, tonight, listing, rate, size),
        vault_bytes_at_most=round(_mean_size(sample.packed).high * notebooks),
    )


def _cost(folders: int, exports: Range, listing: Range, rate: Range, size: Range) -> Cost:
    # Exports go on while folders are still listed: together they take no less than the longer of both.
    alone = Range(exports.low / rate.high, exports.high / rate.low)
    seconds = Range(max(listing.low, alone.low), listing.high + alone.high)
    return Cost(exports.plus(Range(folders, folders)), seconds, Range(exports.low * size.low, exports.high * size.high))


def _mean_size(sizes: Sequence[int]) -> Range:
    """The mean with twice its standard error to either side."""
    if len(sizes) < 2:
        return Range(sum(sizes), sum(sizes))
    error = 2 * stdev(sizes) / len(sizes) ** 0.5
    return Range(max(mean(sizes) - error, 0.0), mean(sizes) + error)


def _facts(census: Census, sample: Sample, rate: Range, *, days: int, ceiling: float) -> list[str]:
    least, most = min(census.changed, default=0), max(census.changed, default=0)
    alone_ms = sample.latency_s * 1000
    told = [
        f"{census.folders:,} folders were listed in {census.seconds:.1f} s; it may take {WORSE_NIGHT} times that.",
        f"{len(sample.sizes):,} notebooks, drawn by lot, were exported; one alone took {alone_ms:.0f} ms.",
        f"Reckoned with {rate.low:.1f} to {rate.high:.1f} exports a second: as seen, once many were under way, and at "
        f"the slow end no more than {EXPORT_LIMIT:.0f}, which Azure Databricks is said to allow.",
        "Sizes: the sample's mean, with twice its standard error to either side.",
        f"A day's changes: {least:,} to {most:,} notebooks, by when each was changed last, on the last "
        f"{len(census.changed)} days; one in {days} is compared besides (sync.recheck_days).",
        "The vault: every notebook compressed by itself; git, which stores like texts as differences, takes less.",
        "Other sizes have as many folders, changes and bytes a notebook as this workspace.",
        "Not in it: git's own work (seconds to a few minutes, docs/benchmarks.md), and a workspace busy with others.",
    ]
    if ceiling:
        told.append(f"workspace.requests_per_second = {ceiling:g} is kept to.")
    if sample.too_large:
        told.append(f"{sample.too_large:,} of the sample are too large to be exported.")
    if sample.failed:
        told.append(f"{sample.failed:,} of the sample could not be exported.")
    if census.unreadable:
        told.append(f"{len(census.unreadable):,} folders could not be read: what is in them is not counted.")
    return told

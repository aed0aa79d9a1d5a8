"""`nbvault search TEXT`: where a text stands, as of a moment or in every version."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nbvault.cli import output
from nbvault.cli.options import config_option, json_option, load
from nbvault.cli.output import number, shown
from nbvault.clock import SystemClock
from nbvault.errors import ConfigurationError

if TYPE_CHECKING:
    from nbvault.recovery.search import Match, Sighting

SHOWN_CHARACTERS = 300
_TOLD_EVERY_S = 5.0


@click.command("search")
@click.argument("text")
@click.option("--path", "place", metavar="GLOB", default="", help="Only in these: a notebook, a folder or a glob.")
@click.option(
    "--at", metavar="TIME|COMMIT", help="As of the last backup that had begun by then; otherwise of the last."
)
@click.option("--all-versions", is_flag=True, help="In every version that any notebook ever had.")
@click.option("--regex", is_flag=True, help="The text is a regular expression of Python's.")
@click.option("--ignore-case", is_flag=True, help="Capitals do not matter.")
@config_option
@json_option
def command(
    *, text: str, place: str, at: str | None, all_versions: bool, regex: bool, ignore_case: bool, as_json: bool
) -> int:
    """Where a text stands in the notebooks of the vault: path, cell, line.

    With --all-versions each line tells from when until when it was there, the newest versions first; it ends with 3 if
    an earlier epoch of the vault could not be read.
    """
    from nbvault.opening import read_vault
    from nbvault.recovery.needle import Needle
    from nbvault.recovery.search import search, search_all

    if at is not None and (all_versions or not at.strip()):
        raise ConfigurationError("--at needs a time or a commit, and does not go with --all-versions.")
    needle = Needle.of(text, regex=regex, ignore_case=ignore_case)
    with read_vault(load(), warn=output.note, want_tree=False) as vault:
        progress = _Progress("version" if all_versions else "notebook")
        if all_versions:
            found: Iterable[Match] = search_all(vault, needle, place=place, progress=progress)
        else:
            found = search(vault, needle, place=place, at=at or "", progress=progress)
        with output.unless_nobody_reads():
            _tell(found, progress, as_json=as_json, everywhere=all_versions)
        return 3 if vault.past.gaps else 0


class _Progress:
    """Says on stderr, now and then, how far a search is."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._clock = SystemClock()
        self._told_at = self._clock.monotonic()
        self.done = 0

    def __call__(self, done: int) -> None:
        self.done = done
        if self._clock.monotonic() - self._told_at >= _TOLD_EVERY_S:
            self._told_at = self._clock.monotonic()
            output.note(f"{self.words} searched so far")

    @property
    def words(self) -> str:
        return number(self.done, self._noun)


def _tell(found: Iterable[Match], progress: _Progress, *, as_json: bool, everywhere: bool) -> None:
    if as_json:
        output.emit([match.as_json() for match in found])
        return
    count, where = 0, set()
    for match in found:
        output.say(_in_words(match))
        count += 1
        where.add(match.path)
        # Whoever reads a pipe sees each match when it is found.
        sys.stdout.flush()
    # Of one moment git looks into most notebooks, and only those are read that it names.
    place = f"{progress.words} searched" if everywhere else number(len(where), "notebook")
    output.note(f"{number(count, 'matching line')} in {place}.")


def _in_words(match: Match) -> str:
    from nbvault.notebook.show import harmless

    hit = match.hit
    place = f"cell {hit.cell}, " if hit.cell else ""
    place += f"line {hit.line}" if hit.line else "title or output"
    text = hit.text.strip()
    cut = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    lived = f"  [{_told(match.since)} to {_told(match.until) or 'now'}]" if match.since else ""
    return f"{shown(match.path)}, {place}{lived}: {harmless(cut)}"


def _told(sighting: Sighting | None) -> str:
    return f"{sighting.at:%Y-%m-%d %H:%M} {sighting.commit[:12]}" if sighting else ""

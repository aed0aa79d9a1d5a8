"""A year of nights: python benchmarks/growth.py --notebooks 2000 --days 365

Every day some people edit, create, move and delete notebooks in the emulator, and a real session backs them up, under a
clock that goes on by a day. After each session the local repository is kept up as in production; a second one, which
shares its packs, is not. Writes docs/growth.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from nbvault import wiring
from nbvault.administration import look_at
from nbvault.backup.surroundings import SyncOptions
from nbvault.backup.survey import Survey
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.reader import ls_tree
from nbvault.gitstore.repack import merge_packs
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import sizes
from nbvault.model import SessionReport
from nbvault.settings import Settings, load_settings
from nbvault_emulator.testing import Emulator

PAGE = Path(__file__).resolve().parent.parent / "docs" / "growth.md"
SHOWN = (1, 8, 31, 91, 181, 366)
COPIES = 30


@dataclass
class Calendar:
    """A clock of which a day passes when it is told."""

    day: int = 0
    start: datetime = datetime(2026, 1, 1, 2, 0, tzinfo=timezone.utc)

    def now(self) -> datetime:
        return self.start + timedelta(days=self.day, seconds=time.monotonic() % 3600)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class Quiet:
    """A screen that shows nothing."""

    def began(self, session: str, started_at: datetime) -> None:
        pass

    def watch(self, survey: Survey) -> None:
        pass

    def stage(self, text: str) -> None:
        pass


@dataclass
class Team:
    """People at work: what each notebook says now, and what they do in a day."""

    emulator: Emulator
    chooser: random.Random
    texts: dict[str, str] = field(default_factory=dict)
    made: int = 0

    def begin(self) -> None:
        self.texts = {entry["path"]: entry["content"] for entry in self.emulator.world(content=True)}

    def work(self, day: int) -> None:
        """Five in a hundred edited in some line; per 70,000 notebooks 33 made, 40 moved and 40 deleted."""
        paths = sorted(self.texts)
        few = max(round(len(paths) * 40 / 70_000), 1)
        chosen = self.chooser.sample(paths, len(paths) // 20 + 2 * few)
        operations: list[dict[str, Any]] = []
        for path in chosen[2 * few :]:
            lines = self.texts[path].splitlines(keepends=True)
            lines.insert(self.chooser.randrange(1, len(lines) + 1), f"threshold = {self.chooser.random()}  # {day}\n")
            self.texts[path] = "".join(lines)
            editor = f"person{zlib.crc32(path.encode()) % 20}@example.com"
            operations.append({"op": "edit", "path": path, "content": self.texts[path], "editor": editor})
        for path in chosen[:few]:
            self.texts[f"{path}_{day}"] = self.texts.pop(path)
            operations.append({"op": "move", "from": path, "to": f"{path}_{day}"})
        for path in chosen[few : 2 * few]:
            text = self.texts.pop(path)
            operations.append({"op": "delete", "path": path})
            new = f"{path.rpartition('/')[0]}/new_{day}_{self.made}"
            self.made += 1
            self.texts[new] = text
            operations.append({"op": "create", "path": new, "content": text})
        self.emulator.batch(operations)

    def copies(self) -> tuple[int, int]:
        """What a full copy of this day takes: as it is, and each file compressed."""
        found = [text.encode() for text in self.texts.values()]
        return sum(map(len, found)), sum(len(zlib.compress(data)) for data in found)


@dataclass(frozen=True, slots=True)
class Day:
    """The repositories after the session of a day."""

    day: int
    saved: int
    sync_cpu_s: float
    upkeep_s: float
    kept: Any
    unkept: Any
    total_objects: int
    total_bytes: int
    copy_bytes: int
    copy_zipped: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", type=int, default=2000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--no-page", action="store_true", help="print only, leave docs/growth.md alone")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="nbvault-growth-"))
    try:
        text = measured(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if not options.no_page:
        PAGE.write_text(text, encoding="utf-8")


def measured(folder: Path, options: argparse.Namespace) -> str:
    # The upkeep is ours here, so that it can be timed, and its counterpart spared.
    wiring.REPACK_ABOVE_PACKS, above = 10**9, wiring.REPACK_ABOVE_PACKS
    engagements = max(options.notebooks // 235, 1)
    with Emulator(notebooks=options.notebooks, years=5, engagements=engagements, in_process=False) as emulator:
        settings, clock = configured(folder, emulator), Calendar()
        team = Team(emulator, random.Random(1))
        team.begin()
        days = list(year(settings, clock, team, above=above, days=options.days))
        health = look_at(settings, clock=clock)
        kept, unkept = Git(folder / "vault.git", os.environ), Git(folder / "unkept.git", os.environ)
        reading = [read_s(git) for git in (kept, unkept)]
        server = emulator.git_dir / "vault.git"
        counted = int(output(server, "rev-list", "--objects", "--count", "--all", "--not", "nbvault/lease"))
        subprocess.run(["git", "-C", str(server), "repack", "-adq"], check=True)
        served = sizes(Git(server, os.environ))
    return page(days, options, reading=reading, served=served, counted=counted, forecast=health.growth)


def configured(folder: Path, emulator: Emulator) -> Settings:
    variables = {
        "NBVAULT_WORKSPACE__HOST": emulator.workspace_url,
        "NBVAULT_WORKSPACE__TOKEN": "env:GROWTH_TOKEN",
        "NBVAULT_VAULT__REMOTE": str(emulator.git_dir / "vault.git"),
        "GROWTH_TOKEN": emulator.workspace_token,
    }
    return load_settings(environment={**os.environ, **variables}, cwd=folder)


def year(settings: Settings, clock: Calendar, team: Team, *, above: int, days: int) -> Iterator[Day]:
    """A session a night; the first one has all to do."""
    merged: set[str] = set()
    for day in range(1, days + 2):
        before = cpu_s()
        report = wiring.run_sync(settings, SyncOptions(), Quiet(), clock=clock)
        spent = cpu_s() - before
        if report.status.value != "complete" or report.growth is None or not report.growth.exact:
            raise SystemExit(f"Day {day} ended as {report.status.value}: {report.error or report.notes}")
        yield after(settings, report, team, merged, day=day, cpu=spent, above=above)
        if day % 30 == 0:
            print(f"day {day}: {report.growth}", file=sys.stderr)
        clock.day += 1
        team.work(day)


def after(
    settings: Settings, report: SessionReport, team: Team, merged: set[str], *, day: int, cpu: float, above: int
) -> Day:
    """Keep the one repository up, share its packs with the other, and look at both."""
    git = Git(settings.vault.path, os.environ)
    unkept = Git(share(settings.vault.path, merged), os.environ)
    begun = time.monotonic()
    # As in production: not in the session that made the repository.
    if day > 1:
        merge_packs(git, above=above)
    took = time.monotonic() - begun
    merged |= {file.stem for file in (git.repo / "objects" / "pack").iterdir()}
    assert report.growth is not None
    total = report.growth
    copy = team.copies() if day in SHOWN or day <= COPIES else (0, 0)
    return Day(
        day,
        report.counts.saved,
        cpu,
        took,
        sizes(git),
        sizes(unkept),
        total.total_objects,
        total.total_pack_bytes,
        *copy,
    )


def share(repository: Path, merged: set[str]) -> Path:
    """The other repository: the same branches, and every pack that a session made."""
    other = repository.with_name("unkept.git")
    packs = other / "objects" / "pack"
    if not other.exists():
        shutil.copytree(repository, other, symlinks=True, ignore=shutil.ignore_patterns("pack", "??"))
        packs.mkdir(parents=True)
    for file in (repository / "objects" / "pack").iterdir():
        if file.stem not in merged and not (packs / file.name).exists():
            os.link(file, packs / file.name)
    # fast-import leaves a commit that stands alone, as a conclusion does, as a loose object.
    for loose in (repository / "objects").glob("[0-9a-f][0-9a-f]"):
        shutil.copytree(loose, other / "objects" / loose.name, dirs_exist_ok=True)
    shutil.copytree(repository / "refs", other / "refs", dirs_exist_ok=True)
    return other


HEAD = ("after", "packs", "without upkeep", "MB", "without upkeep", "objects", "saved in all", "sync CPU s", "upkeep s")


def row(days: list[Day], day: int) -> str:
    at, until = days[day - 1], days[:day]
    recent = [each.sync_cpu_s for each in until[-30:]] if day > 1 else [at.sync_cpu_s]
    cells = [
        "the first sync" if day == 1 else f"{day - 1} days",
        f"{at.kept.packs}",
        f"{at.unkept.packs}",
        f"{at.kept.pack_bytes / 1e6:.1f}",
        f"{at.unkept.pack_bytes / 1e6:.1f}",
        f"{at.total_objects:,}",
        f"{sum(each.saved for each in until):,}",
        f"{sum(recent) / len(recent):.2f}",
        f"{max(each.upkeep_s for each in until):.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def page(
    days: list[Day], options: argparse.Namespace, *, reading: list[float], served: Any, counted: int, forecast: Any
) -> str:
    shown = [day for day in SHOWN if day <= len(days)]
    shown += [len(days)] if len(days) not in shown else []
    table = "\n".join(["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD), *(row(days, day) for day in shown)])
    copies = min(COPIES, len(days))
    held = days[copies - 1].unkept.pack_bytes
    raw, zipped = (sum(getattr(day, name) for day in days[:copies]) for name in ("copy_bytes", "copy_zipped"))
    last, upkeep = days[-1], [day.upkeep_s for day in days[1:]]
    merges = [spent for spent in upkeep if spent > 0.1]
    facts = [
        f"Storage: {copies} daily full copies take {raw / 1e6:,.0f} MB, or {zipped / 1e6:,.0f} MB with each file"
        f" compressed. The vault holds these {copies} days in {held / 1e6:,.1f} MB: {held / raw:.1%} of the copies,"
        f" {held / zipped:.0%} of the compressed ones. Half was asked for.",
        f"Upkeep had work in {len(merges)} of {len(upkeep)} sessions: {sum(merges):.1f} s in all,"
        f" {max(merges, default=0):.1f} s at most.",
        f"Reading every notebook of the last state takes {reading[0]:.2f} CPU s with upkeep, {reading[1]:.2f} without.",
        f"The sessions counted {last.total_objects:,} objects; the remote, asked afterwards, has {counted:,}, the last"
        " session's own record among them.",
        f"The sum of bytes that the sessions recorded, as they pushed them, is {last.total_bytes / 1e6:.1f} MB; the"
        f" remote's repository, repacked once by `git repack -ad`, is {served.pack_bytes / 1e6:.1f} MB.",
        f"`status` at the end: {forecast.size.a_day / 1e6:.2f} MB and {forecast.objects.a_day:,.0f} objects a day,"
        f" from {forecast.basis}.",
    ]
    listed = "\n".join(f"- {fact}" for fact in facts)
    git = output(Path.cwd(), "--version")
    return f"""# Growth

Written by `benchmarks/growth.py --notebooks {options.notebooks} --days {options.days}`: {len(days)} real sessions, a
day apart by a clock of its own, between each two of which five in a hundred notebooks get a line more, and some are
made, moved and deleted. {os.cpu_count()} cores, Python {platform.python_version()}, {git}, load
{os.getloadavg()[2]:.1f}: believe CPU seconds, counts and ratios rather than wall times. *Sync CPU* is the mean of the
last thirty sessions, git included; *upkeep* the wall time of the longest one so far.

{table}

{listed}
"""


def cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def read_s(git: Git) -> float:
    """CPU seconds for reading every notebook of the last state."""
    before = cpu_s()
    entries = sorted(ls_tree(git, "refs/heads/main"), key=lambda entry: entry.path.rpartition("/")[2])
    assert sum(1 for _ in BlobReader(git).read([entry.oid for entry in entries])) == len(entries)
    return cpu_s() - before


def output(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()

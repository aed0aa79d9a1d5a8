"""What a change report over a long history costs: python -m benchmarks.reports --notebooks 70000 --sessions 400

Backs a generated workspace up once, then writes the sessions of a year into the vault as nbvault writes them (five
people a session, some renames), and reads them with `nbvault changes` in every form, from the day to the whole history.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.harness import Machine, arguments, carry_out, emulator, workshop
from nbvault.gitstore.conclude import DAILY
from nbvault.gitstore.meta import BRANCH, MetaDraft
from nbvault.gitstore.remote import PushRef
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.model import NBVAULT, FileChange, Person, Rename
from nbvault.opening import opened_vault
from nbvault.paths import extension_of
from nbvault.settings import load_settings

PEOPLE = [Person(f"person {number}", f"person.{number}@clients.example") for number in range(50)]
A_DAY = 5
MOVED = 5


def main() -> None:
    """Measure what the command line asks for, or age the vault of a configuration."""
    parser = arguments(__doc__)
    parser.add_argument("--sessions", type=int, default=400, help="sessions of history")
    parser.add_argument("--changes", type=int, default=500, help="notebooks changed in each of them")
    parser.add_argument("--people", type=int, default=A_DAY, help="people who change something in each of them")
    parser.add_argument("--age", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.age:
        age(options.age, options.sessions, options.changes, options.people)
        return
    carry_out("reports", f"reports-{options.notebooks}", options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Reports of a day, of a month, and of everything, with and without cells."""
    with workshop() as folder, emulator(options.notebooks) as running:
        machine = Machine(folder / "a", running)
        machine.nbvault("sync")
        sizes = (
            "--sessions",
            str(options.sessions),
            "--changes",
            str(options.changes),
            "--people",
            str(options.people),
        )
        machine.run([sys.executable, "-m", "benchmarks.reports", "--age", str(machine.config), *sizes])
        now, last = datetime.now(timezone.utc), options.sessions
        day, month = (f"{now + timedelta(days=days):%Y-%m-%d}" for days in (last, max(last - 30, 0)))
        reports = {
            "a day, HTML": ("--since", day, "--output", "a.html"),
            "a day, CSV": ("--since", day, "--output", "a.csv"),
            "a month, CSV, no cells": ("--since", month, "--details", "0", "--output", "a.csv"),
            "everything, CSV, no cells": ("--details", "0", "--output", "a.csv"),
            "everything, JSON": ("--output", "a.json"),
            "everything, HTML": ("--output", "a.html"),
            "one person, compliance": ("--author", PEOPLE[0].email, "--compliance", "--output", "a.json"),
        }
        for scenario, command in reports.items():
            cost = machine.nbvault("changes", *command)
            size = (machine.folder / command[-1]).stat().st_size
            figures = {**cost.figures(), "file_mb": size / 1e6, "sessions": options.sessions}
            yield Row(scenario, options.notebooks, figures=figures)


def age(config: Path, sessions: int, changes: int, people: int) -> None:
    """Sessions, a day apart from tomorrow on, in the very form in which nbvault writes them."""
    with opened_vault(load_settings(config), writing=True) as vault:
        vault.refresh()
        chance = random.Random(sessions)
        past = Past(vault, chance, people=people)
        for number in range(sessions):
            past.session(datetime.now(timezone.utc) + timedelta(days=number + 1), changes)
        past.end()
        vault.remote.push([PushRef(past.meta, BRANCH), PushRef(past.content, DAILY)])


class Past:
    """Sessions in the very form in which nbvault writes them, made without a workspace."""

    def __init__(self, vault: Vault, chance: random.Random, *, people: int = A_DAY) -> None:
        self._vault = vault
        self._people = people
        self._chance = chance
        self._rows = list(vault.meta.rows.values())
        self._data = list(dict(vault.blobs.read(list({*vault.blob_at.values()})[:500])).values())
        self._open = FastImport(vault.git)
        self.stream = self._open.__enter__()
        self._renames: list[Rename] = []
        self._blobs = {row.repo_path: vault.blob_at[row.repo_path] for row in self._rows}
        self._at = datetime.now(timezone.utc)
        self.content = vault.meta.content
        self.meta = ""

    def session(self, at: datetime, changes: int) -> list[FileChange]:
        """One session, with its commits on the content branch; returns what changed."""
        name, self._at = f"{at:%Y%m%dT%H%M%SZ}-bench0", at
        chosen = self._chance.sample(range(len(self._rows)), changes)
        share = max(changes // self._people, 1)
        found: list[FileChange] = []
        for number, person in enumerate(self._chance.sample(PEOPLE, self._people)):
            mine = chosen[number * share : (number + 1) * share]
            done = [change for place in mine for change in self._change(place, name)]
            self._commit(person, name, done)
            found += done
        return found

    def _change(self, place: int, session: str) -> list[FileChange]:
        row = self._rows[place]
        if self._chance.random() < MOVED / 500:
            extension = extension_of(row.repo_path)
            new = replace_path(row.repo_path, f" {session[:8]}{place}{extension}", extension)
            path = f"{row.path} {session[:8]}{place}"
            self._renames.append(Rename(row.object_id, session, row.path, path, row.repo_path, new, row.since))
            self._rows[place] = row._replace(path=path, repo_path=new, since=session)
            self._blobs[new] = self._blobs.pop(row.repo_path)
            return [FileChange(row.repo_path), FileChange(new, self._blobs[new])]
        data = self._chance.choice(self._data) + f"\n# COMMAND ----------\n\n# {session} {place}\n".encode()
        self._blobs[row.repo_path] = self.stream.blob(data, row.repo_path)
        return [FileChange(row.repo_path, self._blobs[row.repo_path])]

    def _commit(self, person: Person, session: str, changes: list[FileChange]) -> None:
        self.content = self.stream.commit(
            DAILY,
            parents=[self.content],
            author=person,
            committer=NBVAULT,
            authored_at=self._at,
            committed_at=self._at,
            message=f"Backup: changes by {person.name}\n\nNbvault-Session: {session}\n",
            changes=changes,
        )

    def end(self) -> None:
        """Write the inventory as it is now; the commits are in the repository then."""
        self.written()
        with FastImport(self._vault.git) as stream:
            mark = self.ended(self._at).commit(
                stream, content=self.content, kind="end", blobs=self._vault.blobs, sha_of=stream.sha_of
            )
            self.meta = stream.sha_of(mark)

    def written(self) -> None:
        """The content commits get their names."""
        self.content = self.stream.sha_of(self.content)
        self._open.__exit__(None, None, None)

    def ended(self, at: datetime) -> MetaDraft:
        """The meta commit that says where everything is after the last session."""
        meta = self._vault.meta
        meta.apply(self._rows, ())
        draft = MetaDraft(meta, session=f"{at:%Y%m%dT%H%M%SZ}-bench0", at=at)
        draft.inventory(self._rows, (), self._renames)
        return draft


def replace_path(path: str, end: str, extension: str) -> str:
    """A path with another end of its name."""
    return path.removesuffix(extension) + end


if __name__ == "__main__":
    main()

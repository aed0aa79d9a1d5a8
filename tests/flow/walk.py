"""A random walk: people, faults and accidents happen to a workspace and its vault, and what must hold all the same."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow.odd_world import Crowd
from flow.places import (
    OWN_FILES,
    ROOT,
    File,
    Machine,
    World,
    blobs_of,
    check_health,
    check_sums,
    described_content,
    difference,
    expected_files,
    git,
    inventory_ids,
    notebooks_in,
    refs_of,
    server_of,
    session_records,
    tree_of,
    world_of,
)
from nbvault.model import SessionReport, State, Status
from nbvault_emulator.testing import Emulator

EXIT_CODES = {
    Status.COMPLETE: {0},
    Status.PARTIAL: {3, 4},
    Status.INTERRUPTED: {9},
    Status.FAILED: {1, 5, 6, 7},
}
PEOPLE_FOLDER = "people of the team/"


@dataclass
class Walk:
    """One walk. `story` is what happened, for who must understand a failure; `dark` what faults hide or break.

    A `thorough` one also lets git check the local repository after each session.
    """

    emulator: Emulator
    machine: Machine
    seed: int
    thorough: bool = False
    story: list[str] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    foreign: dict[str, bytes] = field(default_factory=dict)
    sessions: int = 0
    statuses: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.crowd = Crowd(set(), seed=self.seed)
        self.shown: dict[int, str] = {}
        self._look()

    def run(self, steps: int) -> None:
        """So many steps, a sync after every few, and a calm end."""
        self.sync()
        for number in range(steps):
            kind = self.draw.choices(list(STEPS), list(STEPS.values()))[0]
            self.story.append(f"{number}: {kind}")
            getattr(self, f"_{kind}")()
            if self.draw.random() < 0.5:
                self.sync()
        self.end()

    def end(self) -> None:
        """All faults are cleared: what was held is let through, and then the vault is the workspace."""
        self._calm()
        report = self.sync()
        if report.exit_code == 4:
            report = self.sync(accept_deletions="last")
        if report.exit_code == 3:
            # Folders that hid while their notebooks were judged may need a second look.
            report = self.sync()
        assert report.exit_code == 0, self.told(report)
        self._check_equal(world_of(self.emulator), set(), report)
        assert self.sync().commits == 0
        check_health(server_of(self.emulator))

    def told(self, *more: object) -> str:
        """The story so far, and how to hear it again."""
        return "\n".join([f"NBVAULT_TEST_SEED={self.seed}", *self.story[-25:], *map(str, more)])

    # --- a session and what must hold after it -----------------------------------------------------------------------

    def sync(self, **options: Any) -> SessionReport:
        """One session, and every invariant after it."""
        before, main = world_of(self.emulator), self._main()
        rows = self._rows()
        report = self.machine.sync(**options)
        self.sessions += 1
        self.statuses[report.status.value] = self.statuses.get(report.status.value, 0) + 1
        self.story.append(f"  sync {options or ''}: {report.status.value} {report.exit_code} {report.counts}")
        self.story.append(f"  {report.error} {report.notes}")
        after = world_of(self.emulator)
        touched = {number for number in before.keys() | after.keys() if before.get(number) != after.get(number)}
        self._check_words(report, main)
        if report.status in (Status.COMPLETE, Status.PARTIAL):
            self._check_equal(after, touched, report)
        self._check_nothing_lost(rows, after, touched)
        if self.thorough:
            check_health(self.machine.vault, self.told)
        self._look()
        return report

    def _check_words(self, report: SessionReport, main: str) -> None:
        assert report.exit_code in EXIT_CODES[report.status], self.told()
        assert (report.exit_code == 4) == (report.counts.held_deletions > 0), self.told()
        check_sums(report)
        if report.status in (Status.COMPLETE, Status.PARTIAL):
            assert report.pushed, self.told()
            assert report.head == self._main(), self.told()
            record = session_records(server_of(self.emulator))[report.session]
            assert record["status"] == report.status.value, self.told(record)
            tagged = refs_of(server_of(self.emulator)).get(f"refs/tags/{report.tag}")
            assert report.tag is None or tagged == report.head != main, self.told(main)
        elif report.status is Status.FAILED:
            assert report.error, self.told()
            assert report.counts.saved == 0, self.told()

    def _check_equal(self, world: World, touched: set[int], report: SessionReport) -> None:
        """Every notebook that could be read is in the tree as it is; where all could, nothing else is."""
        there = set(self._files())
        failed = {problem.path for problem in report.problems if problem.state is State.FAILED}
        bright = {
            number: seen
            for number, seen in world.items()
            if number not in touched and not self._is_dark(seen.path) and seen.path not in failed
        }
        wanted = set(expected_files(bright))
        assert wanted <= there, self.told(difference(there, wanted))
        if report.status is Status.COMPLETE and not touched and not any(self._is_dark(s.path) for s in world.values()):
            assert there == wanted, self.told(difference(there, wanted))
        tree = tree_of(server_of(self.emulator))
        kept = {path: tree.get(path) for path in self.foreign}
        blobs = blobs_of(server_of(self.emulator), filter(None, kept.values()))
        assert {path: blobs.get(oid or "") for path, oid in kept.items()} == self.foreign, self.told()

    def _check_nothing_lost(self, before: set[int], world: World, touched: set[int]) -> None:
        """Who had a row and is in the workspace has one still, unless it went where nobody can look."""
        lost = (before - self._rows()) & world.keys()
        lost -= {number for number in lost if number in touched or self._is_dark(world[number].path)}
        assert not lost, self.told([world[number] for number in lost])
        content = described_content(server_of(self.emulator))
        files = tree_of(server_of(self.emulator), content).keys() - OWN_FILES if content else set()
        assert len(files) >= len(self._rows()), self.told()

    def _files(self) -> list[File]:
        return notebooks_in(server_of(self.emulator), ignored=self.foreign.keys())

    def _rows(self) -> set[int]:
        tip = refs_of(server_of(self.emulator)).get("refs/heads/nbvault/meta")
        return inventory_ids(server_of(self.emulator), tip) if tip else set()

    def _main(self) -> str:
        return refs_of(server_of(self.emulator)).get("refs/heads/main", "")

    def _is_dark(self, path: str) -> bool:
        return any(path == hidden or path.startswith(hidden + "/") for hidden in self.dark)

    def _look(self) -> None:
        everything = self.emulator.world(ROOT, everything=True)
        notebooks = {each["path"] for each in everything if each["object_type"] == "NOTEBOOK"}
        self.crowd.see(notebooks, {each["path"] for each in everything if each["object_type"] == "DIRECTORY"})

    # --- what may happen ---------------------------------------------------------------------------------------------

    def _people(self) -> None:
        operations = self.crowd.operations(self.draw.randrange(1, 12), deletions=5)
        self.story.append(f"  {[(each['op'], each.get('path', each.get('from'))) for each in operations]}")
        self.emulator.batch(operations)

    def _remove_folder(self) -> None:
        folder = self.draw.choice(sorted(self.crowd.folders))
        self.story.append(f"  {folder}")
        self.emulator.delete(folder)
        self._look()

    def _put(self, *faults: dict[str, Any], dark: tuple[str, ...] = ()) -> None:
        self.faults += faults
        self.dark += dark
        self.story.append(f"  {faults}")
        self.emulator.faults(*self.faults)

    def _calm(self) -> None:
        self.faults, self.dark = [], []
        self.emulator.faults()

    def _literal(self, paths: set[str]) -> str:
        """One of these paths that is no pattern: a fault meets every path that its own matches."""
        return self.draw.choice(sorted(path for path in paths if not {"*", "?"} & set(path)) or [f"{ROOT}/nowhere"])

    def _hole(self) -> None:
        folder = self._literal(self.crowd.folders)
        self._put({"kind": "hole", "path": folder, "admin": self.draw.random() < 0.3}, dark=(folder,))

    def _unreadable(self) -> None:
        folder = self._literal(self.crowd.folders)
        kind = self.draw.choice(LIST_FAULTS)
        self._put({**kind, "match": {"endpoint": "list", "path": folder}}, dark=(folder,))

    def _stubborn(self) -> None:
        path = self._literal(self.crowd.notebooks)
        kind = self.draw.choice(EXPORT_FAULTS)
        self._put({**kind, "match": {"endpoint": "export", "path": path}}, dark=(path,))

    def _flaky(self) -> None:
        kind = self.draw.choice(
            [{"kind": "status", "status": 503}, {"kind": "drop"}, {"kind": "status", "status": 429}]
        )
        self._put({**kind, "match": {"endpoint": ["list", "export"], "probability": 0.05}})

    def _motion(self) -> None:
        """Something moves, vanishes or appears in the middle of the next scan."""
        for _ in range(self.draw.randrange(1, 4)):
            operations = self.crowd.operations(self.draw.randrange(1, 4), deletions=2)
            match = {"endpoint": self.draw.choice(["list", "export"]), "nth": self.draw.randrange(1, 40)}
            when = self.draw.choice(["before", "after"])
            self._put({"kind": "do", "do": operations, "when": when, "match": match})
            # Nothing of it has happened yet.
            self._look()

    def _refused(self) -> None:
        refs = self.draw.choice(["refs/heads/main", "refs/heads/*", "refs/heads/nbvault/meta", "refs/tags/*"])
        self._put({"kind": "push-rejected", "refs": refs, "match": {"times": self.draw.randrange(1, 4)}})

    def _overtaken(self) -> None:
        branch = self.draw.choice(["main", "backup/daily"])
        if not self._main():
            return
        path = f"{PEOPLE_FOLDER}{self.draw.randrange(10**6)}.md"
        if branch == "main":
            # Once, at a push that surely comes: the lease is taken with one.
            self.foreign[path] = b"A person was here.\n"
        fault = {"kind": "remote-moved", "branch": branch, "path": path, "match": {"nth": [1], "times": 1}}
        self._put(fault)
        self.sync()
        self.faults.remove(fault)
        self.emulator.faults(*self.faults)

    def _commit_by_hand(self) -> None:
        """A person commits to main or backup/daily: their own file, or a change or removal of ours."""
        branch = self.draw.choice(["main", "main", "backup/daily"])
        if f"refs/heads/{branch}" not in refs_of(server_of(self.emulator)):
            return
        managed = sorted(tree_of(server_of(self.emulator), branch).keys() - OWN_FILES - self.foreign.keys())
        kind = self.draw.choice(["own", "change", "remove"])
        path = self.draw.choice(managed) if managed and kind != "own" else f"{PEOPLE_FOLDER}{self.draw.random()}.md"
        self.story.append(f"  {kind} {path} on {branch}")
        data = f"by hand {self.draw.random()}\n".encode()
        if path.startswith(PEOPLE_FOLDER) and branch == "main":
            self.foreign[path] = data
        commit_by_hand(server_of(self.emulator), branch, path, None if kind == "remove" else data)

    def _kill(self) -> None:
        process = self.machine.spawn()
        try:
            process.wait(timeout=0.4 + 1.2 * self.draw.random())
        except subprocess.TimeoutExpired:
            process.kill()
        self.story.append(f"  {process.communicate()[0]}")

    def _lose_state(self) -> None:
        self.machine.forget_state()

    def _lose_repository(self) -> None:
        self.machine.forget_vault()


STEPS = {
    "people": 10,
    "remove_folder": 1,
    "hole": 1,
    "unreadable": 2,
    "stubborn": 2,
    "flaky": 1,
    "motion": 3,
    "refused": 1,
    "overtaken": 1,
    "commit_by_hand": 2,
    "kill": 2,
    "lose_state": 1,
    "lose_repository": 1,
    "calm": 4,
}
LIST_FAULTS = (
    *({"kind": "status", "status": status} for status in (403, 404, 500, 502)),
    {"kind": "empty-body"},
    {"kind": "nonsense"},
    {"kind": "nonsense", "shape": "truncated-json"},
    {"kind": "error-in-200"},
    {"kind": "drop"},
)
EXPORT_FAULTS = (
    *({"kind": "status", "status": status} for status in (403, 404, 500)),
    {"kind": "oversize"},
    {"kind": "empty-body"},
    {"kind": "error-in-200"},
    {"kind": "drop", "when": "mid-body"},
)


def commit_by_hand(repository: Path, branch: str, path: str, data: bytes | None) -> None:
    """A commit by a person on top of a branch; ``data`` None removes the path."""
    index = repository / "by-hand.index"
    who = ["-c", "user.name=Pat", "-c", "user.email=pat@clients.example"]

    def run(*arguments: str, stdin: bytes = b"") -> str:
        command = ["git", "-C", str(repository), *who, *arguments]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_INDEX_FILE": str(index)}
        return subprocess.run(command, input=stdin, capture_output=True, check=True, env=environment).stdout.decode()

    run("read-tree", branch)
    blob = "0" * 40 if data is None else run("hash-object", "-w", "--stdin", stdin=data).strip()
    run("update-index", "-z", "--index-info", stdin=f"{'0' if data is None else '100644'} {blob}\t{path}\0".encode())
    tree = run("write-tree").strip()
    commit = run("commit-tree", tree, "-p", branch, "-m", "By hand").strip()
    git(repository, "update-ref", f"refs/heads/{branch}", commit)
    index.unlink()

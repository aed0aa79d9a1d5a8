"""Detecting and planning, as pure functions: applied to the old vault, the plan gives the new workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.backup.commits import by_author
from nbvault.backup.detect import (
    Action,
    Distrust,
    Fate,
    Folder,
    decide,
    find_missing,
    judge_deletions,
    parent_of,
)
from nbvault.backup.ledger import Ledger, Outcome
from nbvault.backup.plan import Plan, Planner, Vault, displaced
from nbvault.backup.verify import check_rows, check_tree
from nbvault.gitstore.meta import Meta
from nbvault.gitstore.writer import blob_id, check_paths
from nbvault.inventory import Blobs
from nbvault.model import (
    NOTEBOOK,
    Counts,
    FileChange,
    Language,
    ListedObject,
    NotebookFormat,
    Person,
    Row,
    State,
    source_language,
)
from nbvault.namespace import Namespace
from nbvault.paths import decode

ROOT = "/Clients"
HEADERS = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}
# Few names, so that worlds clash in every way: case, extensions, folders named like files.
NAME = st.sampled_from(["a", "A", "a.py", "A.PY", "b", "b.sql", "é", "e\u0301", "a%_", "README.md", "x" * 300])
PATH = st.lists(NAME, min_size=1, max_size=3).map(lambda names: "/".join([ROOT, *names]))


class Note(NamedTuple):
    """A notebook of a random world."""

    path: str
    language: Language
    text: str
    time: int
    editor: str

    @property
    def source(self) -> bytes:
        return f"{HEADERS[self.language.value]} Databricks notebook source\n{self.text}".encode()

    def listed(self, object_id: int) -> ListedObject:
        return ListedObject(object_id, NOTEBOOK, self.path, self.language, self.time, self.time, self.editor)


NOTE = st.builds(
    Note, PATH, st.sampled_from(Language), st.sampled_from("uvw"), st.integers(1, 3), st.sampled_from(["ann", "bob"])
)
RandomWorld = Mapping[int, Note]


def _possible(world: dict[int, Note]) -> dict[int, Note]:
    """Without notebooks at a path that is taken, or that another one needs as a folder."""
    kept: dict[int, Note] = {}
    for number, note in world.items():
        others = [other.path for other in kept.values()]
        if not any(p == note.path or p.startswith(note.path + "/") or note.path.startswith(p + "/") for p in others):
            kept[number] = note
    return kept


WORLD = st.dictionaries(st.integers(1, 12), NOTE, max_size=10).map(_possible)


class Store:
    """A vault in memory: rows, tombstones, and the tree as path to blob."""

    def __init__(self) -> None:
        self.meta = Meta(ROOT)
        self.tree: dict[str, str] = {}
        self.sessions = 0

    def sync(self, world: RandomWorld, *, batches: int = 0) -> Counts:
        """What a session does, with a workspace that holds still and shows everything."""
        self.sessions += 1
        planner = Planner(
            Vault(ROOT, self.meta.rows, self.meta.tombstones, lambda path: self.tree.get(path, "")),
            lambda: Namespace.of(self.meta.rows.repo_paths()),
            session=f"s{self.sessions:03d}",
        )
        ledger = Ledger(self.meta.rows)
        for number, note in world.items():
            self._consider(ledger, number, note)
        for _ in range(batches):
            ready = [o for o in ledger.outcomes.values() if planner.needs_no_proof(o)][:2]
            self._apply(planner.plan(ready), ledger)
        deleted = {row.object_id: row for row in displaced(ledger, self.meta.rows.values())}
        folders = {ROOT: Folder.READ} | {path: Folder.READ for note in world.values() for path in _above(note.path)}
        missing = find_missing(self.meta.rows.values(), ledger, folders, root=ROOT, in_scope=lambda _: True)
        assert {m.fate for m in missing} <= {Fate.ABSENT, Fate.FOLDER_VANISHED}
        verdict = judge_deletions(
            missing, root="/elsewhere", vault_size=len(self.meta.rows), deletion_limit=1.0, trusted=True
        ).with_deleted(deleted.values())
        assert not verdict.held
        plan = planner.plan(list(ledger.outcomes.values()), deletions=verdict.deleted)
        self._apply(plan, ledger)
        counts = Counts(deleted=len(plan.tombstones))
        ledger.count(counts)
        return counts

    def _consider(self, ledger: Ledger, number: int, note: Note) -> None:
        listed, row = note.listed(number), self.meta.rows.get(number)
        action, _ = decide(listed, row, self.meta.tombstones.get(number), Distrust())
        if action is Action.UNCHANGED:
            ledger.mark_unchanged(number)
            return
        outcome = ledger.put(Outcome(listed, row, State.SAVED))
        if action is Action.EXPORT:
            outcome.blob, outcome.editor = blob_id(note.source), Person(note.editor, note.editor)
            outcome.extension = source_language(note.source, note.language).extension

    def _apply(self, plan: Plan, ledger: Ledger) -> None:
        for author, changes in by_author(plan.changes):
            removed = {change.path for change in changes if not change.blob}
            check_paths(changes, existing=self.tree.keys() - {change.path for change in changes})
            assert author
            assert removed <= self.tree.keys()
            for path in removed:
                del self.tree[path]
            self.tree |= {change.path: change.blob for change in changes if change.blob}
        self.meta.apply(plan.rows, plan.tombstones)
        for object_id, kind in plan.kinds.items():
            ledger.settle(object_id, kind)


def _above(path: str) -> list[str]:
    found = []
    while path != ROOT:
        path = parent_of(path)
        found.append(path)
    return found


def _check(store: Store, world: RandomWorld) -> None:
    rows = store.meta.rows
    assert {number: row.path for number, row in rows.items()} == {number: note.path for number, note in world.items()}
    blobs = Blobs(rows.repo_paths)
    blobs.update(store.tree)
    check_rows(rows, blobs)
    assert check_tree(store.tree.items(), store.tree, ()) == len(world)
    for number, note in world.items():
        where = decode(rows[number].repo_path)
        assert (f"{ROOT}/{where.path}", where.extension) == (note.path, note.language.extension)
        assert store.tree[rows[number].repo_path] == blob_id(note.source)
    assert len(store.tree) == len(world)


@settings(deadline=None)
@given(st.lists(WORLD, min_size=1, max_size=5), st.integers(0, 3))
def test_plan_applied_to_the_old_vault_is_the_new_workspace(worlds: list[dict[int, Note]], batches: int) -> None:
    """From any workspace to any other, in any order, batched or not: rows, paths and bytes are the new one's."""
    store = Store()
    times: dict[int, int] = {}
    old: RandomWorld = {}
    for step, drawn in enumerate(worlds):
        # A workspace gives a new time to whatever changed its text or language.
        world = {}
        for number, note in drawn.items():
            same = number in old and (old[number].text, old[number].language) == (note.text, note.language)
            times[number] = times[number] if same else step + 1
            world[number] = note._replace(time=times[number])
        counts = store.sync(world, batches=batches)
        _check(store, world)
        both = [(old[n], world[n]) for n in old.keys() & world.keys()]
        assert counts.add_up()
        assert counts.listed == len(world)
        assert counts.deleted == len(old.keys() - world.keys())
        assert counts.renamed >= sum(a.path != b.path for a, b in both)
        assert counts.modified == sum(
            a.path == b.path and (a.source, a.language) != (b.source, b.language) for a, b in both
        )
        assert counts.added + counts.renamed == len(world.keys() - old.keys()) + sum(a.path != b.path for a, b in both)
        old = world


@settings(deadline=None)
@given(WORLD)
def test_second_look_at_the_same_workspace_changes_nothing(world: dict[int, Note]) -> None:
    """The same workspace again: everything is unchanged, and the paths stay."""
    store = Store()
    store.sync(world)
    before = (dict(store.meta.rows), dict(store.tree))
    counts = store.sync(world)
    assert (counts.unchanged, counts.saved, counts.deleted) == (len(world), 0, 0)
    assert (dict(store.meta.rows), store.tree) == before


def test_what_has_no_place_in_the_vault_fails_alone() -> None:
    """Where people's own files stand at every form of a name, that notebook fails, new or moved, and no other does."""
    here = ListedObject(3, NOTEBOOK, f"{ROOT}/third", Language.PYTHON, 1, 1, "ann")
    rows = {3: Row(3, here.path, "third.py", Language.PYTHON, 1, 1, "ann", NotebookFormat.SOURCE, "s001")}
    vault = Vault(ROOT, rows, {}, {"third.py": "3" * 40}.get)  # type: ignore[arg-type]
    planner = Planner(vault, lambda: Namespace.of(["third.py"], reserved=["etl.py", "etl%_.py"]), session="s002")
    moved = Outcome(here._replace(path=f"{ROOT}/etl"), rows[3], State.SAVED)
    new = [
        Outcome(here._replace(object_id=n, path=f"{ROOT}/{name}"), None, State.SAVED)
        for n, name in ((1, "etl"), (2, "b"))
    ]
    for outcome in (moved, *new):
        outcome.blob, outcome.extension = f"{outcome.listed.object_id}" * 40, ".py"
    plan = planner.plan([*new, moved])
    assert [each.state for each in (*new, moved)] == [State.FAILED, State.SAVED, State.FAILED]
    assert all("every form" in each.reason for each in (new[0], moved))
    assert [(row.object_id, row.repo_path) for row in plan.rows] == [(2, "b.py")]
    assert [change for change, _ in plan.changes] == [FileChange("b.py", "2" * 40)]


def test_what_loses_its_place_to_another_of_the_same_plan_stays_where_it_was() -> None:
    """A notebook that moves, finds its name taken by a new one and people's file at the other form, is kept."""
    here = ListedObject(3, NOTEBOOK, f"{ROOT}/third", Language.PYTHON, 1, 1, "ann")
    rows = {3: Row(3, here.path, "third.py", Language.PYTHON, 1, 1, "ann", NotebookFormat.SOURCE, "s001")}
    vault = Vault(ROOT, rows, {}, {"third.py": "3" * 40}.get)  # type: ignore[arg-type]
    planner = Planner(vault, lambda: Namespace.of(["third.py"], reserved=["%45tl%_.py"]), session="s002")
    moved = Outcome(here._replace(path=f"{ROOT}/Etl"), rows[3], State.SAVED)
    new = Outcome(here._replace(object_id=1, path=f"{ROOT}/ETL"), None, State.SAVED)
    for outcome in (moved, new):
        outcome.blob, outcome.extension = f"{outcome.listed.object_id}" * 40, ".py"
    plan = planner.plan([moved, new])
    assert (moved.state, "every form" in moved.reason, new.state) == (State.FAILED, True, State.SAVED)
    assert [change for change, _ in plan.changes] == [FileChange("ETL.py", "1" * 40)]
    assert not planner.needs_no_proof(Outcome(here._replace(object_id=4), None, State.SAVED, blob="4" * 40))

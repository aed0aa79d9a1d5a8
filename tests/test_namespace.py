"""The namespace: who gets which name in the repository, over many sessions and in any order."""

from __future__ import annotations

import tracemalloc
import unicodedata

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from nbvault.namespace import Namespace
from nbvault.paths import CONTINUED, MARK, PathTooLong, UnwritablePath, decode
from path_strategies import EXTENSION, legal_on_windows, names


@pytest.fixture(autouse=True)
def few_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that folders are put away and looked into again all the time."""
    monkeypatch.setattr("nbvault.namespace._INDEXED_FOLDERS", 1)


Notebook = tuple[tuple[str, ...], str]

_CLOSE_NAMES = st.sampled_from(
    ["a", "A", "a.py", "A.PY", "á", "a\u0301", "Á", "con", "CON", "K", "\u212a", "x" * 253, "X" * 253]
)
_NAMES = st.one_of(_CLOSE_NAMES, _CLOSE_NAMES, names())


def folded(component: str) -> set[str]:
    """What case-blind disks may make of a name, without the help of the code under test."""
    return {
        unicodedata.normalize(form, fold(unicodedata.normalize("NFD", component)))
        for form in ("NFC", "NFD")
        for fold in (str.upper, str.lower, str.casefold)
    }


def entries_by_folder(paths: list[str]) -> dict[str, set[str]]:
    """The names that a tree of these files has in each of its folders."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for depth, part in enumerate(parts):
            folders.setdefault("/".join(parts[:depth]), set()).add(part)
    return folders


class Sessions(RuleBasedStateMachine):
    """Notebooks appear and go in any order; between sessions only the rows survive."""

    living = Bundle("living")
    folders = Bundle("folders")

    def __init__(self) -> None:
        super().__init__()
        self.namespace = Namespace()
        self.paths: dict[Notebook, str] = {}

    @rule(target=folders, name=_NAMES)
    def new_folder(self, name: str) -> tuple[str, ...]:
        return (name,)

    @rule(target=folders, above=folders, name=_NAMES)
    def new_inner_folder(self, above: tuple[str, ...], name: str) -> tuple[str, ...]:
        return (*above, name)[-4:]

    @rule(target=living, folder=st.one_of(st.just(()), folders), name=_NAMES, extension=EXTENSION)
    def create(self, folder: tuple[str, ...], name: str, extension: str) -> Notebook:
        notebook = ((*folder, name), extension)
        try:
            vacant = self.namespace.is_vacant(*notebook)
            self.namespace.check(*notebook)
            before = dict(self.paths)
            path = self.namespace.assign(*notebook)
        except PathTooLong:
            return notebook
        assert not vacant or path not in before.values()
        assert vacant or notebook in before or MARK in path or CONTINUED in path
        if notebook in self.paths:
            self.namespace.release(path)
        assert self.paths.setdefault(notebook, path) == path
        assert decode(path) == notebook
        return notebook

    @rule(notebook=consumes(living))
    def delete(self, notebook: Notebook) -> None:
        if notebook in self.paths:
            path = self.paths.pop(notebook)
            self.namespace.release(path)
            assert self.namespace.is_free(path)

    @rule(order=st.randoms(use_true_random=False))
    def next_session(self, order: object) -> None:
        paths = list(self.paths.values())
        order.shuffle(paths)  # type: ignore[attr-defined]
        self.namespace = Namespace.of(paths)

    @invariant()
    def no_name_is_like_another(self) -> None:
        for names_of_folder in entries_by_folder(list(self.paths.values())).values():
            seen: set[str] = set()
            for name in names_of_folder:
                assert legal_on_windows(name)
                assert not folded(name) & seen
                seen |= folded(name)

    @invariant()
    def no_file_is_a_folder(self) -> None:
        paths = list(self.paths.values())
        assert not set(paths) & set(entries_by_folder(paths))
        assert len(set(paths)) == len(paths)

    @invariant()
    def taken_is_taken(self) -> None:
        assert not any(self.namespace.is_free(path) for path in self.paths.values())


Sessions.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSessions = Sessions.TestCase


def test_the_second_of_two_like_names_is_marked_and_stays_so() -> None:
    """`etl` beside `Etl`: the mark goes to the newcomer, and it keeps it when the first is deleted."""
    namespace = Namespace()
    assert namespace.assign(["Etl"], ".py") == "Etl.py"
    assert namespace.assign(["etl"], ".py") == "etl%_.py"
    namespace.release("Etl.py")
    assert namespace.assign(["etl"], ".py") == "etl%_.py"
    assert namespace.is_vacant(["Etl"], ".py")


def test_a_notebook_and_a_folder_named_like_its_file_live_side_by_side() -> None:
    """Notebook `x` is x.py, so the folder `x.py` is marked; the other way round the notebook is."""
    notebook_first = Namespace()
    assert [notebook_first.assign(["x"], ".py"), notebook_first.assign(["x.py", "y"], ".py")] == ["x.py", "x.py%_/y.py"]
    folder_first = Namespace()
    assert [folder_first.assign(["x.py", "y"], ".py"), folder_first.assign(["x"], ".py")] == ["x.py/y.py", "x%_.py"]


def test_long_folders_and_notebooks_of_one_spelling_do_not_meet() -> None:
    """A long folder `X.py` and the long notebook `X` share their first pieces, and still differ."""
    long = "x" * 400
    namespace = Namespace()
    folder, file = namespace.assign([long + ".py", "y"], ".py"), namespace.assign([long], ".py")
    assert folder.split("/")[:2] == ["x" * 200 + "%+", "x" * 200 + "%+"]
    assert file.split("/")[-1] == "x" * 200 + "%_.py"
    assert not folder.startswith(file)


def test_notebooks_of_one_folder_share_its_repository_folder() -> None:
    """A folder's form is settled by who is in it, and anew once it is empty."""
    namespace = Namespace.of(["Case/a.py", "case%_/b.py"])
    assert namespace.assign(["case", "c"], ".sql") == "case%_/c.sql"
    namespace.release("Case/a.py")
    assert namespace.assign(["case", "d"], ".py") == "case%_/d.py"
    for path in ("case%_/b.py", "case%_/c.sql", "case%_/d.py"):
        namespace.release(path)
    assert namespace.assign(["case", "b"], ".py") == "case/b.py"


def test_who_must_wait_for_another_is_told() -> None:
    """A new name is not vacant while a like one lives, nor in a folder that would have to be marked."""
    namespace = Namespace.of(["etl.py", "Case/a.py"])
    wanted = [["etl"], ["ETL"], ["case", "b"], ["Case", "b"], ["new", "b"]]
    assert [namespace.is_vacant(each, ".py") for each in wanted] == [False, False, False, True, True]
    namespace.release("etl.py")
    assert namespace.is_vacant(["ETL"], ".py")
    assert namespace.is_free("ETL.py")


def test_a_path_taken_twice_is_free_after_two_releases() -> None:
    """A notebook deleted and made anew in one session does not lose its path with the old one's release."""
    namespace = Namespace.of(["a/etl.py"])
    assert namespace.assign(["a", "etl"], ".py") == "a/etl.py"
    namespace.release("a/etl.py")
    assert not namespace.is_free("a/ETL.py")
    namespace.release("a/etl.py")
    assert namespace.is_free("a/ETL.py")


@pytest.mark.parametrize("path", ["etl.py", "Etl.py", "a", "a/b.py", "a/etl.py/x", "README.md"])
def test_what_nobody_holds_cannot_be_released(path: str) -> None:
    """Releasing what is not occupied is a fault of the caller, and says which path."""
    namespace = Namespace.of(["a/etl.py"])
    with pytest.raises(ValueError, match="not occupied"):
        namespace.release(path)
    assert not namespace.is_free("a/etl.py")


def test_foreign_files_keep_their_names() -> None:
    """The vault's own files and people's are never given away, in no case and at no depth."""
    namespace = Namespace(["setup.py", "docs/intro.py"])
    assert namespace.assign(["setup"], ".py") == "setup%_.py"
    assert namespace.assign(["Setup"], ".py") == "%53etup%_.py"
    assert namespace.assign(["docs", "Intro"], ".py") == "docs/%49ntro%_.py"
    assert namespace.assign(["readme.md", "x"], ".py") == "readme.md%_/x.py"


def test_a_foreign_file_at_the_marked_form_makes_the_notebook_fail() -> None:
    """Where no form is left the notebook is refused with a hint, and nothing is taken."""
    namespace = Namespace(["etl.py", "ETL%_.py"])
    with pytest.raises(UnwritablePath, match="every form"):
        namespace.check(["etl"], ".py")
    with pytest.raises(UnwritablePath, match="every form") as caught:
        namespace.assign(["etl"], ".py")
    assert "Rename" in caught.value.hint


def test_carried_rows_that_clash_are_borne() -> None:
    """Rows that share a key, as after a new Unicode version, are all held, and the key is free only after the last."""
    paths = ["ETL.py", "etl.py", "Etl.py/x.py", "etl.py/x.py"]
    namespace = Namespace.of(paths)
    assert namespace.assign(["etl.py", "y"], ".py") == "etl.py/y.py"
    for path in [*paths, "etl.py/y.py"]:
        assert not namespace.is_free("eTL.py")
        namespace.release(path)
    assert namespace.is_free("eTL.py")


def test_a_hundred_thousand_notebooks_cost_less_than_40_mb() -> None:
    """The namespace of 100,000 notebooks in 10,000 folders, capitals among their names, stays under 40 MB."""
    paths = [f"{n % 5}/ENG-{n // 10 % 2000}/NOTEBOOKS/Load customer {n}.py" for n in range(100_000)]
    tracemalloc.start()
    try:
        namespace = Namespace.of(paths)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not namespace.is_free(paths[0])
    assert held < 40e6

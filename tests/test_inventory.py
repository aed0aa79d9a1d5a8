"""The compact inventory says what dicts of rows and blobs would say."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbvault import compact
from nbvault.compact import Packed
from nbvault.inventory import Blobs, Rows
from nbvault.model import Language, NotebookFormat, Row
from path_strategies import names

NUMBERS = st.one_of(st.integers(0, 40), st.sampled_from([-(2**63), 2**63 - 1, 2**40]))
HUGE = st.just(2**80)
MILLIS = st.one_of(st.just(0), st.integers(0, 2**41), st.just(2**70))
TEXTS = st.sampled_from(["", "ann@example.com", "Zoë", "20261121T020000Z-1a2b3c"])


WORDS = st.sampled_from(["a.py", "b/c.sql", "d.r", "Zoë.scala", ""])
PATHS = st.lists(names(), min_size=1, max_size=3).map("/".join)
# As they come, with names that people give and numbers that nobody should.
ROWS = st.builds(
    Row,
    object_id=st.one_of(NUMBERS, HUGE),
    path=st.builds(str.__add__, st.sampled_from(["", "/", "/Clients/"]), PATHS),
    repo_path=PATHS,
    language=st.sampled_from(Language),
    modified_at_ms=MILLIS,
    interactive_at_ms=MILLIS,
    editor=TEXTS,
    format=st.sampled_from(NotebookFormat),
    since=TEXTS,
)


@pytest.fixture(autouse=True)
def small_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of entries is merged many times."""
    monkeypatch.setattr(compact, "_MERGE_AT_LEAST", 3)


# Names of every kind take their time to draw on a busy machine.
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.booleans(), ROWS), max_size=12))
def test_rows_are_what_a_dict_of_them_is(steps: list[tuple[bool, Row]]) -> None:
    """Whatever is entered and removed, in any order, the rows are those of a dict."""
    found, expected = Rows(), dict[int, Row]()
    for keep, row in steps:
        if keep:
            found[row.object_id] = expected[row.object_id] = row
        else:
            assert found.pop(row.object_id, None) == expected.pop(row.object_id, None)
        assert (len(found), row.object_id in found) == (len(expected), row.object_id in expected)
        assert found.get(row.object_id) == expected.get(row.object_id)
    assert list(found.items()) == sorted(expected.items())
    assert list(found.values()) == [expected[number] for number in sorted(expected)]
    wanted = {row.repo_path for _, row in steps[::2]} | {"no notebook"}
    there = [row for row in expected.values() if row.repo_path in wanted]
    assert sorted(found.at_repo_paths(wanted), key=lambda row: row.object_id) == sorted(
        there, key=lambda row: row.object_id
    )


@given(st.lists(WORDS), st.dictionaries(WORDS, st.sampled_from(["", "ab" * 20, "cd" * 20])))
def test_blobs_of_known_paths_are_filled(paths: list[str], found: dict[str, str]) -> None:
    """Paths in any number get the blobs that are found for them, no others do, and the coverage is counted."""
    blobs = Blobs.without_content(lambda: paths)
    taken = {path: blob for path, blob in found.items() if blobs.fill(path, blob)}
    assert taken == {path: blob for path, blob in found.items() if path in paths}
    assert {path: blobs[path] for path in paths} == {path: found.get(path, "") for path in paths}
    assert blobs.coverage(paths) == (len(set(paths)), sum(not found.get(path) for path in paths))


@given(st.lists(st.tuples(NUMBERS, st.one_of(st.none(), st.binary(max_size=5))), max_size=60))
def test_packed_bytes_are_a_dict(steps: list[tuple[int, bytes | None]]) -> None:
    """Whatever is put and removed, in any order, the bytes are those of a dict."""
    found, expected = Packed(), dict[int, bytes]()
    for number, value in steps:
        if value is None:
            found.remove(number)
            expected.pop(number, None)
        else:
            found.put(number, value)
            expected[number] = value
        assert (len(found), found.get(number)) == (len(expected), expected.get(number))
    assert {number: found.get(number) for number in found} == dict(sorted(expected.items()))
    assert list(found.items()) == sorted(expected.items())


def test_what_comes_while_packed_bytes_are_gone_through_is_not_seen() -> None:
    """Another thread may put and remove meanwhile: who goes through has what was there as they began."""
    found = Packed()
    for number in range(20):
        found.put(number, bytes([number]))
    seen = []
    for number, value in found.items():
        seen.append((number, value))
        found.put(100 + number, b"new")
        found.remove(number + 1)
    assert seen == [(number, bytes([number])) for number in range(20)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(names(), st.one_of(st.none(), st.integers(0, 2**160 - 1))), max_size=40))
def test_blobs_are_what_a_dict_of_them_is(steps: list[tuple[str, int | None]]) -> None:
    """Whatever is entered and removed, in any order, the blobs are those of a dict."""
    paths = sorted({path for path, _ in steps})
    found, expected = Blobs(lambda: paths), dict[str, str]()
    for path, number in steps:
        if number is None:
            assert found.pop(path, "gone") == expected.pop(path, "gone")
        else:
            found[path] = expected[path] = f"{number:040x}" if number else ""
        assert (len(found), found.get(path)) == (len(expected), expected.get(path))
    assert dict(found.items()) == expected


def test_paths_whose_hashes_begin_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first half of two hashes is the same, the second half decides, and both paths keep their blobs."""
    monkeypatch.setattr("nbvault.inventory._fingerprint", lambda path: (7, path.encode().ljust(8)))
    blobs = Blobs(lambda: ["a", "b", "c"])
    blobs["a"], blobs["b"] = "1" * 40, "2" * 40
    blobs["b"] = "3" * 40
    assert dict(blobs) == {"a": "1" * 40, "b": "3" * 40}
    del blobs["a"]
    assert (dict(blobs), "c" in blobs) == ({"b": "3" * 40}, False)


def test_a_row_and_its_blob_take_less_than_two_hundred_bytes() -> None:
    """Memory is bounded by construction: 20,000 rows in 400 folders, as one after another come from a scan."""
    tracemalloc.start()
    try:
        found = Rows()
        blobs = Blobs(list)
        for number in range(20_000):
            folder = f"2024/ENG-{number // 50:04d}/NOTEBOOKS"
            name = f"{number % 50:02d}_reconcile_ledger"
            key = (number * 7919) % 20_011
            found[key] = Row(
                key,
                f"/Clients/{folder}/{name}",
                f"{folder}/{name}.py",
                Language.PYTHON,
                1763690400000 + number,
                1763690400000 + number,
                f"person{number % 50}@example.com",
                NotebookFormat.SOURCE,
                "20261121T020000Z-1a2b3c",
            )
            blobs[f"{folder}/{name}.py"] = f"{number:040x}"
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(found), len(blobs)) == (20_000, 20_000)
    assert taken / 20_000 < 200


def test_repository_paths_are_those_of_the_rows() -> None:
    """The quick way to every repository path gives what the rows give, odd rows and rows in the root included."""
    rows = Rows(
        [a_row(1, "/Clients/a/b", "a/b.py"), a_row(2, "/Clients/c", "c.py"), a_row(2**70, "/Clients/d/e", "d/e.py")]
    )
    assert sorted(rows.repo_paths()) == sorted(row.repo_path for row in rows.values())


def a_row(object_id: int, path: str, repo_path: str) -> Row:
    return Row(object_id, path, repo_path, Language.PYTHON, 1, 2, "", NotebookFormat.SOURCE, "s")

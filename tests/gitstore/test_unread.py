"""An inventory that is not read yet says of a path or a notebook what the read one says."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.gitstore import records
from nbvault.gitstore.meta import Meta, _read_whole
from nbvault.gitstore.unread import Lines, UnreadRows, UnreadStones
from nbvault.model import Language, NotebookFormat, Row, Tombstone

ROOT = "/Clients"
PATHS = st.sampled_from(["a", "b", "b/c", 'q"uote', "Zoë", "line\nend", "a\\b"]).map(lambda name: f"{ROOT}/{name}")
IDS = st.integers(1, 12)
ROWS = st.builds(
    lambda number, path: Row(
        number, path, "x/y.py", Language.PYTHON, 5, 6, "ann@example.com", NotebookFormat.SOURCE, "20261121T020000Z-1a"
    ),
    IDS,
    PATHS,
)
STONES = st.builds(lambda number, path: Tombstone(number, path, "x/y.py", "ab" * 20, "s2", "s1"), IDS, PATHS)
FILES = st.lists(st.lists(ROWS | STONES, max_size=8), max_size=4)


def unread(files: list[list[Row | Tombstone]]) -> tuple[Meta, UnreadRows, UnreadStones]:
    """What these lines say, read, and not read yet."""
    written = [
        (
            f"delta-{place}",
            records.dump_lines(
                records.dump_row(item, ROOT) if isinstance(item, Row) else records.dump_tombstone(item)
                for item in items
            ),
        )
        for place, items in enumerate(files)
    ]
    meta = Meta(ROOT)
    meta.rows, meta.tombstones = _read_whole(ROOT, written)
    lines = Lines(ROOT, written, lambda whole: _read_whole(ROOT, whole))
    return meta, UnreadRows(lines), UnreadStones(lines)


@settings(max_examples=300, deadline=None)
@given(FILES, PATHS, IDS)
def test_what_is_asked_of_unread_lines_is_what_the_read_ones_say(
    files: list[list[Row | Tombstone]], path: str, number: int
) -> None:
    """Whatever later files say of a notebook counts: its row, its path, its end and its return."""
    meta, rows, stones = unread(files)
    assert sorted(rows.at_path(path)) == meta.rows.at_path(path)
    assert meta.rows.at_path(path) == sorted(row for row in meta.rows.values() if row.path == path)
    assert sorted(stones.at_path(path)) == sorted(s for s in meta.tombstones.values() if s.path == path)
    assert (rows.get(number), number in rows) == (meta.rows.get(number), number in meta.rows)
    assert (dict(rows), len(rows), dict(stones)) == (dict(meta.rows), len(meta.rows), dict(meta.tombstones))
    assert (rows.get(number), sorted(rows.repo_paths())) == (meta.rows.get(number), sorted(meta.rows.repo_paths()))


NAMES = ["a", "b", "CON", 'q"uote', "Zoë", "zoë", "dot.py", '"gone":']
PLAIN = st.builds(
    lambda number, name, since: Row(
        number,
        f"{ROOT}/f/{name}",
        records.plain_repo_path(ROOT, f"{ROOT}/f/{name}", ".py"),
        Language.PYTHON,
        5,
        6,
        "ann@example.com",
        NotebookFormat.SOURCE,
        since,
    ),
    IDS,
    st.sampled_from(NAMES),
    st.sampled_from(["s1", "s2"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PLAIN | STONES, max_size=8), max_size=4))
def test_who_left_is_told_without_reading_the_rows(files: list[list[Row | Tombstone]]) -> None:
    """All tombstones, and the rows at repository paths, are those of the read lines; and no row was read for them."""
    meta, rows, stones = unread(files)
    wanted = {records.plain_repo_path(ROOT, f"{ROOT}/f/{name}", ".py") for name in NAMES[::2]} | {"no notebook"}
    assert dict(stones) == dict(meta.tombstones)
    assert sorted(rows.at_repo_paths(wanted)) == sorted(meta.rows.at_repo_paths(wanted))
    assert sorted(rows.at_repo_paths(wanted)) == sorted(r for r in meta.rows.values() if r.repo_path in wanted)
    assert "_all" not in vars(rows)
    assert "all" not in vars(rows._lines)

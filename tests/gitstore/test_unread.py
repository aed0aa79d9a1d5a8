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


@settings(max_examples=300, deadline=None)
@given(FILES, PATHS, IDS)
def test_what_is_asked_of_unread_lines_is_what_the_read_ones_say(
    files: list[list[Row | Tombstone]], path: str, number: int
) -> None:
    """Whatever later files say of a notebook counts: its row, its path, its end and its return."""
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
    rows, stones = UnreadRows(lines), UnreadStones(lines)
    assert sorted(rows.at_path(path)) == meta.rows.at_path(path)
    assert meta.rows.at_path(path) == sorted(row for row in meta.rows.values() if row.path == path)
    assert sorted(stones.at_path(path)) == sorted(s for s in meta.tombstones.values() if s.path == path)
    assert (rows.get(number), number in rows) == (meta.rows.get(number), number in meta.rows)
    assert (dict(rows), len(rows), dict(stones)) == (dict(meta.rows), len(meta.rows), dict(meta.tombstones))
    assert (rows.get(number), sorted(rows.repo_paths())) == (meta.rows.get(number), sorted(meta.rows.repo_paths()))

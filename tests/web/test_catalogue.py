"""The catalogue finds what looking at every notebook would find, in the same order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbvault.model import Language, NotebookFormat, Row, Tombstone
from nbvault.recovery.notebooks import Notebooks
from nbvault.web.catalogue import Catalogue, Item, Query, State

ROOT = "/Clients"
EDITORS = ["ann@example.com", "bob@example.com", "anna", ""]
NAMES = st.sampled_from([f"2024/ENG-{n}/NOTEBOOKS/{name}" for n in (1, 12) for name in ("load", "Ledger", "x")])
ROWS = st.tuples(NAMES, st.sampled_from(Language), st.sampled_from(EDITORS), st.booleans(), st.booleans())
QUERIES = st.builds(
    Query,
    text=st.sampled_from(["", "l", "LED", "eng-1 load"]),
    folder=st.sampled_from(["", f"{ROOT}/2024/ENG-1"]),
    year=st.sampled_from(["", "2024", "2023"]),
    engagement=st.sampled_from(["", "eng-12"]),
    language=st.sampled_from(["", "SQL", "PYTHON", "COBOL"]),
    editor=st.sampled_from(["", "ann", "BOB", "nobody"]),
    state=st.sampled_from(State),
)


def catalogue(entries: list[tuple[str, Language, str, bool, bool]]) -> Catalogue:
    rows, stones, stale = {}, {}, []
    for number, (name, language, editor, deleted, is_stale) in enumerate(entries, 1):
        path, repo = f"{ROOT}/{name}{number}", f"{name}{number}.py"
        if deleted:
            stones[number] = Tombstone(number, path, repo, "1" * 40, "S2", "S1")
        else:
            rows[number] = Row(number, path, repo, language, 1, 1, editor, NotebookFormat.SOURCE, "S1")
        stale += [number] if is_stale else []
    return Catalogue(Notebooks(ROOT, rows, stones), stale=stale)


def fits(item: Item, query: Query) -> bool:
    parts = item.path.removeprefix(ROOT + "/").split("/")
    state = {
        State.ANY: True,
        State.DELETED: item.deleted,
        State.LIVING: not item.deleted,
        State.STALE: item.stale and not item.deleted,
    }[query.state]
    return (
        state
        and all(word in item.path.casefold() for word in query.text.casefold().split())
        and (not query.folder or item.path.startswith(query.folder + "/"))
        and (not query.year or parts[0] == query.year)
        and (not query.engagement or query.engagement.casefold() in parts[1].casefold())
        and (not query.language or item.language == query.language)
        and (not query.editor or query.editor.casefold() in item.editor.casefold())
    )


@given(entries=st.lists(ROWS, max_size=12), query=QUERIES, after=st.integers(-1, 12))
def test_it_finds_what_looking_at_each_would(
    entries: list[tuple[str, Language, str, bool, bool]], query: Query, after: int
) -> None:
    """Whatever is asked, by the quickest way there is for it: the same notebooks in the order of their paths."""
    made = catalogue(entries)
    every = [made.item(number) for number in range(len(made))]
    expected = [item for item in every if fits(item, query) and item.number > after]
    assert list(made.find(query, after=after)) == expected

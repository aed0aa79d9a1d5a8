"""The plan is pure: every wanted notebook gets one action, and none that would destroy what it does not name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.errors import ConfigurationError
from nbvault.model import DIRECTORY, NOTEBOOK, Language, ListedObject
from nbvault.recovery.contents import is_blob, same
from nbvault.recovery.lines import changed_lines
from nbvault.recovery.places import glob
from nbvault.recovery.plan import Action, Known, Live, Overwrite, Wanted, make_plan
from nbvault.recovery.selection import Chosen, Item, Kind
from nbvault.recovery.targets import assign, clean_path, parse_remap

NAMES = st.sampled_from(["/a", "/b", "/f/a", "/f/b", "/f/g/a", "/f/g/b", "/g/x"])
BLOBS = st.sampled_from(["1" * 40, "2" * 40])
EXTENSIONS = st.sampled_from([".py", ".sql", ".scala", ".r", ".ipynb"])
KINDS = st.sampled_from([NOTEBOOK, NOTEBOOK, NOTEBOOK, DIRECTORY, "FILE", "DASHBOARD"])


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Wanted], Live, dict[int, Known]]:
    """What is wanted, what is there, and what the vault knows of it."""
    targets = draw(st.lists(NAMES, unique=True))
    wanted = [Wanted(f"/old{t}", t, draw(BLOBS | st.just("")), draw(EXTENSIONS)) for t in targets]
    objects = {
        path: ListedObject(number, draw(KINDS), path, draw(st.none() | st.sampled_from(Language)), 1)
        for number, path in enumerate(draw(st.lists(NAMES, unique=True)))
    }
    barred = dict.fromkeys(draw(st.lists(st.sampled_from(["/", "/f", "/f/g", "/g"]), unique=True)), "no")
    known = {each.object_id: Known(draw(BLOBS), draw(EXTENSIONS)) for each in objects.values() if draw(st.booleans())}
    return wanted, Live(objects, frozenset(), barred), known


@given(situations(), st.sampled_from(Overwrite))
def test_every_wanted_notebook_has_one_action_that_what_is_there_allows(
    situation: tuple[list[Wanted], Live, dict[int, Known]], mode: Overwrite
) -> None:
    """Creation where nothing is, writing over notebooks only, nothing in a barred folder; `never` overwrites none."""
    wanted, live, known = situation
    plan = make_plan(wanted, live, known=lambda listed: known.get(listed.object_id), overwrite=mode)
    assert [entry.target for entry in plan] == sorted(each.target for each in wanted)
    assert [entry.number for entry in plan] == list(range(len(wanted)))
    to_be = {each.target for each in wanted if each.blob}
    for entry in plan:
        there = live.objects.get(entry.target)
        assert entry.live == there
        folder = entry.target.rpartition("/")[0] or "/"
        if entry.action.writes:
            assert folder not in live.barred
            assert not any(entry.target.startswith(other + "/") for other in to_be)
        if entry.action is Action.CREATE:
            assert there is None
        if entry.action in (Action.OVERWRITE, Action.REPLACE):
            assert there is not None
            assert there.kind == NOTEBOOK
            assert mode is not Overwrite.NEVER
        if entry.action is Action.DELETE:
            assert not entry.blob
        if entry.action is Action.IDENTICAL and entry.blob:
            assert there is not None
            assert known[there.object_id].blob == entry.blob
            assert mode is not Overwrite.ALWAYS
        if not entry.action.writes and entry.action is not Action.IDENTICAL:
            assert entry.reason


@pytest.mark.parametrize(
    ("listed", "known", "extension", "action"),
    [
        (Language.PYTHON, None, ".py", Action.OVERWRITE),
        (Language.SQL, None, ".py", Action.REPLACE),
        (Language.PYTHON, Known("2" * 40, ".sql"), ".sql", Action.OVERWRITE),
        (Language.PYTHON, Known("2" * 40, ".py"), ".ipynb", Action.REPLACE),
        (Language.PYTHON, Known("2" * 40, ".ipynb"), ".py", Action.REPLACE),
        (Language.PYTHON, None, ".ipynb", Action.OVERWRITE),
        (Language.R, Known("1" * 40, ".r"), ".py", Action.REPLACE),
        (Language.R, Known("1" * 40, ".r"), ".r", Action.IDENTICAL),
    ],
)
def test_another_language_or_format_is_replaced(
    listed: Language, known: Known | None, extension: str, action: Action
) -> None:
    """What the vault knows of a notebook's text counts more than what the workspace lists, and than its bytes."""
    there = ListedObject(1, NOTEBOOK, "/a", listed, 1)
    (entry,) = make_plan([Wanted("/a", "/a", "1" * 40, extension)], Live({"/a": there}), known=lambda _: known)
    assert entry.action is action


def notebook(path: str, blob: str = "1" * 40) -> Item:
    return Item(path, blob, ".py")


def test_targets() -> None:
    """One notebook becomes PATH or goes into it; a folder's content goes under it; several go by their own names."""
    one = Chosen(Kind.NOTEBOOK, "/C/f/a", (notebook("/C/f/a"),))
    folder = Chosen(Kind.FOLDER, "/C/f", (notebook("/C/f/a"), notebook("/C/f/g/b")))
    globbed = Chosen(Kind.GLOB, "/C", (notebook("/C/f/a"), notebook("/C/g/a")))

    def targets(*chosen: Chosen, to: str = "", into: bool = False) -> list[str]:
        return [wanted.target for wanted in assign(chosen, to=to, into=into)]

    assert targets(one) == ["/C/f/a"]
    assert targets(one, to="/S/x") == ["/S/x"]
    assert targets(one, to="/S/x", into=True) == ["/S/x/a"]
    assert targets(folder, to="/S") == ["/S/a", "/S/g/b"]
    assert targets(one, folder, to="/S") == ["/S/a", "/S/f/a", "/S/f/g/b"]
    assert targets(globbed, to="/S") == ["/S/f/a", "/S/g/a"]
    assert targets(one, folder) == ["/C/f/a", "/C/f/g/b"]
    assert targets(Chosen(Kind.FOLDER, "/", (notebook("/a"),)), to="/S") == ["/S/a"]
    other = Chosen(Kind.NOTEBOOK, "/D/a", (notebook("/D/a", "2" * 40),))
    with pytest.raises(ConfigurationError, match="both be restored to /S/a"):
        targets(one, other, to="/S")


def test_remapping_replaces_the_longest_beginning_that_fits() -> None:
    """Whole names only: /U/ann is not the beginning of /U/anna."""
    chosen = Chosen(Kind.GLOB, "/U", tuple(map(notebook, ["/U/ann/x", "/U/ann/deep/y", "/U/anna/z"])))
    remap = [parse_remap("/U/ann=/U/bob"), parse_remap("/U/ann/deep=/Shared/deep")]
    assert [w.target for w in assign([chosen], remap=remap)] == ["/U/bob/x", "/Shared/deep/y", "/U/anna/z"]


@pytest.mark.parametrize("text", ["x", "/a", "/a=b", "a=/b", "=/b", "/a=/"])
def test_a_wrong_remap_is_refused(text: str) -> None:
    """FROM and TO are absolute paths."""
    with pytest.raises(ConfigurationError, match="--remap"):
        parse_remap(text)


@pytest.mark.parametrize(("text", "path"), [("/a/b/", "/a/b"), ("/Workspace/a", "/a"), (" /a ", "/a")])
def test_a_target_is_cleaned(text: str, path: str) -> None:
    """Slashes at the end and /Workspace in front say nothing."""
    assert clean_path(text, what="--to") == path


@pytest.mark.parametrize("text", ["", "a", "/", "/a//b", "a/b", "/a/../b", "/a/.", "/.."])
def test_a_wrong_target_is_refused(text: str) -> None:
    """A target is an absolute path without empty names, or such as a workspace could take for another folder's."""
    with pytest.raises(ConfigurationError, match="--to"):
        clean_path(text, what="--to")


def test_globs() -> None:
    """One star stays in a folder, two cross; everything else is taken literally."""
    assert glob("/C/*/a+").fullmatch("/C/x/a+")
    assert not glob("/C/*/a").fullmatch("/C/x/y/a")
    assert glob("/C/**/a").fullmatch("/C/x/y/a")
    assert not glob("/C/?").fullmatch("/C//")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_the_same_but_for_one_newline_at_the_end(one: bytes, other: bytes) -> None:
    """Symmetric, and never true of what differs otherwise."""
    assert same(one, one)
    assert same(one, one + b"\n")
    assert same(one + b"\n", one)
    shorter, longer = sorted((one, other), key=len)
    assert same(one, other) == same(other, one) == (longer in (shorter, shorter + b"\n"))


def test_two_newlines_are_not_one() -> None:
    """Only one may be missing."""
    assert not same(b"x\n\n", b"x")
    assert same(b"x\n\n", b"x\n")
    assert not same(b"x", b"x ")


@given(st.binary(max_size=20))
def test_a_blob_is_recognised_with_and_without_its_newline(data: bytes) -> None:
    """What the workspace gives back is the blob that was sent."""
    from nbvault.gitstore.writer import blob_id

    assert is_blob(data.removesuffix(b"\n"), blob_id(data))
    assert is_blob(data, blob_id(data))
    assert not is_blob(data + b"x", blob_id(data))


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=12), st.lists(st.sampled_from([b"a", b"b"]), max_size=12))
def test_line_counts_add_up(old: list[bytes], new: list[bytes]) -> None:
    """Old lines less the removed ones, and the added ones, are as many as the new lines."""
    added, removed = changed_lines(b"\n".join(old), b"\n".join(new))
    lines = len(b"\n".join(old).splitlines()), len(b"\n".join(new).splitlines())
    assert lines[0] - removed + added == lines[1]
    assert min(added, removed) >= 0

"""Paths: how names are spelled, that the spelling can be undone, and that Windows and Git take it."""

from __future__ import annotations

import random
import re
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from nbvault import paths
from nbvault.model import Language, NotebookFormat
from nbvault.namespace import Namespace
from nbvault.paths import (
    EXTENSIONS,
    PathTooLong,
    UnwritablePath,
    decode,
    extension_for,
    forms,
    join,
    key,
    relative,
    workspace_path,
)
from path_strategies import EXTENSION, NASTY, legal_on_windows, name_lists, names

DOCS = Path(__file__).parents[1] / "docs" / "paths.md"


@settings(deadline=None)
@given(components=name_lists(), extension=EXTENSION)
def test_a_path_comes_back_from_its_repository_path_alone(components: list[str], extension: str) -> None:
    """Decoding the path that an empty vault gives a notebook yields its names and extension."""
    try:
        repo_path = Namespace().assign(components, extension)
    except PathTooLong:
        assume(False)
    assert decode(repo_path) == (tuple(components), extension)
    assert workspace_path("/Clients", repo_path) == "/Clients/" + "/".join(components)


@settings(deadline=None, max_examples=300)
@given(name=names(), extension=EXTENSION)
@example(name="x" * 253, extension=".py")
@example(name="Ä" * 127, extension=".py")
@example(name="con." + "x" * 400, extension=".py")
@example(name="A" * 66 + "xx" + "con.x" * 100, extension="")
def test_every_form_is_legal_on_windows_and_can_be_undone(name: str, extension: str) -> None:
    """Each form of each name passes Windows' rules, holds 255 bytes a component, and decodes to that name."""
    assume(len("/".join(forms(name)[-1])) < 3900)
    for folder in forms(name):
        assert all(legal_on_windows(component) for component in folder)
        assert decode("/".join((*folder, "x.py"))) == ((name, "x"), ".py")
    for file in forms(name, extension or ".py"):
        assert all(legal_on_windows(component) for component in file)
        assert decode("/".join(file)) == ((name,), extension or ".py")


@settings(deadline=None, max_examples=500)
@given(
    name=st.one_of(names(), st.from_regex(r"(?i)(con|prn|aux|nul|com|lpt|git|g~)[0-9a-z .$_~-]{0,4}", fullmatch=True))
)
def test_a_name_that_is_taken_for_harmless_is_spelled_as_any_other(name: str) -> None:
    """The shortcut for harmless names gives the spelling that the rules for all names give."""
    assert paths._plain_of_any(name) == paths._plain(name)


@settings(deadline=None, max_examples=300)
@given(one=names(), other=names(), extension=EXTENSION)
@example(one="x.py", other="x", extension=".py")
@example(one="y" * 400 + ".py", other="y" * 400, extension=".py")
def test_marked_forms_of_different_names_never_share_a_key(one: str, other: str, extension: str) -> None:
    """Marked forms stay apart on case-blind disks: from each other, from any plain form, and folders from files."""
    assume(one != other)
    spelled = {tuple(map(key, forms(name, ext)[-1])) for name in (one, other) for ext in ("", extension or ".py")}
    assert len(spelled) == 4
    plain = [forms(name, ext)[0] for name in (one, other) for ext in ("", ".py") if len(forms(name, ext)) == 2]
    assert not any("%_" in key(component) or "%+" in key(component) for form in plain for component in form)


@given(text=names())
def test_the_key_is_idempotent_and_blind_to_case_and_composition(text: str) -> None:
    """Changing case or normal form does not change the key.

    Case is changed in marks that are in canonical order, as systems that look at marks at all have them: the capital of
    an iota subscript is a letter, to which marks that stood behind it out of order would attach themselves.
    """
    assert key(key(text)) == key(text)
    ordered = unicodedata.normalize("NFD", text)
    for same in (
        ordered.upper(),
        ordered.lower(),
        ordered.swapcase(),
        *(unicodedata.normalize(f, text) for f in ("NFC", "NFD")),
    ):
        assert key(same) == key(text)


def test_the_key_is_blind_to_case_for_every_character_of_unicode() -> None:
    """No character has a case variant with another key, and no key changes when it is taken again."""
    # Unassigned code points and those for private use have neither case nor a composition, and are most of them.
    every = [char for char in map(chr, range(0x110000)) if unicodedata.category(char) not in ("Cn", "Co")]
    assert [char for char in every if key(key(char)) != key(char)] == []
    assert [
        char for char in every if not key(char) == key(char.upper()) == key(char.lower()) == key(char.title())
    ] == []
    assert [char for char in every[128:] if set(key(char)) & set('%/\\:*?"<>|')] == []


@pytest.mark.parametrize(
    "repo_path",
    [
        "",
        "etl",
        ".py",
        "/etl.py",
        "a//etl.py",
        "a/.py",
        "etl.txt",
        "etl.PY",
        "a%3a.py",
        "a%3.py",
        "a:b.py",
        "%65tl.py",
        "a%FF.py",
        "a%2Fb.py",
        "%uD80.py",
        "%uABCD.py",
        "CON.py",
        ".git/x.py",
        "etl..py",
        "Etl%_.py",
        "%45tl.py",
        "a%+/b%_.py",
        "a%+",
        "a%+/b",
        "%_.py",
        "a%_%_.py",
        "README.md",
        "x" * 300 + ".py",
        "/".join(["x" * 200] * 20) + "/etl.py",
    ],
)
def test_what_nbvault_never_writes_is_refused(repo_path: str) -> None:
    """A foreign or mangled repository path is a ValueError that names it, never a guess."""
    with pytest.raises(ValueError, match="no path that nbvault writes"):
        decode(repo_path)


@settings(deadline=None, max_examples=300)
@given(text=names())
def test_decoding_accepts_exactly_what_encoding_gives(text: str) -> None:
    """Any text with an extension is refused, or is one of the forms of what it decodes to."""
    try:
        components, extension = decode(text + ".py")
    except ValueError:
        return
    assert tuple((text + ".py").split("/")) in forms(components[0], extension)


def test_names_without_content_have_no_form() -> None:
    """An empty name or one with a slash is an error of the caller."""
    for name in ("", "a/b"):
        with pytest.raises(ValueError, match="no name"):
            forms(name, ".py")
    with pytest.raises(ValueError, match="root itself"):
        Namespace().assign((), ".py")


def test_a_path_over_4000_bytes_is_refused_and_takes_nothing() -> None:
    """PathTooLong is both an error of nbvault and a ValueError, and leaves the namespace as it was."""
    namespace = Namespace()
    with pytest.raises(PathTooLong, match=r"4,000 bytes.*shorter names") as caught:
        namespace.assign(["a" * 250] * 16, ".py")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UnwritablePath)
    assert namespace.is_free("a" * 250)


def test_a_long_name_is_cut_into_nested_folders() -> None:
    """The pieces of a long name hold 200 bytes at most and never cut an escape."""
    *pieces, last = forms("é" * 300, ".py")[0]
    assert [piece[-2:] for piece in pieces] == ["%+"] * len(pieces)
    assert last.endswith("%_.py")
    assert all(re.fullmatch(r"(%C3%A9)+%[+_]", piece.removesuffix(".py")) for piece in (*pieces, last))
    assert max(map(len, pieces)) <= 202


@pytest.mark.parametrize(
    ("root", "path", "components"),
    [
        ("/Clients", "/Clients/2024/etl", ("2024", "etl")),
        ("/Clients/", "/Clients/etl", ("etl",)),
        ("/Clients", "/Clients", ()),
        ("/", "/etl", ("etl",)),
        ("/", "/", ()),
    ],
)
def test_relative_and_join_are_inverse(root: str, path: str, components: tuple[str, ...]) -> None:
    """The names below a root lead back to the path, also where the root is `/`."""
    assert relative(root, path) == components
    assert join(root, components) == path


@pytest.mark.parametrize("path", ["/Clients2/etl", "/Other", "Clients/etl", "/Clients//etl", "/Clients/etl/"])
def test_a_path_outside_the_root_is_refused(path: str) -> None:
    """A path beside the root, or one with an empty name, is a ValueError."""
    with pytest.raises(ValueError, match=r"not under|empty name"):
        relative("/Clients", path)


def test_the_extension_says_language_or_native_format() -> None:
    """SOURCE files are named after their language, native ones are .ipynb."""
    assert [extension_for(language, NotebookFormat.SOURCE) for language in Language] == [".py", ".sql", ".scala", ".r"]
    assert extension_for(Language.PYTHON, NotebookFormat.IPYNB) == ".ipynb"


def test_the_examples_in_the_documentation_are_true() -> None:
    """Every row of the table in docs/paths.md, taken in order, is what nbvault does."""
    rows = re.findall(r"^\| `(/Clients/.*?)` \| (\w+) \| `(.*?)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 15
    namespace = Namespace()
    for path, language, repo_path in rows:
        assert namespace.assign(relative("/Clients", path), Language(language).extension) == repo_path
        assert workspace_path("/Clients", repo_path) == path


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    protection = ("-c", "core.protectNTFS=true", "-c", "core.protectHFS=true", "-c", "core.quotePath=false")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    command = ("git", "-C", str(repository), *protection, *identity, *arguments)
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def test_git_with_both_protections_keeps_every_path(tmp_path: Path) -> None:
    """git takes the paths of all nasty names, fsck --strict finds no fault, and a checkout holds them."""
    git(tmp_path, "init", "-q")
    blob = git(tmp_path, "hash-object", "-w", "--stdin", stdin=b"x").strip().decode()
    paths = _assign_all(_crowd())
    index = "".join(f"100644 {blob}\t{repo_path}\0" for repo_path in paths)
    git(tmp_path, "update-index", "-z", "--index-info", stdin=index.encode())
    tree = git(tmp_path, "write-tree").decode().strip()
    commit = git(tmp_path, "commit-tree", tree, "-m", "all").decode().strip()
    git(tmp_path, "update-ref", "refs/heads/main", commit)
    git(tmp_path, "fsck", "--strict", "--no-dangling")
    listed = git(tmp_path, "ls-tree", "-r", "-z", "--name-only", commit).decode().rstrip("\0").split("\0")
    assert sorted(listed) == sorted(paths)
    assert {decode(path) for path in listed} == set(paths.values())
    git(tmp_path, "checkout-index", "--all")
    assert all((tmp_path / path).is_file() for path in paths)


def test_git_would_refuse_the_raw_names(tmp_path: Path) -> None:
    """The protections of the test above are on: unescaped, git refuses some of these names."""
    git(tmp_path, "init", "-q")
    blob = git(tmp_path, "hash-object", "-w", "--stdin", stdin=b"x").strip().decode()
    for raw in (".GIT/x", "git~1/x", ".g\u200cit/x", ".git. /x"):
        with pytest.raises(subprocess.CalledProcessError):
            git(tmp_path, "update-index", "--add", "--cacheinfo", f"100644,{blob},{raw}")


def _crowd() -> list[tuple[tuple[str, ...], str]]:
    """Every nasty name as a notebook, as a folder, and both in one, and two thousand random names besides."""
    chance = random.Random(7)
    found = {(name,): ".py" for name in NASTY} | {(name, "inner"): ".sql" for name in NASTY}
    for _ in range(2000):
        depth = chance.choice((1, 1, 2, 3))
        components = tuple(
            chance.choice(NASTY) if chance.random() < 0.3 else _random_name(chance) for _ in range(depth)
        )
        found.setdefault(components, chance.choice(EXTENSIONS))
    return sorted(found.items())


def _random_name(chance: random.Random) -> str:
    tops = [0x80, 0x250, 0x3000, 0x110000]
    name = "".join(chr(chance.randrange(chance.choice(tops))) for _ in range(chance.choice((1, 3, 8, 80))))
    return name.replace("/", "-")


def _assign_all(notebooks: list[tuple[tuple[str, ...], str]]) -> dict[str, tuple[tuple[str, ...], str]]:
    namespace = Namespace()
    return {namespace.assign(components, extension): (components, extension) for components, extension in notebooks}

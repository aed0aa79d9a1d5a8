"""The two renderings of a difference: readable, complete, and harmless."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.model import NotebookFormat
from nbvault.notebook import Notebook, diff, parse, to_json, to_text
from nbvault.notebook.show import harmless
from notebook_samples import NOTEBOOKS, code, documents, jupyter, magic, notebook

_COLOUR = re.compile(r"\x1b\[\d+m")
_ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def shown(old: list[str], new: list[str], context: int = 3) -> str:
    """The plain rendering of the difference of two notebooks."""
    return to_text(diff(notebook(old), notebook(new)), colour=False, context=context)


def test_a_change_in_full() -> None:
    """Every kind of change has its heading, equal cells are folded, and what is not text is told in words."""
    old = [
        "one()",
        "two()",
        "# DBTITLE 1,Read\n" + magic("%sql\nselect 1\nfrom a"),
        "gone = True",
        "four()\nx\ny",
        "z()",
    ]
    new = ["four()\nx\ny", "one()", "two()", "# DBTITLE 1,Read all\n" + magic("%sql\nselect 1\nfrom b"), "z()", "# new"]
    assert shown(old, new) == (
        "cell 1  [python]  moved from 5\n"
        "cells 2-3  same\n"
        'cell 4  [sql]  "Read all"  changed (text, title)\n'
        '    ~title "Read" -> "Read all"\n'
        "     select 1\n"
        "    -from a\n"
        "    +from b\n"
        "old cell 4  [python]  removed\n"
        "    -gone = True\n"
        "cell 5  same\n"
        "cell 6  [python]  added\n"
        "    +# new\n"
    )


def test_a_cell_that_moved_and_changed() -> None:
    """A cell that moved and was changed says both, and shows its lines."""
    text = "a\nb\nc\nd\ne\nf\ng"
    assert shown([text, "one()", "two()"], ["one()", "two()", text + "\nh"], 1) == (
        "cells 1-2  same\ncell 3  [python]  moved from 1 and changed\n     ... 6 lines\n     g\n    +h\n"
    )


def test_equal_lines_are_folded() -> None:
    """Equal lines far from a change are counted, a single one is shown."""
    lines = [f"l{at}" for at in range(20)]
    changed = [*lines[:4], "new", *lines[5:12], "new", *lines[13:]]
    text = shown(["\n".join(lines)], ["\n".join(changed)], 3)
    assert text.split("\n")[1:] == [
        *("     l0", "     l1", "     l2", "     l3", "    -l4", "    +new"),
        *("     l5", "     l6", "     l7", "     l8", "     l9", "     l10", "     l11"),
        *("    -l12", "    +new", "     l13", "     l14", "     l15", "     ... 4 lines", ""),
    ]
    assert "     ... 3 lines\n     l3\n    -l4" in shown(["\n".join(lines)], ["\n".join(changed)], 1)
    assert "     l3" not in shown(["\n".join(lines)], ["\n".join(changed)], 0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (jupyter([code("x")]), jupyter([code("x", execution_count=2)]), "cell 1  [python]  changed (outputs only)"),
        (notebook(["x"]), notebook(["# MAGIC %sql\n# MAGIC x"]), "    ~language python -> sql (%sql)"),
        (notebook(["x"]), notebook(["# DBTITLE 0,A\nx"]), '    ~title none -> "A" (hidden)'),
        (notebook(["x"]), notebook(["x\n"]), "settings  changed (layout only)"),
        (parse(b"x = 1", format=NotebookFormat.SOURCE), notebook(["x = 1"]), "    ~language raw -> python"),
    ],
)
def test_what_is_not_text(old: Notebook, new: Notebook, expected: str) -> None:
    """Outputs, language, title and layout are each told in words."""
    assert expected in to_text(diff(old, new), colour=False).split("\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 😀 \u3000 日本", "plain é 😀 \u3000 日本"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb\x08\x07\x9b\x7f\x00", "a\\rb\\x08\\x07\\x9b\\x7f\\x00"),
        ("\u202eevil\u202c \u2066x\u2069 \u200f", "\\u202eevil\\u202c \\u2066x\\u2069 \\u200f"),
        ("a\u200bb\ufeff\xad", "a\\u200bb\\ufeff\\xad"),
        ("a\u2028b\u2029c\x85", "a\\u2028b\\u2029c\\x85"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_harmless(text: str, expected: str) -> None:
    """What steers a terminal, turns text around or cannot be seen is spelled out; everything else stands as it is."""
    assert harmless(text) == expected


@given(st.text(max_size=50))
def test_any_text_is_harmless(text: str) -> None:
    """Of any text at all, nothing is left that a terminal obeys, and it can be written as UTF-8."""
    safe = harmless(text)
    assert not [one for one in safe if one != "\t" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert safe.encode().decode() == safe


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.tuples(NOTEBOOKS, NOTEBOOKS),
        st.tuples(_ANY_TEXT, _ANY_TEXT).map(
            lambda texts: (notebook([f"# DBTITLE 1,{texts[0]}\n{texts[1]}"]), notebook([texts[0], texts[1]]))
        ),
    ),
    st.integers(0, 4),
)
def test_only_our_own_colours(pair: tuple[Notebook, Notebook], context: int) -> None:
    """The only escape sequences are our colours, each line ends its own, and without them the text is the plain one."""
    changes = diff(*pair)
    coloured, plain = (to_text(changes, colour=colour, context=context) for colour in (True, False))
    assert _COLOUR.sub("", coloured) == plain
    assert "\x1b" not in plain
    assert all(harmless(line) == line for line in plain.split("\n"))
    assert all(line.endswith("\x1b[0m") for line in coloured.split("\n") if "\x1b" in line)
    assert plain.encode().decode() == plain


@settings(deadline=None)
@given(documents(), documents())
def test_json_can_be_written(old: bytes, new: bytes) -> None:
    """Of any two documents the JSON form is JSON, and UTF-8."""
    changes = diff(*(parse(data, format=NotebookFormat.IPYNB) for data in (old, new)))
    assert json.loads(json.dumps(to_json(changes), ensure_ascii=False).encode()) == to_json(changes)


def test_json() -> None:
    """The JSON form says the kind, the places, the names on both sides, and the lines."""
    added, changed = to_json(diff(notebook(["x = 1"]), notebook(["# new cell here", "# DBTITLE 1,T\nx = 2"])))
    assert changed == {
        "kind": "changed",
        "what": ["text", "title"],
        "old_index": 1,
        "new_index": 2,
        "cell": "code",
        "old_language": "python",
        "new_language": "python",
        "old_title": "",
        "new_title": "T",
        "lines": ["-x = 1", "+x = 2"],
    }
    assert (added["kind"], added["old_index"], added["old_title"], added["lines"]) == (
        "added",
        None,
        None,
        ["+# new cell here"],
    )

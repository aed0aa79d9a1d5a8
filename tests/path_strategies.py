"""Names that a workspace may hold, the nastier the better, and Windows' rules written down once more by themselves."""

from __future__ import annotations

from hypothesis import strategies as st

from nbvault.paths import EXTENSIONS

NASTY = [
    *("etl", "Etl", "ETL", "eTl", "etl.py", "Etl.py", "x", "x.py", "x.py.py", "x.sql", "X.PY", "a.ipynb"),
    *(".", "..", "...", "a.", "a..", "a ", "a  ", " a", " ", "  ", ". ", " .", "a. ", "a .", "a. .", ".a", "a.b.c"),
    *(
        "CON",
        "con",
        "Con.txt",
        "con.",
        "con ",
        "CON .x",
        "nul",
        "AUX.",
        "prn.a.b",
        "COM1",
        "com0",
        "COM¹",
        "lpt9.x",
        "LPT³",
    ),
    *("CONIN$", "conout$", "CONSOLE", "COM10", "com", "clock$", "nul:", "con\u200c"),
    *(
        "a:b",
        "a\\b",
        "a*b",
        "a?b",
        'a"b',
        "a<b",
        "a>b",
        "a|b",
        "a%b",
        "%",
        "%%",
        "%41",
        "%_",
        "%+",
        "a%_",
        "a%+",
        "a%_.py",
    ),
    *("%uD800", "\ud800", "\udfff", "a\udc00b", "\ud83d\ude00", "😀", "a\nb", "a\tb", "\x00", "\x7f", "\x80", "\x9f"),
    *(
        ".git",
        ".GIT",
        ".Git",
        ".git.",
        ".git ",
        ".git . .",
        ".g\u200cit",
        "\u200c.git",
        ".git\ufeff",
        "git~1",
        "GIT~1",
        "git~1.",
    ),
    *(".gitmodules", ".GitModules", ".gitmodules ", "gitmod~1", "GI7EBA~1", "gi7eba~9", "gi~12345", ".gitattributes"),
    *(
        "gitatt~1",
        "gi7d29~1",
        ".gitignore",
        "gitign~2",
        "gi250a~1",
        ".mailmap",
        "mailma~1",
        "maba30~1",
        ".git::$INDEX",
        ".gitmodules:x",
    ),
    *(
        "README.md",
        "readme.MD",
        "README",
        "é",
        "e\u0301",
        "É",
        "E\u0301",
        "ß",
        "ss",
        "ẞ",
        "SS",
        "ſ",
        "s",
        "S",
        "K",
        "\u212a",
        "k",
    ),
    *(
        "ı",
        "I",
        "i",
        "İ",
        "i\u0307",
        "Σ",
        "σ",
        "ς",
        "Å",
        "\u212b",
        "ﬁ",
        "fi",
        "FI",
        "\u0345",
        "α\u0345\u0301",
        "\ufb1d",
        "a\u200db",
        "ab",
    ),
    *("x" * 251, "x" * 252, "x" * 253, "x" * 255, "x" * 256, "X" * 255, "x" * 400, "X" * 400, "x" * 400 + ".py"),
    *(
        "é" * 124,
        "é" * 126,
        "é" * 127,
        "é" * 128,
        "e\u0301" * 90,
        "😀" * 63,
        "😀" * 64,
        "\ud800" * 60,
        "x" * 197 + " con.y" * 60,
    ),
    *(
        "." * 300,
        " " * 300,
        "con." + "y" * 300,
        ("x" * 199 + ".") * 3,
        ("x" * 199 + " ") * 3,
        "A" * 66 + "xx" + ".git" * 50,
    ),
]

_ANY = st.characters(exclude_characters="/")
_CLOSE = st.text(alphabet='aAbBxX.. %_+:~1gGiItTcCoOnN\u200ceE\u0301éÉßſKk\ud800"', min_size=1, max_size=8)
EXTENSION = st.sampled_from(EXTENSIONS)


def names() -> st.SearchStrategy[str]:
    """A name: nasty, of any characters at all, of a few that clash, or very long."""
    long = st.builds(
        lambda part, times: (part * times)[:1000], st.text(_ANY, min_size=1, max_size=12), st.integers(30, 300)
    )
    return st.one_of(st.sampled_from(NASTY), st.text(_ANY, min_size=1), _CLOSE, long)


def name_lists() -> st.SearchStrategy[list[str]]:
    """The names on the way from the root to a notebook."""
    return st.lists(names(), min_size=1, max_size=5)


def legal_on_windows(component: str) -> bool:
    """Whether Windows creates a file of that name, by the rules of its documentation, within 255 bytes."""
    base = component.split(".", maxsplit=1)[0].rstrip(" ").upper()
    devices = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    devices |= {port + digit for port in ("COM", "LPT") for digit in "0123456789¹²³"}
    return (
        0 < len(component.encode("utf-8")) <= 255
        and len(component.encode("utf-16-le")) // 2 <= 255
        and not any(char in '<>:"/\\|?*' or ord(char) < 32 for char in component)
        and component[-1] not in ". "
        and base not in devices
    )

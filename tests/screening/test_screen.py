"""Credentials are found in notebooks, shown masked, and ordinary code passes."""

from __future__ import annotations

import base64
import random
import string
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbvault.backup import screen as screening
from nbvault.backup.credentials import RULES, entropy
from nbvault.backup.screen import fingerprint, mask, one_by_one, screen

CORPUS = 2500
HEX, ALNUM, UPPER32 = "0123456789abcdef", string.ascii_letters + string.digits, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
B64 = ALNUM + "+/"


def drawn(alphabet: str, length: int, seed: str) -> str:
    """Random text that is made here, so that no file of this project holds what looks like a secret."""
    return "".join(random.Random(seed).choices(alphabet, k=length))


def key(size: int, seed: str) -> str:
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


PEM = f"-----BEGIN RSA {'PRIVATE'} KEY-----"
# The rule, the line with a place for the secret, the secret.
PLANTED = [
    ("Databricks token", 'token = "{}"', "dapi" + drawn(HEX, 32, "a")),
    ("Databricks token", "# MAGIC %sh curl -H 'Authorization: Bearer {}'", "dapi" + drawn(HEX, 32, "b") + "-2"),
    ("Databricks OAuth secret", 'client_secret="{}"', "dose" + drawn(HEX, 32, "c")),
    ("Azure storage key", 'c = "DefaultEndpointsProtocol=https;AccountKey={};EndpointSuffix=x"', key(64, "d")),
    ("Azure storage key", 'spark.conf.set("fs.azure.account.key.lake.dfs.core.windows.net", "{}")', key(64, "e")),
    ("Azure shared access key", 'e = "Endpoint=sb://x/;SharedAccessKeyName=r;SharedAccessKey={}"', key(32, "f")),
    ("Azure shared access signature", 'u = "https://a.blob/c?sv=2022-11-02&sig={}"', drawn(ALNUM, 43, "g") + "%3D"),
    ("Azure client secret", 'secret = "{}"', drawn(ALNUM, 3, "h") + "8Q~" + drawn(ALNUM, 34, "h2")),
    ("Azure DevOps token", "PAT = '{}'", drawn(ALNUM, 76, "i") + "AZDO" + drawn(ALNUM, 4, "i2")),
    ("AWS access key", 'key_id = "{}"', "AKIA" + drawn(UPPER32, 16, "j")),
    ("AWS secret key", 'aws_secret_access_key = "{}"', drawn(B64, 40, "k")),
    ("AWS secret key", 'sc._jsc.hadoopConfiguration().set("fs.s3a.secret.key", "{}")', drawn(B64, 40, "l")),
    ("GitHub token", 'headers = {{"Authorization": "token {}"}}', "ghp_" + drawn(ALNUM, 36, "m")),
    ("GitHub token", "git clone https://x:{}@github.com/a/b", "github_pat_" + drawn(ALNUM, 82, "n")),
    ("GitLab token", "{}", "glpat-" + drawn(ALNUM, 20, "o")),
    ("Slack token", 'client = WebClient("{}")', "xoxb-" + drawn(string.digits, 12, "p") + "-" + drawn(ALNUM, 24, "p2")),
    ("Slack webhook", "https://hooks.slack.com/services/{}", "T0AB12CD3/B0AB12CD3/" + drawn(ALNUM, 24, "q")),
    ("Google API key", "key={}", "AIza" + drawn(ALNUM, 35, "r")),
    ("Stripe key", "stripe.api_key = '{}'", "sk_live_" + drawn(ALNUM, 24, "s")),
    ("PyPI token", "password: {}", "pypi-AgE" + drawn(ALNUM, 60, "t")),
    ("npm token", "//registry/:_authToken={}", "npm_" + drawn(ALNUM, 36, "u")),
    ("OpenAI key", 'openai.api_key = "{}"', "sk-" + drawn(ALNUM, 48, "v")),
    ("JSON web token", "Bearer {}", "eyJ" + drawn(ALNUM, 30, "w") + ".eyJ" + drawn(ALNUM, 99, "w2") + "." + drawn(ALNUM, 43, "w3")),  # noqa: E501
    ("private key", PEM + "\\n{}", key(48, "x")),
    ("private key", f"# MAGIC {PEM}\n# MAGIC {{}}", key(48, "y")),
    ("password in a URL", 'u = "postgresql://loader:{}@db.example.com:5432/x"', "tr0ub4dor&3"),
    ("password in a connection string", 'j = "jdbc:sqlserver://h:1433;database=d;user=etl;password={};encrypt=true"', "Winter-in-Bern9"),  # noqa: E501
    ("assigned secret", "db_password = '{}'", "vG7!kq2_Lp0xZt"),
    ("assigned secret", 'conf["client_secret"]: "{}"', "Zk8vQ2mX91_pLrT4sW"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "line", "secret"), PLANTED, ids=[f"{n} {row[0]}" for n, row in enumerate(PLANTED)])
def test_each_kind_is_found_where_it_stands(rule: str, line: str, secret: str) -> None:
    """A planted credential is found once, by its own rule, at its line, and nothing that is shown tells it."""
    text = "# Databricks notebook source\nimport os\n\n" + line.format(secret) + "\n\n# COMMAND ----------\n"
    (finding,) = screen(text.encode())
    at = text[: text.index(secret)].count("\n") + 1
    assert (finding.rule, finding.line, finding.fingerprint) == (rule, at, fingerprint(secret))
    assert secret[5:] not in str(finding)
    assert screen(text.encode(), allowed={finding.fingerprint}) == []


def test_every_rule_has_a_planted_case() -> None:
    """No rule stands here untried."""
    assert {row[0] for row in PLANTED} == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    "line",
    [
        'password = dbutils.secrets.get("scope", "key")',
        'token = "{{secrets/scope/databricks-token-for-prod1}}"',
        'password = "<your password here, 12 chars>"',
        "db_password = os.environ['DB_PASSWORD_PRODUCTION_1']",
        'u = f"postgresql://{user}:{password}@{host}/db"',
        'secret_name = "engagement-2024-archive-key"',
        'token_url = "https://login.microsoftonline.com/common/oauth2/v2.0/token"',
        'client_id = "1f0c2b3a-5d6e-4f70-8a9b-0c1d2e3f4a5b"',
        'password = "xxxxxxxxXXXX1234!"',
        f"text = '{PEM}' in data",
        'spark.conf.set("fs.azure.account.key.lake.dfs.core.windows.net", storage_key)',
        'AccountKey=Example;',
    ],
)  # fmt: skip
def test_what_only_speaks_of_secrets_passes(line: str) -> None:
    """References, placeholders, variables and names are no credentials."""
    assert screen(line.encode()) == []


def test_several_in_one_notebook_are_told_in_order() -> None:
    """Each place is told once, in the order of lines; the same secret has one fingerprint."""
    one, two = "dapi" + drawn(HEX, 32, "1"), "ghp_" + drawn(ALNUM, 36, "2")
    found = screen(f"{two}\nx\n{one} {one}\r\n{two}".encode())
    assert [(each.rule, each.line) for each in found] == [
        ("GitHub token", 1),
        ("Databricks token", 3),
        ("Databricks token", 3),
        ("GitHub token", 4),
    ]
    assert len({each.fingerprint for each in found}) == 2


def files() -> Iterator[Path]:
    """Real source: the standard library, then whatever is installed here."""
    for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *sys.path):
        yield from sorted(Path(folder).rglob("*.py")) if folder else ()


def test_ordinary_code_passes() -> None:
    """Of 2,500 real files less than one in a hundred is reported."""
    seen: dict[Path, bytes] = {}
    for path in files():
        if len(seen) < CORPUS:
            seen.setdefault(path.resolve(), path.read_bytes())
    assert len(seen) >= 2000
    reported = [path for path, source in seen.items() if screen(source)]
    assert len(reported) < len(seen) / 100, reported


def matches(source: bytes, numbers: Iterable[int]) -> list[tuple[str, int]]:
    """What the patterns say near these anchors, believed or not."""
    anchors = (screening._ANCHORS[number] for number in sorted(numbers))
    return [
        (rule.name, found.start()) for rule, anchor in anchors for found in screening._matches(rule, anchor, source)
    ]


def test_the_quick_search_and_the_plain_one_agree() -> None:
    """With google-re2 the same anchors are seen as without, but for some near which no pattern matches."""
    quick = screening._present()
    sources = [line.format(secret).encode() for _, line, secret in PLANTED] + [b"", b"\xff\x00PassW\xc3\xb6rd", b"none"]
    sources += [path.read_bytes() for path, _ in zip(files(), range(100), strict=False)]
    for source in sources:
        seen, there = set(quick(source)), set(one_by_one(source))
        assert {n for n in there if not screening._ANCHORS[n][0].then} <= seen <= there
        assert matches(source, seen) == matches(source, there)


def some(of: str, least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(of, min_size=least, max_size=most)


def either(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


BLANKS, QUOTE = some(" \t\v\f\n\r", 0, 3), either("'", '"')
NAMES = either("passwd", "PassWord", "pwd", "TOKEN", "Secret", "api_key", "apikey", "access_key", "Credential")
ASSIGNED = st.tuples(
    *(NAMES, some("x_9", 0, 2), either("", "'", "']", "]"), BLANKS, either(":", "=", ",")),
    *(BLANKS, QUOTE, some("aZ9!é{", 10, 14), either("'", '"', "\\", "")),
)
URL = st.tuples(
    *(either("://"), some("aZ9_.%+-/", 0, 3), either(":", "::", ""), some("aZ9!\v#", 5, 8), either("@", "")),
    *(either("db", "[::1]", "!", ""),),
)
SOURCES = st.lists(st.one_of(ASSIGNED, URL).map("".join), max_size=3).map(lambda parts: "".join(parts).encode())


@given(SOURCES)
@settings(max_examples=500)
def test_what_the_quick_search_leaves_out_matches_nowhere(source: bytes) -> None:
    """Whatever is put together of what rules are made of: no match is lost by looking for what must follow."""
    assert matches(source, screening._present()(source)) == matches(source, one_by_one(source))


def test_odd_bytes_and_many_anchors_do_no_harm() -> None:
    """No notebook is too odd or too large to be looked at: a megabyte of anchors ends."""
    for anchor in {anchor for rule in RULES for anchor in rule.anchors}:
        assert len(screen(anchor * (30_000 // len(anchor)))) <= 1
    assert screen(bytes(range(256)) * 100) == []


def test_short_secrets_are_not_shown_at_all() -> None:
    """What is shown of a secret never is a good part of it."""
    assert mask("hunter2!") == "*** (8 characters)"
    assert mask("dapi" + "0" * 32) == "dapi*** (36 characters)"
    assert entropy("") == 0.0

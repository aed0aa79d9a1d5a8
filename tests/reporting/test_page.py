"""The page in a real browser: hostile names are shown, nothing runs, nothing is loaded, and it can be read anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_places import needs_browser, opened_browser
from nbvault.notebook.show import harmless
from nbvault.opening import read_vault
from nbvault.reporting import report, tables
from nbvault.reporting.page import Mail, daily, to_html
from nbvault.reporting.query import Query
from nbvault_emulator.testing import Emulator
from recovery.places import HEAD, ROOT, Desk

SCRIPT = "<script>document.title='RUN'</script>"
NAMES = [
    SCRIPT,
    "<img src=x onerror=document.title='RUN'>",
    "</style><svg onload=document.title='RUN'>",
    "\"><iframe src='http:x'>",
    "javascript:alert(1)",
    "line\nbreak\r\nand\ttab",
    "\u202egpj.exe \u2066isolated",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "{{ 7*7 }}{% raw %}",
    "x" * 500,
    "=cmd|' /C calc'!A0",
    "\U0001f600 Ä\u0301",
    "&lt;b&gt; &amp;",
]
PEOPLE = ["<script>document.title='RUN'</script>@clients.example", '"><img src=http://127.0.0.1:1/y>@clients.example']


def hostile(name: str) -> str:
    return (
        HEAD + f"print('{name}')\n# <script>document.title='RUN'</script>\n# COMMAND ----------\n\n# MAGIC %md </div>\n"
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two sessions over notebooks and people whose names want to be more than names."""
    with Emulator(world=[{"path": f"{ROOT}/keep", "content": HEAD}]) as emulator:
        desk = Desk(emulator, tmp_path_factory.mktemp("hostile"))
        for number, name in enumerate(NAMES):
            desk.emulator.create(f"{ROOT}/f/{name}", hostile("one"), editor=PEOPLE[number % 2])
        desk.sync()
        for number, name in enumerate(NAMES):
            if number % 3 == 0:
                desk.emulator.edit(f"{ROOT}/f/{name}", hostile("two"), editor=PEOPLE[number % 2])
            elif number % 3 == 1:
                desk.emulator.move(f"{ROOT}/f/{name}", f"{ROOT}/g/{name}")
            else:
                desk.emulator.delete(f"{ROOT}/f/{name}")
        desk.sync()
        yield desk


def made(desk: Desk) -> report.Report:
    with read_vault(desk.settings, warn=desk.warnings.append, want_tree=False) as vault:
        return report.report(vault, Query(), now=desk.clock.now(), compliance=True)


@pytest.fixture(scope="module")
def page_file(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(to_html(made(desk)), encoding="utf-8")
    return file


@needs_browser
def test_nothing_runs_nothing_is_loaded_and_every_name_is_shown(desk: Desk, page_file: Path) -> None:
    """No script, no request but for the file itself, no refusal of the policy to hide; all names, whole."""
    requests: list[str] = []
    said: list[str] = []
    with opened_browser() as browser, browser.new_context() as context:
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(page_file.as_uri())
        text = page.evaluate("document.body.textContent")
        elements = page.evaluate("[...new Set([...document.body.querySelectorAll('*')].map(e => e.localName))]")
        title = page.title()
    assert requests == [page_file.as_uri()]
    assert said == []
    assert title == f"Changes in {ROOT}"
    assert {"script", "img", "svg", "iframe", "a", "form", "style"}.isdisjoint(elements)
    assert [name for name in NAMES if harmless(name) not in text] == []
    # Git's identities have no angle brackets.
    assert [person for person in PEOPLE if re.sub("[<>]", "", person) not in text] == []


@needs_browser
def test_it_can_be_read_on_a_phone_and_in_the_dark(page_file: Path) -> None:
    """Nothing is wider than the screen, and text stands out from its ground by 4.5 to 1 at least."""
    with opened_browser() as browser:
        for width, scheme in ((360, "light"), (360, "dark"), (1400, "light")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.goto(page_file.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(_CONTRAST) == []


@needs_browser
def test_on_paper_every_difference_is_there(page_file: Path) -> None:
    """Printing opens what is folded."""
    with opened_browser() as browser, browser.new_context() as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
        folded = page.evaluate(_SEEN)
        page.emulate_media(media="print")
        unfolded = page.evaluate(_SEEN)
    assert folded == [False] * len(folded)
    assert unfolded == [True] * len(folded)
    assert len(folded) > 10


def test_the_policy_allows_nothing_but_its_own_style(desk: Desk) -> None:
    """One policy, before anything else; its digest is that of the one style."""
    html = to_html(made(desk))
    policies = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert len(policies) == 1
    assert "default-src 'none'; style-src 'sha256-" in policies[0]
    assert "unsafe" not in policies[0]
    assert html.index("Content-Security-Policy") < html.index("<style>") < html.index(ROOT + "/")
    assert SCRIPT not in html


def test_the_daily_mail(desk: Desk) -> None:
    """What changed in a day, as text and as HTML in which no name is markup; no header can be broken."""
    with read_vault(desk.settings, warn=desk.warnings.append, want_tree=False) as vault:
        mail: Mail = daily(vault, now=desk.diary[-1].report.ended_at)
        nothing = daily(
            vault, now=desk.diary[0].report.started_at.replace(year=2020), notes=["No <b>."], facts=[("Head", "<i>")]
        )
    counts = desk.diary[-1].report.counts
    assert f"{counts.modified} modified, {counts.renamed} renamed, {counts.deleted} deleted" in mail.subject
    assert mail.subject.isprintable()
    assert SCRIPT in mail.text
    assert SCRIPT not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert "0 added, 0 modified" in nothing.text
    assert ("Note: No <b>." in nothing.text, "Head: <i>" in nothing.text) == (True, True)
    assert ("No &lt;b&gt;." in nothing.html, "&lt;i&gt;" in nothing.html) == (True, True)


def test_markdown_shows_names_as_names(desk: Desk) -> None:
    """A table line for each change, and no markup in a name."""
    text = tables.to_markdown(made(desk))
    lines = [line for line in text.split("## Changes")[1].splitlines() if line.startswith("| 20")]
    assert len(lines) == made(desk).totals.count
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert "<" not in re.sub(r"\\<", "", text)


_SEEN = "[...document.querySelectorAll('.diff')].map(e => e.checkVisibility())"
_CONTRAST = """() => {
  const light = c => { const v = c / 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const parts = s => s.match(/[\\d.]+/g).map(Number);
  const lum = ([r, g, b]) => .2126 * light(r) + .7152 * light(g) + .0722 * light(b);
  const ground = e => { for (; e; e = e.parentElement) { const p = parts(getComputedStyle(e).backgroundColor);
    if (p.length < 4 || p[3] > 0) return p; } return [255, 255, 255]; };
  const found = new Set();
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [lum(parts(getComputedStyle(e).color)), lum(ground(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) found.add(e.localName + '.' + e.className);
  }
  return [...found];
}"""

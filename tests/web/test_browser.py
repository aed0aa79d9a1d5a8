"""The page in a real browser: the ways that people go, from a lost notebook to a proven one and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from browser_places import needs_browser, opened_browser
from nbvault_emulator.testing import Emulator
from web.places import BOB, MOVED, OPEN, ROOT, Desk, Page, serving, sums

pytestmark = needs_browser
KEEP = f"{ROOT}{OPEN}/keep"


@dataclass
class Window:
    """A tab, and what it complained about or asked of others."""

    tab: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: Any, url: str) -> Window:
        """A new tab, listened to."""
        made = cls(context.new_page(), url)
        made.tab.set_default_timeout(60_000)
        made.tab.on("console", made.heard)
        made.tab.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.tab.on("dialog", lambda dialog: made.complaints.append(dialog.message))
        made.tab.on("request", made.asked)
        return made

    def go(self, path: str) -> None:
        self.tab.goto(self.url + path)

    def heard(self, message: Any) -> None:
        # Leaving a page breaks off what it was just asking; htmx calls that an error.
        if message.type in ("error", "warning") and not message.text.startswith(
            ("htmx:sendAbort", "htmx:afterRequest")
        ):
            self.complaints.append(message.text)

    def asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.strangers.append(request.url)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def opened(desk: Desk, chromium: Any) -> Iterator[tuple[Page, Any]]:
    """The page, and a browser context that has followed its link."""
    with serving(desk) as page:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        tab = context.new_page()
        tab.goto(f"{page.url}/enter?key={page.site.signs_in.key}")  # type: ignore[attr-defined]
        tab.close()
        yield page, context
        context.close()


@pytest.fixture
def window(opened: tuple[Page, Any]) -> Iterator[Window]:
    """A tab of it; whatever happens in it, nothing may be complained about and nobody else asked."""
    page, context = opened
    made = Window.of(context, page.url)
    yield made
    made.tab.close()
    assert (made.complaints, made.strangers) == ([], [])


def test_from_a_lost_notebook_to_its_proven_return_and_back(window: Window, emulator: Emulator) -> None:
    """Search as you type, open, compare two versions, restore the first one, see the proof, undo, see that proof."""
    tab, before = window.tab, sums(emulator)
    window.go("/notebooks")
    tab.locator("#q").press_sequentially("open load")
    tab.locator("#results a", has_text="load").click()
    tab.locator(".timeline tbody tr").nth(2).wait_for()
    assert tab.locator(".timeline tbody tr").count() == 3
    tab.get_by_role("button", name="Compare the two").click()
    tab.get_by_role("link", name="All versions").click()
    tab.locator(".timeline tbody tr").last.get_by_role("link", name="Restore").click()
    tab.get_by_role("button", name="Show the plan").click()
    tab.locator("button[data-confirm]").wait_for()
    changed = tab.locator(".diff .changed")
    assert "rows = 2" in changed.first.locator(".old").inner_text()
    assert "rows = 1" in changed.first.locator(".new").inner_text()
    assert sums(emulator) == before
    tab.locator("button[data-confirm]").click()
    tab.locator("[data-receipt]").wait_for()
    assert "1 restored" in tab.locator("[data-receipt]").inner_text()
    assert "read back, the same" in tab.locator(".list").inner_text()
    assert sums(emulator)[MOVED] != before[MOVED]
    tab.get_by_role("button", name="Undo").click()
    tab.locator("button[data-confirm]").click()
    tab.locator("[data-receipt]").wait_for()
    assert "1 restored" in tab.locator("[data-receipt]").inner_text()
    assert sums(emulator) == before


def test_several_at_once_as_of_a_day(window: Window, desk: Desk, emulator: Emulator) -> None:
    """Tick some, choose a day, see the plan, leave it, find it again under Tasks, restore a copy, see the receipt."""
    tab, before = window.tab, sums(emulator)
    window.go(f"/notebooks?folder={ROOT}{OPEN}")
    for name in ("keep", "plan"):
        tab.get_by_label(re.compile(f"Choose .*/{name}$")).check()
    button = tab.get_by_role("button", name="Restore 2 ticked")
    assert button.is_enabled()
    button.click()
    tab.locator("#day").fill(desk.diary[0].at[:10])
    tab.get_by_label("as a copy at:").check()
    tab.get_by_label("Where the copy is to be").fill(f"{ROOT}/copies/")
    tab.get_by_role("button", name="Show the plan").click()
    tab.locator("button[data-confirm]").wait_for()
    window.go("/tasks")
    tab.locator("td.path a").first.click()
    assert "2 create" in tab.locator("#task").inner_text()
    tab.locator("button[data-confirm]").click()
    tab.locator("[data-receipt]").wait_for()
    assert "2 restored" in tab.locator("[data-receipt]").inner_text()
    made = {path for path in sums(emulator) if path not in before}
    assert {path.rpartition("/")[2] for path in made} == {"keep", "plan"}
    for path in made:
        emulator.delete(path)


def test_by_keyboard_alone(window: Window, emulator: Emulator) -> None:
    """From the first page to a carried-out restore without a mouse; what has the focus can be seen."""
    tab, before = window.tab, sums(emulator)
    window.go("/")
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "q"
    tab.keyboard.type("open keep")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/notebooks?*")
    reach(tab, "keep")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/notebook?*")
    reach(tab, "Restore …")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/restore?*")
    reach(tab, "", name="overwrite")
    tab.keyboard.press("End")
    reach(tab, "Show the plan")
    tab.keyboard.press("Enter")
    tab.locator("button[data-confirm]").wait_for()
    reach(tab, "Restore now")
    tab.keyboard.press("Enter")
    tab.locator("[data-receipt]").wait_for()
    assert sums(emulator) == before


def reach(tab: Any, words: str, *, name: str = "") -> None:
    """Press Tab until something with these words, or this name, has the focus."""
    for _ in range(80):
        tab.keyboard.press("Tab")
        text, field_name = tab.evaluate("[document.activeElement.innerText || '', document.activeElement.name || '']")
        if (words and text.strip().endswith(words)) or (name and field_name == name):
            return
    raise AssertionError(f"the keyboard does not reach {words or name}")


@contextmanager
def answered_after(tab: Any, address: str) -> Iterator[None]:
    """What the browser asks for, of an address and in a block of code, is answered after that block."""
    pattern, waiting, is_over = re.compile(address), list[Any](), False

    def keep_back(route: Any) -> None:
        # A page may ask again, and drop its first question, at any moment: nobody waits for ever.
        if is_over:
            route.continue_()
        else:
            waiting.append(route)

    tab.route(pattern, keep_back)
    with tab.expect_request(pattern):
        yield
    while not waiting:
        tab.evaluate("0")
    with tab.expect_event("requestfinished", lambda request: pattern.search(request.url)):
        is_over = True
        for route in waiting:
            route.continue_()
    tab.unroute(pattern)


OPEN_LOAD = r"/notebooks\?q=open(%20|\+)load$"


@contextmanager
def found_late(window: Window) -> Iterator[None]:
    """Several notebooks are found; the answer to more letters, which fits one of them, comes after this block."""
    tab = window.tab
    window.go("/notebooks")
    tab.locator("#q").press_sequentially("open")
    tab.locator("#results tbody tr").nth(1).wait_for()
    with answered_after(tab, OPEN_LOAD):
        with tab.expect_request(re.compile(OPEN_LOAD)):
            tab.locator("#q").press_sequentially(" load")
        yield
    # Whatever the page does with it is done before the next frame.
    tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def test_a_click_is_not_lost_to_an_answer(window: Window) -> None:
    """What is pressed when another answer comes still is what is clicked."""
    with found_late(window):
        window.tab.locator("#results a", has_text="load").hover()
        window.tab.mouse.down()
    window.tab.mouse.up()
    window.tab.wait_for_url("**/notebook?path=*load")


def test_an_answer_is_not_lost_to_a_click(window: Window) -> None:
    """What came while something was pressed is shown when it is let go, and its address is that of the page."""
    rows = window.tab.locator("#results tbody tr")
    with found_late(window):
        window.tab.locator("#results th", has_text="Path").hover()
        window.tab.mouse.down()
    assert rows.count() > 1
    window.tab.mouse.up()
    rows.nth(1).wait_for(state="detached")
    assert "load" in rows.inner_text()
    window.tab.wait_for_url(re.compile(OPEN_LOAD))


def test_the_keyboard_stays_where_it_is(window: Window) -> None:
    """An answer that comes while a link has the focus leaves it there, if that link is in it."""
    with found_late(window):
        reach(window.tab, "load")
    window.tab.locator("#results tbody tr").nth(1).wait_for(state="detached")
    assert window.tab.evaluate("document.activeElement.innerText").endswith("load")


def test_nothing_is_asked_twice(window: Window) -> None:
    """What is typed is one question, and so is a choice; to leave the field is none."""
    tab, asked = window.tab, list[str]()

    def hear(request: Any) -> None:
        # A part that waits for the workspace asks again, in its own name.
        if request.headers.get("hx-trigger") == "query":
            asked.append(request.url.rpartition("?")[2])

    window.go("/notebooks")
    tab.on("request", hear)
    for field_name, typed in (("q", "open"), ("engagement", "0042")):
        with tab.expect_response(re.compile(f"{field_name}={typed}")):
            tab.locator(f"#{field_name}").fill(typed)
    with tab.expect_response(re.compile("state=any")):
        tab.locator("#state").select_option("any")
    tab.get_by_role("link", name="Sessions").click()
    tab.wait_for_url("**/sessions")
    assert asked == ["q=open", "q=open&engagement=0042", "q=open&engagement=0042&state=any"]


def test_who_leaves_is_not_called_back(desk: Desk, chromium: Any) -> None:
    """A page that waits for an answer comes back by itself, but not to whoever has clicked on something else."""
    with serving(desk, NBVAULT_WEB__PATIENCE_S="0.000001") as page:
        context = chromium.new_context()
        window = Window.of(context, page.url)
        window.go(f"/enter?key={page.site.signs_in.key}")  # type: ignore[attr-defined]
        # A click as soon as there is something to click on, once, and time for the page's own coming back.
        window.tab.add_init_script(
            "addEventListener('DOMContentLoaded', () => {"
            " if (!document.querySelector('[data-again]') || sessionStorage.clicked) return;"
            " sessionStorage.clicked = 'yes';"
            " document.querySelector('[href=\"/sessions\"]').click();"
            " setTimeout(() => console.log('time has passed'), 200) })"
        )
        with answered_after(window.tab, "/sessions$"), window.tab.expect_console_message():
            window.tab.goto(f"{page.url}/notebook?path={MOVED}", wait_until="commit")
        window.tab.wait_for_url("**/sessions")
        context.close()
    assert (window.complaints, window.strangers) == ([], [])


def test_the_charts_are_drawn(window: Window) -> None:
    """Four charts with something in them, told to those who cannot see them."""
    window.go("/")
    window.tab.locator("[data-chart][data-drawn]").nth(3).wait_for()
    drawn = window.tab.evaluate(
        "Array.from(document.querySelectorAll('[data-chart] canvas')).map(each => {"
        " const data = each.getContext('2d').getImageData(0, 0, each.width, each.height).data;"
        " return data.some(value => value > 0) })"
    )
    assert drawn == [True] * 4
    assert window.tab.locator("[data-chart][role=img]").count() == 4


PLACES = [
    "/",
    "/notebooks",
    "/notebooks?state=any&q=open",
    f"/notebook?path={MOVED}",
    f"/version?path={MOVED}",
    f"/compare?path={MOVED}",
    f"/blame?path={MOVED}",
    f"/restore?path={MOVED}",
    "/search",
    "/sessions",
    "/restores",
    "/tasks",
    "/changes",
    "/changes?place=nowhere",
    "/changes/totals",
    "/alerts",
    "/audit",
    "/nowhere",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier(opened: tuple[Page, Any], scheme: str) -> None:
    """axe finds nothing serious on any page, dark or light."""
    from axe_playwright_python.sync_playwright import Axe

    page, context = opened
    tab, found = context.new_page(), []
    tab.set_default_timeout(120_000)
    tab.emulate_media(color_scheme=scheme)
    for place in PLACES:
        tab.goto(page.url + place)
        if place == "/":
            tab.locator("[data-chart][data-drawn]").nth(3).wait_for()
        results = Axe().run(tab).response["violations"]
        found += [
            (place, each["id"], [node["html"][:120] for node in each["nodes"]][:3])
            for each in results
            if each["impact"] in ("serious", "critical")
        ]
    tab.close()
    assert found == []


def test_readable_on_a_phone(opened: tuple[Page, Any]) -> None:
    """On 360 pixels no page is wider than the screen."""
    page, context = opened
    tab, wide = context.new_page(), []
    tab.set_viewport_size({"width": 360, "height": 740})
    for place in PLACES:
        tab.goto(page.url + place)
        if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(place)
    tab.close()
    assert wide == []


def test_times_are_the_readers(opened: tuple[Page, Any], chromium: Any) -> None:
    """A time is told in the zone of the browser, and by its exact value on request."""
    page, context = opened
    cookies = context.cookies()
    told = []
    for zone in ("UTC", "Asia/Tokyo"):
        other = chromium.new_context(timezone_id=zone, locale="en-GB")
        other.add_cookies(cookies)
        tab = other.new_page()
        tab.goto(f"{page.url}/notebook?path={MOVED}")
        told.append(tab.locator(".timeline time").first.inner_text())
        other.close()
    assert told[0] != told[1]


def test_a_link_can_be_shared(window: Window) -> None:
    """What was searched for is in the address, and opens again as it was."""
    tab = window.tab
    window.go("/notebooks")
    tab.locator("#q").press_sequentially("open")
    tab.locator("#state").select_option("deleted")
    tab.locator("#results .chip.deleted").first.wait_for()
    tab.wait_for_url(re.compile(r"q=open.*state=deleted|state=deleted.*q=open"))
    shared = tab.url
    window.go("/")
    tab.goto(shared)
    tab.locator("#results tbody tr").first.wait_for()
    assert tab.locator("#results tbody tr").count() == 1
    assert "gone" in tab.locator("#results tbody").inner_text()


def in_its_own_thread(deed: Callable[[], object]) -> None:
    """Playwright keeps an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(deed).result()


HOSTILE = (
    "# Databricks notebook source\n"
    "x = '</code></pre><script>document.title=\"owned\"</script><img src=x onerror=alert(1)>'\n"
    "if access != 'user\u202e \u2066# only for admins\u2069 \u2066':\n"
    "    {{ 7 * 7 }} {% raw %} ${1+1} javascript:alert(1)\n"
)
NAME = f"{ROOT}{OPEN}/<img src=x onerror=alert(1)>\u202egnp.exe & \"quoted\" 'x'"


def test_hostile_names_and_texts_are_only_shown(desk: Desk, emulator: Emulator, chromium: Any) -> None:
    """Markup, scripts, templates and turning characters in names, texts and searches do nothing but stand there."""
    emulator.create(NAME, HOSTILE, editor=BOB)
    in_its_own_thread(desk.sync)
    emulator.edit(NAME, HOSTILE + "y = '<b>'\n", editor="<script>alert(1)</script>@clients.example")
    in_its_own_thread(desk.sync)
    with serving(desk) as page:
        context = chromium.new_context()
        window = Window.of(context, page.url)
        window.go(f"/enter?key={page.site.signs_in.key}")  # type: ignore[attr-defined]
        window.go(f"/notebooks?folder={ROOT}{OPEN}")
        window.tab.get_by_role("link", name="img src").click()
        for name in ("Look at it", "Who wrote what"):
            window.tab.get_by_role("link", name=name).click()
            window.tab.wait_for_url(re.compile("/(version|blame)\\?"))
            assert "onerror=alert(1)" in window.tab.inner_text("main")
            assert "\u202e" not in window.tab.inner_text("main")
            window.tab.go_back()
        window.tab.get_by_role("button", name="Compare the two").click()
        window.tab.locator(".diff").wait_for()
        window.go("/notebooks?q=%3Cscript%3Ealert(1)%3C/script%3E&folder=%3Csvg/onload=alert(1)%3E")
        assert window.tab.title().startswith(("Notebooks", "404"))
        assert window.tab.locator("main script, main img, main svg").count() == 0
        context.close()
    assert [each for each in window.complaints if "404" not in each] == []
    assert window.strangers == []

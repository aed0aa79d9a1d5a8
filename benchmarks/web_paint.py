"""How soon somebody sees something: the first paint of pages in Debian's chromium, nobody else being there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

TIMES = 5
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint').length"
_AT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def first_paints(url: str, token: str, paths: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
    """Each page with its first paints in milliseconds, each in a browser that has nothing of it yet.

    Nothing where there is no browser (`apt-get install chromium`).
    """
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        return
    from playwright.sync_api import sync_playwright

    pages = {
        "/": lambda _: "/",
        "/notebooks": lambda _: "/notebooks",
        "/notebook": lambda path: f"/notebook?path={quote(path)}",
        "/changes": lambda _: "/changes",
    }
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        for name, address in pages.items():
            yield name, [_paint(browser, url + address(path), token) for path in paths[:TIMES]]
        browser.close()


def _paint(browser: Any, address: str, token: str) -> float:
    context = browser.new_context(extra_http_headers={"X-Forwarded-Access-Token": token})
    try:
        tab = context.new_page()
        tab.goto(address)
        tab.wait_for_function(_PAINTED)
        return float(tab.evaluate(_AT))
    finally:
        context.close()

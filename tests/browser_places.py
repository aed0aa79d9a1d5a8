"""A real browser for the tests: Debian's chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def browser_path() -> str:
    """Where the browser is; empty if there is none. CHROMIUM names another one."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), "")


needs_browser = pytest.mark.skipif(
    not browser_path(), reason="no browser: install one with `apt-get install chromium`, or name it in CHROMIUM"
)


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A headless browser; its contexts are those of playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()

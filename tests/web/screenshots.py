"""The pictures of docs/web.md: `make screenshots`. A small workspace with a story, the page over it, a real browser."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser_places import opened_browser
from nbvault_emulator.testing import Emulator
from web.places import MOVED, OPEN, ROOT, desk_in, fill, serving

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZE = {"width": 1200, "height": 760}


def main() -> int:
    """Make them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Emulator(notebooks=120) as emulator:
        desk = desk_in(Path(folder) / "desk", emulator)
        fill(desk)
        with serving(desk) as page, opened_browser() as chromium:
            tab = chromium.new_context(viewport=SIZE, locale="en-GB", timezone_id="Europe/Berlin").new_page()
            tab.goto(f"{page.url}/enter?key={page.site.signs_in.key}")  # type: ignore[attr-defined]
            tab.locator("[data-chart][data-drawn]").nth(3).wait_for()
            tab.screenshot(path=PICTURES / "home.png")
            for name, address in (
                ("notebooks", f"/notebooks?folder={ROOT}{OPEN}"),
                ("notebook", f"/notebook?path={MOVED}"),
                ("compare", f"/compare?path={MOVED}&from={first_version(page, MOVED)}"),
                ("changes", "/changes"),
            ):
                tab.goto(page.url + address)
                tab.screenshot(path=PICTURES / f"{name}.png")
            tab.goto(f"{page.url}/restore?path={MOVED}&at={first_version(page, MOVED)}")
            tab.get_by_role("button", name="Show the plan").click()
            tab.locator("button[data-confirm]").wait_for()
            tab.screenshot(path=PICTURES / "plan.png")
            tab.locator("button[data-confirm]").click()
            tab.locator("[data-receipt]").wait_for()
            tab.screenshot(path=PICTURES / "receipt.png")
    return 0


def first_version(page: object, path: str) -> str:
    """The commit of a notebook's oldest version."""
    library = page.site.library  # type: ignore[attr-defined]
    snapshot = library.snapshot
    from nbvault.recovery.history import history

    versions = history(snapshot.vault, path, notebooks=snapshot.notebooks)
    return versions[-1].commit


if __name__ == "__main__":
    sys.exit(main())

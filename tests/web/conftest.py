"""One workspace and vault for each module; a page over it for each way in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvault_emulator.testing import Emulator
from web.places import ANN, BOB, PROXY, Browser, Desk, Page, desk_in, fill, hide, serving


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(notebooks=0) as running:
        yield running


@pytest.fixture(scope="module")
def desk(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = desk_in(Path(tmp_path_factory.mktemp("desk")), emulator)
    fill(made)
    return made


@pytest.fixture(scope="module")
def page(desk: Desk) -> Iterator[Page]:
    """The page as on one's own machine."""
    with serving(desk) as made:
        yield made


@pytest.fixture(scope="module")
def behind_proxy(desk: Desk) -> Iterator[Page]:
    """The page behind a proxy; the secret engagement is hidden from Ann."""
    hide(desk.emulator, ANN)
    with serving(desk, **PROXY) as made:
        yield made
    desk.emulator.faults()


@pytest.fixture(scope="module")
def ann(behind_proxy: Page, emulator: Emulator) -> Browser:
    return behind_proxy.person(emulator.user_token(ANN))


@pytest.fixture(scope="module")
def bob(behind_proxy: Page, emulator: Emulator) -> Browser:
    return behind_proxy.person(emulator.user_token(BOB))

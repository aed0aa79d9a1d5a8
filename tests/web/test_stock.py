"""The texts of all versions come beforehand, gently; without them everything is as before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from nbvault.clock import SystemClock
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import remove_old_leftovers
from nbvault.settings import load_settings
from nbvault.web.stock import Stock
from nbvault.web.warm import WarmVault
from web.places import MOVED, OPEN, Desk, serving, until


@pytest.fixture(autouse=True)
def _any_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk on which these tests run may be nearly full."""
    monkeypatch.setattr("nbvault.web.stock.LEAST_FREE", 0)


@contextmanager
def warmed(desk: Desk, folder: Path, **variables: str) -> Iterator[tuple[WarmVault, Stock]]:
    """A vault as the page opens it, in a clone of its own without texts; the stock asks for two at a time."""
    own = {"NBVAULT_VAULT__PATH": str(folder / "page.git"), **variables}
    settings = load_settings(environment={**desk.environment(), **own}, cwd=folder)
    warm = WarmVault(settings, clock=SystemClock())
    warm.open()
    stock = Stock(settings, warm, clock=SystemClock(), request=2)
    try:
        yield warm, stock
    finally:
        stock.close()
        warm.close()


def missing(git: Git) -> set[str]:
    """The objects of the content's history that are not here, as git itself counts them."""
    listed = git.offline().run("rev-list", "--objects", "--missing=print", "refs/remotes/origin/backup/daily")
    return {line[1:] for line in listed.text.splitlines() if line.startswith("?")}


def test_in_the_end_every_version_is_here(desk: Desk, tmp_path: Path) -> None:
    """A clone that began without texts has all of them, and then only those of newer sessions are looked for."""
    with warmed(desk, tmp_path) as (warm, stock):
        git = warm.snapshot.vault.git
        before = missing(git)
        assert len(before) > 4
        assert stock.fill()
        assert missing(git) == set()
        desk.write(f"{OPEN}/plan", "plan = 'stocked'")
        desk.sync()
        warm.refresh()
        assert len(missing(git)) == 1
        assert stock.fill()
        assert missing(git) == set()


def test_killed_in_the_middle_nothing_is_lost(desk: Desk, tmp_path: Path) -> None:
    """What came before the end is kept, and the next start fetches the rest only."""
    with warmed(desk, tmp_path) as (warm, stock):
        git, fetch = warm.snapshot.vault.git, Stock._has_room
        before, calls = missing(git), []

        def until_the_second(self: Stock, vault: object) -> bool:
            calls.append(missing(git))
            if len(calls) == 2:
                self.close()
            return fetch(self, vault)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            # The moment of the end is chosen; what runs is the real thing.
            patch.setattr(Stock, "_has_room", until_the_second)
            with pytest.raises(Exception, match="stopped"):
                stock.fill()
        assert calls[0] == before
        assert 0 < len(missing(git)) < len(before)
        assert missing(git) == calls[1]
    with warmed(desk, tmp_path) as (warm, stock):
        assert missing(warm.snapshot.vault.git) == calls[1]
        assert stock.fill()
        assert missing(warm.snapshot.vault.git) == set()


def test_what_the_server_does_not_have_keeps_nothing_else_back(desk: Desk, tmp_path: Path) -> None:
    """A request that the server refuses for one text is given up, once; the others come."""
    with warmed(desk, tmp_path) as (warm, stock), pytest.MonkeyPatch.context() as patch:
        git, texts = warm.snapshot.vault.git, Stock._texts
        before = missing(git)
        # A history that names a text which is nowhere: no real server can be made to lose one alone.
        patch.setattr(Stock, "_texts", lambda *given: bytes.fromhex("1" * 40) + texts(*given))
        assert not stock.fill()
        assert len(missing(git)) <= 1 < len(before)
        assert stock._whole == warm.snapshot.vault.meta.content


def test_it_keeps_to_its_bound(desk: Desk, tmp_path: Path) -> None:
    """Where the packs have what they may have, no more is fetched; people still read everything."""
    with warmed(desk, tmp_path) as (warm, stock):
        stock._most_bytes = 1
        before = missing(warm.snapshot.vault.git)
        assert not stock.fill()
        assert missing(warm.snapshot.vault.git) == before


def test_it_leaves_room_on_the_disk(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk of which less is free than must be, nothing is fetched beforehand."""
    monkeypatch.setattr("nbvault.web.stock.LEAST_FREE", 1)
    with warmed(desk, tmp_path) as (warm, stock):
        before = missing(warm.snapshot.vault.git)
        assert not stock.fill()
        assert missing(warm.snapshot.vault.git) == before


@pytest.mark.parametrize("texts_mb", ["0", "2000"])
def test_the_page_does_it_by_itself_unless_it_is_told_not_to(desk: Desk, tmp_path: Path, texts_mb: str) -> None:
    """With 0 a text comes when it is opened, and no other; otherwise all come without anybody asking."""
    own = {"NBVAULT_VAULT__PATH": str(tmp_path / "page.git"), "NBVAULT_WEB__TEXTS_MB": texts_mb}
    with serving(desk, **own) as page:
        git = page.site.warm.snapshot.vault.git
        if texts_mb != "0":
            until(lambda: not missing(git))
        assert page.site.stock._thread.is_alive() is (texts_mb != "0")
        local = page.local()
        oldest = local.json("/api/history", path=MOVED)[-1]["commit"]
        assert "first" in local.json("/api/source", path=MOVED, at=oldest)["text"]


def test_its_git_gives_way_to_others(desk: Desk, tmp_path: Path) -> None:
    """The commands of the stock have a lower priority than the page, and ending them ends no others."""
    with warmed(desk, tmp_path) as (warm, _):
        git = warm.snapshot.vault.git
        gentle = git.gently()
        with gentle.spawn("cat-file", "--batch") as process:
            assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        gentle.stop()
        assert git.text("rev-parse", "--git-dir")


def test_only_what_was_left_long_ago_is_removed(git_repo: Git) -> None:
    """A pack that is being received is left alone; one that nobody has written to for a day is not."""
    packs = git_repo.repo / "objects" / "pack"
    now = SystemClock().now()
    for name, age in (("tmp_pack_old", timedelta(days=2)), ("tmp_pack_new", timedelta(minutes=5))):
        (packs / name).write_bytes(b"x")
        at = (now - age).timestamp()
        os.utime(packs / name, (at, at))
    assert remove_old_leftovers(git_repo, now=now) == 1
    assert [path.name for path in packs.glob("tmp_*")] == ["tmp_pack_new"]


@pytest.fixture
def git_repo(tmp_path: Path) -> Git:
    from git_places import ENVIRONMENT
    from nbvault.gitstore.runner import init_bare

    return init_bare(tmp_path / "local.git", ENVIRONMENT)

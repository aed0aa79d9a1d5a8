"""Nights on which the workspace or the disk is in trouble: the session adapts, ends, and says what it met."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk
from cli_places import notebooks as written
from fault_places import FIRST_DAY, HastyClock, Place, source
from flow.places import check_health
from nbvault.backup.weather import weather
from nbvault.model import RequestCounts, SessionReport
from nbvault_emulator.testing import Emulator


class QuickClock(HastyClock):
    """Time that runs twenty times as fast: a quarter of a second is five."""

    def now(self) -> datetime:
        return FIRST_DAY + timedelta(seconds=self.monotonic() % 1e6)

    def monotonic(self) -> float:
        return 20 * time.monotonic() + self._ahead_s


@contextmanager
def night(folder: Path, *faults: dict[str, Any], notebooks: int = 300, **world: Any) -> Iterator[Place]:
    """A first sync is ahead, and something will go wrong in it."""
    folder.mkdir()
    with Emulator(notebooks=notebooks, years=1, engagements=4, faults=faults, **world) as emulator:
        yield Place(emulator, folder).by_path()


def said(report: SessionReport, words: str) -> bool:
    """Whether a note speaks of it."""
    return any(words in note for note in report.notes)


def test_the_limit_drops_to_a_tenth_and_comes_back(tmp_path: Path) -> None:
    """200 exports a second, then 20, then 200: everything is saved, and the refusals are told."""
    drop = {"kind": "rate", "per_second": 20, "match": {"endpoint": "export", "after": 80, "times": 100}}
    with night(tmp_path / "night", drop, export_rate=200) as place:
        report = place.sync(changes={"workspace.retry_s": 20})
        place.assert_whole(report)
    requests = report.requests
    assert requests.export == 300 + requests.throttled
    assert requests.throttled > 0
    assert requests.retried >= requests.throttled
    assert said(report, f"{requests.throttled:,} of {requests.sent:,} requests") == (
        requests.throttled / requests.sent >= 0.05
    )


def test_answers_that_take_five_seconds(tmp_path: Path) -> None:
    """Latency grows to 5 s in mid-run: the run ends, whole, and names the slowness and how bad it was."""
    slow = {"kind": "latency", "ms": 250, "match": {"endpoint": "export", "after": 60}}
    with night(tmp_path / "night", slow, notebooks=160) as place:
        place.clock = QuickClock()
        report = place.sync()
        place.assert_whole(report)
    assert report.requests.slow >= 100
    assert report.requests.slowest_s >= 5
    assert said(report, "The workspace was slow")


def test_one_request_in_a_hundred_hangs(tmp_path: Path) -> None:
    """They are given up after workspace.timeout_s and sent again; the run is whole and says how many."""
    hang = {"kind": "hang", "match": {"endpoint": ["export", "list"], "probability": 0.01}}
    with night(tmp_path / "night", hang) as place:
        report = place.sync(changes={"workspace.timeout_s": 1, "workspace.retry_s": 10})
        place.assert_whole(report)
        hung = sum(counts.get("dropped", 0) for counts in place.emulator.requests().values())
    assert report.requests.timed_out == report.requests.retried >= 1
    assert hung <= report.requests.timed_out
    assert said(report, f"{report.requests.timed_out:,} of {report.requests.sent:,} requests")
    assert said(report, "no answer in time")


def test_a_calm_night_is_not_talked_about(tmp_path: Path) -> None:
    """Without trouble there is no note."""
    with night(tmp_path / "night", notebooks=60) as place:
        report = place.sync()
        place.assert_whole(report)
    assert report.notes == ()
    assert (report.requests.retried, report.requests.timed_out, report.requests.throttled) == (0, 0, 0)


def test_the_weather_in_words() -> None:
    """Every kind of trouble has its sentence, with the numbers."""
    bad = RequestCounts(list=100, export=900, throttled=80, timed_out=3, retried=120, slow=50, slowest_s=5.25)
    assert [note.partition(")")[0] for note in weather(bad)] == [
        "The workspace refused 80 of 1,000 requests (8.0 %",
        "3 of 1,000 requests (0.3 %",
        "37 of 1,000 requests (3.7 %",
        "The workspace was slow: 50 of 1,000 requests (5.0 %",
    ]
    assert "the slowest 5.2 s" in weather(bad)[-1]
    assert weather(RequestCounts(list=100, export=900, throttled=9, retried=11, slow=3)) == []
    assert weather(RequestCounts()) == []


# --- the disk --------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size."""
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def noise(number: int) -> dict[str, str]:
    """A notebook of 300 KB that compresses to half."""
    text = "".join(f"# {os.urandom(511).hex()}\n" for _ in range(300))
    return {"path": f"/Clients/2024/A/n{number:02}", "content": source(text)}


def test_a_disk_that_fills_in_mid_run(tmp_path: Path) -> None:
    """After two pushed batches git finds no space: a clean end, both repositories intact, and the next run goes on."""
    folder = tmp_path / "night"
    folder.mkdir()
    with (
        small_disk(folder / "disk", "3m") as disk,
        Emulator(world=[noise(number) for number in range(24)]) as emulator,
    ):
        place = Place(emulator, folder).by_path()
        changes = {"vault.path": str(disk / "vault.git"), "sync.batch_size": 5, "sync.push_every": 5}
        report = place.sync(changes=changes)
        place.assert_nothing_claimed(report)
        assert report.exit_code == 1
        assert "full" in report.error or "No space left" in report.error, report.error
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        check_health(disk / "vault.git")
        check_health(place.server)
        saved = len(place.rows())
        assert 5 <= saved < 24
        place.emulator.reset_requests()
        again = place.sync(changes=changes)
        place.assert_whole(again)
        assert (again.resumed, again.requests.export) == (True, 24 - saved)
        check_health(disk / "vault.git")
        check_health(place.server)


@pytest.mark.parametrize("command", [["changes", "--since", "7d"], ["history", "/Clients/a"]])
def test_a_reader_on_a_disk_that_cannot_be_written(command: list[str], tmp_path: Path) -> None:
    """Read-only or full, before the first look or after it: that is said, and which folder; nothing of the network."""
    with Emulator(world=written("/Clients/a")) as emulator:
        desk = Desk(tmp_path / "desk", emulator)
        assert desk.run("sync").code == 0
        for number, (wrong, seen) in enumerate(product(("Read-only file system", "No space left"), (True, False))):
            with small_disk(tmp_path / f"disk{number}", "2m") as disk:
                path = {"NBVAULT_VAULT__PATH": str(disk / "vault.git")}
                if seen:
                    assert desk.run(*command, **path).code == 0
                emulator.edit("/Clients/a", f"# Databricks notebook source\n{os.urandom(8000).hex()}")
                assert desk.run("sync").code == 0
                if wrong.startswith("Read-only"):
                    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
                else:
                    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/full", "bs=4k"], check=False, capture_output=True)
                ended = desk.run(*command, **path)
                assert (ended.code in (1, 7), wrong in ended.err, str(disk) in ended.err) == (True, True, True), ended
                assert ("does not answer" in ended.err, "did not expect" in ended.err) == (False, False), ended

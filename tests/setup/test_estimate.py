"""What a backup will cost: the figures follow from what was seen, and what was seen is true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_places import Desk
from nbvault.setup.estimate import EXPORT_LIMIT, Census, Range, Sample, estimate, export_rate
from nbvault_emulator.testing import Emulator


def census(**more: int) -> Census:
    values = {"notebooks": 1000, "folders": 100, "others": 0, **more}
    return Census(**values, unreadable=(), seconds=10.0, changed=[5, 20, 0, 0, 10, 0, 0])


def steady(rate: float, *, count: int = 100) -> Sample:
    """So many exports a second, each of 1,000 bytes that pack into 300."""
    ended = [number / rate for number in range(count)]
    return Sample([1000] * count, [300] * count, ended, latency_s=0.2)


def test_a_steady_workspace() -> None:
    """What is known exactly is a range of one; what is not has two ends, and each can be reckoned by hand."""
    found = estimate("/Clients", census(), steady(20.0), recheck_days=30, requests_per_second=0)
    assert found.export_rate == pytest.approx((20.0, 20.0))
    now, first_goal, second_goal = found.outlooks
    assert (now.notebooks, first_goal.notebooks, second_goal.notebooks) == (1000, 70_000, 100_000)
    assert now.first.requests == (1100, 1100)
    # 1,000 exports at 20 a second beside a listing of 10 s; at worst after it, and that half as long again.
    assert now.first.seconds == pytest.approx((50.0, 65.0))
    assert now.first.bytes_exported == (1_000_000, 1_000_000)
    assert now.daily.requests == pytest.approx((100 + 1000 / 30, 100 + 20 + 1000 / 30))
    assert now.vault_bytes_at_most == 300_000
    assert (first_goal.folders, first_goal.first.seconds.high) == (7000, pytest.approx(70 * 65.0))


def test_the_slow_end_does_not_believe_a_burst() -> None:
    """A sample that met no limit does not show that there is none; a ceiling of the user counts for both ends."""
    assert export_rate(steady(500.0), ceiling=0) == pytest.approx((EXPORT_LIMIT, 500.0))
    assert export_rate(steady(500.0), ceiling=10) == (10, 10)


def test_a_rate_that_changes() -> None:
    """The ends are the slowest and the fastest third, once the first quarter is over."""
    ended = [*(number * 1.0 for number in range(25)), *(25 + number / 10 for number in range(75))]
    ended[-25:] = [ended[74] + (number + 1) / 40 for number in range(25)]
    assert export_rate(Sample(ended_s=ended, latency_s=1.0), ceiling=0) == pytest.approx((10.0, 40.0), rel=0.05)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_sample_of_next_to_nothing(count: int) -> None:
    """No division by nothing; the slow end is one export after another."""
    found = export_rate(steady(20.0, count=count), ceiling=0)
    assert 0 < found.low <= found.high
    assert found.low == pytest.approx(5.0)


def test_an_empty_workspace() -> None:
    """Nothing is projected from nothing."""
    found = estimate("/Clients", census(notebooks=0), Sample(), recheck_days=30, requests_per_second=0)
    assert [(each.notebooks, each.first.requests) for each in found.outlooks] == [(0, Range(100, 100))]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A generated world, and one folder that nobody may read."""
    with Emulator(notebooks=60, years=1, engagements=2) as running:
        yield running


def test_on_the_command_line(emulator: Emulator, tmp_path: Path) -> None:
    """Everything is counted, a sample exported and no more, nothing written; a folder that cannot be read is told."""
    desk = Desk(tmp_path / "desk", emulator)
    there = len(emulator.world("/Clients"))
    emulator.create("/Clients/closed/x", "# Databricks notebook source\n1")
    emulator.faults({"kind": "forbid", "path": "/Clients/closed"})
    emulator.reset_requests()
    ended = desk.run("estimate", "--sample", "12", "--json")
    found = ended.json
    assert (ended.code, found["notebooks"], found["unreadable_folders"]) == (0, there, ["/Clients/closed"])
    assert found["sample"]["exported"] == 12
    assert 0 < found["sample"]["bytes_mean"] <= found["sample"]["bytes_largest"]
    counts = emulator.requests()
    assert sum(counts["export"].values()) == 12
    assert set(counts) <= {"list", "export", "scim", "well-known"}
    assert sum(counts["list"].values()) == found["folders"]
    assert [each["notebooks"] for each in found["estimates"]] == [there, 70_000, 100_000]
    assert any("could not be read" in fact for fact in found["facts"])
    assert [each.name for each in desk.folder.iterdir()] == ["nbvault.toml"]
    told = desk.run("estimate", "--sample", "3")
    assert (told.code, "What this stands on:" in told.out, "100,000 notebooks" in told.out) == (0, True, True)

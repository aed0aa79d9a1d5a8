"""The program that measures very large vaults, on a small one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.meter import is_measurable

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "million.py"

pytestmark = pytest.mark.skipif(not is_measurable(), reason="memory is read from Linux's /proc")


def test_its_sessions_do_what_they_are_named_after() -> None:
    """A first sync saves everything, the next two nothing, and the last what was edited."""
    done = subprocess.run([sys.executable, str(PROGRAM), "300", "--bytes", "100"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["status"] for each in told} == {"complete"}
    assert [each["saved"] for each in told] == [300, 0, 0, 300]
    assert all(each["peak_mb"] > 0 and each["objects"] > 300 for each in told)

"""Commands are measured with all their processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
from benchmarks.meter import CommandFailed, Cost, is_measurable, json_line, measured

from nbvault_emulator.testing import Emulator

pytestmark = pytest.mark.skipif(not is_measurable(), reason="costs are read from Linux's /proc")

# Lives on until it was surely looked at: it waits for CPU time of its own, not for the clock.
BUSY = "import time\nwhile time.process_time() < 0.4: pass\n"
LARGE = f"held = b'x' * 60_000_000\n{BUSY}"


@pytest.fixture
def run() -> Callable[..., Cost]:
    def go(program: str, *arguments: str, ok: tuple[int, ...] = (0,)) -> Cost:
        return measured([sys.executable, "-c", program, *arguments], server=os.getpid(), ok=ok)

    return go


def test_memory_of_a_process_and_its_child_together(run: Callable[..., Cost]) -> None:
    """Two processes that hold 60 MB each at the same moment are 120 MB and more; neither alone is."""
    both = "import subprocess, sys\nheld = b'x' * 60_000_000\nsubprocess.run([sys.executable, '-c', sys.argv[1]])"
    cost = run(both, LARGE)
    assert 114 < cost.peak_all_mb < 190
    assert 57 < cost.peak_own_mb < 100
    assert 57 < cost.peak_child_mb < 100


def test_shared_memory_is_counted_once(run: Callable[..., Cost]) -> None:
    """Three forked workers that only look at their parent's 60 MB add little to them."""
    forks = "import os\nheld = b'x' * 60_000_000\nfor _ in range(3):\n  if not os.fork():\n"
    workers = f"{forks}{_indented(BUSY)}    os._exit(0)\n"
    cost = run(workers + BUSY + "for _ in range(3): os.wait()\n")
    assert 57 < cost.peak_all_mb < 110


def test_cpu_of_a_process_and_of_its_children(run: Callable[..., Cost]) -> None:
    """CPU of children is told apart from that of the command itself."""
    cost = run("import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])\nprint('[1]')", BUSY)
    # The kernel tells these in hundredths.
    assert cost.cpu.children_s > 0.35
    assert cost.cpu.own_s < 0.35
    assert json_line(cost) == [1]


def test_a_command_that_fails(run: Callable[..., Cost]) -> None:
    """A command that ends otherwise than it was to is an error with what it said, unless that is expected."""
    with pytest.raises(CommandFailed, match=r"ended with 3:\n.*no such thing"):
        run("import sys\nsys.stderr.write('no such thing')\nsys.exit(3)")
    assert run("import sys\nsys.exit(3)", ok=(0, 3)).output == b""


def test_cpu_of_the_server() -> None:
    """The emulator's CPU is that used while the command ran, its git processes apart."""
    with Emulator(notebooks=20, in_process=False) as running:
        ask = "import sys, urllib.request\nfor _ in range(300): urllib.request.urlopen(sys.argv[1]).read()\n"
        command = [sys.executable, "-c", ask, f"{running.admin_url}/world"]
        cost = measured(command, server=running.pid)
    assert cost.server.own_s > 0
    assert cost.server.children_s == 0


def _indented(program: str) -> str:
    return "".join(f"    {line}\n" for line in program.splitlines())

"""nbvault against the obvious: python -m benchmarks.rivals.contest --notebooks 10000

A first sync and a day with a twentieth changed, by nbvault, by databricks-sdk with GitPython, by the same with a memory
of what it saved, and by `databricks workspace export_dir`; each on its own emulator with the same world and the same
changes. Makes the rivals' virtual environments on its first run.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Row, ratio
from benchmarks.harness import Day, Machine, arguments, carry_out, counted, emulator, people_work, workshop
from benchmarks.meter import Cost, Cpu, json_line, measured
from nbvault_emulator.testing import Emulator

HERE = Path(__file__).resolve().parent
FIRST, AGAIN = "first sync", "5 % changed"
# With databricks-sdk: what one would write first, and after some weeks with that.
SCRIPTS = {"SDK and GitPython": "obvious.py", "SDK, only what changed": "careful.py"}
LEGACY = "export_dir"
SIZE = 70_000
_RATIOS = {
    "times_wall": ("wall_s",),
    "times_cpu": ("cpu_own_s", "cpu_git_s"),
    "times_up": ("git_up_mb",),
    "times_peak": ("peak_all_mb",),
}
# The legacy command line drops the port of its host, so the emulator must have an address with port 80.
_ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 10))

# Made for a folder and an emulator, it then does the first sync, and the changed day, as it is told.
Contestant = Callable[[Path, Emulator], Callable[[str], Row]]


def main() -> None:
    """Measure what the command line asks for."""
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=(*SCRIPTS, LEGACY), help="one rival only")
    parser.add_argument("--latency-ms", type=int, default=0, help="before each answer of the workspace and Git server")
    options = parser.parse_args()
    name = f"rivals-{options.notebooks}" + (f"-{options.latency_ms}ms" if options.latency_ms else "")
    carry_out("rivals", name, options, lambda: measure(options))


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """nbvault first, then each rival with its ratios to it."""
    ours = list(_both(options, _ours))
    yield from ours
    wanted = (options.only,) if options.only else (*SCRIPTS, LEGACY)
    for name in (each for each in SCRIPTS if each in wanted):
        python = _environment("sdk") / "python"
        for row, own in zip(_both(options, _sdk(python, name)), ours, strict=True):
            yield _against(row, own)
    if LEGACY in wanted:
        yield from _legacy(options, ours)


def _legacy(options: argparse.Namespace, ours: list[Row]) -> Iterator[Row]:
    address = next(filter(_can_be_had, _ADDRESSES), None)
    if address is None:
        yield Row(f"{LEGACY}: not run, no address with port 80 can be had (it needs root)", options.notebooks)
        return
    command = _environment("cli") / "databricks"
    for row, own in zip(_both(options, _export_dir(command), host=address, port=80), ours, strict=True):
        yield _against(row, own)


def _both(options: argparse.Namespace, contestant: Contestant, **where: object) -> Iterator[Row]:
    notebooks, latency_ms = options.notebooks, options.latency_ms
    told = {"notebooks": notebooks, "limits": f"{latency_ms} ms" if latency_ms else ""}
    with workshop() as folder, emulator(notebooks, latency_ms=latency_ms, **where) as running:
        go = contestant(folder, running)
        yield replace(go(FIRST), **told)
        people_work(running, Day.busy(notebooks), seed=1)
        yield replace(go(AGAIN), **told)


def _ours(folder: Path, running: Emulator) -> Callable[[str], Row]:
    machine = Machine(folder / "nbvault", running)

    def go(scenario: str) -> Row:
        row = machine.sync(f"nbvault, {scenario}", 0)
        if scenario == FIRST:
            # Otherwise the changed day would also do the slice of the day, which no rival does.
            machine.sync("slice of the day", 0)
        return row

    return go


def _sdk(python: Path, name: str) -> Contestant:
    def made(folder: Path, running: Emulator) -> Callable[[str], Row]:
        def go(scenario: str) -> Row:
            with counted(running) as moved:
                cost = _run([str(python), str(HERE / SCRIPTS[name])], folder, running)
            row = Row(f"{name}, {scenario}", 0, figures={**cost.figures(), **moved})
            return _saved(row, json_line(cost)["saved"])

        return go

    return made


def _export_dir(command: Path) -> Contestant:
    def made(folder: Path, running: Emulator) -> Callable[[str], Row]:
        tree = folder / "tree"
        subprocess.run(["git", "init", "-q", "-b", "main", str(tree)], check=True)
        steps = [
            [str(command), "workspace", "export_dir", "/Clients", str(tree / "Clients")],
            ["git", "-C", str(tree), "add", "-A"],
            ["git", "-C", str(tree), "commit", "-q", "-m", "Backup"],
            ["git", "-C", str(tree), "push", "-q", running.git_url, "HEAD:refs/heads/main"],
        ]

        def go(scenario: str) -> Row:
            # What is gone from the workspace is to be gone here.
            shutil.rmtree(tree / "Clients", ignore_errors=True)
            with counted(running) as moved:
                costs = [_run(step, folder, running) for step in steps]
            row = Row(f"{LEGACY}, {scenario}", 0, figures={**_sum(costs[0], costs[1:]), **moved})
            return _saved(row, int(moved["exports"]))

        return go

    return made


def _sum(own: Cost, git: list[Cost]) -> dict[str, float]:
    """The figures of steps one after the other, of which all but the first are git's."""
    every = [own, *git]
    git_cpu = Cpu(0, sum(cost.cpu.own_s + cost.cpu.children_s for cost in git))
    served = Cpu(sum(cost.server.own_s for cost in every), sum(cost.server.children_s for cost in every))
    return replace(
        own,
        wall_s=sum(cost.wall_s for cost in every),
        cpu=Cpu(own.cpu.own_s + own.cpu.children_s, git_cpu.children_s),
        server=served,
        others_s=sum(cost.others_s for cost in every),
        peak_all_mb=max(cost.peak_all_mb for cost in every),
        peak_child_mb=max(max(cost.peak_own_mb, cost.peak_child_mb) for cost in git),
    ).figures()


def _saved(row: Row, saved: int) -> Row:
    return replace(row, figures={**row.figures, "saved": saved, "saved_per_s": saved / row.figures["wall_s"]})


def _against(row: Row, ours: Row) -> Row:
    """The rival's row with its ratios to ours and, where it is smaller, what the first site's size would take."""
    found = {
        name: ratio(sum(row.figures[each] for each in parts), sum(ours.figures[each] for each in parts))
        for name, parts in _RATIOS.items()
    }
    if row.notebooks != SIZE:
        found["extrapolated_min"] = row.figures["wall_s"] * SIZE / row.notebooks / 60
    return replace(row, figures={**row.figures, **found})


def _run(command: list[str], folder: Path, running: Emulator) -> Cost:
    basic = base64.b64encode(f":{running.git_token}".encode()).decode()
    settings = {
        "http.extraHeader": f"Authorization: Basic {basic}",
        "user.name": "Backup",
        "user.email": "backup@clients.example",
        "gc.auto": "0",
    }
    git = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0"}
    for place, (name, value) in enumerate(settings.items()):
        git |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    # The legacy command line sees no port in its host, and needs none: it is on port 80.
    workspace = {"DATABRICKS_HOST": running.workspace_url, "DATABRICKS_TOKEN": running.workspace_token}
    environment = {**os.environ, **git, **workspace, "GIT_URL": running.git_url}
    return measured(command, server=running.pid, cwd=folder, environment=environment)


def _can_be_had(address: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, 80))
        except OSError:
            return False
    return True


def _environment(name: str) -> Path:
    """Where the programs of a rival's virtual environment are; made where it is missing or its requirements changed."""
    wanted = HERE / f"requirements-{name}.txt"
    folder = HERE / f".venv-{name}"
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
        print(f"making {folder.name}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(wanted)], check=True)
        stamp.write_bytes(wanted.read_bytes())
    return folder / "bin"


if __name__ == "__main__":
    main()

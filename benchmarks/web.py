"""The page under load: fifty people look around while ten restore. `python -m benchmarks.web [--notebooks N]`.

Makes a world, backs it up a few times, serves the page as a process of its own behind a pretended proxy, and lets
locust (installed into a virtual environment of its own, for it brings much along) be the people. Prints each address
with its 95th percentile, the page's memory, and how long it took to be ready; exits 1 if one is over the target.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import emulator, workshop
from nbvault_emulator.testing import Emulator

TARGET_MS = 300
TARGET_KB = 400 * 1024
PEOPLE = 60
PATHS = 400
SESSIONS = 5
_USERS = Path(__file__).with_name("web_users.py")


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebooks", type=int, default=70_000)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with workshop() as folder, emulator(given.notebooks) as world:
        environment = configured(folder, world)
        paths = backed_up(folder, world, environment)
        plan = folder / "plan.json"
        tokens = [world.user_token(f"person{number}@clients.example") for number in range(PEOPLE)]
        plan.write_text(json.dumps({"paths": paths, "tokens": tokens}), encoding="utf-8")
        server = subprocess.Popen(
            [sys.executable, "-m", "nbvault.cli.main", "serve", "--port", "0"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            began = time.monotonic()
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            print(f"ready after {time.monotonic() - began:.1f} s at {url}")
            code = judged(folder, url, plan, seconds=given.seconds)
            memory_kb = peak_kb(server.pid)
            print(f"memory {memory_kb / 1024:.0f} MB at most (target {TARGET_KB // 1024})")
            return code or int(memory_kb > TARGET_KB)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def configured(folder: Path, world: Emulator) -> dict[str, str]:
    """The environment of every command."""
    return {
        **os.environ,
        "WS": world.workspace_token,
        "GT": world.git_token,
        "NBVAULT_WORKSPACE__HOST": world.workspace_url,
        "NBVAULT_WORKSPACE__TOKEN": "env:WS",
        "NBVAULT_VAULT__REMOTE": world.git_url,
        "NBVAULT_VAULT__TOKEN": "env:GT",
        "NBVAULT_WEB__SIGN_IN": "proxy",
        "NBVAULT_WEB__PROXIES": "127.0.0.1",
        "NBVAULT_VAULT__PATH": str(folder / "vault.git"),
        "NBVAULT_STATE__URL": f"sqlite:///{folder / 'nbvault.db'}",
    }


def backed_up(folder: Path, world: Emulator, environment: dict[str, str]) -> list[str]:
    """Some sessions with edits between them; returns the notebooks that were edited."""
    every = [each["path"] for each in world.world("/Clients", brief=True)]
    chosen = random.Random(1).sample(every, min(PATHS, len(every)))
    for number in range(SESSIONS):
        subprocess.run([sys.executable, "-m", "nbvault.cli.main", "sync"], cwd=folder, env=environment, check=True)
        edits = [
            {"op": "edit", "path": path, "content": f"# Databricks notebook source\nday = {number}\nprint(day)\n"}
            for path in chosen
        ]
        world.batch(edits)
    return chosen


def judged(folder: Path, url: str, plan: Path, *, seconds: int) -> int:
    """Let the people loose, and compare what they waited with the target."""
    venv = folder / "locust"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", "locust>=2.32"], check=True)
    command = [str(venv / "bin" / "locust"), "-f", str(_USERS), "--headless", "-H", url]
    command += ["-u", str(PEOPLE), "-r", "20", "-t", f"{seconds}s", "--csv", str(folder / "told"), "--only-summary"]
    subprocess.run(command, env={**os.environ, "NBVAULT_BENCH_PLAN": str(plan)}, check=False)
    with (folder / "told_stats.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    over = [row["Name"] for row in rows if row["95%"].isdigit() and int(row["95%"]) > TARGET_MS]
    for row in rows:
        print(f"{row['Name']:28} {row['Request Count']:>7} requests  p50 {row['50%']:>5} ms  p95 {row['95%']:>5} ms")
    print(f"over {TARGET_MS} ms: {', '.join(over) or 'none'}")
    return int(bool(over))


def peak_kb(pid: int) -> int:
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())

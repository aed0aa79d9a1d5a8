"""`sync --engine spark` on a real Spark of this machine: the vault that one machine makes, whatever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli_places import Desk
from flow.places import Machine, Quiet, blobs_of, check_health, check_tree, empty_the_server, git, server_of, tree_of
from nbvault.backup.surroundings import SyncOptions
from nbvault.errors import ConfigurationError
from nbvault.model import SessionReport
from nbvault.wiring import Engine, run_sync
from nbvault.workspace.spark import SparkCluster
from nbvault_emulator.testing import Emulator
from spark.conftest import Spark, why_not

FORBIDDEN = "/Clients/2024/ENG-1001/NOTEBOOKS/00_ingest_ledger"


def same(report: SessionReport) -> dict[str, Any]:
    """What must not depend on who exported."""
    shown = report.as_json()
    times = {"session", "started_at", "ended_at", "duration_s", "head", "tag", "requests"}
    # How well a pack is compressed depends on the order in which the notebooks come.
    shown["growth"] = (shown["growth"] or {}).get("objects")
    problems = [{k: v for k, v in problem.items() if k != "since"} for problem in shown.pop("problems")]
    return {name: value for name, value in shown.items() if name not in times} | {"problems": problems}


def rows_of(repository: Path) -> list[dict[str, Any]]:
    """The inventory, but for the session's name in it."""
    path = "inventory/base.jsonl"
    text = blobs_of(repository, [tree_of(repository, "nbvault/meta")[path]]).popitem()[1]
    return [{k: v for k, v in json.loads(line).items() if k != "since"} for line in text.splitlines()]


def workers() -> list[int]:
    """The Python processes of this process's Spark that run tasks: forked by the daemon that Java started."""
    daemons = [pid for pid in descendants(os.getpid()) if b"pyspark.daemon" in _read(pid, "cmdline")]
    return [pid for pid in daemons if _parent(pid) in daemons]


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    parents = {int(folder.name): _parent(int(folder.name)) for folder in Path("/proc").glob("[0-9]*")}
    found, level = list[int](), [pid]
    while level := [child for child, parent in parents.items() if parent in level]:
        found += level
    return found


def _parent(pid: int) -> int:
    return int(_read(pid, "stat").rpartition(b")")[2].split()[1:2][0] if _read(pid, "stat") else 0)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def exports(emulator: Emulator) -> int:
    """Notebooks exported so far."""
    return emulator.requests().get("export", {}).get("200", 0)


def wait_for(condition: Callable[[], bool], *, within_s: float = 120) -> None:
    """Look again and again until it is so."""
    pause = threading.Event()
    for _ in range(int(within_s / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come to that")


@contextmanager
def once(condition: Callable[[], bool], deed: Callable[[], None]) -> Iterator[None]:
    """Beside the body of the `with`, do something as soon as something is so."""
    thread = threading.Thread(target=lambda: (wait_for(condition), deed()))
    thread.start()
    yield
    thread.join()


def kill_workers() -> None:
    found = workers()
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def last_of(emulator: Emulator) -> str:
    """The notebook whose path comes last."""
    return max(str(each["path"]) for each in emulator.world(brief=True))


def failed_tasks(spark: Spark) -> int:
    """Tasks that ended badly, as Spark's own event log tells."""
    lines = "".join(path.read_text() for path in spark.events.rglob("*") if path.is_file()).splitlines()
    ends = [json.loads(line) for line in lines if '"SparkListenerTaskEnd"' in line]
    assert any("nbvault: exporting notebooks" in line for line in lines)
    return sum(end["Task End Reason"]["Reason"] != "Success" for end in ends)


def test_the_same_vault_as_one_machine_makes_though_workers_are_killed(spark: Spark, tmp_path: Path) -> None:
    """5,000 notebooks: same tree, inventory, counts and problems; and what Spark wrote down has no token in it."""
    with Emulator(notebooks=5000, years=2, engagements=25, in_process=False) as emulator:
        emulator.faults({"kind": "forbid", "path": FORBIDDEN})
        pristine = tmp_path / "pristine.git"
        shutil.copytree(server_of(emulator), pristine)
        one = Machine(tmp_path / "one", emulator)
        alone = one.sync()
        tree, rows = tree_of(server_of(emulator)), rows_of(server_of(emulator))
        empty_the_server(emulator, pristine)
        emulator.reset_requests()
        # So that it is a worker with a task that is killed: the last notebook takes a quarter of a minute, once.
        last = {"endpoint": "export", "path": last_of(emulator), "times": 1}
        late = {"kind": "latency", "ms": 15_000, "match": last}
        emulator.faults({"kind": "forbid", "path": FORBIDDEN}, late)
        many, screen = Machine(tmp_path / "many", emulator), Quiet()
        with once(lambda: emulator.call("GET", "/faults")[1]["fired"] > 0, kill_workers):
            together = run_sync(many.settings(), SyncOptions(), screen, engine=Engine.SPARK)
        assert same(together) == same(alone)
        assert (together.exit_code, together.counts.saved, together.counts.failed) == (3, 4999, 1)
        assert tree_of(server_of(emulator)) == tree
        assert rows_of(server_of(emulator)) == rows
        check_health(server_of(emulator))
        assert failed_tasks(spark) >= 1, "no task was hit"
        assert [text for text in screen.stages if "partition" in text] == [], "Spark did not replace the worker"
        for path in spark.written():
            assert emulator.workspace_token.encode() not in path.read_bytes(), path


# A Java of its own, and two sessions: too long for every day.
@pytest.mark.campaign
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_sigterm_ends_a_session_on_spark_like_any_other(tmp_path: Path) -> None:
    """Exit 9, what was finished is kept, Java is gone; and the next session, on one machine, completes the vault."""
    with Emulator(notebooks=800, years=1, engagements=10, latency_ms=400, in_process=False) as emulator:
        desk = Desk(tmp_path / "desk", emulator)
        process = desk.start("sync", "--engine", "spark", "--json")
        wait_for(lambda: exports(emulator) > 100)
        below = descendants(process.pid)
        assert any(b"java" in _read(pid, "cmdline") for pid in below)
        process.send_signal(signal.SIGTERM)
        ended = desk.ended(process, within_s=30)
        report = ended.report()
        assert (ended.code, report["status"]) == (9, "interrupted")
        wait_for(lambda: not any(_read(pid, "cmdline") for pid in below), within_s=30)
        after = desk.run("sync", "--json").report()
        assert (after["exit_code"], after["saved"] + after["unchanged"]) == (0, 800)
        check_tree(emulator)
        assert git(server_of(emulator), "rev-parse", "main").decode().strip() == after["head"]


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_without_java_it_says_so(tmp_path: Path) -> None:
    """Exit 7 and what to install, on the command line and in --json."""
    with Emulator(notebooks=5, years=1, engagements=1) as emulator:
        ended = Desk(tmp_path / "desk", emulator).run("sync", "--engine", "spark", "--json", JAVA_HOME="/nowhere")
    assert ended.code == 7
    assert "Java 17" in ended.report()["error"]


def test_without_pyspark_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration error that names the extra."""
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with Emulator(notebooks=5, years=1, engagements=1) as emulator:
        machine = Machine(tmp_path / "machine", emulator)
        with pytest.raises(ConfigurationError, match=r"pip install 'nbvault\[spark\]'") as refused:
            run_sync(machine.settings(), SyncOptions(), Quiet(), engine=Engine.SPARK)
        assert emulator.requests().get("list", {}) == {}
    assert refused.value.exit_code == 7


def test_executors_with_another_version_are_refused(spark: Spark, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they would bring home could not be trusted to be in the same shape."""
    monkeypatch.setattr("nbvault.__version__", "99.0")
    with pytest.raises(ConfigurationError, match=r"this is 99\.0"), SparkCluster():
        pass

"""One Spark for all tests here; without pyspark or Java they are skipped, and say why."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from database_places import lake, postgres

__all__ = ["lake", "postgres"]


def why_not() -> str:
    """What is missing to run Spark; empty if nothing is."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: pip install -c constraints.txt -e '.[spark]'"
    if shutil.which("java") is None:
        return "there is no java: apt-get install default-jre-headless"
    return ""


@dataclass(frozen=True)
class Spark:
    """A running SparkContext, and where it writes."""

    context: Any
    events: Path
    scratch: Path

    def written(self) -> list[Path]:
        """Every file that Spark has written, its event log first of all."""
        return [path for folder in (self.events, self.scratch) for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """Two slots on this machine, a lost worker replaced, everything it could tell others written to files."""
    if reason := why_not():
        pytest.skip(reason)
    from pyspark import SparkConf, SparkContext

    events, scratch = tmp_path_factory.mktemp("events"), tmp_path_factory.mktemp("scratch")
    told = {
        "spark.master": "local[2,4]",
        "spark.app.name": "tests",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.logBlockUpdates.enabled": "true",
    }
    context = SparkContext(conf=SparkConf().setAll(list(told.items())))
    try:
        yield Spark(context, events, scratch)
    finally:
        context.stop()

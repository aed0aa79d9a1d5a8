"""A Spark cluster that exports: a small job for each partition of notebooks. The only module that knows pyspark.

The executors need nbvault, in the same version, and a way to the workspace; not to the vault, not to the state store.
What they authenticate with travels inside the task (see docs/design.md, section 3b), never as data of a job, in a
broadcast variable, a property or a description: those end in files, in the web interface and in the event log.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import nbvault
from nbvault.errors import ConfigurationError
from nbvault.workspace.errand import Call, Errand, Homecoming, carry_out
from nbvault.workspace.spread import ClusterLost

_DESCRIPTION = "nbvault: exporting notebooks"
_INSTALL_HINT = "Install it with: pip install 'nbvault[spark]'. On Databricks it is part of the runtime."
_JAVA_HINT = "Spark needs Java 17: install it (Debian: apt-get install default-jre-headless) or set JAVA_HOME."
_CLASSIC_HINT = (
    "Use a cluster with dedicated access mode; serverless compute and standard access mode have no RDDs. "
    "Or leave --engine spark away: one machine exports as much as a workspace allows."
)


class SparkCluster:
    """The session that is there (on Databricks there always is one), or a new one on this machine; a context manager.

    Raises on entering:
        ConfigurationError: no pyspark, no Java, no RDDs, or executors without this nbvault.
    """

    def __init__(self) -> None:
        self._context: Any = None
        self._own = False
        self._group = f"nbvault-{id(self):x}"
        self._java_error: type[Exception] = OSError

    def __enter__(self) -> SparkCluster:
        pyspark, errors = _modules()
        self._java_error = errors.Py4JError
        self._context, self._own = _context(pyspark, errors)
        if str(self._context.master).startswith("local"):
            # Otherwise workers are the `python3` of the PATH, which need not know nbvault.
            self._context.pythonExec = sys.executable
        try:
            self._check_executors()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            self._context.stop()

    @property
    def slots(self) -> int:
        """How many partitions run at once."""
        return int(self._context.defaultParallelism)

    def run(self, errand: Errand, calls: Sequence[Call]) -> Homecoming:
        """One job of one partition; blocks. An executor that dies is Spark's to replace.

        Raises:
            ClusterLost: Spark gave the job up, or it was cancelled.
        """
        home: Homecoming = self._collect(partial(_carry_out, errand), [tuple(calls)], 1)[0]
        return home

    def cancel(self) -> None:
        """End what is running."""
        try:
            self._context.cancelJobGroup(self._group)
        except (self._java_error, OSError, AttributeError):
            # The context is gone, and its jobs with it.
            return

    def _check_executors(self) -> None:
        """Every executor has this nbvault."""
        try:
            found = set(self._collect(_version, list(range(self.slots)), self.slots))
        except ClusterLost as error:
            raise ConfigurationError(
                f"The executors cannot run nbvault: {error.message}",
                hint="Install nbvault as a library of the cluster.",
            ) from error
        if found != {nbvault.__version__}:
            raise ConfigurationError(
                f"The executors have nbvault {', '.join(sorted(found))}, this is {nbvault.__version__}.",
                hint="Install the same version as a library of the cluster.",
            )

    def _collect(self, work: Any, data: Sequence[Any], slices: int) -> list[Any]:
        try:
            # The group is a property of the calling thread.
            self._context.setJobGroup(self._group, _DESCRIPTION, interruptOnCancel=True)
            found: list[Any] = self._context.parallelize(data, slices).mapPartitions(work).collect()
        except (self._java_error, OSError, EOFError, AttributeError) as error:
            raise ClusterLost(f"Spark lost a partition: {_reason(error)}.") from None
        return found


def _carry_out(errand: Errand, partition: Iterable[Sequence[Call]]) -> Iterator[Homecoming]:
    """What an executor runs."""
    for calls in partition:
        yield carry_out(errand, calls)


def _version(numbers: Iterable[int]) -> Iterator[str]:
    for _ in numbers:
        yield nbvault.__version__


def _modules() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyspark"), importlib.import_module("py4j.protocol")
    except ImportError as error:
        raise ConfigurationError(
            f"The engine 'spark' needs pyspark, which cannot be imported ({error}).", hint=_INSTALL_HINT
        ) from None


def _context(pyspark: Any, errors: Any) -> tuple[Any, bool]:
    """The SparkContext, and whether it was made here."""
    active = pyspark.SparkContext._active_spark_context
    if active is not None:
        return active, False
    if importlib.import_module("pyspark.sql.utils").is_remote():
        raise ConfigurationError("This Spark session has no SparkContext (Spark Connect).", hint=_CLASSIC_HINT)
    try:
        # Java starts, and with it comes what spark-submit was told.
        pyspark.SparkContext._ensure_initialized()
        return pyspark.SparkContext(conf=_modest(pyspark.SparkConf())), True
    except (importlib.import_module("pyspark.errors").PySparkException, errors.Py4JError, OSError) as error:
        raise ConfigurationError(f"Spark cannot be started: {_reason(error)}.", hint=_JAVA_HINT) from None


def _modest(conf: Any) -> Any:
    """What nobody has set: this machine, nothing open to the network, a lost worker replaced, no bar on stderr."""
    conf.setIfMissing("spark.app.name", "nbvault")
    conf.setIfMissing("spark.master", "local[*,4]")
    conf.setIfMissing("spark.ui.showConsoleProgress", "false")
    if conf.get("spark.master").startswith("local"):
        conf.setIfMissing("spark.ui.enabled", "false")
        conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
        conf.setIfMissing("spark.driver.host", "127.0.0.1")
    return conf


def _reason(error: Exception) -> str:
    """The telling line of an error that may be a page of Java."""
    java = getattr(error, "java_exception", None)
    lines = [line.strip() for line in str(java.getMessage() if java is not None else error).splitlines()]
    told = [line for line in lines if "Error" in line or "exited" in line or "ancel" in line] or lines or ["unknown"]
    return (told[-1] if told[-1] else type(error).__name__)[:300].rstrip(".")

"""What looking for credentials costs, and how often it errs: python -m benchmarks.screening --notebooks 3000

False reports are counted on real source without credentials: Python's standard library and the packages installed
here. Time is that of this process, for each notebook of a generated world, with google-re2 and without, beside what a
whole first sync of that world costs its client.
"""

from __future__ import annotations

import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.harness import WORKSPACE, Machine, arguments, carry_out, emulator, workshop
from nbvault.backup import screen as screening
from nbvault.backup.screen import one_by_one, screen

CORPUS = 10_000
Present = Callable[[], Callable[[bytes], object]]


def main() -> None:
    """Measure what the command line asks for."""
    options = arguments(__doc__).parse_args()
    carry_out("screening", f"screening-{options.notebooks}", options, lambda: measure(options.notebooks))


def measure(notebooks: int) -> Iterator[Row]:
    """False reports, then time."""
    corpus = list(files())[:CORPUS]
    reported = [path for path in corpus if screen(path.read_bytes())]
    for path in reported:
        print(f"reported: {path.name}: {'; '.join(map(str, screen(path.read_bytes())))}", file=sys.stderr)
    wrong = {"files": len(corpus), "reported": len(reported), "reported_share": len(reported) / len(corpus)}
    yield Row("ordinary source", len(corpus), figures=wrong)
    with workshop() as folder, emulator(notebooks) as running:
        sources = [each["content"].encode() for each in running.world(WORKSPACE, content=True)]
        cost = Machine(folder / "a", running).nbvault("sync")
    sync_us = 1e6 * (cost.cpu.own_s + cost.cpu.children_s) / len(sources)
    quick = screening._present()
    yield _timed("with google-re2", sources, lambda: quick, sync_us)
    yield _timed("without", sources, lambda: one_by_one, sync_us)


def _timed(scenario: str, sources: Sequence[bytes], present: Present, sync_us: float) -> Row:
    # Which search is used is decided once; a measurement must be able to say.
    screening._present = present  # type: ignore[assignment]
    begun = time.process_time()
    for source in sources:
        screen(source)
    each_us = 1e6 * (time.process_time() - begun) / len(sources)
    kb = sum(map(len, sources)) / len(sources) / 1000
    figures = {"kb_each": kb, "us_each": each_us, "client_us_each": sync_us, "client_share": each_us / sync_us}
    return Row(f"screening, {scenario}", len(sources), figures=figures)


def files() -> Iterator[Path]:
    """Real source, each file once."""
    seen = set()
    for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in sorted(Path(folder).rglob("*.py")):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


if __name__ == "__main__":
    main()

"""The program `nbvault-job`: a command of nbvault as a task of a scheduler, which knows only success and failure.

What a person must look at, but no retry would change, is no failure of the task: it is told, and the task succeeds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from nbvault.cli import main as command_line
from nbvault.cli import output


class Outcome(NamedTuple):
    """How a command ended, and what that is for a scheduler."""

    command: str
    exit_code: int
    succeeded: bool
    meaning: str

    @property
    def needs_attention(self) -> bool:
        """Whether a person must look, though the task succeeded."""
        return self.succeeded and self.exit_code != 0

    def sentence(self) -> str:
        """For the log of the task."""
        end = "succeeded" if self.succeeded else "failed"
        look = " SOMEBODY MUST LOOK." if self.needs_attention else ""
        return f"nbvault-job: {self.command} ended with {self.exit_code}: {self.meaning}. The task {end}.{look}"


_MEANINGS = {
    0: (True, "complete"),
    3: (True, "partial, something could not be backed up or looked at; 'nbvault status' and the lines above say what"),
    4: (True, "deletions are held until somebody accepts them; all else is saved"),
    # No success: this run has backed up nothing. A retry normally finds the vault free.
    5: (False, "another session has the vault; nothing was done here"),
    6: (False, "the workspace or the Git server refused the credentials"),
    7: (False, "the configuration or the command line is wrong"),
    8: (False, "what was verified is not as it must be"),
    9: (False, "interrupted; what was finished is saved, and the next run goes on from there"),
}
_OTHERWISE = (False, "it failed; the lines above say why")
Attention = Callable[[Outcome], None]


def outcome_of(command: str, exit_code: int) -> Outcome:
    """What an exit code of a command is for a scheduler."""
    succeeded, meaning = _MEANINGS.get(exit_code, _OTHERWISE)
    return Outcome(command, exit_code, succeeded, meaning)


def main() -> None:
    """Run the command line of this process as a task; returns if it succeeded.

    Returns rather than exits with 0, for a runtime that holds the interpreter takes any exit for a failure.

    Raises:
        SystemExit: the task failed; the code is that of the command.
    """
    outcome = run(sys.argv[1:], attention=lambda found: tell_at_once(found, sys.argv[1:]))
    if not outcome.succeeded:
        raise SystemExit(outcome.exit_code)


def run(
    arguments: Sequence[str], *, settings: Mapping[str, str] | None = None, attention: Attention | None = None
) -> Outcome:
    """Run a command to its end, and say in one line what became of it.

    Args:
        settings: Variables that win over those of the environment, NBVAULT_SECTION__KEY and secrets.
        attention: Told where somebody must look though the task succeeded.
    """
    code = _in_peace(lambda: command_line.run(arguments, settings=settings))
    outcome = outcome_of(arguments[0] if arguments else "nbvault", code)
    output.note(outcome.sentence())
    if attention is not None and outcome.needs_attention:
        attention(outcome)
    return outcome


def tell_at_once(outcome: Outcome, arguments: Sequence[str]) -> None:
    """Look at the alerts now, rather than within the hour; a sync has done so itself."""
    if outcome.command in ("sync", "alerts"):
        return
    words = [*arguments, ""]
    named = [[word, words[place + 1]] for place, word in enumerate(words) if word == "--config"]
    joined = [[word] for word in words if word.startswith("--config=")]
    _in_peace(lambda: command_line.run(["alerts", "check", *next(iter([*named, *joined]), [])]))


def _in_peace(work: Callable[[], int]) -> int:
    """Run it here or, where an event loop runs in this thread already (as in a notebook), in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="nbvault") as alone:
        return alone.submit(work).result()


if __name__ == "__main__":
    main()

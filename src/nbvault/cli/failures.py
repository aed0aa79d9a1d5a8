"""How a command that failed says so: a sentence for people, an object for programs, a traceback in a file."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbvault.cli import output
from nbvault.errors import NbvaultError


def tell(failure: NbvaultError, arguments: Sequence[str]) -> None:
    """Say what failed on stderr and, where the command line has ``--json``, on stdout as its last line."""
    output.complain(failure.message, failure.hint)
    if "--json" in arguments:
        output.emit(_as_json(failure, command=arguments[0]))


def _as_json(failure: NbvaultError, *, command: str) -> dict[str, Any]:
    if command == "sync":
        from nbvault.cli.sync import failed_report

        return failed_report(failure).as_json()
    return {"error": str(failure), "exit_code": failure.exit_code}


def unexpected(error: Exception) -> NbvaultError:
    """A fault of the program, or of the machine under it, as a sentence; its traceback is kept."""
    # The words of a system error are what a person can use; others might quote anything.
    said = f": {error}" if isinstance(error, OSError) else ""
    return NbvaultError(f"An error that nbvault did not expect ({type(error).__name__}{said}).", hint=kept(error))


def kept(error: Exception) -> str:
    """Write the traceback of a fault into a file; returns where it is, or else how to see it.

    With NBVAULT_DEBUG=1 the traceback goes to stderr as well.
    """
    from nbvault.settings import debug_wanted

    trace = "".join(traceback.format_exception(error))
    if debug_wanted():
        output.note(trace)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nbvault-traceback-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return "Run it again with NBVAULT_DEBUG=1 to see the traceback."
    return f"The traceback is in {Path(file.name)}; please send it with your report."

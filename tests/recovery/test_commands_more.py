"""`diff`, `search`, `blame`, `compare`, `drill` and the newer options, as scripts see them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbvault.cli import main
from recovery.places import ANN, BOB, HEAD, Desk


class Shell:
    """A shell in the folder of a desk; its commands run in this process, which spares starting one for each."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capfd = capfd
        self._monkeypatch = monkeypatch

    def run(self, desk: Desk, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        with self._monkeypatch.context() as here:
            for name, value in desk.environment().items():
                here.setenv(name, value)
            here.chdir(desk.folder)
            self._capfd.readouterr()
            code = main.run(arguments)
        out, err = self._capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def answer(self, desk: Desk, *arguments: str) -> Any:
        """What a command gives as JSON, in its last line."""
        code, out, _ = self.run(desk, *arguments, "--json")
        assert code == 0
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """A shell; the handler of SIGTERM that commands set is taken back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    yield Shell(capfd, monkeypatch)
    signal.signal(signal.SIGTERM, before)


def test_diff_gives_cells(story: Desk, shell: Shell) -> None:
    """JSON cells with their kinds; text with the lines, without colour in a pipe; notes on stderr."""
    cells = shell.answer(story, "diff", "/Clients/b/etl2")
    assert {cell["kind"] for cell in cells} <= {"added", "removed", "changed", "moved", "same"}
    code, out, err = shell.run(story, "diff", "/Clients/b/etl2", "--from", story.diary[0].at, "--to", "live")
    assert (code, "+three" in out, "\x1b" in out) == (0, True, False)
    assert "moved from /Clients/a/etl to /Clients/b/etl2" in err


def test_history_tells_what_is_gone(story: Desk, shell: Shell) -> None:
    """All of it, or of one place, as objects and as lines."""
    assert len(shell.answer(story, "history", "--deleted")) == 5
    (gone,) = shell.answer(story, "history", "--deleted", "/Clients/gone")
    assert (gone["path"], gone["by"], set(gone["last"])) == (
        "/Clients/gone/one",
        "unknown",
        {"commit", "at", "blob", "repo_path"},
    )
    code, out, err = shell.run(story, "history", "/Clients/g*/*", "--deleted")
    assert (code, len(out.splitlines()), "1 deleted notebook" in err) == (0, 1, True)


def test_search_and_blame_tell_lines(story: Desk, shell: Shell) -> None:
    """Matches with path, cell, line and text; who wrote a line."""
    (found,) = shell.answer(story, "search", "THREE", "--ignore-case", "--path", "/Clients/b/**")
    assert (found["path"], found["cell"], found["line"], found["text"]) == ("/Clients/b/etl2", 1, 2, "three")
    (once,) = shell.answer(story, "search", "^/gone/[o]ne", "--all-versions", "--regex")[:1]
    assert once["until"]["session"] == story.diary[1].report.session
    code, out, err = shell.run(story, "search", "three")
    assert (code, out, "1 matching line in 1 notebook." in err) == (0, "/Clients/b/etl2, cell 1, line 2: three\n", True)
    lines = shell.answer(story, "blame", "/Clients/b/etl2")
    assert [(line["text"], line["author"]) for line in lines[1:]] == [("three", "Zoë")]
    code, out, _ = shell.run(story, "blame", "/Clients/b/etl2", "--at", story.diary[0].at)
    assert (code, out.splitlines()[-1].endswith("one")) == (0, True)


def test_what_steers_a_terminal_is_spelled_out(desk: Desk, shell: Shell) -> None:
    """Escape sequences in notebooks come out of search, blame and diff as text."""
    desk.write("/evil", "needle \x1b[2J\u202e\n", ANN)
    desk.sync()
    for arguments in (
        ("search", "needle"),
        ("blame", "evil"),
        ("diff", "evil"),
        ("search", "needle", "--all-versions"),
    ):
        code, out, _ = shell.run(desk, *arguments)
        assert (code, r"needle \x1b[2J\u202e" in out) == (0, True), arguments


def test_compare_ends_with_0_or_8(desk: Desk, shell: Shell, tmp_path: Path) -> None:
    """An export that is the vault's state, and one that is not."""
    desk.write("/a/x", "one", BOB)
    desk.sync()
    (tmp_path / "old" / "a").mkdir(parents=True)
    (tmp_path / "old" / "keep.py").write_text(HEAD)
    code, out, _ = shell.run(desk, "compare", str(tmp_path / "old"))
    assert (code, "only in the vault: /Clients/a/x" in out) == (8, True)
    (tmp_path / "old" / "a" / "x.py").write_text(HEAD + "one\n")
    assert shell.answer(desk, "compare", str(tmp_path / "old"), "--at", desk.diary[-1].at)["same"] == 2


def test_drill_and_status_tell_what_is_proven(desk: Desk, shell: Shell) -> None:
    """A drill through the command line, and what `status` makes of it; verify with its options."""
    desk.sync()
    assert "Never proven restorable" in shell.run(desk, "status")[1]
    drill = shell.answer(desk, "drill", "--sample", "5", "--seed", "3")
    assert (drill["identical"], drill["removed"], drill["recorded"], drill["seed"]) == (1, True, True, 3)
    assert shell.answer(desk, "status")["proven_restorable"]["result"] == "ok"
    assert "Last proven restorable" in shell.run(desk, "status")[1]
    assert shell.run(desk, "drill", "--to", "/Clients/x")[0] == 7
    told = shell.answer(desk, "verify", "--since", "2001-01-01", "--budget", "600")
    assert (told["due"], told["taken"], told["remembered"]) == (1, 1, True)
    assert "Compared 1 of 1" in shell.run(desk, "verify", "--budget", "600")[1]


def test_wrong_usage_is_said(story: Desk, shell: Shell) -> None:
    """Options that do not go together, moments that are none, nothing to search for: exit 7."""
    for arguments in [
        ("history",),
        ("search", ""),
        ("search", "(", "--regex"),
        ("search", "x", "--at", "2026-11-21", "--all-versions"),
        ("diff", "/Clients/keep", "--from", " "),
        ("blame", "/Clients/never"),
        ("compare", "/nowhere/at/all"),
        ("verify", "--budget", "5", "--sample", "5%"),
        ("verify", "--since", "someday"),
        ("drill", "--sample", "0"),
    ]:
        code, out, _ = shell.run(story, *arguments)
        assert (code, out) == (7, ""), arguments


def test_an_interrupted_search_ends_with_9(story: Desk) -> None:
    """Ctrl-C while a search begins is one sentence, and leaves no process of git behind."""
    command = [sys.executable, "-m", "nbvault.cli.main", "search", "(a*)*b{2,}x", "--regex", "--all-versions"]
    process = subprocess.Popen(
        command, env=story.environment(), cwd=story.folder, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    while not any("git" in name for name in children(process.pid)):
        if process.poll() is not None:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (0, 9)
    assert b"Traceback" not in err


def children(pid: int) -> list[str]:
    """The names of a process's children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
        except OSError:
            continue
        if f"PPid:\t{pid}\n" in status:
            found.append(status.split("\n", 1)[0])
    return found

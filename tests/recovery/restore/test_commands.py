"""`nbvault restore` and `nbvault undo` as people type them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from recovery.restore.desk import Holding, RestoreDesk, path_of, source

FOLDER = path_of("f")
KEYS = {"path", "target", "action", "result", "verified", "reason", "lines_added", "lines_removed"}


def run(desk: RestoreDesk, *arguments: str, answer: str | None = None) -> tuple[int, str, str]:
    """A command line; with an answer, on a terminal at which a person gives it."""
    command = [sys.executable, "-m", "nbvault.cli.main", *arguments]
    common: dict[str, Any] = {"env": desk.environment(), "cwd": desk.folder, "text": True}
    if answer is None:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, **common)
        return done.returncode, done.stdout, done.stderr
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **common
        ) as process:
            os.write(ours, answer.encode())
            out, err = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, out, err


@pytest.fixture
def wrecked(desk: RestoreDesk) -> tuple[RestoreDesk, Holding]:
    """One edited and saved so, one deleted."""
    desk.emulator.edit(path_of("f/a"), source("second\na"))
    desk.sync()
    desk.emulator.delete(path_of("f/b"))
    return desk, desk.holding()


def test_dry_run_restore_undo(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """The plan changes nothing; the restore ends with 0 and a receipt as JSON; its undo leads back."""
    desk, before = wrecked
    tag = str(desk.diary[0].report.tag)
    code, out, _ = run(desk, "restore", FOLDER, "--at", tag, "--dry-run", "--json")
    plan = json.loads(out.splitlines()[-1])
    assert (code, plan["dry_run"], plan["status"]) == (0, True, "planned")
    assert plan["counts"] == {"entries": 3, "overwrite": 1, "create": 1, "identical": 1}
    first = plan["entries"][0]
    assert (first["lines_added"], first["lines_removed"]) == (1, 2)
    assert first.keys() >= KEYS
    assert (desk.holding(), desk.files_on_branch()) == (before, [])

    code, out, _ = run(desk, "restore", FOLDER, "--at", tag, "--yes", "--json", "--report", "page.html")
    done = json.loads(out.splitlines()[-1])
    assert (code, done["exit_code"], done["status"]) == (0, 0, "complete")
    assert done["counts"] == {"entries": 3, "restored": 2, "identical": 1}
    assert done["at"] == tag
    assert done == desk.receipt(done["restore"])
    assert desk.holding()[path_of("f/a")].text == source("first a")
    assert done["restore"] in (desk.folder / "page.html").read_text()

    code, out, _ = run(desk, "undo", done["restore"], "--yes")
    assert (code, desk.holding()) == (0, before)
    assert "To take it back: nbvault undo" in out


def test_without_a_terminal_it_must_be_told_yes(wrecked: tuple[RestoreDesk, Holding]) -> None:
    """Exit code 7 and a sentence that says so; nothing is written."""
    desk, before = wrecked
    code, out, err = run(desk, "restore", FOLDER)
    assert (code, desk.holding()) == (7, before)
    assert "--yes" in err
    assert "create" in out


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 9)])
def test_on_a_terminal_it_shows_the_plan_and_asks(wrecked: tuple[RestoreDesk, Holding], answer: str, code: int) -> None:
    """The person's word decides."""
    desk, before = wrecked
    found, out, err = run(desk, "restore", FOLDER, answer=answer)
    assert (found, desk.holding() == before) == (code, code != 0), err
    assert path_of("f/b") in out


def test_wrong_usage(still: RestoreDesk) -> None:
    """Exit code 7, and with --json an object that says why."""
    for arguments in (["restore"], ["restore", "f", "--resume", "x"], ["restore", "f", "--at", ""], ["undo", "x"]):
        code, out, err = run(still, *arguments, "--json")
        assert code == 7, err
        assert json.loads(out.splitlines()[-1])["exit_code"] == 7
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("elsewhere", "words"),
    [
        (["--to", ""], "--to is empty"),
        (["--to", " "], "--to is empty"),
        (["--at", ""], "--at is empty"),
        (["--remap", "/clients=/Shared"], "--remap /clients: no path"),
        (["--to", "/Shared/x", "--remap", f"{FOLDER}=/Shared/y"], f"--remap {FOLDER}: no path"),
    ],
)
def test_what_was_to_go_elsewhere_is_not_written_in_place(elsewhere: list[str], words: str, still: RestoreDesk) -> None:
    """A variable that nobody set, and a beginning that fits nothing, end with 7 before anything is looked at."""
    before = still.holding()
    code, out, err = run(still, "restore", path_of("f/a"), "--overwrite", "always", "--yes", *elsewhere)
    assert (code, out, still.holding()) == (7, "", before)
    assert words in err


def test_a_restore_that_had_ended_is_not_said_to_be_done_now(desk: RestoreDesk) -> None:
    """Resumed once more, after it was taken back even: it says that nothing is written, and nothing is."""
    desk.emulator.edit(path_of("f/a"), source("wreck"))
    receipt = desk.restore(path_of("f/a"))
    desk.undo(receipt)
    code, out, _ = run(desk, "restore", "--resume", receipt.intent.restore)
    assert (code, desk.holding()[path_of("f/a")].text) == (0, source("wreck"))
    assert "nothing is written now" in out


def test_nothing_to_do(still: RestoreDesk) -> None:
    """What is as it was needs no question and leaves no record."""
    code, out, _ = run(still, "restore", FOLDER, "--json")
    done = json.loads(out.splitlines()[-1])
    assert (code, done["restore"], done["counts"]) == (0, None, {"entries": 3, "identical": 3})
    assert still.files_on_branch() == []


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_else_and_runs_nothing(desk: RestoreDesk, tmp_path: Path) -> None:
    """A notebook whose name is HTML is shown as text; no script, no link, no picture."""
    name = path_of("f/<script>alert(1)</script>&\"'")
    desk.emulator.create(name, source("x"))
    desk.sync()
    desk.emulator.delete(name)
    assert run(desk, "restore", FOLDER, "--yes", "--report", str(tmp_path / "page.html"))[0] == 0
    text = (tmp_path / "page.html").read_text()
    parser = _Tags()
    parser.feed(text)
    assert "script" not in parser.tags
    assert parser.addresses == []
    assert "&lt;script&gt;alert(1)" in text


def test_a_name_cannot_steer_the_terminal(desk: RestoreDesk) -> None:
    """What is not printable is escaped."""
    desk.emulator.create(path_of("f/\x1b[31mred"), source("x"))
    desk.sync()
    code, out, err = run(desk, "restore", FOLDER, "--dry-run")
    assert code == 0
    assert "\x1b" not in out + err

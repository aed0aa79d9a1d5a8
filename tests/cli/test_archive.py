"""`nbvault archive` and what `status` and `history` say of it, as people type them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cli_places import Desk


def test_archive_from_end_to_end(desk: Desk) -> None:
    """Close a folder, see it in the status, in the list and in a notebook's history, hand it over, open it again."""
    assert desk.run("sync", "--json").code == 0
    done = desk.run("archive", "/Clients/2024", "--by", "ann", "--json")
    assert (done.code, done.json["notebooks"], done.json["by"]) == (0, 2, "ann")
    synced = desk.run("sync", "--json").report()
    assert (synced["exit_code"], synced["listed"], synced["archived"]) == (0, 2, 2)
    status = desk.run("status", "--json").json
    assert [frozen["pattern"] for frozen in status["archive"]["patterns"]] == ["/Clients/2024"]
    assert status["archive"]["notebooks"] == 2
    assert status["growth"]["objects"]["now"] > 10
    assert status["growth"]["basis"].startswith("the plan of 1,000 new notebooks a month")
    told = desk.run("status").out
    assert "Archived, looked at once a week: /Clients/2024. The last session left 2 notebooks unseen." in told
    assert "it reaches 10 GB" in told
    history = desk.run("history", "/Clients/2024/a")
    assert "archived" in history.err
    bundle = desk.run("archive", "/Clients/2024", "--bundle", "2024.bundle")
    assert (bundle.code, "git clone 2024.bundle" in bundle.out) == (0, True)
    clone = desk.folder / "clone"
    subprocess.run(["git", "clone", "-q", str(desk.folder / "2024.bundle"), str(clone)], check=True)
    assert sorted(path.name for path in clone.rglob("*.py")) == ["a.py", "b.py"]
    assert "/Clients/2024  2 notebooks  since" in desk.run("archive", "--list").out
    assert desk.run("archive", "/Clients/2024", "--undo", "--json").json["pattern"] == "/Clients/2024"
    assert (desk.run("archive", "--list", "--json").json, desk.run("sync", "--json").report()["archived"]) == ([], 0)


def test_wrong_usage_is_refused(desk: Desk, tmp_path: Path) -> None:
    """No pattern, two at odds, what was never archived, what matches nothing: exit 7, each with a sentence."""
    assert desk.run("sync", "--json").code == 0
    (desk.folder / "there").write_text("mine")
    for words, sentence in (
        ([], "Missing argument"),
        (["--list", "/Clients/2024"], "--list stands alone"),
        (["/Clients/2024", "--undo", "--bundle", "x"], "do not go together"),
        (["/Clients/2024", "--undo"], "was not archived"),
        (["/Clients/1999"], "no notebook in a folder that matches"),
        (["/Clients"], "names no folder below"),
        (["/Clients/2024", "--bundle", "there"], "exists already"),
    ):
        ended = desk.run("archive", *words)
        assert (ended.code, sentence in ended.err) == (7, True), ended

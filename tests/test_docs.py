"""The documentation says what is true: its links lead somewhere, its commands exist, its configuration loads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbvault.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == kind]


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if line.startswith("$ "):
                    yield page.name, line[2:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Every relative link of a page leads to a file of the project."""
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
    missing = [link for link in targets if link and "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def anchors(page: Path) -> set[str]:
    """The places in a page that a link can name, as Git servers make them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors(page: Path) -> None:
    """Every link into a page leads to a heading of it."""
    links = [link.split("#") for link in LINK.findall(page.read_text(encoding="utf-8")) if "#" in link]
    local = [(target, anchor) for target, anchor in links if "://" not in target and (not target or ".md" in target)]
    wrong = [
        (target, anchor) for target, anchor in local if anchor not in anchors(page.parent / target if target else page)
    ]
    assert wrong == []


def test_make_targets_of_the_readme_exist() -> None:
    """Every `make` target that a page shows is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {command.split()[1] for _, command in commands() if command.startswith("make ")}
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_commands_and_options_exist() -> None:
    """Every `nbvault` command line that a page shows is one that the program takes."""
    import click

    from nbvault.cli.main import nbvault as cli

    context = click.Context(cli)
    wrong = []
    for page, line in commands():
        words = line.partition("#")[0].partition(">")[0].split()
        if words[:1] != ["nbvault"]:
            continue
        command: click.Command | None = cli.get_command(context, words[1])
        rest = words[2:]
        if isinstance(command, click.Group):
            command, rest = command.get_command(context, rest[0]), rest[1:]
        known = {name for parameter in command.params for name in parameter.opts} if command else set()
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        if command is None or options - known:
            wrong.append((page, line))
    assert wrong == []


def test_the_readme_configuration_loads(tmp_path: Path) -> None:
    """The configuration of the README is a valid one."""
    (tmp_path / "nbvault.toml").write_text(blocks(ROOT / "README.md", "toml")[0], encoding="utf-8")
    settings = load_settings(tmp_path / "nbvault.toml", environment={})
    assert (settings.workspace.root, settings.vault.path) == ("/Clients", tmp_path / "vault.git")


def test_no_path_of_a_developers_machine() -> None:
    """No page names a directory of the machine it was written on."""
    assert [page.name for page in PAGES if re.search(r"/work/|/home/\w|/root/", page.read_text("utf-8"))] == []

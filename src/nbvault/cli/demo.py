"""`nbvault demo`: the whole story on a local workspace, told in steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from nbvault.cli import output
from nbvault.cli.options import config_option
from nbvault.cli.stage import Notebook, Stage, opened_stage
from nbvault.errors import ConfigurationError, VerificationError

MARKER = ".nbvault-demo"
PEOPLE = {
    "ann.lee@example.com": "Ann Lee",
    "bo.novak@example.com": "Bo Novak",
    "chi.okafor@example.com": "Chi Okafor",
}
ANN, BO, CHI = PEOPLE


@click.command("demo")
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option(
    "--notebooks", type=click.IntRange(20), default=300, show_default=True, help="Notebooks in the workspace."
)
@config_option
def command(*, keep: Path, notebooks: int) -> None:
    """Back up a made-up workspace, change it as people do, back it up again, and bring a deleted notebook back.

    Everything stays in DIR to be looked at; nothing keeps running.
    """
    folder = prepared(keep)
    with opened_stage(folder, notebooks=notebooks) as stage:
        Story(stage).tell()
    _tell_where(folder, port=stage.port)


def prepared(folder: Path) -> Path:
    """An empty folder for the demo; one that an earlier demo made is emptied.

    Raises:
        ConfigurationError: something else is there.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder / MARKER).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            f"{folder} exists and was not made by the demo.", hint="Name another place: nbvault demo --keep DIR"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("Made by 'nbvault demo', which empties this folder when it runs again.\n")
    return folder


class Story:
    """What happens in the demo, step by step."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._number = 0

    def tell(self) -> None:
        """All of it.

        Raises:
            VerificationError: a notebook did not come back as it was.
        """
        stage = self._stage
        notebooks = stage.notebooks()
        edited, moved, deleted = (notebooks[len(notebooks) * place // 4] for place in (1, 2, 3))
        self._step(f"The first backup, of {output.number(len(notebooks), 'notebook')} by several editors")
        stage.nbvault("sync")
        first = stage.git("rev-parse", "main").strip()
        new_name = self._change(edited, moved, deleted)
        self._step("The second backup: only what changed, each change in its author's name")
        stage.nbvault("sync")
        self._look_back(edited, new_name)
        self._restore(deleted, first)
        self._step("The last backup: everything is in the vault again")
        stage.nbvault("sync")
        self._sessions()

    def _step(self, text: str) -> None:
        self._number += 1
        output.say()
        output.say(f"{self._number}. {text}", style="cyan")

    def _change(self, edited: Notebook, moved: Notebook, deleted: Notebook) -> str:
        """People at work; returns the new path of the notebook that is renamed."""
        stage = self._stage
        self._step("People work: edits, a new notebook, a rename, a deletion")
        for mail, name in PEOPLE.items():
            stage.admin("user", userName=mail, displayName=name)
        folder = edited.path.rpartition("/")[0]
        comment = edited.comment
        text = f"{edited.content}\n\n{comment} COMMAND ----------\n\n{comment} Reviewed by Ann: totals agree.\n"
        self._do("edits", ANN, "edit", path=edited.path, content=text)
        self._do("edits", BO, "edit", path=moved.path, content=f"{moved.content}\n{moved.comment} Bo was here.\n")
        self._do("creates", CHI, "create", path=f"{folder}/closing checks", content="# Databricks notebook source\n1\n")
        new_name = moved.path + " (final)"
        stage.admin("move", **{"from": moved.path, "to": new_name})
        output.say(f"   somebody renames {moved.path} to {new_name}")
        stage.admin("delete", path=deleted.path)
        output.say(f"   somebody deletes {deleted.path}")
        return new_name

    def _do(self, deed: str, who: str, operation: str, *, path: str, content: str) -> None:
        self._stage.admin(operation, path=path, content=content, editor=who)
        output.say(f"   {PEOPLE[who]} {deed} {path}")

    def _look_back(self, edited: Notebook, renamed: str) -> None:
        stage = self._stage
        self._step("The history of the renamed notebook, across its rename")
        stage.nbvault("history", renamed)
        self._step("What Ann changed, cell by cell")
        stage.nbvault("diff", edited.path)

    def _restore(self, deleted: Notebook, first: str) -> None:
        stage = self._stage
        self._step(f"The deleted notebook comes back from the first backup ({first[:12]})")
        stage.nbvault("restore", deleted.path, "--at", first, "--yes")
        back = next((each.content for each in stage.notebooks() if each.path == deleted.path), None)
        # The workspace keeps no final newline of a text that is imported.
        if back is None or back.removesuffix("\n") != deleted.content.removesuffix("\n"):
            raise VerificationError(f"{deleted.path} did not come back as it was.")
        output.say(f"   {deleted.path}: {len(back):,} characters, read back and the same.", style="green")

    def _sessions(self) -> None:
        self._step("The sessions, one commit each on main")
        self._stage.show_git("log", "--first-parent", "--format=%h %an  %s", "main")
        self._step("And the people's commits, on backup/daily")
        self._stage.show_git("log", "--format=%h %an <%ae>  %s", "backup/daily")


def _tell_where(folder: Path, *, port: int) -> None:
    vault = folder / "remote" / "vault.git"
    output.say()
    output.say("Done. Nothing keeps running; look around as long as you like:", style="green")
    output.say(f"  the repository      {vault}")
    output.say(f"  the sessions        git --git-dir {vault} log --first-parent main")
    output.say(f"  the files           git --git-dir {vault} ls-tree -r --name-only main")
    output.say(f"  a working copy      git clone {vault} my-copy")
    output.say(f"  the configuration   {folder / 'nbvault.toml'}")
    output.say(f"To go on with this workspace, start it again, and use nbvault in {folder}:")
    output.say(f"  nbvault emulator --data {folder / 'world'} --git-dir {folder / 'remote'} --port {port}")

"""Taking a restore back: what it wrote, no more and no less, and never what somebody has done since."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nbvault.errors import ConfigurationError
from nbvault.recovery.plan import Entry
from nbvault.recovery.receipt import Receipt
from recovery.restore.desk import RestoreDesk, path_of, source

FOLDER = path_of("f")


@pytest.fixture
def restored(desk: RestoreDesk) -> Receipt:
    """Two were overwritten, one was created."""
    desk.emulator.edit(path_of("f/a"), source("wrecked a"))
    desk.emulator.edit(path_of("f/b"), source("wrecked b"))
    desk.emulator.delete(path_of("f/c"))
    receipt = desk.restore(FOLDER)
    assert receipt.counts() == {"entries": 3, "restored": 3}
    return receipt


def change(desk: RestoreDesk) -> None:
    """Somebody edits an overwritten and the created one."""
    desk.emulator.edit(path_of("f/a"), source("edited since"))
    desk.emulator.edit(path_of("f/c"), source("edited since"))


def test_what_somebody_has_changed_since_is_left_alone(desk: RestoreDesk, restored: Receipt) -> None:
    """Their work stays, the rest is taken back, and the end says so: exit code 3."""
    change(desk)
    undone = desk.undo(restored)
    assert (undone.exit_code, undone.counts()) == (3, {"entries": 3, "changed since": 2, "restored": 1})
    texts = {path[-1]: held.text for path, held in desk.holding(FOLDER).items()}
    assert texts == {"a": source("edited since"), "b": source("wrecked b"), "c": source("edited since")}


def test_an_undo_may_be_told_to_take_back_everything(desk: RestoreDesk, restored: Receipt) -> None:
    """With `always` the edits are saved and taken back, too; undoing the undo brings them back."""
    change(desk)
    edited = desk.holding()
    undone = desk.undo(restored, forced=True)
    assert undone.exit_code == 0
    assert {path[-1]: held.text for path, held in desk.holding(FOLDER).items()} == {
        "a": source("wrecked a"),
        "b": source("wrecked b"),
    }
    assert desk.undo(undone).exit_code == 0
    assert desk.holding() == edited


@pytest.mark.parametrize("yes", [True, False])
def test_an_undo_asks_about_what_was_changed_since(desk: RestoreDesk, restored: Receipt, yes: bool) -> None:
    """It names those notebooks once all others are done, and does what the person says."""
    change(desk)
    asked: list[str] = []

    def ask(changed: Sequence[Entry]) -> bool:
        asked.extend(entry.target for entry in changed)
        return yes

    with desk.restorer() as restorer:
        undone = restorer.apply(restorer.undo(restored.intent.restore), ask=ask)
    assert asked == [path_of("f/a"), path_of("f/c")]
    assert undone.exit_code == (0 if yes else 3)
    assert (path_of("f/c") in desk.holding()) is not yes


def test_what_somebody_has_deleted_since_is_not_brought_back(desk: RestoreDesk, restored: Receipt) -> None:
    """A notebook that the restore wrote and somebody deleted is changed since; one that it created is simply gone."""
    desk.emulator.delete(path_of("f/a"))
    desk.emulator.delete(path_of("f/c"))
    undone = desk.undo(restored)
    found = {entry["target"][-1]: entry["result"] for entry in undone.as_json()["entries"]}
    assert found == {"a": "changed since", "b": "restored", "c": "identical"}
    forced = desk.undo(restored, forced=True)
    assert forced.exit_code == 0
    assert desk.holding()[path_of("f/a")].text == source("wrecked a")


def test_an_undo_of_what_was_taken_back_by_hand_has_nothing_to_do(desk: RestoreDesk, restored: Receipt) -> None:
    """Notebooks that are as they were before the restore are identical."""
    desk.emulator.edit(path_of("f/a"), source("wrecked a"))
    desk.emulator.edit(path_of("f/b"), source("wrecked b"))
    desk.emulator.delete(path_of("f/c"))
    undone = desk.undo(restored)
    assert (undone.exit_code, undone.counts()) == (0, {"entries": 3, "identical": 3})


def test_an_unknown_restore_is_refused(desk: RestoreDesk, restored: Receipt) -> None:
    """The hint names the last restores."""
    with pytest.raises(ConfigurationError) as refused:
        desk.undo("20200101T000000Z-000000")
    assert restored.intent.restore in refused.value.hint


def test_an_undo_on_another_machine(desk: RestoreDesk, restored: Receipt) -> None:
    """The vault alone is enough: records and pre-images come from the remote."""
    desk.lose_this_machine()
    assert desk.undo(restored).exit_code == 0
    assert desk.holding()[path_of("f/a")].text == source("wrecked a")


def test_a_document_keeps_its_outputs(desk: RestoreDesk) -> None:
    """A notebook in IPYNB format is saved with its outputs before SOURCE is written over it; undo brings them back."""
    path = path_of("f/a")
    output = '{"output_type": "stream", "name": "stdout", "text": ["42"]}'
    cell = f'{{"cell_type": "code", "metadata": {{}}, "source": ["print(42)"], "outputs": [{output}]}}'
    document = f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 0}}'
    desk.emulator.delete(path)
    desk.emulator.create(path, document, format="IPYNB")
    before = desk.holding()
    receipt = desk.restore(path)
    assert (receipt.exit_code, desk.holding()[path].format) == (0, "SOURCE")
    index = desk.on_branch(f"{receipt.intent.restore}/pre/0000/0").decode()
    assert index == document
    assert desk.undo(receipt).exit_code == 0
    assert desk.holding() == before
    assert desk.holding()[path].format == "IPYNB"


def test_the_records_are_what_the_page_says(desk: RestoreDesk, restored: Receipt) -> None:
    """Intent, index, pre-images and receipt lie where docs/restore.md says, readable with plain git."""
    name = restored.intent.restore
    mine = {path.removeprefix(f"restores/{name}/") for path in desk.files_on_branch()}
    assert mine == {"intent.jsonl", "pre-00001.jsonl", "pre/0000/0", "pre/0000/1", "receipt.json"}
    assert desk.on_branch(f"{name}/pre/0000/1").decode() == source("wrecked b")
    head = desk.on_branch(f"{name}/intent.jsonl").decode().splitlines()[0]
    assert f'"by":"{restored.intent.by}"' in head
    assert desk.receipt(name)["counts"] == {"entries": 3, "restored": 3}

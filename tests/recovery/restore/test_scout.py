"""Looking at the workspace before the vault is open: where that can be told, and never more than a head start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nbvault.auth import AuthenticationManager
from nbvault.errors import AuthenticationError
from nbvault.recovery.restorer import Request, Restorer
from nbvault.recovery.scout import FEW, Scout, worth_a_look
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import ClientOptions
from recovery.places import ROOT
from recovery.restore.desk import RestoreDesk, path_of, source


@pytest.mark.parametrize(
    ("paths", "where"),
    [
        ([f"{ROOT}/f/a"], [f"{ROOT}/f/a"]),
        (["f/a/"], [f"{ROOT}/f/a"]),
        ([f"/Workspace{ROOT}/f/a"], [f"{ROOT}/f/a"]),
        ([f"{ROOT}/f/*"], []),
        ([f"{ROOT}/f/a", "x?"], []),
        (["/"], []),
        ([ROOT], []),
        (["/elsewhere/a"], []),
        ([], []),
        ([f"{ROOT}/f/{number}" for number in range(FEW + 1)], []),
    ],
)
def test_where_a_look_is_worth_it(paths: list[str], where: list[str]) -> None:
    """Few paths without wildcards, as the workspace spells them; nothing is guessed of the rest."""
    assert worth_a_look(ROOT, paths) == where


def scout_of(desk: RestoreDesk, *paths: str, token: str = "") -> Scout:
    """One that goes to these paths, signed in as the desk is or with that token."""
    settings = desk.settings
    auth: Any = AuthenticationManager(settings)
    if token:
        auth.headers = auth.renew = lambda: {"Authorization": f"Bearer {token}"}
    return Scout(lambda: WorkspaceClient(auth, options=ClientOptions.of(settings), clock=desk.clock), paths)


@contextmanager
def scouted(desk: RestoreDesk, *paths: str) -> Iterator[Restorer]:
    """A restorer whose scout has come back already, and which may not ask for itself before it applies."""
    with scout_of(desk, *paths) as scout, desk.restorer() as restorer:
        scout.seen(paths)
        restorer.scout = scout
        yield restorer


def test_the_plan_takes_what_the_scout_saw(desk: RestoreDesk) -> None:
    """A restore planned by what was seen before the vault was open overwrites, reads back, and can be undone."""
    desk.emulator.edit(path_of("f/a"), source("wreck"))
    with scouted(desk, path_of("f/a")) as restorer:
        desk.emulator.reset_requests()
        prepared = restorer.plan(Request((path_of("f/a"),)))
        assert "list" not in desk.emulator.requests()
        receipt = restorer.apply(prepared)
    assert receipt.exit_code == 0
    assert desk.holding()[path_of("f/a")].text == source("first a")
    desk.undo(receipt)
    assert desk.holding()[path_of("f/a")].text == source("wreck")


def test_what_changed_after_the_look_is_saved_as_it_is_now(desk: RestoreDesk) -> None:
    """An edit between the scout's look and the plan is not lost: the undo brings back just that edit."""
    desk.emulator.edit(path_of("f/a"), source("wreck"))
    with scouted(desk, path_of("f/a")) as restorer:
        desk.emulator.edit(path_of("f/a"), source("wrecked again"))
        receipt = restorer.apply(restorer.plan(Request((path_of("f/a"),))))
    assert receipt.exit_code == 0
    desk.undo(receipt)
    assert desk.holding()[path_of("f/a")].text == source("wrecked again")


def test_what_appeared_after_the_look_is_left_alone(desk: RestoreDesk) -> None:
    """Nothing was there when the scout looked; somebody makes a notebook; the restore does not write over it."""
    desk.emulator.delete(path_of("f/a"))
    with scouted(desk, path_of("f/a")) as restorer:
        desk.write("/f/a", "somebody's")
        receipt = restorer.apply(restorer.plan(Request((path_of("f/a"),))))
    assert [outcome.result.value for outcome in receipt.outcomes.values()] == ["moved"]
    assert desk.holding()[path_of("f/a")].text.endswith("somebody's")


def test_a_folder_is_looked_at_by_the_plan(desk: RestoreDesk) -> None:
    """The scout cannot know what was in a folder: the plan of one asks for itself."""
    with scouted(desk, path_of("f")) as restorer:
        prepared = restorer.plan(Request((path_of("f"),)))
    assert [entry.action.value for entry in prepared.entries] == ["identical"] * 3


def test_what_kept_the_scout_from_looking_is_told(still: RestoreDesk) -> None:
    """A refused token is refused where the plan wants to know; where nobody wants to know, it is nobody's error."""
    with scout_of(still, path_of("f/a"), token="wrong") as scout:
        assert scout.seen([path_of("f/b")]) is None
        with pytest.raises(AuthenticationError):
            scout.seen([path_of("f/a")])
    with scout_of(still, path_of("f/a"), token="wrong"):
        pass


def test_a_scout_is_called_back(still: RestoreDesk) -> None:
    """Who leaves early does not wait for a workspace that hangs, and no thread stays behind."""
    still.emulator.faults({"kind": "latency", "ms": 60_000})
    try:
        with scout_of(still, path_of("f/a")):
            pass
    finally:
        still.emulator.faults()
    assert not [thread for thread in threading.enumerate() if thread.name == "nbvault-scout"]

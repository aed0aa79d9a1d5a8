"""Whose change it was, as far as it is proven."""

from __future__ import annotations

import asyncio

import pytest

from nbvault.errors import AuthenticationError
from nbvault.model import UNKNOWN, ListedObject, Person
from nbvault.workspace.editors import Editors
from nbvault.workspace.errors import ServerFault, Unauthorized
from nbvault_emulator.testing import Emulator
from workspace_places import FakeAuth, client_of

ADA = Person("Ada", "ada@x")


class Directory:
    """Users in memory: the client's own look-up is tested with the client."""

    def __init__(self, answer: Person | Exception | None) -> None:
        self.asked: list[str] = []
        self._answer = answer

    async def user(self, user_id: str) -> Person | None:
        self.asked.append(user_id)
        await asyncio.sleep(0)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def changed(modified_ms: int, interactive_ms: int, user_id: str = "7") -> ListedObject:
    return ListedObject(1, "NOTEBOOK", "/c/n", None, modified_ms, interactive_ms, user_id)


@pytest.mark.parametrize(
    ("listed", "editor"),
    [
        (changed(100_000, 100_000), ADA),
        (changed(105_000, 100_000), ADA),
        (changed(100_000, 105_000), ADA),
        (changed(105_001, 100_000), UNKNOWN),
        (changed(100_000, 0), UNKNOWN),
        (changed(0, 0), UNKNOWN),
        (changed(3_000, 0), UNKNOWN),
        (changed(0, 100_000), UNKNOWN),
        (changed(100_000, 100_000, ""), UNKNOWN),
    ],
)
async def test_an_editor_is_named_only_where_the_times_prove_it(listed: ListedObject, editor: Person) -> None:
    """The interactive edit must be the last change, within five seconds."""
    assert await Editors(Directory(ADA)).editor_of(listed) == editor


async def test_each_user_is_asked_for_once() -> None:
    """A hundred notebooks of two people, at the same time: two look-ups."""
    users = Directory(ADA)
    editors = Editors(users)
    await asyncio.gather(*(editors.editor_of(changed(9, 9, str(number % 2))) for number in range(100)))
    assert sorted(users.asked) == ["0", "1"]


async def test_a_failed_look_up_is_reported_and_never_guessed() -> None:
    """The change is signed unknown, the failure is counted once, the session goes on."""
    editors = Editors(Directory(ServerFault("the directory is down")))
    assert [await editors.editor_of(changed(9, 9)) for _ in range(3)] == [UNKNOWN] * 3
    assert [(failure.user_id, failure.reason) for failure in editors.failures] == [("7", "the directory is down")]


async def test_a_user_who_is_gone_is_unknown_and_no_failure() -> None:
    """People leave."""
    editors = Editors(Directory(None))
    assert await editors.editor_of(changed(9, 9)) == UNKNOWN
    assert editors.failures == []


async def test_a_refused_token_is_passed_on() -> None:
    """It would fail everything else too."""
    with pytest.raises(AuthenticationError):
        await Editors(Directory(Unauthorized("no"))).editor_of(changed(9, 9))


async def test_one_who_is_cancelled_does_not_take_the_answer_from_others() -> None:
    """The look-up belongs to the session, not to the first who needed it."""
    editors = Editors(Directory(ADA))
    first, second = (asyncio.ensure_future(editors.editor_of(changed(9, 9))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ADA


async def test_an_edit_in_the_workspace_is_signed_by_the_one_who_made_it() -> None:
    """Through the emulator: a person's edit has a name, a program's has none."""
    world = [
        {"path": "/c/n", "object_type": "NOTEBOOK", "language": "PYTHON", "content": "# Databricks notebook source"}
    ]
    with Emulator(world=world) as place:
        async with client_of(FakeAuth(place.workspace_url, [place.workspace_token])) as client:
            editors = Editors(client)
            place.edit("/c/n", "# Databricks notebook source\n1", "ada@clients.example")
            assert (await editors.editor_of((await client.list_folder("/c"))[0])).email == "ada@clients.example"

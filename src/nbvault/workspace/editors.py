"""Who made a notebook's last change, as far as the listing and the directory of users prove it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from nbvault.errors import AuthenticationError, WorkspaceError
from nbvault.model import UNKNOWN, ListedObject, Person
from nbvault.workspace.audit_events import Acts

SAME_MOMENT_MS = 5000
"""The last interactive edit is the last change if the two times are no further apart than this."""


class Users(Protocol):
    """What naming an editor needs of a workspace."""

    async def user(self, user_id: str) -> Person | None:
        """A user's name and e-mail; None if there is no such user."""


@dataclass(frozen=True, slots=True)
class EditorFailure:
    """A user that could not be looked up, so that this editor's changes are signed `unknown`."""

    user_id: str
    reason: str


class Editors:
    """Names editors, asking for each user once in a session; never guesses.

    `failures` lists the users whose look-up failed; that never fails a session. A user the workspace no longer knows is
    `unknown` and no failure.

    Args:
        acts: What the workspace's audit table says; it comes before what the listing says.
    """

    def __init__(self, users: Users, acts: Acts | None = None) -> None:
        self.failures: list[EditorFailure] = []
        self._users = users
        self._acts = acts
        self._known: dict[str, asyncio.Task[Person]] = {}

    async def editor_of(self, listed: ListedObject) -> Person:
        """The person who made the last change, or `UNKNOWN`.

        Raises:
            AuthenticationError: the workspace refuses the token.
        """
        if self._acts and (told := self._acts.editor(listed.object_id, listed.path, listed.modified_at_ms)):
            return told
        apart_ms = abs(listed.interactive_at_ms - listed.modified_at_ms)
        if not (listed.interactive_user_id and listed.interactive_at_ms) or apart_ms > SAME_MOMENT_MS:
            return UNKNOWN
        return await self._person(listed.interactive_user_id)

    async def _person(self, user_id: str) -> Person:
        task = self._known.get(user_id)
        if task is None:
            task = self._known[user_id] = asyncio.ensure_future(self._look_up(user_id))
            # All who asked may have been cancelled by then; asyncio would print what nobody has looked at.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # One caller that is cancelled must not take the answer from the others.
        return await (task if task.done() else asyncio.shield(task))

    async def _look_up(self, user_id: str) -> Person:
        try:
            return await self._users.user(user_id) or UNKNOWN
        except AuthenticationError:
            raise
        except WorkspaceError as error:
            self.failures.append(EditorFailure(user_id, error.message))
            return UNKNOWN

"""A push that has greeted the remote before there is anything to push, so that nobody waits for that answer.

`git push` asks for the remote's branches, and sends what is new when the answer is there. What speaks to an HTTP remote
for it is a helper that takes the two steps as two commands (`gitremote-helpers`); here the first one is given early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.runner import Git, LongProcess, decode


class Greeting:
    """One helper that has asked for the remote's branches. Good for one push; not for two threads at once."""

    def __init__(self, process: LongProcess, accepted: Callable[[], None]) -> None:
        self._process = process
        self._accepted = accepted
        self._waits = True
        self._say("list for-push\n")

    def wait(self) -> None:
        """Wait until the remote has answered the greeting, or never will."""
        if self._waits:
            self._heard()
            self._waits = False

    def push(self, item: PushRef) -> bool:
        """Push, never by force; whether the remote has said yes.

        False says nothing, not even that it did not arrive: an ordinary push must follow, which has the tries and the
        words for what goes wrong, and finds what arrived up to date. A branch that has moved on since the greeting is
        refused by the remote, which compares.
        """
        self.wait()
        self._say(f"push {item.sha}:{item.ref}\n\n")
        if f"ok {item.ref}" not in self._heard():
            return False
        self._accepted()
        return True

    def _say(self, text: str) -> None:
        # If it has died, there is nothing to hear, either.
        with suppress(OSError, ValueError):
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()

    def _heard(self) -> list[str]:
        """The lines up to an empty one, or to the helper's end."""
        lines = []
        while line := decode(self._process.stdout.readline()).rstrip("\n"):
            lines.append(line)
        return lines


@contextmanager
def greeting(remote: Remote, git: Git) -> Iterator[Greeting]:
    """Greet an HTTP remote; returns at once.

    Raises:
        AuthenticationError: there is no token to be had.
    """
    environment, secrets, accepted = remote.signing_in()
    helper = f"remote-{remote.url.partition(':')[0]}"
    with git.offline().spawn(helper, remote.url, remote.url, environment=environment, secrets=secrets) as process:
        yield Greeting(process, accepted)

"""The workspace as nbvault needs it: folders, notebooks, people. Every answer is a value or an error."""

from __future__ import annotations

import base64
import json
import random as _random
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote

from nbvault.clock import Clock, SystemClock
from nbvault.model import Identity, Language, ListedObject, NotebookFormat, Person, RequestCounts
from nbvault.workspace.answers import (
    read_content,
    read_identity,
    read_listing,
    read_native_format,
    read_person,
    read_status,
)
from nbvault.workspace.errors import Forbidden, NotFound, is_doubtful
from nbvault.workspace.git_folders import GitFolders
from nbvault.workspace.transport import Authenticator, ClientOptions, Request, Transport
from nbvault.workspace.window import AimdWindow

T = TypeVar("T")

_API = "/api/2.0/workspace/"
_JUPYTER = "JUPYTER"
_ZIP = b"PK"
# The workspace gives 10 MB at most, in base64 a third more.
_ZIP_BYTES = 16 * 1024 * 1024
_WRITE_HINT = "To write it, this identity needs CAN EDIT on the notebook, or CAN MANAGE on its folder."
_SCIM = "/api/2.0/preview/scim/v2/"


class WorkspaceClient:
    """A Databricks workspace; an async context manager for one event loop.

    Every method raises `nbvault.workspace.errors.RequestFailed` (see its tree) when its tries are used up or the answer
    is final, and AuthenticationError when the token is refused twice. Paths are sent as they are given and come back in
    the same spelling, with or without ``/Workspace`` in front. Entering raises AuthenticationError, ConfigurationError.

    Args:
        clock: Times the tries and waits between them.
        random: A number in [0, 1) at each call.
        deadline: The moment of ``clock.monotonic()`` after which requests raise DeadlineExceeded; None for never.
    """

    def __init__(
        self,
        auth: Authenticator,
        *,
        options: ClientOptions | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = _random.random,
        deadline: float | None = None,
    ) -> None:
        self._transport = Transport(
            auth, options=options or ClientOptions(), clock=clock or SystemClock(), random=random, deadline=deadline
        )

    async def __aenter__(self) -> WorkspaceClient:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    @property
    def git_folders(self) -> GitFolders:
        """The APIs about Git folders."""
        return GitFolders(self._transport)

    @property
    def stats(self) -> RequestCounts:
        """Requests sent so far, retries counted."""
        return self._transport.stats

    @property
    def host(self) -> str:
        """The workspace's address, as ``https://name``."""
        return self._transport.host

    @property
    def window(self) -> AimdWindow:
        """The window on requests in flight, for progress and metrics."""
        return self._transport.window

    @property
    def deadline(self) -> float | None:
        """The moment of ``clock.monotonic()`` after which requests raise DeadlineExceeded."""
        return self._transport.deadline

    @deadline.setter
    def deadline(self, moment: float | None) -> None:
        self._transport.deadline = moment

    def stop_by(self, moment: float) -> None:
        """Somebody asked to stop: after this moment of ``clock.monotonic()`` requests raise DeadlineExceeded."""
        self._transport.deadline, self._transport.stopping = moment, True

    async def ask(self, request: Request, read: Callable[[bytes], T]) -> T:
        """What another API of the workspace answers."""
        return await self._transport.ask(request, read)

    async def take_turn(self) -> None:
        """Wait for the fixed ceiling (`requests_per_second`) on behalf of a request that is sent from elsewhere."""
        await self._transport.take_turn()

    async def list_folder(self, path: str) -> list[ListedObject]:
        """Everything directly in a folder that this identity may see; kinds that we do not know keep their name.

        Raises:
            NotADirectory: something else is at the path.
        """
        request = Request("list", "GET", _API + "list", path, {"path": path})
        return await self._transport.ask(request, lambda body: read_listing(body, path))

    async def export(self, path: str, *, form: NotebookFormat = NotebookFormat.SOURCE) -> bytes:
        """A notebook in SOURCE format, byte for byte, or as a Jupyter document with its outputs."""
        if form is NotebookFormat.IPYNB:
            return await self._export_document(path)
        query = {"path": path, "format": "SOURCE", "direct_download": "true"}
        body = await self._transport.ask(Request("export", "GET", _API + "export", path, query, raw=True), bytes)
        if not is_doubtful(body):
            return body
        query["direct_download"] = "false"
        return await self._transport.ask(
            Request("export", "GET", _API + "export", path, query), lambda answer: read_content(answer, path)
        )

    async def _export_document(self, path: str) -> bytes:
        query = {"path": path, "format": _JUPYTER, "direct_download": "false"}
        return await self._transport.ask(
            Request("export", "GET", _API + "export", path, query), lambda answer: read_content(answer, path)
        )

    async def export_folder(self, path: str) -> bytes:
        """Everything below a folder that this identity may read, as a zip of SOURCE files."""
        query = {"path": path, "format": "SOURCE", "direct_download": "true"}
        request = Request("export_folder", "GET", _API + "export", path, query, raw=True, max_bytes=_ZIP_BYTES)
        body = await self._transport.ask(request, bytes)
        if body.startswith(_ZIP):
            return body
        # An error may come under 200: without direct download, content and error are kept apart.
        request = request._replace(query=query | {"direct_download": "false"}, raw=False)
        return await self._transport.ask(request, lambda answer: read_content(answer, path))

    async def inspect(self, path: str) -> tuple[ListedObject, NotebookFormat | None]:
        """What is at a path and, where the workspace says so, the format that a notebook has of its own."""
        query = {"path": path, "return_export_info": "true"}
        request = Request("other", "GET", _API + "get-status", path, query)
        return await self._transport.ask(
            request, lambda body: (read_status(body, path), read_native_format(body, path))
        )

    async def get_status(self, path: str) -> ListedObject:
        """What is at a path."""
        request = Request("other", "GET", _API + "get-status", path, {"path": path})
        return await self._transport.ask(request, lambda body: read_status(body, path))

    async def me(self) -> Identity:
        """Whom the workspace takes us for."""
        me = await self._transport.ask(Request("other", "GET", _SCIM + "Me", "the identity"), read_identity)
        self._transport.known_as(me.user_name)
        return me

    async def user(self, user_id: str) -> Person | None:
        """A user's name and e-mail; None if the workspace knows no such user."""
        request = Request("other", "GET", _SCIM + "Users/" + quote(user_id, safe=""), f"user {user_id}")
        try:
            return await self._transport.ask(request, read_person)
        except NotFound:
            return None

    async def import_notebook(
        self,
        path: str,
        source: bytes,
        language: Language | None,
        *,
        overwrite: bool,
        form: NotebookFormat = NotebookFormat.SOURCE,
    ) -> None:
        """Write a notebook from SOURCE text, or from a Jupyter document; its parent folder must exist.

        With ``overwrite=False``, a second try after an answer that was lost may find what the first one wrote, and end
        as Refused with ``RESOURCE_ALREADY_EXISTS``: where an error says `maybe_done`, read back before believing it.

        Args:
            language: Of SOURCE text; a Jupyter document says it itself.
        """
        content = base64.b64encode(source).decode("ascii")
        values: dict[str, str | bool] = {"content": content, "overwrite": overwrite}
        if form is NotebookFormat.IPYNB:
            values |= {"format": _JUPYTER}
        else:
            values |= {"format": "SOURCE", "language": (language or Language.PYTHON).value}
        await self._post("import", path, values)

    async def mkdirs(self, path: str) -> None:
        """Make a folder and those above it; no error where it exists. Not for parallel use on one tree."""
        await self._post("mkdirs", path, {})

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete an object. A second try after an answer that was lost may end as NotFound."""
        await self._post("delete", path, {"recursive": recursive})

    async def _post(self, endpoint: str, path: str, values: dict[str, str | bool]) -> None:
        payload = json.dumps({"path": path} | values).encode("ascii")
        try:
            await self._transport.ask(Request("other", "POST", _API + endpoint, path, payload=payload), bytes)
        except Forbidden as error:
            error.hint = _WRITE_HINT
            raise

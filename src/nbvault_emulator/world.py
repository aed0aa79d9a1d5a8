"""The model of the workspace: a tree of objects whose generated part appears when it is first looked at."""

from __future__ import annotations

import base64
import json
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from nbvault_emulator import notebooks
from nbvault_emulator.plan import FIRST_FOLDER_ID, FIRST_NEW_ID, FIRST_USER_ID, Plan, PlannedNotebook

NOTEBOOK = "NOTEBOOK"
DIRECTORY = "DIRECTORY"
REPO = "REPO"
_LISTING_CACHE_BYTES = 192 * 1024 * 1024
_FIRST_NEW_USER = FIRST_USER_ID + 1_000_000


class WorldError(Exception):
    """What the workspace refuses, with the status and code that its API answers."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def missing(path: str) -> WorldError:
    """The answer about a path that is not there, or that the caller may not see."""
    return WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"Path ({path}) doesn't exist.")


@dataclass(frozen=True, slots=True)
class GitFolder:
    """Of what a Git folder is a view; `patterns` is None without sparse checkout."""

    url: str
    provider: str
    branch: str
    head: str
    patterns: tuple[str, ...] | None


class Node:
    """An object of the workspace.

    `children` is None for what is no folder, and for a generated folder not yet looked into (`origin` says which).
    `content` is None for a generated notebook; `origin` is then its number. Times are milliseconds, 0 for none.
    `acl` are the permissions given on this object: principal to its kind and level. `git` says of what a Git folder
    is a view, `base` what Git has checked out into this object.
    """

    __slots__ = (
        "acl",
        "base",
        "children",
        "content",
        "created_at",
        "extra",
        "format",
        "git",
        "interactive_at",
        "interactive_user",
        "kind",
        "language",
        "listing",
        "modified_at",
        "name",
        "object_id",
        "origin",
        "parent",
    )

    def __init__(self, object_id: int, kind: str, name: str, parent: Node | None) -> None:
        self.object_id = object_id
        self.kind = kind
        self.name = name
        self.parent = parent
        self.children: dict[str, Node] | None = None
        self.language = ""
        self.created_at = 0
        self.modified_at = 0
        self.interactive_at = 0
        self.interactive_user = 0
        self.content: bytes | None = None
        self.format = "SOURCE"
        self.origin: int | tuple[int, int] | None = None
        self.listing: bytes | None = None
        self.extra: dict[str, Any] | None = None
        self.acl: dict[str, tuple[str, str]] = {}
        self.git: GitFolder | None = None
        self.base: bytes | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it may hold others: a folder, or a Git folder."""
        return self.kind in (DIRECTORY, REPO)

    @property
    def path(self) -> str:
        """Its absolute path, without the /Workspace prefix."""
        parts: list[str] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            parts.append(node.name)
            node = node.parent
        return "/" + "/".join(reversed(parts))


@dataclass(slots=True)
class User:
    """A person of the workspace, as SCIM shows one."""

    user_id: int
    user_name: str
    display_name: str
    emails: list[str] = field(default_factory=list)
    deleted: bool = False
    admin: bool = False
    groups: list[str] = field(default_factory=list)


def normal_path(path: str) -> tuple[str, bool]:
    """A path with doubled and trailing slashes collapsed and without /Workspace; and whether that prefix was there.

    Raises:
        WorldError: it does not start with a slash.
    """
    if not path.startswith("/"):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Path ({path}) doesn't start with '/'")
    while "//" in path:
        path = path.replace("//", "/")
    if len(path) > 1 and path.endswith("/"):
        path = path[:-1]
    if path == "/Workspace":
        return "/", True
    if path.startswith("/Workspace/"):
        return path[len("/Workspace") :], True
    return path, False


class World:
    """The workspace. Not thread-safe: one event loop owns it. Changes are in `mutations.py`."""

    def __init__(self, plan: Plan, *, root: str = "/Clients") -> None:
        self.plan = plan
        self.top = Node(FIRST_FOLDER_ID, DIRECTORY, "", None)
        self.top.children = {}
        self._cached: OrderedDict[int, Node] = OrderedDict()
        self._cached_bytes = 0
        self.next_id = FIRST_NEW_ID
        self.git_folders: dict[int, Node] = {}
        self.credentials: dict[int, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, dict[str, Any]]] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.job_runs: list[dict[str, Any]] = []
        self.warehouses: dict[str, dict[str, Any]] = {}
        self.securables: dict[str, dict[str, Any]] = {}
        self.audit: dict[str, Any] | None = None
        self.audit_events: list[dict[str, Any]] = []
        self.read_blobs: Callable[[str, list[str]], dict[str, bytes]] = lambda _url, _oids: {}
        self._users_by_name: dict[str, User] = {}
        self.users: dict[int, User] = {}
        self._make_users()
        self._make_root(normal_path(root)[0])

    def _make_users(self) -> None:
        for person in self.plan.users():
            emails = [person.user_name] if person.has_emails else []
            user = User(person.user_id, person.user_name, person.display_name, emails, person.deleted)
            self.users[user.user_id] = user
            self._users_by_name[user.user_name] = user
        self.me = self.user("nbvault-service@clients.example")
        self.me.admin = True

    def _make_root(self, root: str) -> None:
        node = self.top
        for number, name in enumerate(root.strip("/").split("/") if root != "/" else ()):
            child = Node(FIRST_FOLDER_ID + 1 + number, DIRECTORY, name, node)
            child.children = {}
            self.children(node)[name] = child
            node = child
        for number, year in enumerate(self.plan.year_names()):
            child = Node(self.plan.folder_id(0, number), DIRECTORY, year, node)
            child.origin = (0, number)
            self.children(node)[year] = child

    def new_id(self) -> int:
        """An object id that was never used."""
        self.next_id += 1
        return self.next_id

    def user(self, name: str) -> User:
        """The person of this user name; made if there is none."""
        found = self._users_by_name.get(name)
        if found is None:
            display = " ".join(
                part.capitalize() for part in name.split("@", maxsplit=1)[0].replace("-", ".").split(".")
            )
            # From the name, not from a counter: the order in which people appear must not matter.
            number = _FIRST_NEW_USER + zlib.crc32(name.encode("utf-8", "surrogatepass"))
            found = User(number, name, display, [name] if "@" in name else [])
            self.users[number] = found
            self._users_by_name[name] = found
        return found

    def children(self, node: Node) -> dict[str, Node]:
        """What is in a folder, by name."""
        if node.children is None:
            node.children = self._materialise(node)
        return node.children

    def find(self, path: str) -> Node | None:
        """The object at a normal path, or None."""
        node = self.top
        if path == "/":
            return node
        for name in path[1:].split("/"):
            if not node.is_folder:
                return None
            children = node.children
            found = (children if children is not None else self.children(node)).get(name)
            if found is None:
                return None
            node = found
        return node

    def get(self, path: str) -> Node:
        """The object at a path.

        Raises:
            WorldError: there is none (404).
        """
        node = self.find(normal_path(path)[0])
        if node is None:
            raise missing(path)
        return node

    def _materialise(self, node: Node) -> dict[str, Node]:
        origin = node.origin
        made: dict[str, Node] = {}
        if not isinstance(origin, tuple):
            return made
        kind, number = origin
        if kind == 0:
            for place, name in enumerate(self.plan.engagement_names(number)):
                group = number * self.plan.engagements + place
                made[name] = self._folder(node, name, (1, group))
        elif kind == 1:
            made["NOTEBOOKS"] = self._folder(node, "NOTEBOOKS", (2, number))
        else:
            for planned in self.plan.members(number):
                made[planned.name] = _planned_node(planned, node)
        return made

    def _folder(self, parent: Node, name: str, origin: tuple[int, int]) -> Node:
        child = Node(self.plan.folder_id(origin[0], origin[1]), DIRECTORY, name, parent)
        child.origin = origin
        return child

    def source(self, node: Node) -> bytes:
        """The SOURCE form of a notebook, or the bytes of a file."""
        if node.content is None:
            return self.plan.source(node.origin) if isinstance(node.origin, int) else b""
        if node.format == "IPYNB":
            return notebooks.from_jupyter(node.content)[0]
        return node.content

    def listing(self, node: Node) -> bytes:
        """The JSON of a folder's listing, kept until the folder changes."""
        if node.listing is None:
            path = node.path
            start = path if path.endswith("/") else path + "/"
            entries = ",".join([describe(child, start + child.name) for child in self.children(node).values()])
            node.listing = f'{{"objects":[{entries}]}}'.encode() if entries else b"{}"
            self._keep(node, len(node.listing))
        return node.listing

    def _keep(self, node: Node, size: int) -> None:
        self._cached[node.object_id] = node
        self._cached_bytes += size
        while self._cached_bytes > _LISTING_CACHE_BYTES:
            _, oldest = self._cached.popitem(last=False)
            self._cached_bytes -= len(oldest.listing or b"")
            oldest.listing = None

    def touch(self, node: Node | None) -> None:
        """A folder's listing is no longer what it was."""
        if node is not None and node.listing is not None:
            self._cached.pop(node.object_id, None)
            self._cached_bytes -= len(node.listing)
            node.listing = None

    def touch_below(self, node: Node) -> None:
        """The listings of a folder and of all in it are no longer what they were (its path changed)."""
        self.touch(node)
        for child in (node.children or {}).values():
            if child.is_folder:
                self.touch_below(child)

    def walk(self, node: Node) -> Iterator[Node]:
        """All objects below a node, folders first seen before what is in them; the node itself is not among them."""
        waiting = [node]
        while waiting:
            for child in list(self.children(waiting.pop()).values()):
                yield child
                if child.is_folder:
                    waiting.append(child)


def _planned_node(planned: PlannedNotebook, parent: Node) -> Node:
    node = Node(planned.object_id, NOTEBOOK, planned.name, parent)
    node.language = planned.language
    node.created_at = planned.created_at
    node.modified_at = planned.modified_at
    node.interactive_at = planned.interactive_at
    node.interactive_user = planned.interactive_user
    node.origin = planned.number
    return node


def describe(node: Node, path: str) -> str:
    """An object as the Workspace API shows it, in JSON."""
    number = node.object_id
    start = f'{{"object_type":{quoted(node.kind)},"path":{quoted(path)},"object_id":{number},"resource_id":"{number}"'
    if node.kind == DIRECTORY:
        return start + _extra(node) + "}"
    language = f',"language":"{node.language}"' if node.language else ""
    times = f',"created_at":{node.created_at},"modified_at":{node.modified_at}' if node.modified_at else ""
    interactive = ""
    if node.interactive_at:
        interactive = (
            f',"modified_at_interactive":{{"user_id":"{node.interactive_user}","time_millis":{node.interactive_at}}}'
        )
    return f"{start}{language}{times}{interactive}{_extra(node)}}}"


def _extra(node: Node) -> str:
    return "".join(f",{quoted(key)}:{json.dumps(value)}" for key, value in (node.extra or {}).items())


def decode_content(operation: dict[str, Any]) -> bytes | None:
    """The content that an operation carries as text or in base64; None when it has none.

    Raises:
        WorldError: the base64 is broken.
    """
    if "content_base64" in operation:
        try:
            return base64.b64decode(operation["content_base64"], validate=True)
        except ValueError as error:
            raise WorldError(400, "INVALID_PARAMETER_VALUE", f"content_base64: {error}") from error
    content = operation.get("content")
    return None if content is None else str(content).encode("utf-8", "surrogatepass")

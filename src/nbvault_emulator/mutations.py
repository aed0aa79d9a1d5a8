"""Everything that changes the workspace, as operations that are data: the same ones in order give the same world.

An operation that is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbvault_emulator import audit_log, notebooks
from nbvault_emulator.content import header_of
from nbvault_emulator.jobs_world import JOB_OPERATIONS
from nbvault_emulator.platform_world import PLATFORM_OPERATIONS
from nbvault_emulator.warehouses import WAREHOUSE_OPERATIONS
from nbvault_emulator.world import DIRECTORY, NOTEBOOK, Node, World, WorldError, decode_content, missing, normal_path

Operation = dict[str, Any]
_SINGLE_CONTENT_KINDS = {NOTEBOOK, "FILE"}
DEFAULT_EDITOR = "analyst@clients.example"


def apply(world: World, operation: Operation) -> dict[str, Any]:
    """Carry out one operation (`op` names it, `at` is its time in milliseconds) and say what became of it.

    Raises:
        WorldError: the world refuses it, or it is malformed.
    """
    name = str(operation.get("op"))
    handler = _ALL.get(name)
    if handler is None:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Unknown operation {operation.get('op')!r}.")
    mark, done = world.next_id, False
    before = audit_log.about(world, operation)
    try:
        result = handler(world, operation)
        audit_log.note(world, operation, before, result)
        done = True
    finally:
        if not done:
            # A refused operation is not in the journal: it must not have moved the ids on.
            world.next_id = mark
    return result


def known_operations() -> frozenset[str]:
    """The names that `op` may have."""
    return frozenset(_ALL) - frozenset(PLATFORM_OPERATIONS)


def _text(operation: Operation, key: str) -> str:
    value = operation.get(key)
    if not isinstance(value, str) or not value:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Missing required field: {key}")
    return value


def _split(path: str) -> tuple[str, str]:
    parent, _, name = normal_path(path)[0].rpartition("/")
    if not name:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Path ({path}) is the root.")
    return parent or "/", name


def _make_folders(world: World, path: str) -> Node:
    node = world.top
    way: list[str] = [name for name in path.split("/") if name]
    for place, name in enumerate(way):
        found = world.children(node).get(name)
        if found is None:
            return _add_folders(world, node, way[place:])
        if not found.is_folder:
            raise WorldError(400, "RESOURCE_ALREADY_EXISTS", f"Path ({found.path}) already exists and is not a folder.")
        node = found
    return node


def _add_folders(world: World, node: Node, names: list[str]) -> Node:
    for name in names:
        child = Node(world.new_id(), DIRECTORY, name, node)
        child.children = {}
        world.children(node)[name] = child
        world.touch(node)
        node = child
    return node


def _create(world: World, operation: Operation) -> dict[str, Any]:
    path = _text(operation, "path")
    # A name of its own may hold a slash: such objects exist, and no path reaches them.
    name = operation.get("name")
    folder_path, name = (normal_path(path)[0], str(name)) if name else _split(path)
    folder = world.find(folder_path)
    if folder is not None and folder.is_folder and name in world.children(folder):
        raise WorldError(400, "RESOURCE_ALREADY_EXISTS", f"{path} already exists.")
    kind = str(operation.get("object_type", NOTEBOOK))
    content = decode_content(operation)
    language, form, content = _form(operation, kind, content)
    node = Node(int(operation.get("object_id") or world.new_id()), kind, name, None)
    node.language, node.format = language, form
    node.content = content if content is not None else b""
    node.extra = operation.get("extra")
    if node.is_folder:
        node.children = {}
    else:
        _stamp(world, node, operation)
        node.created_at = int(operation.get("created_at", node.modified_at))
    folder = _make_folders(world, folder_path)
    node.parent = folder
    world.children(folder)[name] = node
    world.touch(folder)
    return {"object_id": node.object_id, "path": node.path}


def _form(operation: Operation, kind: str, content: bytes | None) -> tuple[str, str, bytes | None]:
    if kind != NOTEBOOK:
        return "", "SOURCE", content
    language = str(operation.get("language") or "PYTHON").upper()
    if language not in notebooks.EXTENSIONS:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"Unknown language {language}.")
    form = str(operation.get("format", "SOURCE"))
    if content is None:
        content = header_of(language).encode()
    if form == "IPYNB" and content is not None and not notebooks.looks_like_jupyter(content):
        content = notebooks.to_jupyter(content, language)
    # The listing calls every notebook in IPYNB format a Python one, whatever its own language is.
    return "PYTHON" if form == "IPYNB" else language, form, content


def _stamp(world: World, node: Node, operation: Operation) -> None:
    """Set the times of a change: a person's (interactive) or a program's; never earlier than before, unless told so."""
    given = operation.get("modified_at")
    node.modified_at = int(given) if given is not None else max(int(operation["at"]), node.modified_at + 1)
    if node.kind == NOTEBOOK and operation.get("interactive", True) and node.modified_at:
        node.interactive_at = node.modified_at
        node.interactive_user = world.user(str(operation.get("editor") or DEFAULT_EDITOR)).user_id


def _edit(world: World, operation: Operation) -> dict[str, Any]:
    node = world.get(_text(operation, "path"))
    if node.is_folder:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"{node.path} is a folder.")
    content = decode_content(operation)
    if content is not None:
        asked = {"language": node.language, "format": node.format, **operation}
        node.language, node.format, node.content = _form(asked, node.kind, content)
    _stamp(world, node, operation)
    world.touch(node.parent)
    return {"object_id": node.object_id, "modified_at": node.modified_at}


def _delete(world: World, operation: Operation) -> dict[str, Any]:
    path = _text(operation, "path")
    node = world.get(path)
    if node.parent is None:
        raise WorldError(400, "INVALID_PARAMETER_VALUE", "The root folder cannot be deleted.")
    if node.is_folder and world.children(node) and not operation.get("recursive"):
        raise WorldError(400, "DIRECTORY_NOT_EMPTY", f"Folder ({path}) is not empty.")
    del world.children(node.parent)[node.name]
    world.touch_below(node)
    world.touch(node.parent)
    return {}


def _move(world: World, operation: Operation) -> dict[str, Any]:
    start, target = _text(operation, "from"), _text(operation, "to")
    node = world.get(start)
    parent_path, name = _split(target)
    if node.parent is None or f"{parent_path}/".startswith(f"{node.path}/"):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"{start} cannot be moved into itself.")
    if world.find(normal_path(target)[0]) is not None:
        raise WorldError(400, "RESOURCE_ALREADY_EXISTS", f"{target} already exists.")
    folder = _make_folders(world, parent_path)
    del world.children(node.parent)[node.name]
    world.touch(node.parent)
    world.touch_below(node)
    node.parent, node.name = folder, name
    world.children(folder)[name] = node
    world.touch(folder)
    return {"object_id": node.object_id, "path": node.path}


def _mkdirs(world: World, operation: Operation) -> dict[str, Any]:
    return {"object_id": _make_folders(world, normal_path(_text(operation, "path"))[0]).object_id}


def _import(world: World, operation: Operation) -> dict[str, Any]:
    path = _text(operation, "path")
    parent_path, name = _split(path)
    folder = world.find(parent_path)
    if folder is None or not folder.is_folder:
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder ({parent_path}) does not exist.")
    kind = str(operation.get("object_type", NOTEBOOK))
    content = decode_content(operation) or b""
    node = world.children(folder).get(name)
    if node is not None:
        _check_overwrite(node, kind, path, operation)
    else:
        node = Node(world.new_id(), kind, name, folder)
        world.children(folder)[name] = node
    node.content = content
    node.language, node.format = str(operation.get("language", "")), str(operation.get("format", "SOURCE"))
    _stamp(world, node, {**operation, "interactive": False})
    node.created_at = node.created_at or node.modified_at
    world.touch(folder)
    return {"object_id": node.object_id}


def _check_overwrite(node: Node, kind: str, path: str, operation: Operation) -> None:
    if not operation.get("overwrite"):
        raise WorldError(400, "RESOURCE_ALREADY_EXISTS", f"{path} already exists.")
    if node.kind != kind or kind not in _SINGLE_CONTENT_KINDS:
        raise WorldError(500, "INTERNAL_ERROR", "An internal error occurred.")


def _user(world: World, operation: Operation) -> dict[str, Any]:
    user = world.user(_text(operation, "userName"))
    if "emails" in operation:
        user.emails = [str(value) for value in operation["emails"]]
    user.display_name = str(operation.get("displayName", user.display_name))
    user.deleted = bool(operation.get("deleted", user.deleted))
    user.admin = bool(operation.get("admin", user.admin))
    user.groups = [str(name) for name in operation.get("groups", user.groups)]
    return {"id": str(user.user_id)}


def _touch(world: World, operation: Operation) -> dict[str, Any]:
    """Set times without any edit; a given 0 removes them."""
    node = world.get(_text(operation, "path"))
    if node.is_folder:
        raise missing(str(operation["path"]))
    node.modified_at = int(operation.get("modified_at", node.modified_at))
    node.interactive_at = int(operation.get("interactive_at", node.interactive_at))
    world.touch(node.parent)
    return {"object_id": node.object_id}


_OPERATIONS: dict[str, Callable[[World, Operation], dict[str, Any]]] = {
    "create": _create,
    "edit": _edit,
    "delete": _delete,
    "move": _move,
    "mkdirs": _mkdirs,
    "import": _import,
    "user": _user,
    "audit": audit_log.switch,
    "touch": _touch,
}
_ALL = {**_OPERATIONS, **JOB_OPERATIONS, **WAREHOUSE_OPERATIONS, **PLATFORM_OPERATIONS}

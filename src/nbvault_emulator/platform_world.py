"""What the platform around the workspace changes: Git folders, Git credentials, secrets, permissions; as operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nbvault_emulator import notebooks
from nbvault_emulator.world import DIRECTORY, NOTEBOOK, REPO, GitFolder, Node, World, WorldError, missing, normal_path

Operation = dict[str, Any]
Files = dict[str, bytes]


def git_folder(world: World, repo_id: int) -> Node:
    """The Git folder of that id.

    Raises:
        WorldError: there is none (404).
    """
    node = world.git_folders.get(repo_id)
    if node is None or not _is_attached(world, node):
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"Repo with ID {repo_id} could not be found.")
    return node


def living_git_folders(world: World) -> list[Node]:
    """Every Git folder, by id; those whose folder was deleted are not among them."""
    return [node for _, node in sorted(world.git_folders.items()) if _is_attached(world, node)]


def _is_attached(world: World, node: Node) -> bool:
    while node.parent is not None:
        if world.children(node.parent).get(node.name) is not node:
            return False
        node = node.parent
    return node is world.top


def check_new_git_folder(world: World, path: str) -> None:
    """Whether a Git folder may be made at a normal path.

    Raises:
        WorldError: something is there, it would lie in another one, or it has no parent.
    """
    parts = path.strip("/").split("/")
    if parts[0] == "Repos" and len(parts) != 3:
        message = f"Invalid repo path {path}: it must be of the form /Repos/<folder>/<repo-name>."
        raise WorldError(400, "INVALID_PARAMETER_VALUE", message)
    if world.find(path) is not None:
        message = (
            f"Repo {path} already exists. If you would like to create two repos from the same remote Git repo, "
            "rename the first repo before creating the second."
        )
        raise WorldError(400, "RESOURCE_ALREADY_EXISTS", message)
    parent_path = path.rpartition("/")[0] or "/"
    parent = world.find(parent_path)
    if parent is None or not parent.is_folder:
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"The parent folder ({parent_path}) does not exist.")
    while parent is not None:
        if parent.kind == REPO:
            raise WorldError(
                400, "INVALID_PARAMETER_VALUE", f"A Git folder cannot be inside another one ({parent.path})."
            )
        parent = parent.parent


def _make(world: World, operation: Operation) -> dict[str, Any]:
    path = normal_path(operation["path"])[0]
    check_new_git_folder(world, path)
    parent_path, _, name = path.rpartition("/")
    parent = world.get(parent_path or "/")
    node = Node(world.new_id(), REPO, name, parent)
    node.children = {}
    node.git = _view(operation)
    world.children(parent)[name] = node
    world.git_folders[node.object_id] = node
    world.touch(parent)
    _check_out(world, node, operation)
    return {"id": node.object_id}


def _view(operation: Operation) -> GitFolder:
    patterns = operation.get("patterns")
    kept = None if patterns is None else tuple(patterns)
    return GitFolder(operation["url"], operation["provider"], operation["branch"], operation["head"], kept)


def _update(world: World, operation: Operation) -> dict[str, Any]:
    node = git_folder(world, operation["id"])
    if not operation.get("discard") and (changed := next(iter(uncommitted(world, node)), None)):
        message = f"Git conflict: {changed} has uncommitted changes."
        raise WorldError(409, "GIT_CONFLICT", message)
    node.git = _view(operation)
    _check_out(world, node, operation)
    return {}


def uncommitted(world: World, repo: Node) -> Iterable[str]:
    """The objects of a Git folder that are not what Git has checked out."""
    for node in world.walk(repo):
        if not node.is_folder and (node.base is None or node.content != node.base):
            yield node.path


def _check_out(world: World, repo: Node, operation: Operation) -> None:
    blobs = world.read_blobs(operation["url"], [oid for _, oid in operation["files"]])
    wanted = {path: blobs[oid] for path, oid in operation["files"]}
    _remove_all(world, repo)
    for path, data in wanted.items():
        *folders, name = path.split("/")
        parent = repo
        for each in folders:
            parent = _folder(world, parent, each)
        _file(world, parent, name, data, at=int(operation["at"]))


def _remove_all(world: World, repo: Node) -> None:
    world.touch_below(repo)
    world.children(repo).clear()


def _folder(world: World, parent: Node, name: str) -> Node:
    there = world.children(parent).get(name)
    if there is not None and there.is_folder:
        return there
    child = Node(world.new_id(), DIRECTORY, name, parent)
    child.children = {}
    world.children(parent)[name] = child
    return child


def _file(world: World, parent: Node, name: str, data: bytes, *, at: int) -> None:
    shown, language, form = _shown_as(name, data)
    if shown != name and shown in world.children(parent):
        shown, language, form = name, "", ""
    kind = NOTEBOOK if form else "FILE"
    node = Node(world.new_id(), kind, shown, parent)
    node.language, node.format = language, form or "SOURCE"
    node.content = notebooks.without_last_newline(data) if form == "SOURCE" else data
    node.base = node.content
    node.created_at = node.modified_at = at
    world.children(parent)[shown] = node


def _shown_as(name: str, data: bytes) -> tuple[str, str, str]:
    """Under which name, in which language and format Git's file is shown; a plain file has neither of the last two."""
    if name.endswith(".ipynb") and notebooks.looks_like_jupyter(data):
        return name.removesuffix(".ipynb"), "PYTHON", "IPYNB"
    language = notebooks.detect_language(name, data)
    if language is None:
        return name, "", ""
    return name.removesuffix(notebooks.EXTENSIONS[language]), language, "SOURCE"


def _delete(world: World, operation: Operation) -> dict[str, Any]:
    node = git_folder(world, operation["id"])
    parent = node.parent
    if parent is not None:
        del world.children(parent)[node.name]
        world.touch(parent)
    del world.git_folders[node.object_id]
    return {}


# --- credentials, secrets, permissions ------------------------------------------------------------------------------


def _credential(world: World, operation: Operation) -> dict[str, Any]:
    number = operation.get("id")
    if number is None:
        number = world.new_id()
        world.credentials[number] = {}
    elif number not in world.credentials:
        raise _no_credential(number)
    world.credentials[number].update(operation["fields"])
    return {"id": number}


def _credential_delete(world: World, operation: Operation) -> dict[str, Any]:
    if world.credentials.pop(operation["id"], None) is None:
        raise _no_credential(operation["id"])
    return {}


def _no_credential(number: int) -> WorldError:
    return WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"Git credential with ID {number} could not be found.")


def _scope_create(world: World, operation: Operation) -> dict[str, Any]:
    scope = operation["scope"]
    if scope in world.secrets:
        raise WorldError(400, "RESOURCE_ALREADY_EXISTS", f"Scope {scope} already exists!")
    world.secrets[scope] = {}
    return {}


def _scope_delete(world: World, operation: Operation) -> dict[str, Any]:
    secrets_in(world, operation["scope"])
    del world.secrets[operation["scope"]]
    return {}


def secrets_in(world: World, scope: str) -> dict[str, dict[str, Any]]:
    """The secrets of a scope, by key.

    Raises:
        WorldError: there is no such scope (404).
    """
    if scope not in world.secrets:
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"Scope {scope} does not exist!")
    return world.secrets[scope]


def _secret_put(world: World, operation: Operation) -> dict[str, Any]:
    secrets_in(world, operation["scope"])[operation["key"]] = {"value": operation["value"], "at": operation["at"]}
    return {}


def _secret_delete(world: World, operation: Operation) -> dict[str, Any]:
    scope, key = operation["scope"], operation["key"]
    if secrets_in(world, scope).pop(key, None) is None:
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"Secret does not exist with scope: {scope} and key: {key}")
    return {}


def _permissions(world: World, operation: Operation) -> dict[str, Any]:
    node = world.find(operation["path"])
    if node is None:
        raise missing(operation["path"])
    given = {name: (kind, level) for name, kind, level in operation["acl"]}
    node.acl = given if operation.get("replace") else {**node.acl, **given}
    return {}


PLATFORM_OPERATIONS: dict[str, Callable[[World, Operation], dict[str, Any]]] = {
    "git-folder": _make,
    "git-checkout": _update,
    "git-folder-delete": _delete,
    "credential": _credential,
    "credential-delete": _credential_delete,
    "scope-create": _scope_create,
    "scope-delete": _scope_delete,
    "secret-put": _secret_put,
    "secret-delete": _secret_delete,
    "permissions": _permissions,
}

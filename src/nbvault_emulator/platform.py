"""The APIs around the workspace: Repos, Git credentials, secrets, permissions; `jobs.py` answers for jobs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from nbvault_emulator import answers, imports, jobs, statements, warehouses
from nbvault_emulator.clones import Clone, Cloner
from nbvault_emulator.faults import Fault
from nbvault_emulator.http import Request, Response
from nbvault_emulator.journal import Journal
from nbvault_emulator.platform_world import check_new_git_folder, git_folder, living_git_folders, secrets_in
from nbvault_emulator.world import NOTEBOOK, REPO, GitFolder, Node, User, World, WorldError, normal_path

_API = "/api/2.0/"
_PAGE = 20
_MAX_FOLDERS = 2000
_BRANCH_BYTES = 1024 * 1024 * 1024
_SECRET_BYTES = 128 * 1024
_NAME = re.compile(r"[\w.-]{1,128}")
_MISSING = "Missing Git provider credentials. Go to User Settings > Git Integration to add your personal access token."
_LEVELS = ("CAN_READ", "CAN_RUN", "CAN_EDIT", "CAN_MANAGE")
_PRINCIPALS = ("user_name", "group_name", "service_principal_name")

Query = Mapping[str, str]
Handler = Callable[[Request, Query, str, list[Fault]], Response | Awaitable[Response]]


class Call(NamedTuple):
    """A request as one of these APIs takes it: the endpoint by which faults know it, and who answers it."""

    endpoint: str
    about: str
    answer: Callable[[list[Fault]], Response | Awaitable[Response]]


class PlatformApi:
    """Answers below `/api/` what is not the workspace itself.

    Args:
        remote: How the URLs of the Git server begin that can be reached from here.
    """

    def __init__(self, world: World, journal: Journal, *, remote: str) -> None:
        self._world = world
        self._journal = journal
        self._cloner = Cloner()
        self._remote = remote
        self._routes: list[tuple[str, re.Pattern[str], str, Handler]] = [
            (method, re.compile(pattern), endpoint, handler)
            for method, pattern, endpoint, handler in (
                ("GET", "repos", "repos-list", self._list),
                ("POST", "repos", "repos-create", self._create),
                ("GET", r"repos/(\d+)", "repos-get", self._get),
                ("PATCH", r"repos/(\d+)", "repos-update", self._update),
                ("DELETE", r"repos/(\d+)", "repos-delete", self._delete),
                ("GET", "git-credentials", "credentials-list", self._credentials),
                ("POST", "git-credentials", "credentials-create", self._credential_create),
                ("GET", r"git-credentials/(\d+)", "credentials-get", self._credential_get),
                ("PATCH", r"git-credentials/(\d+)", "credentials-update", self._credential_update),
                ("DELETE", r"git-credentials/(\d+)", "credentials-delete", self._credential_delete),
                ("GET", "secrets/(scopes/list|list|get)", "secrets-read", self._secrets_read),
                ("POST", "secrets/(scopes/create|scopes/delete|put|delete)", "secrets-write", self._secrets_write),
                ("GET", r"permissions/(\w+/\d+)", "permissions-get", self._permissions),
                ("PUT", r"permissions/(\w+/\d+)", "permissions-set", self._permissions_set),
                ("PATCH", r"permissions/(\w+/\d+)", "permissions-set", self._permissions_set),
            )
        ]

    def find(self, request: Request, query: Query, user: User) -> Call | None:
        """Who answers a request of that user; None if none of these APIs does."""
        plain = (
            jobs.find(self._world, self._journal, request, query, user)
            or statements.find(self._world, request, user)
            or warehouses.find(self._world, request.method, request.path, query, user)
        )
        if plain:
            endpoint, answer = plain
            return Call(endpoint, "", lambda _faults: answer())
        rest = request.path.removeprefix(_API)
        for method, pattern, endpoint, handler in self._routes:
            if method == request.method and (found := pattern.fullmatch(rest)):
                part = found[1] if pattern.groups else ""
                return Call(endpoint, self._about(request, part), _calling(handler, request, query, part))
        return None

    def _about(self, request: Request, part: str) -> str:
        if part.isdigit():
            node = self._world.git_folders.get(int(part))
            return node.path if node is not None else ""
        try:
            path = imports.json_body(request).get("path") if request.method == "POST" else ""
        except WorldError:
            return ""
        return normal_path(path)[0] if isinstance(path, str) and path.startswith("/") else ""

    # --- Git folders ---

    def _list(self, _request: Request, query: Query, _part: str, _faults: list[Fault]) -> Response:
        prefix = normal_path(query.get("path_prefix") or "/")[0]
        prefix = "/Repos" if prefix == "/" else prefix
        folders = [node for node in living_git_folders(self._world) if node.path.startswith(prefix)]
        start = int(query.get("next_page_token") or 0)
        page: dict[str, Any] = {"repos": [_shown(node) for node in folders[start : start + _PAGE]]}
        if start + _PAGE < len(folders):
            page["next_page_token"] = str(start + _PAGE)
        return answers.json_response({name: value for name, value in page.items() if value})

    async def _create(self, request: Request, _query: Query, _part: str, faults: list[Fault]) -> Response:
        asked = imports.json_body(request)
        url, provider = _text(asked, "url"), _text(asked, "provider")
        path = normal_path(asked.get("path") or f"/Repos/me/{url.rstrip('/').rpartition('/')[2]}")[0]
        check_new_git_folder(self._world, path)
        if len(living_git_folders(self._world)) >= _MAX_FOLDERS:
            raise WorldError(400, "RESOURCE_LIMIT_EXCEEDED", f"The workspace has {_MAX_FOLDERS} Git folders already.")
        patterns = _patterns(asked.get("sparse_checkout"))
        view = GitFolder(url, provider, "", "", None if patterns is None else tuple(patterns))
        got = await self._clone(view, asked.get("git_credential_id"), faults)
        broken = next((fault for fault in faults if fault.kind == "repo-incomplete"), None)
        files = got.files if broken is None else got.files[: int(len(got.files) * broken.number("share", 0.5))]
        operation = {"op": "git-folder", "path": path, "url": url, "provider": provider, "patterns": patterns}
        made = self._journal.commit([{**operation, "branch": got.branch, "head": got.head, "files": files}])[0]
        if broken is not None:
            reason = "com.microsoft.azure.storage.StorageException: The specified resource does not exist."
            message = f"Failed to clone repo. Repo may be incomplete. Failure reason: {reason}"
            raise WorldError(int(broken.number("status", 400)), "BAD_REQUEST", message)
        return answers.json_response(_shown(git_folder(self._world, made["id"])))

    async def _clone(self, view: GitFolder, credential_id: Any, faults: list[Fault]) -> Clone:
        """The checkout of ``view``, within the limits of the service."""
        if not view.url.startswith(self._remote):
            raise WorldError(
                404, "RESOURCE_DOES_NOT_EXIST", "Remote repo not found. Please ensure that your Git repo URL is valid."
            )
        patterns = None if view.patterns is None else list(view.patterns)
        token = self._token(view.provider, credential_id)
        got = await self._cloner.clone(view.url, branch=view.branch, patterns=patterns, token=token)
        limit = next((fault for fault in faults if fault.kind == "repo-limit"), None)
        _refuse_over("bytes", got.size_bytes, limit.number("bytes", _BRANCH_BYTES) if limit else _BRANCH_BYTES)
        _refuse_over("files", len(got.files), limit.number("files", len(got.files)) if limit else len(got.files))
        return got

    def _token(self, provider: str, credential_id: Any) -> str:
        for number, credential in self._world.credentials.items():
            if credential_id in (None, number) and credential["git_provider"].lower() == provider.lower():
                return str(credential["token"])
        raise WorldError(403, "PERMISSION_DENIED", _MISSING)

    def _get(self, _request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        return answers.json_response(_shown(git_folder(self._world, int(part))))

    async def _update(self, request: Request, _query: Query, part: str, faults: list[Fault]) -> Response:
        asked, node = imports.json_body(request), git_folder(self._world, int(part))
        view = _view(node)
        patterns = _patterns(asked.get("sparse_checkout"))
        if patterns is not None and view.patterns is None:
            raise imports.invalid("Sparse checkout is not enabled for this repo.")
        kept = patterns if patterns is not None or view.patterns is None else list(view.patterns)
        wanted = replace(
            view, branch=str(asked.get("branch") or view.branch), patterns=None if kept is None else tuple(kept)
        )
        got = await self._clone(wanted, asked.get("git_credential_id"), faults)
        operation = {"op": "git-checkout", "id": int(part), "url": view.url, "provider": view.provider}
        operation |= {"branch": got.branch, "head": got.head, "patterns": kept, "files": got.files}
        self._journal.commit([{**operation, "discard": asked.get("dangerously_force_discard_all") is True}])
        return answers.json_response({})

    def _delete(self, _request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        self._journal.commit([{"op": "git-folder-delete", "id": int(part)}])
        return answers.json_response({})

    # --- Git credentials ---

    def _credentials(self, _request: Request, _query: Query, _part: str, _faults: list[Fault]) -> Response:
        found = [_credential(number, each) for number, each in self._world.credentials.items()]
        return answers.json_response({"credentials": found} if found else {})

    def _credential_create(self, request: Request, _query: Query, _part: str, _faults: list[Fault]) -> Response:
        asked = imports.json_body(request)
        provider = _text(asked, "git_provider")
        if any(each["git_provider"].lower() == provider.lower() for each in self._world.credentials.values()):
            message = (
                f"A Git credential already exists for provider {provider}. "
                "Only one credential per provider is allowed for service principals."
            )
            raise WorldError(400, "RESOURCE_ALREADY_EXISTS", message)
        fields = _credential_fields(asked) | {"token": _text(asked, "personal_access_token")}
        number = self._journal.commit([{"op": "credential", "fields": fields}])[0]["id"]
        return answers.json_response(_credential(number, self._world.credentials[number]))

    def _credential_get(self, _request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        number = int(part)
        if number not in self._world.credentials:
            message = f"Git credential with ID {number} could not be found."
            raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", message)
        return answers.json_response(_credential(number, self._world.credentials[number]))

    def _credential_update(self, request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        asked = imports.json_body(request)
        fields = _credential_fields(asked)
        if "personal_access_token" in asked:
            fields["token"] = _text(asked, "personal_access_token")
        self._journal.commit([{"op": "credential", "id": int(part), "fields": fields}])
        return answers.json_response({})

    def _credential_delete(self, _request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        self._journal.commit([{"op": "credential-delete", "id": int(part)}])
        return answers.json_response({})

    # --- secrets ---

    def _secrets_read(self, _request: Request, query: Query, part: str, _faults: list[Fault]) -> Response:
        if part == "scopes/list":
            scopes = [{"name": name, "backend_type": "DATABRICKS"} for name in sorted(self._world.secrets)]
            return answers.json_response({"scopes": scopes} if scopes else {})
        found = secrets_in(self._world, query.get("scope", ""))
        if part == "list":
            keys = [{"key": key, "last_updated_timestamp": found[key]["at"]} for key in sorted(found)]
            return answers.json_response({"secrets": keys} if keys else {})
        key = query.get("key", "")
        if key not in found:
            message = f"Secret does not exist with scope: {query.get('scope')} and key: {key}"
            raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", message)
        return answers.json_response({"key": key, "value": found[key]["value"]})

    def _secrets_write(self, request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        asked = imports.json_body(request)
        operation: dict[str, Any] = {"op": _SECRET_OPERATIONS[part], "scope": _named(asked, "scope")}
        if not part.startswith("scopes/"):
            operation["key"] = _named(asked, "key")
        if part == "put":
            operation["value"] = _secret_value(asked)
        self._journal.commit([operation])
        return answers.json_response({})

    # --- permissions ---

    def _permissions(self, _request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        return answers.json_response(_acl(part, self._object(part)))

    def _permissions_set(self, request: Request, _query: Query, part: str, _faults: list[Fault]) -> Response:
        node = self._object(part)
        asked = imports.json_body(request).get("access_control_list") or []
        acl = [_granted(each) for each in asked]
        replace = request.method == "PUT"
        self._journal.commit([{"op": "permissions", "path": node.path, "acl": acl, "replace": replace}])
        return answers.json_response(_acl(part, node))

    def _object(self, part: str) -> Node:
        kind, _, number = part.partition("/")
        object_id = int(number)
        if object_id == self._world.top.object_id:
            return self._world.top
        for node in self._world.walk(self._world.top):
            if node.object_id == object_id and _TYPES.get(node.kind) == kind:
                return node
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"{kind} {number} does not exist.")


_TYPES = {"DIRECTORY": "directories", NOTEBOOK: "notebooks", REPO: "repos", "FILE": "files"}
_SECRET_OPERATIONS = {
    "scopes/create": "scope-create",
    "scopes/delete": "scope-delete",
    "put": "secret-put",
    "delete": "secret-delete",
}


def _calling(handler: Handler, request: Request, query: Query, part: str) -> Callable[[list[Fault]], Any]:
    def answer(faults: list[Fault]) -> Response | Awaitable[Response]:
        made = handler(request, query, part, faults)
        return made if isinstance(made, Response) else _guarded(made)

    return answer


async def _guarded(answer: Awaitable[Response]) -> Response:
    try:
        return await answer
    except WorldError as refused:
        return answers.error(refused.status, refused.code, refused.message)


def _refuse_over(unit: str, found: int, most: float) -> None:
    if found > most:
        message = f"The working branch has {found} {unit}, which exceeds the limit of {int(most)} {unit}."
        raise WorldError(400, "BAD_REQUEST", message)


def _view(node: Node) -> GitFolder:
    if node.git is None:
        raise WorldError(404, "RESOURCE_DOES_NOT_EXIST", f"{node.path} is no Git folder.")
    return node.git


def _shown(node: Node) -> dict[str, Any]:
    view = _view(node)
    shown: dict[str, Any] = {"id": node.object_id, "path": node.path, "url": view.url, "provider": view.provider}
    shown |= {"branch": view.branch, "head_commit_id": view.head}
    if view.patterns is not None:
        shown["sparse_checkout"] = {"patterns": list(view.patterns)}
    return shown


def _text(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str) or not value:
        raise imports.invalid(f"Missing required field: {key}")
    return value


def _named(asked: Mapping[str, Any], key: str) -> str:
    value = _text(asked, key)
    if not _NAME.fullmatch(value):
        raise imports.invalid(f"{key} must consist of alphanumeric characters, dashes, underscores, and periods.")
    return value


def _patterns(asked: Any) -> list[str] | None:
    if asked is None:
        return None
    patterns = asked.get("patterns") if isinstance(asked, dict) else None
    if not isinstance(patterns, list) or not all(isinstance(each, str) and each for each in patterns):
        raise imports.invalid("sparse_checkout.patterns must be a list of cone patterns.")
    return patterns


def _credential_fields(asked: Mapping[str, Any]) -> dict[str, Any]:
    names = ("git_provider", "git_username", "git_email", "name", "is_default_for_provider")
    return {name: asked[name] for name in names if name in asked}


def _credential(number: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"credential_id": number, **{name: value for name, value in fields.items() if name != "token"}}


def _secret_value(asked: Mapping[str, Any]) -> str:
    if isinstance(asked.get("bytes_value"), str):
        try:
            data = base64.b64decode(asked["bytes_value"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise imports.invalid(f"bytes_value is not base64: {error}") from error
    else:
        data = _text(asked, "string_value").encode()
    if len(data) > _SECRET_BYTES:
        raise imports.invalid(f"The secret value exceeds {_SECRET_BYTES} bytes.")
    return base64.b64encode(data).decode()


def _granted(asked: Any) -> tuple[str, str, str]:
    kind = next((name for name in _PRINCIPALS if isinstance(asked, dict) and asked.get(name)), None)
    if kind is None or asked.get("permission_level") not in _LEVELS:
        raise imports.invalid("An access control needs one principal and a permission level.")
    return str(asked[kind]), kind, str(asked["permission_level"])


def _acl(part: str, node: Node) -> dict[str, Any]:
    """What everyone may do with an object: what is given on it, and what it inherits from the folders above."""
    found: dict[str, dict[str, Any]] = {}
    at: Node | None = node
    while at is not None:
        for name, (kind, level) in at.acl.items():
            entry = found.setdefault(name, {kind: name, "display_name": name, "all_permissions": []})
            permission = {"permission_level": level, "inherited": at is not node}
            if at is not node:
                permission["inherited_from_object"] = [f"/{_TYPES[at.kind]}/{at.object_id}"]
            entry["all_permissions"].append(permission)
        at = at.parent
    admins = {"permission_level": "CAN_MANAGE", "inherited": True, "inherited_from_object": ["/directories/"]}
    found.setdefault("admins", {"group_name": "admins", "display_name": "admins", "all_permissions": []})
    found["admins"]["all_permissions"].append(admins)
    kind = part.partition("/")[0]
    singular = {"directories": "directory", "repos": "repo", "notebooks": "notebook", "files": "file"}[kind]
    return {"object_id": f"/{part}", "object_type": singular, "access_control_list": list(found.values())}

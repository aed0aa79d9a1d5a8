"""The Workspace API over a world: routes, credentials, permissions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote_plus

from nbvault_emulator import answers, exports, imports, scim
from nbvault_emulator.faults import Fault, Views
from nbvault_emulator.gate import Answer, Gate
from nbvault_emulator.http import Request, Response
from nbvault_emulator.journal import Journal
from nbvault_emulator.oauth import OIDC_PATH, OAuthServer
from nbvault_emulator.platform import PlatformApi
from nbvault_emulator.token_api import TOKEN_PATH, TokenApi
from nbvault_emulator.world import DIRECTORY, NOTEBOOK, Node, User, World, WorldError, describe, missing, normal_path

_BASE = "/api/2.0/workspace/"
Query = dict[str, str]
Handler = Callable[[Request, Query, Views], Response]


def parse_query(query: str) -> Query:
    """A query's parameters; the last one of a name counts, and `+` is a space."""
    found: Query = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name:
            found[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return found


class WorkspaceApi:
    """Answers the Workspace API, SCIM and `/.well-known/databricks-config`.

    `tokens` are the callers by Authorization header; who is not among them is refused.
    """

    def __init__(
        self,
        world: World,
        journal: Journal,
        gate: Gate,
        *,
        token: str,
        url: str,
        platform: PlatformApi,
        oauth: OAuthServer,
        tokens: TokenApi,
    ) -> None:
        self._platform = platform
        self._world = world
        self._journal = journal
        self._gate = gate
        self._url = url
        self._oauth = oauth
        self._token_api = tokens
        self.tokens: dict[bytes, User] = {b"Bearer " + token.encode(): world.me}
        self._routes: dict[tuple[str, str], tuple[str, Handler]] = {
            ("GET", "list"): ("list", self._list),
            ("GET", "get-status"): ("get-status", self._get_status),
            ("GET", "export"): ("export", self._export),
            ("POST", "import"): ("import", self._import),
            ("POST", "mkdirs"): ("mkdirs", self._mkdirs),
            ("POST", "delete"): ("delete", self._delete),
        }

    def answer(self, request: Request) -> Answer:
        """The answer to a request; 404 for a path that the API does not have."""
        path = request.path
        if path == "/.well-known/databricks-config":
            return self._gate.pass_through("well-known", path, self._well_known)
        if path.startswith(OIDC_PATH + "/"):
            return self._oauth.answer(request)
        header = request.headers.get(b"authorization", b"")
        user = self.tokens.get(header) or self._by_token(header)
        route = self._routes.get((request.method, path[len(_BASE) :])) if path.startswith(_BASE) else None
        is_scim = route is None and scim.is_scim(path) and request.method == "GET"
        query = parse_query(request.query) if request.query else {}
        call = None if route or is_scim else self._platform.find(request, query, user or self._world.me)
        endpoint = route[0] if route else "scim" if is_scim else call.endpoint if call else "other"
        if user is None:
            return self._refuse(endpoint, request)
        if path.startswith(TOKEN_PATH):
            return self._gate.pass_through("other", path, lambda _: self._token_api.answer(request))
        if route is not None:
            return self._call(route, request, query, user.user_name)
        if is_scim:
            return self._gate.pass_through(
                endpoint,
                path,
                lambda _: scim.answer(self._world, user, path, query, admin=self._views(user.user_name).admin),
            )
        if call is not None:
            return self._gate.pass_through(endpoint, call.about, call.answer)
        return self._gate.pass_through(endpoint, path, lambda _: _no_endpoint(request))

    def _call(self, route: tuple[str, Handler], request: Request, query: Query, who: str) -> Answer:
        endpoint, handler = route
        about = query.get("path", "")
        if endpoint == "export" and self._is_folder(about):
            endpoint = "export-folder"
        elif request.method == "POST" and self._gate.faults.active:
            about = _path_in_body(request)
        if endpoint == "export-folder":
            return self._gate.pass_through(
                endpoint, _normal_or_raw(about), lambda fired: self._export(request, query, self._views(who), fired)
            )
        # What is seen is decided when the answer is made: a fault may have changed it on the way.
        return self._gate.pass_through(
            endpoint, _normal_or_raw(about), lambda _: handler(request, query, self._views(who))
        )

    def _views(self, who: str) -> Views:
        return self._gate.faults.views_of(who)

    def _is_folder(self, path: str) -> bool:
        node = self._world.find(normal_path(path)[0]) if path.startswith("/") else None
        return node is not None and node.kind == DIRECTORY

    def _by_token(self, header: bytes) -> User | None:
        """Who holds a token that was made since: the person it was made for, else who the first caller is."""
        holder = "" if self._oauth.holds(header) else self._token_api.holder(header)
        return self._world.user(holder) if holder else None if holder is None else self._world.me

    def _refuse(self, endpoint: str, request: Request) -> Response:
        if request.headers.get(b"authorization"):
            response = answers.error(403, "403", "Invalid access token.")
        else:
            message = "Credential was not sent or was of an unsupported type for this API."
            response = answers.error(401, "401", message)
        self._gate.shared.count(endpoint, response.status)
        return response

    def _well_known(self, _faults: list[Fault]) -> Response:
        return answers.json_response({"oidc_endpoint": f"{self._url}/oidc", "workspace_id": "123", "cloud": "Azure"})

    def _visible(self, query: Query, views: Views) -> tuple[Node, str, bool]:
        asked = query.get("path", "")
        if not asked:
            raise imports.invalid("Missing required field: path")
        path, prefixed = normal_path(asked)
        node = self._world.find(path)
        if node is None or (views.active and views.hidden(path)):
            raise missing(asked)
        if views.active and views.forbidden(path):
            raise WorldError(403, "PERMISSION_DENIED", f"User does not have permission to read {asked}.")
        return node, path, prefixed

    def _list(self, _request: Request, query: Query, views: Views) -> Response:
        node, path, prefixed = self._visible(query, views)
        after = query.get("notebooks_modified_after")
        if node.is_folder and not (prefixed or after or views.active):
            return Response(200, self._world.listing(node))
        start = path if path.endswith("/") else path + "/"
        if not node.is_folder:
            entries = [_entry(views, node, path, prefixed=prefixed)]
        else:
            entries = self._entries(node, start, views, prefixed=prefixed, after=_milliseconds(after))
        return answers.json_response({"objects": entries} if entries else {})

    def _entries(self, node: Node, start: str, views: Views, *, prefixed: bool, after: int) -> list[dict[str, Any]]:
        return [
            _entry(views, child, start + child.name, prefixed=prefixed)
            for child in self._world.children(node).values()
            if not views.hidden(start + child.name) and not (child.kind == NOTEBOOK and child.modified_at < after)
        ]

    def _get_status(self, _request: Request, query: Query, views: Views) -> Response:
        node, path, prefixed = self._visible(query, views)
        entry = _entry(views, node, path, prefixed=prefixed)
        if query.get("return_export_info") == "true" and node.kind == NOTEBOOK:
            entry["repos_export_format"] = "JUPYTER" if node.format == "IPYNB" else "SOURCE"
        return answers.json_response(entry)

    def _export(self, _request: Request, query: Query, views: Views, faults: Sequence[Fault] = ()) -> Response:
        node, _, _ = self._visible(query, views)
        direct = query.get("direct_download") == "true"
        form = query.get("format") or "SOURCE"
        return exports.export(self._world, node, form, direct=direct, unseen=views.unreadable, faults=faults)

    def _import(self, request: Request, _query: Query, views: Views) -> Response:
        fields, content = imports.fields_of(request)
        return self._commit(imports.operation(fields, content), views)

    def _mkdirs(self, request: Request, _query: Query, views: Views) -> Response:
        self._commit({"op": "mkdirs", "path": imports.json_body(request).get("path")}, views)
        return answers.json_response({})

    def _delete(self, request: Request, _query: Query, views: Views) -> Response:
        fields = imports.json_body(request)
        self._commit({"op": "delete", "path": fields.get("path"), "recursive": fields.get("recursive") is True}, views)
        return answers.json_response({})

    def _commit(self, operation: dict[str, Any], views: Views) -> Response:
        path = str(operation.get("path"))
        if views.active and (views.hidden(path) or views.forbidden(path)):
            raise WorldError(403, "PERMISSION_DENIED", f"User does not have permission to change {path}.")
        return answers.json_response(self._journal.commit([operation])[0])


def _entry(views: Views, node: Node, path: str, *, prefixed: bool) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(describe(node, "/Workspace" + path if prefixed else path))
    return views.retime(path, entry)


def _no_endpoint(request: Request) -> Response:
    return answers.error(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {request.path}'")


def _milliseconds(value: str | None) -> int:
    if not value:
        return 0
    if not value.isdigit():
        raise imports.invalid("notebooks_modified_after is a number of milliseconds.")
    return int(value)


def _normal_or_raw(path: str) -> str:
    return normal_path(path)[0] if path.startswith("/") else path


def _path_in_body(request: Request) -> str:
    try:
        return str(imports.fields_of(request)[0].get("path", ""))
    except WorldError:
        return ""

"""Azure DevOps' REST API as far as a backup uses it, with the error bodies of the real service."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs

from nbvault_emulator.answers import json_response
from nbvault_emulator.gate import Answer, Gate
from nbvault_emulator.git_server import GitServer
from nbvault_emulator.http import Request, Response
from nbvault_emulator.organisation import (
    ORGANISATION,
    OTHER_POLICIES,
    PROJECT,
    PULL_REQUEST_POLICIES,
    RIGHTS,
    Organisation,
    is_active,
    project_id,
    repository_id,
)

_BASE = f"/{ORGANISATION}/"
_GIT = "Microsoft.TeamFoundation.Git.Server"
_CORE = "Microsoft.TeamFoundation.Core.WebApi"
_NAMESPACE = "2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87"
_MAX_LIFETIME = timedelta(days=365)
_Handler = Callable[[Request, "re.Match[str]", str], Response]


class AzureDevOpsApi:
    """Answers below ``/ORG/`` that are not Git's own."""

    def __init__(self, organisation: Organisation, git: GitServer, gate: Gate, *, url: str) -> None:
        self._organisation = organisation
        self._git = git
        self._gate = gate
        self._url = url
        self._routes: list[tuple[str, re.Pattern[str], _Handler]] = [
            ("GET", _route(r"_apis/connectionData"), self._connection),
            ("GET", _route(r"(?P<project>[^/]+)/_apis/git/repositories"), self._list),
            ("POST", _route(r"(?P<project>[^/]+)/_apis/git/repositories"), self._create),
            ("GET", _route(r"(?P<project>[^/]+)/_apis/git/repositories/(?P<name>[^/]+)"), self._show),
            ("PATCH", _route(r"(?P<project>[^/]+)/_apis/git/repositories/(?P<name>[^/]+)"), self._change),
            ("GET", _route(r"(?P<project>[^/]+)/_apis/policy/configurations"), self._policies),
            ("POST", _route(r"(?P<project>[^/]+)/_apis/policy/configurations"), self._new_policy),
            ("GET", _route(rf"_apis/permissions/{_NAMESPACE}/(?P<bits>\d+)"), self._permissions),
            ("GET", _route(r"(?P<project>[^/]+)/_apis/management/repositories/[^/]+/enablement"), self._enablement),
            ("GET", _route(r"_apis/tokens/pats"), self._pats),
            ("POST", _route(r"_apis/tokens/pats"), self._new_pat),
            ("DELETE", _route(r"_apis/tokens/pats"), self._revoke_pat),
        ]

    def serves(self, path: str) -> bool:
        """Whether a path is one of this API's."""
        return path.startswith(_BASE) and "/_apis/" in path

    def answer(self, request: Request) -> Answer:
        """The answer to a request that this API serves."""
        caller = self._organisation.caller(request.headers.get(b"authorization", b""))
        if caller is None:
            self._gate.shared.count("azuredevops", 401)
            return _refused(request)
        return self._gate.pass_through("azuredevops", request.path, lambda _fired: self._routed(request, caller))

    def _routed(self, request: Request, caller: str) -> Response:
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                project = found.groupdict().get("project", PROJECT)
                return handler(request, found, caller) if _is(project, PROJECT, project_id()) else _no_project(project)
        message = f"The controller for path '{request.path}' was not found or does not implement IController."
        return _error(404, message, "HttpException", "System.Web.HttpException, System.Web", event=0)

    # --- repositories ------------------------------------------------------------------------------------------------

    def _list(self, _request: Request, _found: re.Match[str], _caller: str) -> Response:
        value = [self._described(name) for name in self._git.names()]
        return json_response({"value": value, "count": len(value)})

    def _show(self, _request: Request, found: re.Match[str], _caller: str) -> Response:
        name = self._named(found["name"])
        return json_response(self._described(name)) if name else _no_repository(found["name"])

    def _create(self, request: Request, _found: re.Match[str], caller: str) -> Response:
        name = str(_body(request).get("name") or "")
        if not self._organisation.may("CreateRepository"):
            return _needs("CreateRepository", caller, "project")
        if self._named(name):
            message = f"TF400948: A Git repository with the name {name} already exists."
            return _git_error(409, message, "GitRepositoryNameAlreadyExistsException")
        try:
            self._git.make(name)
        except ValueError:
            return _git_error(
                400, f"TF401025: '{name}' is not a valid name for a Git repository.", "InvalidGitRepositoryName"
            )
        return json_response(self._described(name), 201)

    def _change(self, request: Request, found: re.Match[str], _caller: str) -> Response:
        name = self._named(found["name"])
        if not name:
            return _no_repository(found["name"])
        branch = str(_body(request).get("defaultBranch") or "")
        if branch:
            self._git.set_default_branch(name, branch)
        return json_response(self._described(name))

    def _named(self, name: str) -> str:
        return next((known for known in self._git.names() if _is(name, known, repository_id(known))), "")

    def _described(self, name: str) -> dict[str, Any]:
        base = f"{self._url}{_BASE}"
        size, branch = self._git.size_and_default_branch(name)
        return {
            "id": repository_id(name),
            "name": name,
            "url": f"{base}{project_id()}/_apis/git/repositories/{repository_id(name)}",
            "project": {"id": project_id(), "name": PROJECT, "state": "wellFormed", "visibility": "private"},
            **({"defaultBranch": branch} if branch else {}),
            "size": size,
            "remoteUrl": f"{base}{PROJECT}/_git/{name}",
            "webUrl": f"{base}{PROJECT}/_git/{name}",
            "isDisabled": False,
        }

    # --- policies and rights -----------------------------------------------------------------------------------------

    def _policies(self, _request: Request, _found: re.Match[str], _caller: str) -> Response:
        value = self._organisation.state()["policies"]
        return json_response({"count": len(value), "value": value})

    def _new_policy(self, request: Request, _found: re.Match[str], _caller: str) -> Response:
        asked = _body(request)
        kind = str(asked.get("type", {}).get("id", ""))
        name = {**PULL_REQUEST_POLICIES, **OTHER_POLICIES}.get(kind)
        if name is None:
            message = f"TF402463: The policy type {kind} does not exist."
            return _error(404, message, "PolicyTypeNotFoundException", "Microsoft.TeamFoundation.Policy.Server")
        with self._organisation.changing() as state:
            policy = {
                "isEnabled": asked.get("isEnabled", True),
                "isBlocking": asked.get("isBlocking", True),
                "isDeleted": False,
                "settings": asked.get("settings", {}),
                "id": len(state["policies"]) + 1,
                "revision": 1,
                "type": {"id": kind, "displayName": name},
            }
            state["policies"].append(policy)
        return json_response(policy)

    def _permissions(self, _request: Request, found: re.Match[str], _caller: str) -> Response:
        bits = int(found["bits"])
        value = [all(self._organisation.may(name) for name, bit in RIGHTS.items() if bits & bit)]
        return json_response({"count": 1, "value": value})

    def _enablement(self, _request: Request, _found: re.Match[str], _caller: str) -> Response:
        protects = bool(self._organisation.state()["push_protection"])
        return json_response({"advSecEnabled": protects, "blockPushes": protects, "projectId": project_id()})

    def _connection(self, _request: Request, _found: re.Match[str], caller: str) -> Response:
        user = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, caller)),
            "providerDisplayName": caller,
            "isActive": True,
            "properties": {"Account": {"$type": "System.String", "$value": caller}},
        }
        return json_response({"authenticatedUser": user, "authorizedUser": user, "deploymentType": "hosted"})

    # --- personal access tokens --------------------------------------------------------------------------------------

    def _pats(self, request: Request, _found: re.Match[str], _caller: str) -> Response:
        if not _is_entra(request):
            return _refused(request)
        active = [pat for pat in self._organisation.state()["pats"] if is_active(pat)]
        shown = [{**pat, "token": None} for pat in active]
        return json_response({"continuationToken": "", "patTokens": shown})

    def _new_pat(self, request: Request, _found: re.Match[str], _caller: str) -> Response:
        if not _is_entra(request):
            return _refused(request)
        asked = _body(request)
        until = datetime.fromisoformat(str(asked.get("validTo")).replace("Z", "+00:00"))
        if until > datetime.now(timezone.utc) + _MAX_LIFETIME:
            return json_response({"patToken": None, "patTokenError": "invalidValidTo"})
        valid_to = until.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        pat = self._organisation.new_pat(str(asked.get("displayName")), str(asked.get("scope")), valid_to)
        return json_response({"patToken": pat, "patTokenError": "none"})

    def _revoke_pat(self, request: Request, _found: re.Match[str], _caller: str) -> Response:
        if not _is_entra(request):
            return _refused(request)
        which = parse_qs(request.query).get("authorizationId", [""])[0]
        with self._organisation.changing() as state:
            known = [pat for pat in state["pats"] if pat["authorizationId"] == which]
            for pat in known:
                pat["revoked"] = True
        return Response(204) if known else _error(404, "The requested authorization was not found.", "NotFound", _CORE)


def _route(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(_BASE) + pattern, re.IGNORECASE)


def _is(asked: str, name: str, guid: str) -> bool:
    return asked.lower() in (name.lower(), guid)


def _is_entra(request: Request) -> bool:
    """Whether a token of Entra was sent: the API of tokens takes no other."""
    return request.headers.get(b"authorization", b"").lower().startswith(b"bearer ey")


def _body(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(request.body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(status: int, message: str, key: str, type_name: str, *, event: int = 3000) -> Response:
    body = {
        "$id": "1",
        "innerException": None,
        "message": message,
        "typeName": type_name,
        "typeKey": key,
        "errorCode": 0,
        "eventId": event,
    }
    return json_response(body, status)


def _git_error(status: int, message: str, key: str) -> Response:
    return _error(status, message, key, f"{_GIT}.{key}, {_GIT}")


def _no_repository(name: str) -> Response:
    message = (
        f"TF401019: The Git repository with name or identifier {name} does not exist or you do not have permissions "
        "for the operation you are attempting."
    )
    return _git_error(404, message, "GitRepositoryNotFoundException")


def _no_project(name: str) -> Response:
    message = (
        f"TF200016: The following project does not exist: {name}. Verify that the name of the project is correct and "
        "that the project exists on the specified Azure DevOps Server."
    )
    key = "ProjectDoesNotExistWithNameException"
    return _error(404, message, key, f"{_CORE}.{key}, {_CORE}")


def _needs(right: str, caller: str, scope: str) -> Response:
    return _git_error(403, needs_permission(right, caller, scope), "GitNeedsPermissionException")


def needs_permission(right: str, caller: str, scope: str) -> str:
    """What the service says to who lacks a right."""
    return (
        f"TF401027: You need the Git '{right}' permission to perform this action. "
        f"Details: identity '{caller}', scope '{scope}'."
    )


def _refused(request: Request) -> Response:
    if not request.headers.get(b"authorization"):
        where = (("Location", "https://spsprodweu1.vssps.visualstudio.com/_signin?realm=dev.azure.com"),)
        return Response(
            302, b"<html><head><title>Object moved</title></head></html>", content_type="text/html", headers=where
        )
    message = "TF400813: The user 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa' is not authorized to access this resource."
    key = "UnauthorizedRequestException"
    return _error(
        401, message, key, f"Microsoft.TeamFoundation.Framework.Server.{key}, Microsoft.TeamFoundation.Framework.Server"
    )

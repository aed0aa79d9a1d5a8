"""The admin API: changes the world as users would, sets faults, and tells what there is. It asks for no credentials."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from nbvault_emulator import mutations
from nbvault_emulator.answers import error, json_response
from nbvault_emulator.databricks import parse_query
from nbvault_emulator.faults import FaultSet
from nbvault_emulator.gate import Gate
from nbvault_emulator.git_server import GitServer
from nbvault_emulator.http import Request, Response
from nbvault_emulator.journal import Journal
from nbvault_emulator.organisation import AUDIENCE, Organisation
from nbvault_emulator.token_api import TokenApi
from nbvault_emulator.world import NOTEBOOK, Node, World, WorldError

ADMIN_PATH = "/_admin"
_OPERATIONS = mutations.known_operations() - {"import"}


class AdminApi:
    """Answers below `ADMIN_PATH`. Changes take effect before they are answered."""

    def __init__(self, world: World, journal: Journal, gate: Gate, git: GitServer, organisation: Organisation) -> None:
        self._world = world
        self._journal = journal
        self._gate = gate
        self._git = git
        self._organisation = organisation
        self._special: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "world"): self._show_world,
            ("GET", "requests"): lambda _: json_response(self._gate.shared.counts()),
            ("GET", "traffic"): lambda _: json_response(self._gate.shared.traffic()),
            ("POST", "requests/reset"): self._reset,
            ("GET", "faults"): self._show_faults,
            ("POST", "faults"): self._set_faults,
            ("POST", "batch"): self._batch,
            ("POST", "repository"): self._make_repository,
            ("POST", "azuredevops"): self._change_organisation,
            ("POST", "token"): self._mint,
            ("POST", "user-token"): self._make_user_token,
        }

    def answer(self, request: Request) -> Response:
        """The answer to a request below `ADMIN_PATH`."""
        name = request.path[len(ADMIN_PATH) :].strip("/")
        special = self._special.get((request.method, name))
        try:
            if special is not None:
                return special(request)
            if request.method == "POST" and name in _OPERATIONS:
                return json_response(self._journal.commit([{**_object(_body(request)), "op": name}])[0])
        except WorldError as refused:
            return error(refused.status, refused.code, refused.message)
        except (ValueError, TypeError) as wrong:
            return error(400, "INVALID_PARAMETER_VALUE", str(wrong))
        return error(404, "ENDPOINT_NOT_FOUND", f"No admin endpoint {request.method} {name}")

    def _change_organisation(self, request: Request) -> Response:
        wanted = _object(_body(request))
        with self._organisation.changing() as state:
            unknown = wanted.keys() - state.keys()
            if unknown:
                raise ValueError(f"Unknown settings: {', '.join(sorted(unknown))}.")
            for name, value in wanted.items():
                state[name] = {**state[name], **value} if isinstance(value, dict) else value
        return json_response({})

    def _mint(self, request: Request) -> Response:
        wanted = _object(_body(request))
        token = self._organisation.sign(
            str(wanted.get("subject", "backup-principal")),
            audience=str(wanted.get("audience", AUDIENCE)),
            lifetime_s=float(wanted.get("lifetime_s", 3600)),
        )
        return json_response({"token": token})

    def _make_user_token(self, request: Request) -> Response:
        name = _object(_body(request)).get("userName")
        if not isinstance(name, str) or not name:
            raise ValueError("userName is missing.")
        self._journal.commit([{"op": "user", "userName": name}])
        return json_response({"token": TokenApi(self._organisation).make(name)["token"]})

    def _batch(self, request: Request) -> Response:
        operations = [_object(one) for one in _list(_body(request))]
        for operation in operations:
            if operation.get("op") not in _OPERATIONS:
                raise ValueError(f"Unknown operation {operation.get('op')!r}.")
        return json_response(self._journal.commit(operations))

    def _make_repository(self, request: Request) -> Response:
        return json_response({"path": self._git.make(str(_object(_body(request)).get("name", "")))})

    def _set_faults(self, request: Request) -> Response:
        faults = _list(_body(request))
        FaultSet(faults, self._gate.shared)
        self._gate.shared.reset_faults()
        self._journal.commit([{"op": "faults", "faults": faults}])
        return json_response({"faults": len(faults)})

    def _show_faults(self, _request: Request) -> Response:
        fired = self._gate.shared.fault_fired
        return json_response([{**fault.data, "fired": fired(fault.index)} for fault in self._gate.faults.all])

    def _reset(self, _request: Request) -> Response:
        self._gate.shared.reset_counts()
        return json_response({})

    def _show_world(self, request: Request) -> Response:
        query = parse_query(request.query)
        start = self._world.get(query.get("path", "/"))
        return Response(200, stream=_world_json(self._world, start, query))


async def _world_json(world: World, start: Node, query: dict[str, str]) -> AsyncGenerator[bytes, None]:
    separator = b"[\n"
    nodes = world.walk(start) if start.is_folder else iter([start])
    for place, node in enumerate(nodes):
        if node.kind == NOTEBOOK or query.get("all") == "1":
            yield separator + json.dumps(_shown(world, node, query)).encode()
            separator = b",\n"
        if place % 50 == 49:
            # Others are answered while a large world is told.
            await asyncio.sleep(0)
    yield b"\n]\n" if separator == b",\n" else b"[]\n"


def _shown(world: World, node: Node, query: dict[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"path": node.path, "object_id": node.object_id, "object_type": node.kind}
    if query.get("brief") == "1":
        return shown
    if not node.is_folder:
        source = world.source(node)
        shown |= {"sha256": hashlib.sha256(source).hexdigest(), "modified_at": node.modified_at}
        if query.get("content") == "1":
            shown["content"] = source.decode("utf-8", "replace")
    if node.kind == NOTEBOOK:
        shown |= {"language": node.language, "format": node.format}
        shown["first_line"] = source[:80].partition(b"\n")[0].decode("utf-8", "replace")
    return shown


def _body(request: Request) -> Any:
    return json.loads(request.body or b"{}")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("expected a JSON object")
    return dict(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("expected a JSON list")
    return value

"""What ``system.access.audit`` would say of the changes of this world, with its delays, gaps, doubles and disorder.

Switched on by the operation `audit`; which events are late, missing or doubled depends on their numbers alone.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from nbvault_emulator.world import NOTEBOOK, Node, World

Operation = dict[str, Any]
WORKSPACE_ID = "4242424242424242"
WAREHOUSE = "warehouse1"
DEFAULTS: dict[str, Any] = {
    "warehouse": WAREHOUSE,
    "delay_ms": 0,
    "missing": 0.0,
    "twice": 0.0,
    "late": 0.0,
    "late_ms": 0,
    "chunk": 100,
}
DEFAULTS |= {"runs_ms": 0, "refused": ""}
_ACTIONS = {"create": "createNotebook", "edit": "modifyNotebook", "import": "importNotebook"}


def switch(world: World, operation: Operation) -> dict[str, Any]:
    """Log from now on, with these shares and milliseconds; those not named are as they were."""
    world.audit = {**DEFAULTS, **(world.audit or {}), **{key: operation[key] for key in DEFAULTS if key in operation}}
    return {"workspace_id": WORKSPACE_ID, "warehouse_id": world.audit["warehouse"]}


def about(world: World, operation: Operation) -> tuple[Node | None, str]:
    """What an operation is about, before it is done: the node and its path."""
    path = operation.get("from") or operation.get("path")
    node = world.find(path) if world.audit is not None and isinstance(path, str) and path.startswith("/") else None
    return node, node.path if node is not None else ""


def note(world: World, operation: Operation, was: tuple[Node | None, str], result: dict[str, Any]) -> None:
    """Enter an operation that was done."""
    name, (before, path) = operation.get("op"), was
    if world.audit is None:
        return
    if name in _ACTIONS:
        made = str(operation["path"]) if name != "create" else str(result["path"])
        params = {"path": made.removeprefix("/Workspace"), "notebookId": str(result["object_id"])}
        _enter(world, operation, str(_ACTIONS[name]), params)
    elif name == "delete" and before is not None:
        one = {"path": path, "notebookId": str(before.object_id)}
        _enter(
            world,
            operation,
            *(("deleteNotebook", one) if before.kind == NOTEBOOK else ("deleteFolder", {"path": path})),
        )
    elif name == "move" and before is not None:
        kind, number = ("Notebook", "notebookId") if before.kind == NOTEBOOK else ("Folder", "folderId")
        own = {number: str(before.object_id)}
        (old_folder, old), (new_folder, new) = path.rsplit("/", 1), before.path.rsplit("/", 1)
        if old_folder == new_folder:
            _enter(world, operation, f"rename{kind}", {"parentPath": old_folder, "oldName": old, "newName": new, **own})
        else:
            _enter(world, operation, f"move{kind}", {"oldPath": path, "newPath": before.path, **own})


def _enter(world: World, operation: Operation, action: str, params: dict[str, str]) -> None:
    actor = str(operation.get("editor") or (world.me.user_name if operation["op"] == "import" else ""))
    at = int(operation.get("modified_at") or operation["at"])
    world.audit_events.append(
        {"at": at, "actor": actor or "analyst@clients.example", "action": action, "params": params}
    )


class Page(NamedTuple):
    """What a query asks for: so many events of a workspace, after a place (microseconds, id), until a moment."""

    after: int
    last: str
    until: int
    workspace: str
    limit: int


def visible(world: World, page: Page, *, now: int) -> list[list[str | None]]:
    """The rows of a query at a moment, by time and id, each value a string."""
    rules = world.audit or DEFAULTS
    found: list[tuple[int, list[str | None]]] = []
    for number, event in enumerate(world.audit_events):
        late = rules["delay_ms"] + (rules["late_ms"] if _lot(number, "late") < rules["late"] else 0)
        # The table has microseconds, of which the workspace's own times know nothing.
        name, at_us = f"event-{number}", event["at"] * 1000 + number % 1000
        if page.workspace != WORKSPACE_ID or event["at"] >= page.until or event["at"] + late > now:
            continue
        if (at_us, name) <= (page.after, page.last) or _lot(number, "missing") < rules["missing"]:
            continue
        params = json.dumps(event["params"])
        row = [name, str(at_us), str(event["at"]), event["actor"], event["action"], params, "200"]
        found += [(at_us, row)] * (2 if _lot(number, "twice") < rules["twice"] else 1)
    found.sort(key=lambda each: (each[0], str(each[1][0])))
    return [row for _, row in found[: page.limit]]


def _lot(number: int, what: str) -> float:
    return zlib.crc32(f"{what} {number}".encode()) / 2**32

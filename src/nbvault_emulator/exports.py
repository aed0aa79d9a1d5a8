"""Export of the Workspace API: one object raw or in base64, a folder as a zip, and what is too large refused."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable, Sequence

from nbvault_emulator import answers, notebooks
from nbvault_emulator.archives import folder_zip
from nbvault_emulator.faults import Fault
from nbvault_emulator.http import Response
from nbvault_emulator.world import DIRECTORY, NOTEBOOK, Node, World, WorldError

_JUPYTER_LIMIT_BYTES = 100 * 1024 * 1024
_FORMATS = frozenset({"SOURCE", "HTML", "JUPYTER", "DBC", "R_MARKDOWN", "AUTO", "RAW"})
_SINGLE = frozenset({"FILE", "DASHBOARD", "DESIGNER_FILE"})


def refuse_format(form: str) -> WorldError:
    """The answer to a format that does not exist, or that this emulator does not make."""
    if form not in _FORMATS:
        return WorldError(400, "INVALID_PARAMETER_VALUE", f"Unsupported format: {form}")
    return WorldError(400, "INVALID_PARAMETER_VALUE", f"Format {form} is not supported here.")


def export(
    world: World,
    node: Node,
    form: str,
    *,
    direct: bool,
    unseen: Callable[[str], bool],
    faults: Sequence[Fault] = (),
) -> Response:
    """The answer to an export of ``node``; a folder's zip leaves out what the caller may not read.

    Raises:
        WorldError: it cannot be exported so.
    """
    if form not in _FORMATS or form in ("HTML", "DBC", "R_MARKDOWN"):
        raise refuse_format(form)
    if node.kind == NOTEBOOK:
        content, kind = _notebook(world, node, form)
    elif node.kind == DIRECTORY:
        content, kind = _folder(world, node, form, unseen, faults), "zip"
    elif node.kind in _SINGLE:
        content, kind = world.source(node), posixpath.splitext(node.name)[1].lstrip(".")
    else:
        raise WorldError(400, "BAD_REQUEST", f"{node.kind} ({node.path}) cannot be exported.")
    limit = _JUPYTER_LIMIT_BYTES if form == "JUPYTER" else answers.LIMIT_BYTES
    if len(content) > limit:
        return answers.oversize(len(content))
    if direct:
        return Response(200, content, content_type="application/octet-stream")
    return answers.json_response({"content": base64.b64encode(content).decode(), "file_type": kind})


def _notebook(world: World, node: Node, form: str) -> tuple[bytes, str]:
    if form == "JUPYTER" or (form == "AUTO" and node.format == "IPYNB"):
        if node.format == "IPYNB" and node.content is not None:
            return node.content, "ipynb"
        return notebooks.to_jupyter(world.source(node), node.language), "ipynb"
    return world.source(node), notebooks.EXTENSIONS[node.language].lstrip(".")


def _folder(world: World, node: Node, form: str, unseen: Callable[[str], bool], faults: Sequence[Fault]) -> bytes:
    if form not in ("SOURCE", "AUTO"):
        raise WorldError(400, "INVALID_PARAMETER_VALUE", f"A folder cannot be exported as {form}.")
    return folder_zip(world, node, form, unseen=unseen, faults=faults)

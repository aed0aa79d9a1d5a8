"""Import of the Workspace API: what a request asks for, as an operation on the world."""

from __future__ import annotations

import base64
import json
from typing import Any

from nbvault_emulator import answers, multipart, notebooks
from nbvault_emulator.exports import refuse_format
from nbvault_emulator.http import Request
from nbvault_emulator.world import WorldError

_JUPYTER_LIMIT_BYTES = 100 * 1024 * 1024
_FILE_LIMIT_BYTES = 500 * 1024 * 1024


def invalid(message: str) -> WorldError:
    """The answer to a malformed request."""
    return WorldError(400, "INVALID_PARAMETER_VALUE", message)


def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body, whatever content type it claims.

    Raises:
        WorldError: there is none.
    """
    try:
        parsed = json.loads(request.body or b"{}")
    except ValueError as error:
        raise WorldError(400, "MALFORMED_REQUEST", f"Could not parse request object: {error}") from error
    if not isinstance(parsed, dict):
        raise WorldError(400, "MALFORMED_REQUEST", "Could not parse request object: expected an object")
    return parsed


def fields_of(request: Request) -> tuple[dict[str, Any], bytes]:
    """The fields and the content of an import, sent as JSON or as a form.

    Raises:
        WorldError: the body is malformed.
    """
    content_type = request.header(b"content-type")
    if content_type.startswith("multipart/form-data"):
        try:
            form = multipart.parse(content_type, request.body)
        except ValueError as error:
            raise WorldError(400, "MALFORMED_REQUEST", str(error)) from error
        content = form.pop("content", b"")
        return {name: value.decode("utf-8", "replace") for name, value in form.items()}, content
    fields = json_body(request)
    try:
        return fields, base64.b64decode(str(fields.get("content", "")), validate=True)
    except ValueError as error:
        raise invalid(f"content is not base64: {error}") from error


def operation(fields: dict[str, Any], content: bytes) -> dict[str, Any]:
    """What an import does to the world.

    Raises:
        WorldError: format, language and content do not go together, or it is too large.
    """
    path = fields.get("path")
    if not isinstance(path, str) or not path:
        raise invalid("Missing required field: path")
    form = str(fields.get("format") or "SOURCE")
    made = _FORMS.get(form)
    if made is None:
        raise refuse_format(form)
    language = str(fields.get("language") or "").upper()
    if language and language not in notebooks.EXTENSIONS:
        raise invalid(f"Unknown language: {language}")
    what = made(path, content, language)
    _check_size(what, content, form)
    kept = notebooks.without_last_newline(content) if what.get("format", "") == "SOURCE" else content
    overwrite = fields.get("overwrite") in (True, "true", "True")
    return {"op": "import", "path": path, "overwrite": overwrite, **_carried(kept), **what}


def _carried(content: bytes) -> dict[str, str]:
    try:
        return {"content": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(content).decode()}


def _source(_path: str, _content: bytes, language: str) -> dict[str, Any]:
    if not language:
        raise invalid("language is required for a notebook in SOURCE format.")
    return {"object_type": "NOTEBOOK", "language": language, "format": "SOURCE"}


def _jupyter(_path: str, content: bytes, _language: str) -> dict[str, Any]:
    try:
        notebooks.from_jupyter(content)
    except ValueError as error:
        raise invalid(f"The content is no Jupyter notebook: {error}") from error
    return {"object_type": "NOTEBOOK", "language": "PYTHON", "format": "IPYNB"}


def _auto(path: str, content: bytes, language: str) -> dict[str, Any]:
    if path.endswith(".ipynb") and notebooks.looks_like_jupyter(content):
        return {"path": path.removesuffix(".ipynb"), **_jupyter(path, content, language)}
    found = notebooks.detect_language(path, content)
    if found is None:
        return {"object_type": "FILE"}
    return {"path": path.removesuffix(notebooks.EXTENSIONS[found]), **_source(path, content, found)}


def _raw(_path: str, _content: bytes, _language: str) -> dict[str, Any]:
    return {"object_type": "FILE"}


_FORMS = {"SOURCE": _source, "JUPYTER": _jupyter, "AUTO": _auto, "RAW": _raw}


def _check_size(what: dict[str, Any], content: bytes, form: str) -> None:
    if what["object_type"] == "FILE":
        limit, code = _FILE_LIMIT_BYTES, "MAX_READ_SIZE_EXCEEDED"
    else:
        limit, code = answers.LIMIT_BYTES, "MAX_NOTEBOOK_SIZE_EXCEEDED"
        if form != "SOURCE" and what["format"] == "IPYNB":
            limit = _JUPYTER_LIMIT_BYTES
    if len(content) > limit:
        message = f"File size imported is ({len(content)} bytes), exceeded max size ({limit} bytes)"
        raise WorldError(400, code, message)

"""The answers of the Workspace API that are not content: errors in the shapes that real workspaces sent."""

from __future__ import annotations

import json
import math
from typing import Any

from nbvault_emulator.faults import Fault
from nbvault_emulator.http import Response

LIMIT_BYTES = 10_485_760
_CODES = {
    400: ("BAD_REQUEST", "The request is malformed."),
    401: ("401", "Credential was not sent or was of an unsupported type for this API."),
    403: ("PERMISSION_DENIED", "User does not have permission to view this object."),
    404: ("RESOURCE_DOES_NOT_EXIST", "The object does not exist."),
    409: ("RESOURCE_CONFLICT", "The request conflicts with another one."),
    429: ("RESOURCE_EXHAUSTED", "Too many requests. Please wait a moment and try again."),
    500: ("INTERNAL_ERROR", "An internal error occurred."),
    502: ("BAD_GATEWAY", "The service is not reachable."),
    503: ("TEMPORARILY_UNAVAILABLE", "The service at /api/2.0/workspace is temporarily unavailable."),
    504: ("DEADLINE_EXCEEDED", "The request took too long."),
}
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_OVERSIZE: dict[str, tuple[str, str]] = {
    "size-exceeds": ("BAD_REQUEST", "Size exceeds {limit} bytes"),
    "notebook-size": ("BAD_REQUEST", "Notebook size exceeded limit: {size} > {limit}"),
    "file-size": ("BAD_REQUEST", "File size imported is ({size} bytes), exceeded max size ({limit} bytes)"),
    "max-notebook-size": ("MAX_NOTEBOOK_SIZE_EXCEEDED", "Notebook size exceeded limit: {size} > {limit}"),
    "max-read-size": ("MAX_READ_SIZE_EXCEEDED", "Size exceeds {limit} bytes"),
    "error-info": ("BAD_REQUEST", "Size exceeds {limit} bytes"),
    "in-200": ("MAX_NOTEBOOK_SIZE_EXCEEDED", "Size exceeds {limit} bytes"),
}


def json_response(value: Any, status: int = 200, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A value as JSON."""
    return Response(status, json.dumps(value).encode(), headers=headers)


def error(status: int, code: str, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """The error body of the Workspace API."""
    return json_response({"error_code": code, "message": message}, status, headers=headers)


def throttled(wait_s: float) -> Response:
    """429 with a whole number of seconds to wait."""
    headers = (("Retry-After", str(max(1, math.ceil(wait_s)))),)
    return error(429, "RESOURCE_EXHAUSTED", _CODES[429][1], headers=headers)


def oversize(size: int, shape: str = "size-exceeds") -> Response:
    """The refusal of an object over the limit, in one of the shapes seen.

    Raises:
        KeyError: there is no such shape.
    """
    code, message = _OVERSIZE[shape]
    body: dict[str, Any] = {"error_code": code, "message": message.format(size=size, limit=LIMIT_BYTES)}
    if shape == "error-info":
        body["details"] = [{"@type": _ERROR_INFO, "reason": "MAX_NOTEBOOK_SIZE_EXCEEDED", "domain": "workspace"}]
    return json_response(body, 200 if shape == "in-200" else 400)


def of_fault(fault: Fault) -> Response | None:
    """The answer that a fault gives instead of the right one; None when it leaves that be."""
    maker = _MAKERS.get(fault.kind)
    return None if maker is None else maker(fault)


def of_status(fault: Fault, *, default: int = 500) -> Response:
    """The error with the status that a fault names."""
    status = int(fault.number("status", default))
    headers: tuple[tuple[str, str], ...] = ()
    if "retry_after" in fault.data:
        headers = (("Retry-After", fault.text("retry_after")),)
    if "body" in fault.data:
        return Response(status, fault.text("body").encode(), content_type="text/html", headers=headers)
    code, message = _CODES.get(status, (str(status), "Error"))
    return error(status, fault.text("error_code", code), fault.text("message", message), headers=headers)


def _error_in_200(fault: Fault) -> Response:
    return error(200, fault.text("error_code", "INTERNAL_ERROR"), fault.text("message", "An internal error occurred."))


def _nonsense(fault: Fault) -> Response:
    if fault.text("shape", "html") == "truncated-json":
        return Response(200, b'{"objects":[{"object_type":"NOTEBOOK","path":"/Cl')
    page = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in</body></html>"
    return Response(200, page, content_type="text/html; charset=utf-8")


def _token_expired(fault: Fault) -> Response:
    if int(fault.number("status", 401)) == 403:
        return error(403, "403", "Invalid access token.")
    return error(401, "401", "ExpiredJwt: Access token has expired.")


_MAKERS = {
    "status": of_status,
    "error-in-200": _error_in_200,
    "oversize": lambda fault: oversize(int(fault.number("size", 12_000_000)), fault.text("shape", "size-exceeds")),
    "empty-body": lambda fault: Response(int(fault.number("status", 200))),
    "nonsense": _nonsense,
    "token-expired": _token_expired,
}

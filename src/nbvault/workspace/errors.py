"""What an answer of the workspace means when it is no good answer.

.. code-block:: text

    RequestFailed (a WorkspaceError)   exit  retryable
    |-- NotFound                   1    no    404 of the API (not of a proxy in between)
    |-- Forbidden                  1    no    403
    |-- Unauthorized               6    no    401, and 403 about the token itself; also an AuthenticationError
    |-- TooLarge                   1    no    over the size limit, in every shape it comes in
    |-- Throttled                  1    yes   429
    |-- ServerFault                1    yes   5xx
    |-- BadAnswer                  1    yes   nonsense, an empty body, an error under 200
    |-- Unreachable                1    yes   no answer, or one that broke off (but no: a certificate not trusted)
    |-- Refused                    1    no    any other 3xx or 4xx
    |   `-- NotADirectory          1    no    a folder was asked for, something else is there
    `-- DeadlineExceeded           1    no    the time limit of the session, or of stopping

`from_answer` is pure. Answers of a workspace are quoted in messages, shortened and on one line; requests never are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple

from nbvault.errors import AuthenticationError, WorkspaceError

_KEPT_BYTES = 1024 * 1024


class RequestFailed(WorkspaceError):
    """One request failed.

    Args:
        path: The workspace path (or the endpoint) that was asked for.
        error_code: The workspace's own name for the error, or empty.
        status: The HTTP status; 0 where there was no answer.
        retry_after_s: How long the workspace asks us to wait, or None.
        retryable: Whether to try again; what the class says if None.

    `maybe_done`: an earlier try, or this one, got no answer that proves it was not carried out.
    """

    maybe_done = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        path: str = "",
        error_code: str = "",
        status: int = 0,
        retry_after_s: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.error_code = error_code
        self.status = status
        self.retry_after_s = retry_after_s
        if retryable is not None:
            self.retryable = retryable


class NotFound(RequestFailed):
    """Nothing is at this path, or nothing that this identity may see."""


class Forbidden(RequestFailed):
    """The identity may not read this path."""


class Unauthorized(RequestFailed, AuthenticationError):
    """The workspace does not take the token."""


class TooLarge(RequestFailed):
    """The object is over the size that the workspace exports, or that we accept."""


class Throttled(RequestFailed):
    """Too many requests."""

    retryable = True


class ServerFault(RequestFailed):
    """The workspace failed on its own side."""

    retryable = True


class BadAnswer(RequestFailed):
    """The answer makes no sense: nothing can be concluded from it."""

    retryable = True


class Unreachable(RequestFailed):
    """No answer came, or it broke off; `timed_out` tells a silent host from a refused or broken connection."""

    retryable = True
    timed_out = False


class Refused(RequestFailed):
    """The workspace will not do this, however often it is asked."""


class NotADirectory(Refused):
    """A folder was asked for, and something else is at this path."""


class DeadlineExceeded(RequestFailed):
    """The session's time limit, or what somebody who asked to stop leaves us, has passed; no request was sent."""


MAX_RETRY_AFTER_S = 600.0
"""A single Retry-After above this many seconds is taken as this many."""

_READ_HINT = "Give the identity of the backup the right to read it (CAN READ), or make it a workspace admin."
_LOGIN_HINT = "Check that the token has not expired or been revoked, and that it belongs to this workspace."
_HOST_HINT = "Check that workspace.host is the address of a Databricks workspace."

_BY_CODE: dict[str, type[RequestFailed]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFound,
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": Forbidden,
    "UNAUTHENTICATED": Unauthorized,
    "MAX_NOTEBOOK_SIZE_EXCEEDED": TooLarge,
    "MAX_READ_SIZE_EXCEEDED": TooLarge,
    "RESOURCE_EXHAUSTED": Throttled,
    "REQUEST_LIMIT_EXCEEDED": Throttled,
    "TEMPORARILY_UNAVAILABLE": ServerFault,
    "INTERNAL_ERROR": ServerFault,
    "DEADLINE_EXCEEDED": ServerFault,
    "ABORTED": ServerFault,
}
# Codes that say more than the status they come under; of the others the status decides.
_OVER_STATUS = frozenset(code for code, kind in _BY_CODE.items() if kind in {TooLarge, Throttled})
_OVER_4XX = _OVER_STATUS | {"RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"}
# Under 200 a "does not exist" proves nothing, so it stays a BadAnswer.
_UNDER_200 = frozenset({TooLarge, Throttled, ServerFault, Forbidden})
_BY_STATUS: dict[int, type[RequestFailed]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: ServerFault,
    413: TooLarge,
    429: Throttled,
    501: Refused,
}
# Phrases that name the kind where code and status do not (databricks-sdk retries the transient ones too).
_BY_PHRASE: tuple[tuple[re.Pattern[str], type[RequestFailed]], ...] = (
    (
        re.compile(r"size exceed(s|ed)|exceeded max(imum)? size|size exceeded limit|exceeds the (maximum|limit)", re.I),
        TooLarge,
    ),
    (re.compile(r"token bucket limit|concurrent limit of \d+ requests|too many requests", re.I), Throttled),
    (
        re.compile(r"ClusterNotReadyException|try again later or try a faster|unknown worker environment", re.I),
        ServerFault,
    ),
)
_ABOUT_TOKEN = re.compile(
    r"(invalid|expired|revoked)[\w ]{0,20} token|token[\w ]{0,20} (invalid|expired|revoked)"
    r"|unauthorized access to (org|workspace)",
    re.I,
)


class ErrorBody(NamedTuple):
    """What an error's body says; `parsed` is False where the body is not in any shape of the API."""

    code: str
    message: str
    reasons: tuple[str, ...] = ()
    parsed: bool = True


def from_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    path: str,
    raw: bool = False,
    now: datetime | None = None,
) -> RequestFailed | None:
    """The error that an answer means, or None for a good one.

    Args:
        path: What was asked for; named in the message.
        raw: The body of a 2xx is a notebook's own text (direct_download) and is not looked into, but for being empty: a
            SOURCE export always has its header line. See `is_doubtful` for text that may be an error.
        now: The time that a Retry-After date is compared with; the error carries no wait for a date without it.
    """
    if 200 <= status < 300:
        return _under_success(status, headers, body, path=path, raw=raw)
    said = read_error(body)
    return _make(
        _kind(status, said),
        said,
        status=status,
        path=path,
        retry_after_s=retry_after(headers, now=now),
    )


def is_doubtful(body: bytes) -> bool:
    """Whether a directly downloaded text could be an error or a login page instead of the notebook.

    A SOURCE export begins with its header line (``# Databricks notebook source``, or with ``--`` or ``//``); one that
    begins like JSON or HTML is asked for again with ``direct_download=false``, where content and error are kept apart.
    """
    return body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"<")


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, at most `MAX_RETRY_AFTER_S`; None if absent or unreadable."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    return _seconds_until(text, now)


def _seconds_until(text: str, now: datetime | None) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if now is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return min(max((aware - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def read_error(body: bytes) -> ErrorBody:
    """Code and message out of any shape that errors come in: API 2.x, API 1.2, SCIM, ``CODE: text``, HTML, nothing."""
    text = body[:65536].decode("utf-8", "replace").strip()
    if not text:
        return ErrorBody("", "")
    data = as_json(body)
    if isinstance(data, dict):
        return _read_json(data)
    if coded := re.match(r"([A-Z][A-Z_]{3,}): (.+)", text, re.S):
        return ErrorBody(coded[1], coded[2])
    if html := re.search(r"<pre>(.*?)</pre>|<title>(.*?)</title>", text, re.S | re.I):
        return ErrorBody("", re.sub(r"<[^>]*>", " ", html[1] or html[2] or ""), parsed=False)
    return ErrorBody("", text, parsed=False)


def as_json(body: bytes) -> Any:
    """The body as JSON, or None where it is none; not to be changed, for the next who asks gets the same."""
    # An answer is looked at twice: is it an error, and what does it say.
    return _parsed_once(body) if len(body) <= _KEPT_BYTES else _parsed(body)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


_parsed_once = lru_cache(maxsize=1)(_parsed)


def _read_json(data: dict[str, Any]) -> ErrorBody:
    details = data.get("details")
    reasons = tuple(
        str(item["reason"])
        for item in (details if isinstance(details, list) else [])
        if isinstance(item, dict) and "reason" in item
    )
    if "error_code" in data or "message" in data:
        return ErrorBody(_text(data.get("error_code")), _text(data.get("message")), reasons)
    if "detail" in data:
        return ErrorBody(_text(data.get("scimType")), _text(data["detail"]), reasons)
    if "error" in data:
        return ErrorBody("", _text(data.get("error_description") or data["error"]), reasons)
    return ErrorBody("", "", reasons, parsed=False)


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _kind(status: int, said: ErrorBody) -> type[RequestFailed]:
    """The class of an error under a status other than 2xx: by telling codes, then the status, then telling phrases."""
    telling = _OVER_4XX if status < 500 else _OVER_STATUS
    for code in (*said.reasons, said.code):
        if code in telling:
            return _BY_CODE[code]
    if status == 403 and _ABOUT_TOKEN.search(said.message):
        return Unauthorized
    if status == 404 and (not said.parsed or said.code == "ENDPOINT_NOT_FOUND"):
        return Refused
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return ServerFault
    return _kind_by_phrase(said.message) or _BY_CODE.get(said.code, Refused)


def _kind_by_phrase(message: str) -> type[RequestFailed] | None:
    return next((kind for pattern, kind in _BY_PHRASE if pattern.search(message)), None)


def _under_success(
    status: int, headers: Mapping[str, str], body: bytes, *, path: str, raw: bool
) -> RequestFailed | None:
    if not body:
        return BadAnswer(f"The workspace answered {status} with an empty body for {path}.", path=path, status=status)
    if raw:
        return None
    data = as_json(body)
    if not isinstance(data, dict):
        return BadAnswer(
            f"The workspace answered {status} with something that is not its API for {path}: {_short(body)}.",
            hint=_HOST_HINT,
            path=path,
            status=status,
        )
    if "error_code" not in data:
        return None
    said = _read_json(data)
    return _make(_kind_under_200(said), said, status=status, path=path, retry_after_s=retry_after(headers))


def _kind_under_200(said: ErrorBody) -> type[RequestFailed]:
    named = next((_BY_CODE[code] for code in (*said.reasons, said.code) if code in _BY_CODE), None)
    kind = _kind_by_phrase(said.message) if named is None else named
    return kind if kind in _UNDER_200 else BadAnswer


_SENTENCES: dict[type[RequestFailed], tuple[str, str]] = {
    NotFound: ("Nothing is at {path}, or nothing that this identity may see", ""),
    Forbidden: ("The identity may not use {path}", _READ_HINT),
    Unauthorized: ("The workspace does not accept the credentials", _LOGIN_HINT),
    TooLarge: (
        "{path} is too large to export or import",
        "Databricks moves notebooks of at most 10 MB in SOURCE format.",
    ),
    Throttled: ("The workspace answered that there are too many requests, for {path}", ""),
    ServerFault: ("The workspace failed on its side for {path}", ""),
    BadAnswer: ("The workspace answered with an error under a success status for {path}", ""),
    Refused: ("The workspace refused the request for {path}", ""),
}


def _make(
    kind: type[RequestFailed],
    said: ErrorBody,
    *,
    status: int,
    path: str,
    retry_after_s: float | None,
) -> RequestFailed:
    sentence, hint = _SENTENCES[kind]
    parts = (str(status), said.code, _short(said.message).removeprefix(f"{status}: "))
    told = ": ".join(dict.fromkeys(part for part in parts if part))
    foreign = 300 <= status < 400 or (status == 404 and kind is Refused)
    return kind(
        f"{sentence.format(path=path)} ({told}).",
        hint=_HOST_HINT if foreign else hint,
        path=path,
        error_code=said.code or next(iter(said.reasons), ""),
        status=status,
        retry_after_s=retry_after_s,
    )


def _short(said: str | bytes) -> str:
    text = said[:1200].decode("utf-8", "replace") if isinstance(said, bytes) else said
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else line[:297] + "..."
